//! Numbers as Go's `strconv.FormatFloat` writes them, to the digit.
//!
//! Rust's formatting is exact and rounds correctly, as Go's; only the shape differs: when there is an exponent, and how it
//! is written.

/// Most digits that Rust is asked for; a float64 has no more significant ones, the rest are zeros.
const MAX_DIGITS: usize = 1_100;

/// The power of ten from which on `%v` has an exponent: 100000 and 123456.5, but 1e+06 and 1.234567e+06 (strconv's `%g`
/// decides by precision 6 when it looks for the shortest text).
const SHORTEST_THRESHOLD: usize = 6;

/// `%v` and `%g` without a precision.
pub(super) fn shortest(v: f64) -> String {
    general(v, None)
}

/// `%e`: one digit before the point, `digits` behind.
pub(super) fn exponent(v: f64, digits: usize) -> String {
    if let Some(text) = special(v) {
        return text.to_owned();
    }
    let exact = digits.min(MAX_DIGITS);
    let written = format!("{v:.exact$e}");
    let (mantissa, power) = split(&written);
    format!("{mantissa}{}{}", "0".repeat(digits - exact), power_text(power))
}

/// `%f`: `digits` behind the point.
pub(super) fn fixed(v: f64, digits: usize) -> String {
    if let Some(text) = special(v) {
        return text.to_owned();
    }
    let exact = digits.min(MAX_DIGITS);
    format!("{v:.exact$}{}", "0".repeat(digits - exact))
}

/// `%g`: `significant` digits, or as many as tell the number from its neighbours.
pub(super) fn general(v: f64, significant: Option<usize>) -> String {
    if let Some(text) = special(v) {
        return text.to_owned();
    }
    let written = match significant {
        None => format!("{v:e}"),
        Some(n) => format!("{v:.*e}", n.clamp(1, MAX_DIGITS) - 1),
    };
    let (mantissa, power) = split(&written);
    let sign = if mantissa.starts_with('-') { "-" } else { "" };
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let digits = digits.trim_end_matches('0');
    let threshold = i32::try_from(significant.map_or(SHORTEST_THRESHOLD, |n| n.max(1))).unwrap_or(i32::MAX);
    if power < -4 || power >= threshold {
        let (first, rest) = digits.split_at(digits.len().min(1));
        let point = if rest.is_empty() { "" } else { "." };
        return format!("{sign}{first}{point}{rest}{}", power_text(power));
    }
    format!("{sign}{}", plain(digits, power))
}

/// `%b`: an integer times a power of two.
pub(super) fn binary(v: f64) -> String {
    if let Some(text) = special(v) {
        return text.to_owned();
    }
    let (mantissa, power) = parts(v);
    format!("{}{mantissa}p{power:+}", if v.is_sign_negative() { "-" } else { "" })
}

/// `%x`: a hexadecimal fraction from 1 to 2 times a power of two, with as many digits as it takes or as are asked for.
pub(super) fn hexadecimal(v: f64, digits: Option<usize>) -> String {
    if let Some(text) = special(v) {
        return text.to_owned();
    }
    let sign = if v.is_sign_negative() { "-" } else { "" };
    let (mantissa, power) = parts(v);
    let shift = if mantissa == 0 { 0 } else { mantissa.leading_zeros() as i32 - 3 };
    // The leading one at bit 60: fifteen digits behind the point.
    let (mut mantissa, mut power) = (mantissa << shift, if mantissa == 0 { 0 } else { power - shift + 60 });
    if let Some(bits) = digits.filter(|n| *n < 15).map(|n| 60 - 4 * n) {
        let (half, rest) = (1u64 << (bits - 1), mantissa & ((1u64 << bits) - 1));
        mantissa >>= bits;
        mantissa += u64::from(rest > half || (rest == half && mantissa & 1 == 1));
        mantissa <<= bits;
        if mantissa >> 61 != 0 {
            (mantissa, power) = (mantissa >> 1, power + 1);
        }
    }
    let fraction = format!("{:015x}", mantissa & ((1 << 60) - 1));
    let fraction = match digits {
        None => fraction.trim_end_matches('0').to_owned(),
        Some(n) => format!("{fraction:0<n$}")[..n].to_owned(),
    };
    let point = if fraction.is_empty() { "" } else { "." };
    let power_sign = if power < 0 { '-' } else { '+' };
    format!("{sign}0x{}{point}{fraction}p{power_sign}{:02}", mantissa >> 60, power.unsigned_abs())
}

/// A finite number's integer mantissa, and the power of two that it is multiplied with.
fn parts(v: f64) -> (u64, i32) {
    let bits = v.to_bits();
    let (biased, fraction) = ((bits >> 52 & 0x7ff) as i32, bits & ((1 << 52) - 1));
    if biased == 0 { (fraction, -1074) } else { (fraction | 1 << 52, biased - 1075) }
}

/// `digits` with the first one standing for 10^power, without exponent.
fn plain(digits: &str, power: i32) -> String {
    if digits.is_empty() {
        return "0".to_owned();
    }
    if power < 0 {
        return format!("0.{}{digits}", "0".repeat(power.unsigned_abs() as usize - 1));
    }
    let whole = power.unsigned_abs() as usize + 1;
    if digits.len() <= whole {
        format!("{digits}{}", "0".repeat(whole - digits.len()))
    } else {
        format!("{}.{}", &digits[..whole], &digits[whole..])
    }
}

fn special(v: f64) -> Option<&'static str> {
    if v.is_nan() {
        Some("NaN")
    } else if v.is_infinite() {
        Some(if v > 0.0 { "+Inf" } else { "-Inf" })
    } else {
        None
    }
}

/// Rust's `1.5e-7` as its two halves.
fn split(written: &str) -> (&str, i32) {
    let (mantissa, power) = written.split_once('e').unwrap_or((written, "0"));
    (mantissa, power.parse().unwrap_or(0))
}

/// Go writes a sign and at least two digits.
fn power_text(power: i32) -> String {
    format!("e{}{:02}", if power < 0 { '-' } else { '+' }, power.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Go 1.26 prints.
    #[test]
    fn numbers_are_written_as_go_does() {
        for (v, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1e5, "100000"),
            (1e6, "1e+06"),
            (123_456.789, "123456.789"),
            (999_999.5, "999999.5"),
            (1_234_567.5, "1.2345675e+06"),
            (9_007_199_254_740_993.0, "9.007199254740992e+15"),
            (1e-4, "0.0001"),
            (0.000_012_3, "1.23e-05"),
            (-1.5e300, "-1.5e+300"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(shortest(v), text);
        }
        for (v, text) in [
            (0.0, "0"),
            (1e5, "1e+05"),
            (123_456.0, "1.235e+05"),
            (1000.0, "1000"),
            (1e-5, "1e-05"),
            (12.345, "12.35"),
            (1.2345, "1.234"),
            (899.99, "900"),
        ] {
            assert_eq!(general(v, Some(4)), text);
        }
        assert_eq!(exponent(12_345.678, 2), "1.23e+04");
        assert_eq!(exponent(0.0, 6), "0.000000e+00");
        assert_eq!(fixed(2.5, 0), "2");
        assert_eq!(fixed(-1.005, 2), "-1.00");
        assert_eq!(fixed(1.0, 1_105).len(), 1_107);
        for (v, in_binary, in_hexadecimal) in [
            (1.5, "6755399441055744p-52", "0x1.8p+00"),
            (0.1, "7205759403792794p-56", "0x1.999999999999ap-04"),
            (0.0, "0p-1074", "0x0p+00"),
            (5e-324, "1p-1074", "0x1p-1074"),
            (-1e100, "-5147557589468029p+280", "-0x1.249ad2594c37dp+332"),
        ] {
            assert_eq!((binary(v).as_str(), hexadecimal(v, None).as_str()), (in_binary, in_hexadecimal));
        }
        assert_eq!(hexadecimal(1.999, Some(2)), "0x1.00p+01");
        assert_eq!(hexadecimal(0.1, Some(3)), "0x1.99ap-04");
        assert_eq!(hexadecimal(1.0, Some(20)), format!("0x1.{}p+00", "0".repeat(20)));
    }
}
