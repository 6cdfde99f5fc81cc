//! A profile: which settings the models run with, as `models/*.yaml` writes them.
//!
//! Knows the format and what each setting may be; opens no file and knows nothing of the models' state.

use serde::{Deserialize, Serialize};

use super::calendar::Calendar;
use super::exclusion::Exclusion;
use crate::base::{Millis, parse_duration};

const DAY: Millis = 86_400_000;
/// Longest forecast: the hourly ensemble remembers eight days and says nothing useful beyond one week.
const LONGEST_HORIZON: Millis = 7 * DAY;

/// Most entries of `exclude`: each costs a comparison a point.
const EXCLUSIONS_MAX: usize = 64;

/// The profiles that the binary carries: name and text.
const BUILTIN: [(&str, &str); 7] = [
    ("batch-job", include_str!("../../models/batch-job.yaml")),
    ("default", include_str!("../../models/default.yaml")),
    ("error-ratio", include_str!("../../models/error-ratio.yaml")),
    ("latency", include_str!("../../models/latency.yaml")),
    ("saturation", include_str!("../../models/saturation.yaml")),
    ("sparse", include_str!("../../models/sparse.yaml")),
    ("traffic", include_str!("../../models/traffic.yaml")),
];

/// Settings of the models behind the predictive functions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// How rules name it.
    pub name: String,
    /// What it is for, one line.
    pub description: String,
    /// Which seasons are looked for.
    pub seasonality: Seasonality,
    /// Which side of the expectation counts as an anomaly.
    pub direction: Direction,
    /// A smaller distance from the expectation, in the series' own unit, is never an anomaly.
    pub min_dev_from_expected: f64,
    /// A smaller distance, as a share of the expectation, is never an anomaly.
    pub min_rel_dev_from_expected: f64,
    /// Values outside are always anomalies; forecasts and bands stay inside.
    pub data_range: Option<(f64, f64)>,
    /// Time constant with which the past loses its weight. The other time constants of the models scale with it.
    pub forgetting: Millis,
    /// How long a new series is scored with reserve: not at all in the first eighth, and only what is far outside of all that it
    /// has shown in the rest. Forecasts have their own gate and do not wait for it.
    pub warm_up: Millis,
    /// Longest forecast.
    pub horizon: Millis,
    /// Budget of false alarms: how many a week of one ordinary series a score above 1 may mean.
    pub false_alarms_per_week: f64,
    /// Whose days and weeks the seasons are (`tz`).
    pub calendar: Calendar,
    /// Times that are neither scored nor learnt.
    pub exclude: Vec<Exclusion>,
}

/// Seasons that the models may use. Whether a series has them is measured, see the ensemble's weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seasonality {
    /// Same hour of the day.
    pub daily: bool,
    /// Same hour of the week.
    pub weekly: bool,
}

/// Side of the expectation that counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Either side.
    #[default]
    Both,
    /// Only values above it.
    AboveExpected,
    /// Only values below it.
    BelowExpected,
}

/// Why a profile is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// Not YAML, an unknown setting, or a value of the wrong kind; the text names line and column.
    #[error("{0}")]
    Format(String),
    /// A setting whose value cannot be used.
    #[error("{setting}: {reason}")]
    Setting {
        /// The setting's name in the file.
        setting: &'static str,
        /// What is wrong and what would be right.
        reason: String,
    },
}

impl Profile {
    /// Reads a profile. Settings left out have the values of the `default` profile.
    ///
    /// ```
    /// let profile = forewarn::model::Profile::parse("name: mine\nfalse_alarms: 1/day\n").unwrap();
    /// assert_eq!(profile.false_alarms_per_week, 7.0);
    /// ```
    ///
    /// # Errors
    /// Unknown settings, values of the wrong kind or out of range.
    pub fn parse(yaml: &str) -> Result<Self, ProfileError> {
        let file: ProfileFile = serde_saphyr::from_str(yaml).map_err(|e| ProfileError::Format(e.to_string()))?;
        file.check()
    }

    /// A profile that the binary carries.
    #[must_use]
    pub fn builtin(name: &str) -> Option<Self> {
        let (_, text) = BUILTIN.iter().find(|(n, _)| *n == name)?;
        Self::parse(text).ok()
    }

    /// Names of the profiles that the binary carries, sorted.
    pub fn builtin_names() -> impl Iterator<Item = &'static str> {
        BUILTIN.iter().map(|(name, _)| *name)
    }

    /// Whether an instant is neither to be scored nor learnt.
    #[must_use]
    pub fn excludes(&self, t: Millis) -> bool {
        !self.exclude.is_empty() && {
            let local = self.calendar.local(t);
            self.exclude.iter().any(|exclusion| exclusion.contains(t, local))
        }
    }

    /// The value moved into the data range.
    #[must_use]
    pub fn clip(&self, v: f64) -> f64 {
        self.data_range.map_or(v, |(lo, hi)| v.clamp(lo, hi))
    }
}

/// The file as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProfileFile {
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    seasonality: SeasonalityField,
    #[serde(default)]
    direction: Direction,
    #[serde(default)]
    min_dev_from_expected: f64,
    #[serde(default)]
    min_rel_dev_from_expected: f64,
    data_range: Option<[f64; 2]>,
    #[serde(default = "default_forgetting")]
    forgetting: String,
    #[serde(default = "default_warm_up")]
    warm_up: String,
    #[serde(default = "default_horizon")]
    horizon: String,
    #[serde(default = "default_false_alarms")]
    false_alarms: String,
    #[serde(default = "default_tz")]
    tz: String,
    #[serde(default)]
    exclude: Vec<String>,
}

/// `auto`, `none`, or a list of seasons.
#[derive(Deserialize)]
#[serde(untagged)]
enum SeasonalityField {
    Word(String),
    List(Vec<String>),
}

impl Default for SeasonalityField {
    fn default() -> Self {
        Self::Word("auto".to_owned())
    }
}

fn default_forgetting() -> String {
    "2w".to_owned()
}

fn default_warm_up() -> String {
    "1d".to_owned()
}

fn default_horizon() -> String {
    "2d".to_owned()
}

fn default_false_alarms() -> String {
    "1/week".to_owned()
}

fn default_tz() -> String {
    "UTC".to_owned()
}

impl ProfileFile {
    fn check(self) -> Result<Profile, ProfileError> {
        if self.name.trim().is_empty() {
            return Err(refuse("name", "is empty; rules call the profile by its name"));
        }
        for (setting, v) in [
            ("min_dev_from_expected", self.min_dev_from_expected),
            ("min_rel_dev_from_expected", self.min_rel_dev_from_expected),
        ] {
            if !v.is_finite() || v < 0.0 {
                return Err(refuse(setting, format!("{v} is not a distance; write 0 or more")));
            }
        }
        if let Some([lo, hi]) = self.data_range
            && (lo.is_nan() || hi.is_nan() || lo >= hi)
        {
            return Err(refuse("data_range", format!("[{lo}, {hi}] is empty; write [lowest, highest]")));
        }
        Ok(Profile {
            seasonality: self.seasonality.check()?,
            data_range: self.data_range.map(|[lo, hi]| (lo, hi)),
            forgetting: duration("forgetting", &self.forgetting, DAY, 365 * DAY)?,
            warm_up: duration("warm_up", &self.warm_up, 0, 28 * DAY)?,
            horizon: duration("horizon", &self.horizon, 1_000, LONGEST_HORIZON)?,
            false_alarms_per_week: per_week(&self.false_alarms)?,
            calendar: calendar(&self.tz)?,
            exclude: exclusions(&self.exclude)?,
            name: self.name,
            description: self.description,
            direction: self.direction,
            min_dev_from_expected: self.min_dev_from_expected,
            min_rel_dev_from_expected: self.min_rel_dev_from_expected,
        })
    }
}

impl SeasonalityField {
    fn check(self) -> Result<Seasonality, ProfileError> {
        let words = match self {
            Self::Word(word) => match word.as_str() {
                "auto" => return Ok(Seasonality { daily: true, weekly: true }),
                "none" => return Ok(Seasonality { daily: false, weekly: false }),
                _ => vec![word],
            },
            Self::List(words) => words,
        };
        let mut seasonality = Seasonality { daily: false, weekly: false };
        for word in &words {
            match word.as_str() {
                "daily" => seasonality.daily = true,
                "weekly" => seasonality.weekly = true,
                other => {
                    let reason = format!("{other:?} is not supported; write auto, none, or a list of daily and weekly");
                    return Err(refuse("seasonality", reason));
                }
            }
        }
        if words.is_empty() {
            return Err(refuse("seasonality", "the list is empty; write none for no season"));
        }
        Ok(seasonality)
    }
}

fn refuse(setting: &'static str, reason: impl Into<String>) -> ProfileError {
    ProfileError::Setting { setting, reason: reason.into() }
}

fn duration(setting: &'static str, text: &str, least: Millis, most: Millis) -> Result<Millis, ProfileError> {
    let span = parse_duration(text).map_err(|e| refuse(setting, e.to_string()))?;
    if (least..=most).contains(&span) {
        return Ok(span);
    }
    let (least, most) = (crate::base::format_duration(least), crate::base::format_duration(most));
    Err(refuse(setting, format!("{text} is out of range; write {least} to {most}")))
}

fn calendar(tz: &str) -> Result<Calendar, ProfileError> {
    Calendar::new(tz).ok_or_else(|| {
        refuse(
            "tz",
            format!("{tz:?} is not a time zone; write an IANA name like Europe/Berlin, America/New_York or UTC"),
        )
    })
}

fn exclusions(texts: &[String]) -> Result<Vec<Exclusion>, ProfileError> {
    if texts.len() > EXCLUSIONS_MAX {
        return Err(refuse("exclude", format!("has {} entries; at most {EXCLUSIONS_MAX} are read", texts.len())));
    }
    texts.iter().map(|text| Exclusion::parse(text).map_err(|reason| refuse("exclude", reason))).collect()
}

/// `N/day`, `N/week` or `N/month` (of 30 days), N a positive number.
fn per_week(text: &str) -> Result<f64, ProfileError> {
    let fault = || refuse("false_alarms", format!("{text:?} is not a rate; write it like 1/week, 2/day or 1/month"));
    let (number, unit) = text.split_once('/').ok_or_else(fault)?;
    let weeks = match unit.trim() {
        "day" => 1.0 / 7.0,
        "week" => 1.0,
        "month" => 30.0 / 7.0,
        _ => return Err(fault()),
    };
    let number: f64 = number.trim().parse().map_err(|_| fault())?;
    if !number.is_finite() || number <= 0.0 {
        return Err(fault());
    }
    Ok(number / weeks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting_of(yaml: &str) -> &'static str {
        match Profile::parse(yaml) {
            Err(ProfileError::Setting { setting, .. }) => setting,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_builtin_parses_under_its_own_name() {
        for name in Profile::builtin_names() {
            let (_, text) = BUILTIN.iter().find(|(n, _)| *n == name).unwrap();
            let profile = Profile::parse(text).unwrap();
            assert_eq!(profile.name, name);
            assert!(!profile.description.is_empty());
        }
        assert_eq!(Profile::builtin("nonesuch"), None);
    }

    #[test]
    fn left_out_settings_are_those_of_default() {
        let bare = Profile::parse("name: default\n").unwrap();
        let shipped = Profile::builtin("default").unwrap();
        assert_eq!(Profile { description: String::new(), ..shipped }, bare);
    }

    #[test]
    fn seasons_that_are_not_implemented_are_refused() {
        assert_eq!(setting_of("name: a\nseasonality: hourly\n"), "seasonality");
        assert_eq!(setting_of("name: a\nseasonality: [daily, yearly]\n"), "seasonality");
        assert_eq!(setting_of("name: a\nseasonality: []\n"), "seasonality");
        let weekly = Profile::parse("name: a\nseasonality: [weekly]\n").unwrap().seasonality;
        assert_eq!(weekly, Seasonality { daily: false, weekly: true });
    }

    #[test]
    fn rates_are_a_week() {
        let rate =
            |text: &str| Profile::parse(&format!("name: a\nfalse_alarms: {text}\n")).map(|p| p.false_alarms_per_week);
        assert_eq!(rate("2/day"), Ok(14.0));
        assert_eq!(rate("0.5/week"), Ok(0.5));
        assert!((rate("1/month").unwrap() - 7.0 / 30.0).abs() < 1e-12);
        for bad in ["1", "0/week", "-1/day", "1/year", "nan/week", "x/day"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_and_says_where() {
        assert_eq!(setting_of("name: ''\n"), "name");
        assert_eq!(setting_of("name: a\nmin_dev_from_expected: -1\n"), "min_dev_from_expected");
        assert_eq!(setting_of("name: a\nmin_rel_dev_from_expected: .nan\n"), "min_rel_dev_from_expected");
        assert_eq!(setting_of("name: a\ndata_range: [1, 1]\n"), "data_range");
        assert_eq!(setting_of("name: a\nforgetting: 1h\n"), "forgetting");
        assert_eq!(setting_of("name: a\nwarm_up: soon\n"), "warm_up");
        assert_eq!(setting_of("name: a\nhorizon: 4w\n"), "horizon");
        assert_eq!(setting_of("name: a\ntz: Europe/Atlantis\n"), "tz");
        assert_eq!(setting_of("name: a\nexclude: [now]\n"), "exclude");
        let many = "daily 02:00-03:00, ".repeat(65);
        assert_eq!(setting_of(&format!("name: a\nexclude: [{many}]\n")), "exclude");
        assert!(
            matches!(Profile::parse("name: a\ntime_zone: UTC\n"), Err(ProfileError::Format(e)) if e.contains("time_zone"))
        );
        assert!(matches!(Profile::parse("name: [\n"), Err(ProfileError::Format(_))));
    }
}
