//! `load`: series and the samples they are given.

use super::read::{Lines, ScriptError};
use super::series::{self, Points};
use crate::base::{Labels, Millis, parse_duration};

/// Series to load, beside what was loaded before.
#[derive(Clone, Debug)]
pub struct Load {
    /// Line, from 1.
    pub line: u64,
    /// Milliseconds between samples; the first lies at 0.
    pub step: Millis,
    /// Whether classic histograms are loaded as native ones with custom buckets as well.
    pub with_nhcb: bool,
    /// The series; of two lines for one series only the later stands.
    pub series: Vec<LoadedSeries>,
}

/// A series of a `load`.
#[derive(Clone, Debug)]
pub struct LoadedSeries {
    /// Line, from 1.
    pub line: u64,
    /// Name and labels.
    pub labels: Labels,
    /// Its samples.
    pub points: Points,
    /// Whether start timestamps are given.
    pub has_start_times: bool,
}

/// Reads the command in `line` and its block.
pub(super) fn read(number: u64, line: &str, lines: &mut Lines<'_>) -> Result<Load, ScriptError> {
    let (word, step) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    if step.is_empty() {
        return Err(ScriptError::new(number, "load needs the time between samples, like `load 1m`"));
    }
    let step = parse_duration(step.trim()).map_err(|e| ScriptError::new(number, format!("load: {e}")))?;
    if step == 0 {
        return Err(ScriptError::new(number, "load: the time between samples must be longer than 0"));
    }
    let mut load = Load { line: number, step, with_nhcb: word == "load_with_nhcb", series: vec![] };
    let mut all_have_start_times = false;
    let mut announced: Option<(u64, Labels)> = None;
    while let Some((number, line)) = lines.next_of_block() {
        series::refuse_command(number, line)?;
        if let Some(written) = series::start_times(number, line)? {
            refuse_unfollowed(announced.take())?;
            match written {
                None => all_have_start_times = true,
                Some(labels) => announced = Some((number, labels)),
            }
            continue;
        }
        let (labels, points) = series::read(number, line)?;
        if labels.as_ref().is_empty() {
            return Err(ScriptError::new(number, "a series needs a name or a label"));
        }
        let own = match announced.take() {
            Some((at, other)) if other != labels => return Err(unfollowed(at)),
            own => own.is_some(),
        };
        load.series.retain(|known| known.labels != labels);
        let has_start_times = own || all_have_start_times;
        load.series.push(LoadedSeries { line: number, labels, points, has_start_times });
    }
    refuse_unfollowed(announced)?;
    Ok(load)
}

fn refuse_unfollowed(announced: Option<(u64, Labels)>) -> Result<(), ScriptError> {
    announced.map_or(Ok(()), |(at, _)| Err(unfollowed(at)))
}

fn unfollowed(at: u64) -> ScriptError {
    ScriptError::new(at, "start timestamps (@st) stand on the line before the samples of the same series")
}

#[cfg(test)]
mod tests {
    use crate::rules::promql_script::{Command, Script};

    fn load(text: &str) -> Result<super::Load, String> {
        match Script::parse(text).map_err(|e| e.to_string())?.commands.pop() {
            Some(Command::Load(load)) => Ok(load),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_later_line_of_a_series_stands() {
        let load = load("load 10s\n  a 1 2\n  b 3\n  a 4\n").unwrap();
        let series: Vec<_> = load.series.iter().map(|s| (s.line, s.labels.to_string())).collect();
        assert_eq!(series, [(3, "b".to_owned()), (4, "a".to_owned())]);
        assert!(!load.with_nhcb);
    }

    #[test]
    fn start_timestamps_belong_to_the_series_after_them() {
        let flags = |text: &str| load(text).map(|l| l.series.iter().map(|s| s.has_start_times).collect::<Vec<_>>());
        assert_eq!(flags("load 1m\n a{b=\"c d\"}@st -1mx3\n a{b=\"c d\"} 1x3\n b 1"), Ok(vec![true, false]));
        assert_eq!(flags("load 1m\n @st -30s\n a 1x3\n b 1"), Ok(vec![true, true]));
        let fault = Err("2: start timestamps (@st) stand on the line before the samples of the same series".to_owned());
        assert_eq!(flags("load 1m\n a@st -1m\n b 1"), fault);
        assert_eq!(flags("load 1m\n a@st -1m"), fault);
        assert_eq!(
            flags("load 1m\n a@st 5"),
            Err("2: not a start timestamp: \"5\" (write -30s, -1mx5, -1m-30sx5, _ or *, parted by blanks)".to_owned())
        );
    }
}
