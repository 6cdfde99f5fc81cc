//! Instants and spans as Go writes them: `2015-06-23 13:19:44.128 +0000 UTC`, `1h2m3.5s`. Everything is UTC; nothing here
//! reads a clock.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

use super::float::shortest;
use super::value::Value;
use crate::base::Millis;

const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The instant of a number of seconds since the epoch, as Prometheus' `toTime` and `humanizeTimestamp` take it.
pub(super) fn to_time(seconds: f64) -> Result<Millis, String> {
    if !seconds.is_finite() {
        return Err("value is NaN or Inf".to_owned());
    }
    let nanos = seconds * 1e9;
    if nanos > i64::MAX as f64 || nanos < i64::MIN as f64 {
        return Err(format!(
            "{} cannot be represented as a nanoseconds timestamp since it overflows int64",
            shortest(seconds)
        ));
    }
    Ok(nanos as i64 / 1_000_000)
}

/// As Go prints a time.
pub(super) fn format_time(t: Millis) -> String {
    let fraction = match t.rem_euclid(1000) {
        0 => String::new(),
        millis => format!(".{millis:03}").trim_end_matches('0').to_owned(),
    };
    format!("{}{fraction} +0000 UTC", civil(t).strftime("%Y-%m-%d %H:%M:%S"))
}

/// As Go prints a duration; `ns` are nanoseconds.
pub(super) fn format_duration(ns: i64) -> String {
    let sign = if ns < 0 { "-" } else { "" };
    let total = ns.unsigned_abs();
    let decimal = |unit: u64, name: &str| {
        let digits = unit.ilog10() as usize;
        let fraction = format!(".{:0digits$}", total % unit);
        let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
        format!("{sign}{}{fraction}{name}", total / unit)
    };
    match total {
        0 => "0s".to_owned(),
        1..1_000 => format!("{sign}{total}ns"),
        1_000..1_000_000 => decimal(1_000, "µs"),
        1_000_000..1_000_000_000 => decimal(1_000_000, "ms"),
        _ => {
            let seconds = total / 1_000_000_000;
            let fraction = format!(".{:09}", total % 1_000_000_000);
            let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            let mut out = sign.to_owned();
            if hours > 0 {
                out += &format!("{hours}h");
            }
            if hours > 0 || minutes > 0 {
                out += &format!("{minutes}m");
            }
            out + &format!("{}{fraction}s", seconds % 60)
        }
    }
}

/// Whether a method of an instant or a span takes so many arguments.
pub(super) fn check_count(receiver: &Value<'_>, name: &str, count: usize) -> Result<(), String> {
    let wanted = match receiver {
        Value::Time(_) => usize::from(name == "Format"),
        Value::Duration(_) => 0,
        _ => return Ok(()),
    };
    if count == wanted { Ok(()) } else { Err(format!("wrong number of args for {name}: want {wanted} got {count}")) }
}

/// The methods of an instant that templates may call.
pub(super) fn time_method<'a>(t: Millis, name: &str, arguments: &[Value<'a>]) -> Result<Value<'a>, String> {
    check_count(&Value::Time(t), name, arguments.len())?;
    let at = civil(t);
    Ok(match name {
        "Year" => Value::Int(at.year().into()),
        "Month" => Value::Named(at.month().into(), MONTHS[usize::from(at.month().unsigned_abs()) - 1], "time.Month"),
        "Day" => Value::Int(at.day().into()),
        "Hour" => Value::Int(at.hour().into()),
        "Minute" => Value::Int(at.minute().into()),
        "Second" => Value::Int(at.second().into()),
        "Unix" => Value::Int(t.div_euclid(1000)),
        "UnixMilli" => Value::Int(t),
        "Weekday" => weekday(at),
        "YearDay" => Value::Int(at.date().day_of_year().into()),
        "UTC" => Value::Time(t),
        "String" => Value::text(format_time(t)),
        "Format" => match &arguments[0] {
            Value::Text(layout) => Value::text(format_layout(t, layout)),
            other => return Err(format!("expected string; found {}", other.type_name())),
        },
        _ => return Err(format!("can't evaluate field {name} in type *time.Time")),
    })
}

/// The methods of a span that templates may call.
pub(super) fn duration_method<'a>(ns: i64, name: &str, arguments: &[Value<'a>]) -> Result<Value<'a>, String> {
    check_count(&Value::Duration(ns), name, arguments.len())?;
    let whole = |unit: i64| (ns / unit) as f64 + (ns % unit) as f64 / unit as f64;
    Ok(match name {
        "Hours" => Value::Float(whole(3_600_000_000_000)),
        "Minutes" => Value::Float(whole(60_000_000_000)),
        "Seconds" => Value::Float(whole(1_000_000_000)),
        "Milliseconds" => Value::Int(ns / 1_000_000),
        "Microseconds" => Value::Int(ns / 1_000),
        "Nanoseconds" => Value::Int(ns),
        "String" => Value::text(format_duration(ns)),
        _ => return Err(format!("can't evaluate field {name} in type *time.Duration")),
    })
}

/// The parts that Go's layouts are made of, longer ones before their beginnings, each with jiff's directive.
const LAYOUT: [(&str, &str); 27] = [
    ("January", "%B"),
    ("Jan", "%b"),
    ("Monday", "%A"),
    ("Mon", "%a"),
    ("MST", "UTC"),
    ("-07:00", "+00:00"),
    ("-0700", "+0000"),
    ("-07", "+00"),
    ("Z07:00", "Z"),
    ("Z0700", "Z"),
    ("2006", "%Y"),
    ("002", "%j"),
    ("01", "%m"),
    ("02", "%d"),
    ("03", "%I"),
    ("04", "%M"),
    ("05", "%S"),
    ("06", "%y"),
    ("15", "%H"),
    ("_2", "%e"),
    ("PM", "%p"),
    ("pm", "%P"),
    ("1", "%-m"),
    ("2", "%-d"),
    ("3", "%-I"),
    ("4", "%-M"),
    ("5", "%-S"),
];

fn format_layout(t: Millis, layout: &str) -> String {
    let at = civil(t);
    let (mut out, mut rest) = (String::new(), layout);
    while let Some(c) = rest.chars().next() {
        let zeros = rest.strip_prefix('.').map_or(0, |after| after.len() - after.trim_start_matches('0').len());
        if let Some((part, directive)) = LAYOUT.iter().find(|(part, _)| rest.starts_with(part)) {
            out += &at.strftime(directive).to_string();
            rest = &rest[part.len()..];
        } else if zeros > 0 && out.ends_with(|c: char| c.is_ascii_digit()) {
            let digits = format!("{:03}000000", t.rem_euclid(1000));
            out.push('.');
            out += &digits[..zeros.min(digits.len())];
            rest = &rest[1 + zeros..];
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

fn weekday<'a>(at: DateTime) -> Value<'a> {
    let number = at.weekday().to_sunday_zero_offset();
    Value::Named(number.into(), WEEKDAYS[usize::from(number.unsigned_abs()) % 7], "time.Weekday")
}

/// The calendar's view; an instant that no calendar holds is shown as the nearest that it does.
fn civil(t: Millis) -> DateTime {
    let nearest = if t < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Offset::UTC.to_datetime(Timestamp::from_millisecond(t).unwrap_or(nearest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Go's `time.Duration.String` prints.
    #[test]
    fn spans_are_written_as_go_does() {
        for (seconds, text) in [
            (0.0, "0s"),
            (60.0, "1m0s"),
            (86_400.0, "24h0m0s"),
            (-183_845.0, "-51h4m5s"),
            (899.99, "14m59.99s"),
            (0.1, "100ms"),
            (0.000_1, "100µs"),
            (1.5e-9, "1ns"),
            (0.0123, "12.3ms"),
            (60.1, "1m0.1s"),
        ] {
            assert_eq!(format_duration((seconds * 1e9) as i64), text);
        }
    }

    #[test]
    fn instants_are_written_as_go_does() {
        assert_eq!(format_time(1_435_065_584_128), "2015-06-23 13:19:44.128 +0000 UTC");
        assert_eq!(format_time(-1_500), "1969-12-31 23:59:58.5 +0000 UTC");
        assert_eq!(
            format_layout(
                1_435_065_584_128,
                "2006-01-02 15:04:05.000 Mon Jan _2 3:04PM MST -0700 Z07:00 January Monday 06 1 2"
            ),
            "2015-06-23 13:19:44.128 Tue Jun 23 1:19PM UTC +0000 Z June Tuesday 15 6 23"
        );
    }
}
