//! Date functions: parts of an instant in UTC.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

/// The functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum CalendarFn {
    Minute,
    Hour,
    DayOfWeek,
    DayOfMonth,
    DayOfYear,
    DaysInMonth,
    Month,
    Year,
}

impl CalendarFn {
    /// The function of this PromQL name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "minute" => Self::Minute,
            "hour" => Self::Hour,
            "day_of_week" => Self::DayOfWeek,
            "day_of_month" => Self::DayOfMonth,
            "day_of_year" => Self::DayOfYear,
            "days_in_month" => Self::DaysInMonth,
            "month" => Self::Month,
            "year" => Self::Year,
            _ => return None,
        })
    }

    /// Its value for an instant in seconds since the epoch; NaN for what no calendar holds (years -9999 to 9999).
    #[must_use]
    pub fn apply(self, seconds: f64) -> f64 {
        if !seconds.is_finite() {
            return f64::NAN;
        }
        let Ok(instant) = Timestamp::from_second(seconds as i64) else { return f64::NAN };
        let at: DateTime = Offset::UTC.to_datetime(instant);
        let part = match self {
            Self::Minute => i16::from(at.minute()),
            Self::Hour => i16::from(at.hour()),
            Self::DayOfWeek => i16::from(at.weekday().to_sunday_zero_offset()),
            Self::DayOfMonth => i16::from(at.day()),
            Self::DayOfYear => at.day_of_year(),
            Self::DaysInMonth => i16::from(at.days_in_month()),
            Self::Month => i16::from(at.month()),
            Self::Year => at.year(),
        };
        f64::from(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_leap_day() {
        // date -u -d @1709208000: Thu Feb 29 12:00:00 2024
        let at = 1_709_208_000.0;
        let of = |f: CalendarFn| f.apply(at);
        assert_eq!((of(CalendarFn::Hour), of(CalendarFn::DayOfWeek), of(CalendarFn::DayOfMonth)), (12.0, 4.0, 29.0));
        assert_eq!(
            (of(CalendarFn::DayOfYear), of(CalendarFn::DaysInMonth), of(CalendarFn::Year)),
            (60.0, 29.0, 2024.0)
        );
        assert!(CalendarFn::Year.apply(f64::NAN).is_nan());
    }
}
