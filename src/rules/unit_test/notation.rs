//! The notation in which unit tests write the values of a series, one item for each step, parted by blanks:
//!
//! | item | stands for |
//! |---|---|
//! | `5`, `-1.5e3`, `NaN`, `Inf` | a value |
//! | `_`, `_xN` | one step, N steps, without a sample |
//! | `stale` | the series ends here |
//! | `axN` | a, and N times a again: N + 1 values |
//! | `a+bxN`, `a-bxN` | a, a + b, ... a + N·b: N + 1 values |
//!
//! A series is not written out in memory: a month at 15 seconds is one item.

use crate::base::stale_nan;

/// Most steps of one series.
const MAX_STEPS: u64 = 1_000_000_000;

/// The values of a series by step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Notation(Vec<Item>);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Item {
    Gap { steps: u64 },
    Stale,
    Values { first: f64, step: f64, count: u64 },
}

/// Values that do not parse.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotationError {
    /// An item that is none of the above.
    #[error("not a value: {0:?} (write 5, 1+2x10, 3x10, _, _x5 or stale, parted by blanks)")]
    Item(String),
    /// Braces, which promtool reads as native histograms.
    #[error("native histograms are not supported: {0:?}")]
    Histogram(String),
    /// More steps than anyone needs.
    #[error("more than {MAX_STEPS} steps")]
    TooLong,
}

impl Notation {
    /// Reads the notation.
    ///
    /// ```
    /// use forewarn::rules::unit_test::Notation;
    /// let values = Notation::parse("1+2x2 _ 7").unwrap();
    /// assert_eq!(values.iter().collect::<Vec<_>>(), [Some(1.0), Some(3.0), Some(5.0), None, Some(7.0)]);
    /// ```
    ///
    /// # Errors
    /// See [`NotationError`].
    pub fn parse(text: &str) -> Result<Self, NotationError> {
        if text.contains("{{") {
            return Err(NotationError::Histogram(text.chars().take(60).collect()));
        }
        let read = |word: &str| item(word).ok_or_else(|| NotationError::Item(word.to_owned()));
        let items: Vec<Item> = text.split_ascii_whitespace().map(read).collect::<Result<_, _>>()?;
        let total = items.iter().try_fold(0u64, |sum, item| sum.checked_add(item.steps()));
        if total.is_none_or(|total| total > MAX_STEPS) {
            return Err(NotationError::TooLong);
        }
        Ok(Self(items))
    }

    /// The value of each step, the staleness marker among them; None where there is no sample.
    pub fn iter(&self) -> impl Iterator<Item = Option<f64>> + use<> {
        self.0.clone().into_iter().flat_map(Item::values)
    }
}

impl Item {
    fn steps(&self) -> u64 {
        match self {
            Self::Gap { steps } => *steps,
            Self::Stale => 1,
            Self::Values { count, .. } => *count,
        }
    }

    fn values(self) -> impl Iterator<Item = Option<f64>> {
        let (mut next, step, sampled) = match self {
            Self::Gap { .. } => (0.0, 0.0, false),
            Self::Stale => (stale_nan(), 0.0, true),
            Self::Values { first, step, .. } => (first, step, true),
        };
        (0..self.steps()).map(move |i| {
            // Added up step by step, as promtool does: the sums' rounding is part of the values. Zero is not added, since
            // arithmetic would spoil the staleness marker.
            if i > 0 && step != 0.0 {
                next += step;
            }
            sampled.then_some(next)
        })
    }
}

fn item(word: &str) -> Option<Item> {
    if word == "stale" {
        return Some(Item::Stale);
    }
    if let Some(rest) = word.strip_prefix('_') {
        let steps = if rest.is_empty() { 1 } else { times(rest.strip_prefix('x')?)? };
        return Some(Item::Gap { steps });
    }
    let (first, rest) = number(word)?;
    if rest.is_empty() {
        return Some(Item::Values { first, step: 0.0, count: 1 });
    }
    let (step, rest) = if rest.starts_with(['+', '-']) { number(rest)? } else { (0.0, rest) };
    Some(Item::Values { first, step, count: times(rest.strip_prefix('x')?)?.checked_add(1)? })
}

fn times(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

/// A number at the start, with what follows it.
fn number(text: &str) -> Option<(f64, &str)> {
    let unsigned = text.trim_start_matches(['+', '-']);
    let sign_length = text.len() - unsigned.len();
    if sign_length > 1 {
        return None;
    }
    let is_negative = text.starts_with('-');
    let word = unsigned.get(..3).unwrap_or_default();
    let (value, length) = if word.eq_ignore_ascii_case("inf") {
        (f64::INFINITY, 3)
    } else if word.eq_ignore_ascii_case("nan") {
        (f64::NAN, 3)
    } else {
        let length = number_length(unsigned.as_bytes());
        (unsigned[..length].parse().ok()?, length)
    };
    Some((if is_negative { -value } else { value }, &unsigned[length..]))
}

/// Bytes of a decimal number: digits, a point, an exponent.
fn number_length(bytes: &[u8]) -> usize {
    let digits = |from: usize| from + bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let mut end = digits(0);
    if bytes.get(end) == Some(&b'.') {
        end = digits(end + 1);
    }
    if end > 0 && matches!(bytes.get(end), Some(b'e' | b'E')) {
        let start = end + 1 + usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent_end = if start <= bytes.len() { digits(start) } else { start };
        if exponent_end > start {
            end = exponent_end;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::is_stale;

    /// The values as text, `stale` for the marker.
    fn values(text: &str) -> String {
        let shown = |v: Option<f64>| match v {
            None => "_".to_owned(),
            Some(v) if is_stale(v) => "stale".to_owned(),
            Some(v) => v.to_string(),
        };
        Notation::parse(text).unwrap().iter().map(shown).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn every_item_gives_its_steps() {
        for (text, expected) in [
            ("", ""),
            ("1 2.5  -3\t+4", "1 2.5 -3 4"),
            ("1x2", "1 1 1"),
            ("0+60x3", "0 60 120 180"),
            ("-1-0.5x2", "-1 -1.5 -2"),
            ("_ _x3 1", "_ _ _ _ 1"),
            ("1 stale 2", "1 stale 2"),
            ("1e3+1e-1x1 4E+2-1e2x1", "1000 1000.1 400 300"),
            ("NaN Inf -Inf +inf nanx1", "NaN inf -inf inf NaN NaN"),
            (".5 5.", "0.5 5"),
        ] {
            assert_eq!(values(text), expected, "{text}");
        }
    }

    #[test]
    fn sums_are_rounded_step_by_step() {
        let last = Notation::parse("0+0.1x10").unwrap().iter().last().flatten();
        assert_eq!(last, Some(0.999_999_999_999_999_9));
    }

    #[test]
    fn what_is_no_item_is_refused() {
        for text in [
            "a", "1x", "x3", "1+x3", "1+2", "1x-1", "1x1.5", "_x", "stalex2", "--1", "1,2", "1_000", "5+-0x0", "e5",
            "é",
        ] {
            assert!(matches!(Notation::parse(text), Err(NotationError::Item(_))), "{text}");
        }
        assert!(matches!(Notation::parse("{{schema:1 sum:3}}x2"), Err(NotationError::Histogram(_))));
        assert_eq!(Notation::parse("1x9999999999"), Err(NotationError::TooLong));
        assert_eq!(Notation::parse("1x18446744073709551614 1"), Err(NotationError::TooLong));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[0-9+_xeaINFnst .-]{0,20}") {
            if let Ok(notation) = Notation::parse(&text) {
                prop_assert!(notation.iter().take(100).count() <= 100);
            }
        }
    }
}
