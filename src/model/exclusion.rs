//! Times that a profile keeps out of what is learnt: `sunday 02:00-04:00`, `2026-12-24/2026-12-27`.
//!
//! They end by themselves, so that a model cannot be locked to the past by them. Knows the text and the clock, no models.

use serde::{Deserialize, Serialize};

use super::calendar::LocalTime;
use crate::base::{Millis, parse_instant};

const MINUTE: Millis = 60_000;
const WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// One such time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exclusion {
    /// From one instant to before another.
    Once {
        /// First instant.
        from: Millis,
        /// First instant after.
        to: Millis,
    },
    /// A part of some days of the week, by the profile's clock.
    Weekly {
        /// A bit for each weekday on which it begins, Monday's the lowest.
        days: u8,
        /// Begin, in milliseconds after midnight.
        from: Millis,
        /// End; at or before the begin it is the next day's.
        to: Millis,
    },
}

impl Exclusion {
    /// Reads `FROM/TO` (instants) or `DAY HH:MM-HH:MM`, DAY one of daily, weekdays, weekends and the names of the days.
    ///
    /// # Errors
    /// Says what is wrong and what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some((from, to)) = text.split_once('/') {
            let instant =
                |text: &str| parse_instant(text).ok_or_else(|| format!("{:?} is not an instant", text.trim()));
            let (from, to) = (instant(from)?, instant(to)?);
            return if from < to {
                Ok(Self::Once { from, to })
            } else {
                Err(format!("{text:?} ends before it begins"))
            };
        }
        let fault = || {
            format!(
                "{text:?} is not a time; write a day and its hours, like sunday 02:00-04:00, daily 23:50-00:20 or weekdays \
                 01:00-02:00, or two instants, like 2026-12-24T18:00:00Z/2026-12-27T06:00:00Z"
            )
        };
        let (days, hours) = text.trim().split_once(' ').ok_or_else(fault)?;
        let days = match days {
            "daily" => 0b111_1111,
            "weekdays" => 0b001_1111,
            "weekends" => 0b110_0000,
            name => 1 << WEEKDAYS.iter().position(|day| *day == name).ok_or_else(fault)?,
        };
        let (from, to) = hours.split_once('-').ok_or_else(fault)?;
        let (from, to) = (clock(from).ok_or_else(fault)?, clock(to).ok_or_else(fault)?);
        if from == to {
            return Err(format!("{text:?} has no length"));
        }
        Ok(Self::Weekly { days, from, to })
    }

    /// Whether an instant, `local` by the profile's clock, lies within.
    pub(super) fn contains(&self, t: Millis, local: LocalTime) -> bool {
        match *self {
            Self::Once { from, to } => (from..to).contains(&t),
            Self::Weekly { days, from, to } => {
                let on = |weekday: u8| days >> weekday & 1 == 1;
                if from < to {
                    on(local.weekday) && (from..to).contains(&local.in_day)
                } else {
                    on(local.weekday) && local.in_day >= from || on((local.weekday + 6) % 7) && local.in_day < to
                }
            }
        }
    }
}

/// `HH:MM`, up to 24:00, in milliseconds.
fn clock(text: &str) -> Option<Millis> {
    let (hours, minutes) = text.trim().split_once(':')?;
    let (hours, minutes): (u8, u8) = (hours.parse().ok()?, minutes.parse().ok()?);
    let at = Millis::from(hours) * 60 + Millis::from(minutes);
    (minutes < 60 && at <= 24 * 60).then_some(at * MINUTE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Calendar;

    fn within(exclusion: &str, zone: &str, instant: &str) -> bool {
        let t = parse_instant(instant).unwrap();
        Exclusion::parse(exclusion).unwrap().contains(t, Calendar::new(zone).unwrap().local(t))
    }

    #[test]
    fn a_window_of_the_week_follows_the_clock() {
        // 2026-01-04 was a Sunday.
        assert!(within("sunday 02:00-04:00", "UTC", "2026-01-04T02:00:00Z"));
        assert!(!within("sunday 02:00-04:00", "UTC", "2026-01-04T04:00:00Z"));
        assert!(!within("sunday 02:00-04:00", "UTC", "2026-01-05T02:30:00Z"));
        assert!(within("sunday 02:00-04:00", "America/New_York", "2026-01-04T08:30:00Z"));
        assert!(within("weekends 00:00-24:00", "UTC", "2026-01-03T23:59:59Z"));
        assert!(within("weekdays 09:00-10:00", "UTC", "2026-01-05T09:30:00Z"));
        assert!(!within("weekdays 09:00-10:00", "UTC", "2026-01-04T09:30:00Z"));
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_on_which_it_begins() {
        for (instant, inside) in [
            ("2026-01-04T23:55:00Z", true),
            ("2026-01-05T00:10:00Z", true),
            ("2026-01-05T00:20:00Z", false),
            ("2026-01-05T23:55:00Z", false),
        ] {
            assert_eq!(within("sunday 23:50-00:20", "UTC", instant), inside, "{instant}");
        }
        assert!(within("daily 23:50-00:20", "UTC", "2026-01-07T00:05:00Z"));
    }

    #[test]
    fn instants_bound_a_single_time() {
        for (instant, inside) in [
            ("2026-12-24T17:59:59Z", false),
            ("2026-12-24T18:00:00Z", true),
            ("2026-12-26T00:00:00Z", true),
            ("2026-12-27T00:00:00Z", false),
        ] {
            assert_eq!(within("2026-12-24T18:00:00Z/2026-12-27", "UTC", instant), inside, "{instant}");
        }
    }

    #[test]
    fn what_cannot_be_read_says_how_to_write_it() {
        for bad in ["", "sunday", "someday 02:00-03:00", "sunday 2-3", "sunday 02:60-03:00", "sunday 23:00-25:00"] {
            assert!(Exclusion::parse(bad).unwrap_err().contains("write a day"), "{bad}");
        }
        assert!(Exclusion::parse("2026-01-02/2026-01-01").unwrap_err().contains("ends before"));
        assert!(Exclusion::parse("yesterday/today").unwrap_err().contains("not an instant"));
        assert!(Exclusion::parse("daily 02:00-02:00").unwrap_err().contains("no length"));
    }
}
