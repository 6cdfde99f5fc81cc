//! Local time: where in its day and week an instant lies, in an IANA time zone.
//!
//! The zone's changes of offset are looked up once, so that a point costs a search in a short table. Knows nothing of models.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::base::Millis;

pub(super) const DAY: Millis = 86_400_000;
/// Changes of offset after this instant are not looked up: 2100-01-01.
const LAST_CHANGE_S: i64 = 4_102_444_800;
/// 1970-01-01 was a Thursday, Monday being 0.
const EPOCH_WEEKDAY: Millis = 3;

/// A time zone with its offsets from 1970 to 2100; the first and last hold beyond.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Calendar {
    name: String,
    /// Since when which offset from UTC holds, ascending; the first since ever.
    offsets: Arc<[(Millis, Millis)]>,
}

/// An instant as the clocks of a zone show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LocalTime {
    /// Milliseconds since midnight.
    pub in_day: Millis,
    /// Monday is 0.
    pub weekday: u8,
}

/// Saved by its name: what the offsets are is the zone's business.
impl From<Calendar> for String {
    fn from(calendar: Calendar) -> Self {
        calendar.name
    }
}

impl TryFrom<String> for Calendar {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Self::new(&name).ok_or_else(|| format!("there is no time zone {name:?}"))
    }
}

impl Calendar {
    /// The zone of an IANA name; None if there is none of that name.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let zone = TimeZone::get(name).ok()?;
        let offset = |t: Timestamp| Millis::from(zone.to_offset(t).seconds()) * 1000;
        let mut offsets = vec![(Millis::MIN, offset(Timestamp::UNIX_EPOCH))];
        for change in zone.following(Timestamp::UNIX_EPOCH) {
            let t = change.timestamp();
            if t.as_second() > LAST_CHANGE_S {
                break;
            }
            if offsets.last().is_some_and(|(_, held)| *held != offset(t)) {
                offsets.push((t.as_millisecond(), offset(t)));
            }
        }
        Some(Self { name: name.to_owned(), offsets: offsets.into() })
    }

    /// Coordinated universal time.
    #[must_use]
    pub fn utc() -> Self {
        Self { name: "UTC".to_owned(), offsets: Arc::new([(Millis::MIN, 0)]) }
    }

    /// The zone's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the clocks show at `t`.
    pub(super) fn local(&self, t: Millis) -> LocalTime {
        let after = self.offsets.partition_point(|(since, _)| *since <= t).max(1);
        let local = t.saturating_add(self.offsets[after - 1].1);
        let weekday = (local.div_euclid(DAY) + EPOCH_WEEKDAY).rem_euclid(7) as u8;
        LocalTime { in_day: local.rem_euclid(DAY), weekday }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::parse_instant;

    fn at(zone: &str, instant: &str) -> (Millis, u8) {
        let local = Calendar::new(zone).unwrap().local(parse_instant(instant).unwrap());
        (local.in_day / 60_000, local.weekday)
    }

    #[test]
    fn a_day_begins_where_people_live() {
        // 2026-01-05 was a Monday. date -d '2026-01-05T03:30Z' with TZ set gives the same.
        assert_eq!(at("UTC", "2026-01-05T03:30:00Z"), (210, 0));
        assert_eq!(at("America/New_York", "2026-01-05T03:30:00Z"), (22 * 60 + 30, 6));
        assert_eq!(at("Asia/Kolkata", "2026-01-04T20:00:00Z"), (90, 0));
    }

    #[test]
    fn summer_time_moves_the_clock() {
        // In 2026 from 29 March 01:00 UTC to 25 October 01:00 UTC.
        for (instant, minute) in [
            ("2026-03-29T00:59:00Z", 119),
            ("2026-03-29T01:00:00Z", 180),
            ("2026-10-25T00:59:00Z", 179),
            ("2026-10-25T01:00:00Z", 120),
        ] {
            assert_eq!(at("Europe/Berlin", instant), (minute, 6), "{instant}");
        }
    }

    #[test]
    fn any_instant_has_a_place() {
        for zone in ["UTC", "Europe/Berlin", "Pacific/Kiritimati"] {
            let calendar = Calendar::new(zone).unwrap();
            for t in [Millis::MIN, -1, 0, Millis::MAX] {
                let local = calendar.local(t);
                assert!((0..DAY).contains(&local.in_day) && local.weekday < 7, "{zone} {t}");
            }
            assert!(calendar.offsets.len() < 300);
        }
        assert_eq!(Calendar::new("Europe/Atlantis"), None);
        assert_eq!(Calendar::new("UTC").map(|c| c.local(0)), Some(Calendar::utc().local(0)));
    }
}
