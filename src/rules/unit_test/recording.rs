//! A series given by a file: CSV with a time and a value in each row, or values only.
//!
//! | times | mean |
//! |---|---|
//! | `0s`, `1h30m` | since the test's start |
//! | `2026-01-31T12:00:00Z`, `1769860800` | instants |
//! | none: one column | one `interval` apart from the start, as `values` are |
//!
//! `stale` ends the series, `_` or nothing is a step without a sample. A first row that is no sample is a header. Pure: the
//! text is read elsewhere. Recordings that a server replays have a reader of their own, which knows more formats and no
//! offsets, and sorts.

use crate::base::{Millis, Sample, format_rfc3339, parse_duration, parse_value, stale_nan};

use super::fields::parse_instant;

/// The samples of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    clock: Clock,
    /// Time by `clock`, and value.
    samples: Vec<Sample>,
}

/// What is wrong with a file, and in which line, from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}: {message}")]
pub struct RecordingError {
    /// Line.
    pub line: u64,
    /// What is wrong.
    pub message: String,
}

/// What the times of a file count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clock {
    /// Steps of the test's interval from its start.
    Steps,
    /// Milliseconds from the start.
    Offsets,
    /// Milliseconds from 1970.
    Instants,
}

impl Recording {
    /// Reads a file's text.
    ///
    /// ```
    /// use forewarn::rules::unit_test::Recording;
    /// let recording = Recording::parse("time,value\n0s,1\n90s,2.5\n").unwrap();
    /// let second = recording.sample(1, 1_000_000, 60_000).unwrap();
    /// assert_eq!((second.t, second.v), (1_090_000, 2.5));
    /// ```
    ///
    /// # Errors
    /// A row that does not read, times of two kinds, or a time that is not after the one before it.
    pub fn parse(text: &str) -> Result<Self, RecordingError> {
        let mut reader = csv::ReaderBuilder::new();
        reader.has_headers(false).flexible(true).comment(Some(b'#')).trim(csv::Trim::All);
        let mut reader = reader.from_reader(text.as_bytes());
        let (mut clock, mut samples, mut rows) = (None, Vec::<Sample>::new(), 0);
        let mut record = csv::StringRecord::new();
        let mut is_first = true;
        loop {
            let line = reader.position().line();
            let fault = |line: Option<u64>, message: String| RecordingError { line: line.unwrap_or(0), message };
            match reader.read_record(&mut record) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => return Err(fault(Some(line), error.to_string())),
            }
            let line = record.position().map(csv::Position::line);
            match row(&record, rows) {
                // Two clocks at the header's row are no contradiction, it has none.
                Err(_) if std::mem::take(&mut is_first) => continue,
                Err(message) => return Err(fault(line, message)),
                Ok((own, t, value)) => {
                    is_first = false;
                    rows += 1;
                    if *clock.get_or_insert(own) != own {
                        return Err(fault(line, "times of two kinds in one file".to_owned()));
                    }
                    if let Some(last) = samples.last().filter(|last| t <= last.t) {
                        return Err(fault(line, format!("{t} ms is not after the {} ms of the row before", last.t)));
                    }
                    samples.extend(value.map(|v| Sample { t, v }));
                }
            }
        }
        match clock {
            Some(clock) => Ok(Self { clock, samples }),
            None => Err(RecordingError { line: 1, message: "no samples: rows are time,value or value".to_owned() }),
        }
    }

    /// The `place`-th sample in a test that begins at `start` and whose steps are `interval` long; None beyond the last.
    #[must_use]
    pub fn sample(&self, place: usize, start: Millis, interval: Millis) -> Option<Sample> {
        let Sample { t, v } = *self.samples.get(place)?;
        let t = match self.clock {
            Clock::Steps => start.saturating_add(t.saturating_mul(interval)),
            Clock::Offsets => start.saturating_add(t),
            Clock::Instants => t,
        };
        Some(Sample { t, v })
    }

    /// Why a test that lasts from `start` to `end` would see nothing of it, if so.
    #[must_use]
    pub fn outside(&self, start: Millis, end: Millis) -> Option<String> {
        let (first, last) = (self.samples.first()?.t, self.samples.last()?.t);
        if self.clock != Clock::Instants || (first <= end && last >= start) {
            return None;
        }
        let [first, last, start, end] = [first, last, start, end].map(format_rfc3339);
        Some(format!(
            "its samples lie from {first} to {last}, the test from {start} to {end}: give the test start_timestamp: \"{first}\""
        ))
    }
}

/// Clock, time and value of the `number`-th row.
fn row(record: &csv::StringRecord, number: i64) -> Result<(Clock, Millis, Option<f64>), String> {
    let (time, value) = match (record.get(0), record.get(1), record.len()) {
        (Some(value), None, _) => (None, value),
        (Some(time), Some(value), 2) => (Some(time), value),
        _ => return Err(format!("{} columns, where there may be time,value or value", record.len())),
    };
    let value = match value {
        "" | "_" => None,
        "stale" => Some(stale_nan()),
        number => Some(parse_value(number).ok_or_else(|| format!("not a value: {number:?}"))?),
    };
    let Some(time) = time else { return Ok((Clock::Steps, number, value)) };
    if let Some(instant) = parse_instant(time) {
        return Ok((Clock::Instants, instant, value));
    }
    let offset = parse_duration(time).map_err(|_| {
        format!("not a time: {time:?} (write 90s or 1h30m from the start, 2026-01-31T12:00:00Z, or seconds since 1970)")
    })?;
    Ok((Clock::Offsets, offset, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(Millis, f64)> {
        let recording = Recording::parse(text).unwrap();
        (0..).map_while(|place| recording.sample(place, 1_000, 60_000)).map(|s| (s.t, s.v)).collect()
    }

    #[test]
    fn each_kind_of_time_is_read() {
        assert_eq!(read("1\n_\n3\n"), [(1_000, 1.0), (121_000, 3.0)]);
        assert_eq!(read("value\n1\n2\n"), [(1_000, 1.0), (61_000, 2.0)]);
        assert_eq!(read("# c\nt, v\n0s, 1\n1m30s,-2e3\n2m,\n"), [(1_000, 1.0), (91_000, -2000.0)]);
        assert_eq!(read("1,5\n2.5,6\n"), [(1_000, 5.0), (2_500, 6.0)]);
        assert_eq!(read("0,4\n2,5\n"), [(0, 4.0), (2_000, 5.0)]);
        assert_eq!(read("1970-01-01T00:01:00Z,7\n"), [(60_000, 7.0)]);
        assert!(read("stale\n")[0].1.is_nan());
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        for (text, expected) in [
            ("1\n2\nx\n", "3: not a value: \"x\""),
            (
                "t,v\n0s,1\n1x,2\n",
                "3: not a time: \"1x\" (write 90s or 1h30m from the start, 2026-01-31T12:00:00Z, or seconds since 1970)",
            ),
            ("0s,1\n5,2\n", "2: times of two kinds in one file"),
            ("5s,1\n5s,2\n", "2: 5000 ms is not after the 5000 ms of the row before"),
            ("0s,1,2\n0s,1,2\n", "2: 3 columns, where there may be time,value or value"),
            ("", "1: no samples: rows are time,value or value"),
            ("value\n", "1: no samples: rows are time,value or value"),
        ] {
            assert_eq!(Recording::parse(text).unwrap_err().to_string(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_recording_of_another_time_says_which_start_it_needs() {
        let recording = Recording::parse("2026-01-31T12:00:00Z,1\n2026-01-31T13:00:00Z,2\n").unwrap();
        let why = recording.outside(0, 3_600_000).unwrap();
        assert!(why.ends_with("give the test start_timestamp: \"2026-01-31T12:00:00.000Z\""), "{why}");
        assert_eq!(recording.outside(1_769_860_800_000, 1_769_860_800_000), None);
        assert_eq!(Recording::parse("1\n2\n").unwrap().outside(5, 6), None);
    }
}
