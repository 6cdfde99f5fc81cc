//! The series of a test as tracks of samples: nothing is written out in memory but what files hold.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::{Labels, Millis, Sample};
use crate::rules::unit_test::{InputSeries, Notation, Recording, SeriesValues, TestGroup};

use crate::backtest::verdict::{Check, Failure};
use crate::backtest::virtual_time::Track;

/// The files of series that tests name, by the path as written there; on Err, what is wrong with one, its place in front.
pub type Recordings = BTreeMap<String, Result<Arc<Recording>, String>>;

/// The times of a test.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// The first evaluation.
    pub start: Millis,
    /// The last evaluation.
    pub end: Millis,
    /// Between the values of a series.
    pub interval: Millis,
}

/// The series of a test, up to its last evaluation.
pub(super) fn tracks(group: &TestGroup, times: Times, recordings: &Recordings) -> Result<Vec<Track>, Box<Failure>> {
    // As in promtool, a series given twice is the one given last.
    let mut by_labels = BTreeMap::new();
    for (i, input) in group.input_series.iter().enumerate() {
        let line = Some(input.series.defined.line());
        let labels = input.labels().map_err(|e| e.to_string()).and_then(|labels| {
            if labels.as_ref().is_empty() { Err("a series needs a name or a label".to_owned()) } else { Ok(labels) }
        });
        let fault = |message| {
            Box::new(Failure::because(line, Check::Setup, format!("series {:?}: {message}", input.series.value)))
        };
        let labels = labels.map_err(fault)?;
        let track = track(&labels, input, times, recordings)?;
        by_labels.insert(labels, (i, track));
    }
    let mut tracks: Vec<(usize, Track)> = by_labels.into_values().collect();
    tracks.sort_by_key(|(i, _)| *i);
    Ok(tracks.into_iter().map(|(_, track)| track).collect())
}

fn track(labels: &Labels, input: &InputSeries, times: Times, recordings: &Recordings) -> Result<Track, Box<Failure>> {
    let Times { start, end, interval } = times;
    let fault = |line, message: String| Box::new(Failure::because(Some(line), Check::Setup, message));
    Ok(match &input.values {
        SeriesValues::Notation(values) => {
            let notation = Notation::parse(&values.value)
                .map_err(|e| fault(values.defined.line(), format!("values of {labels}: {e}")))?;
            let values = (0..).zip(notation.iter());
            let at = move |i: Millis| start.saturating_add(i.saturating_mul(interval));
            let samples = values.filter_map(move |(i, value)| Some(Sample { t: at(i), v: value? }));
            until(end, labels, samples)
        }
        SeriesValues::Generated(generator) => {
            let samples = generator.samples(labels.as_ref(), interval, end - start);
            Track::new(labels.clone(), samples.map(move |(t, v)| Sample { t: start + t, v }))
        }
        SeriesValues::File(path) => {
            let line = path.defined.line();
            let recording = match recordings.get(&path.value) {
                Some(Ok(recording)) => Arc::clone(recording),
                Some(Err(message)) => return Err(fault(line, format!("file of {labels}: {message}"))),
                None => return Err(fault(line, format!("file of {labels}: {} was not read", path.value))),
            };
            if let Some(why) = recording.outside(start, end) {
                return Err(fault(line, format!("file of {labels}: {}: {why}", path.value)));
            }
            let mut place = 0;
            let samples = std::iter::from_fn(move || {
                let sample = recording.sample(place, start, interval);
                place += 1;
                sample
            });
            until(end, labels, samples.skip_while(move |s| s.t < start))
        }
    })
}

fn until(end: Millis, labels: &Labels, samples: impl Iterator<Item = Sample> + 'static) -> Track {
    Track::new(labels.clone(), samples.take_while(move |s| s.t <= end))
}
