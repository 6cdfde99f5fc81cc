//! What a script has loaded, and what of it the engine cannot be fed with.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::backtest::virtual_time::Track;
use crate::base::{Labels, METRIC_NAME, Millis, Sample};
use crate::promql::Selector;
use crate::rules::promql_script::{Load, LoadedSeries, Points};

/// Most samples that may be loaded at one time.
const MAX_SAMPLES: usize = 10_000_000;

/// All series loaded since the last `clear`.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    series: BTreeMap<Labels, Series>,
    samples: usize,
    /// Milliseconds between the samples loaded last.
    spacing: Option<Millis>,
}

#[derive(Debug, Default)]
struct Series {
    samples: Arc<Vec<Sample>>,
    /// Where native histograms were loaded.
    histograms: Option<u64>,
    /// Where start timestamps were.
    start_times: Option<u64>,
    /// Where labels that go with the name were.
    metadata: Option<u64>,
}

/// Labels that Prometheus drops wherever it drops the name.
const METADATA: [&str; 2] = ["__type__", "__unit__"];

impl Loaded {
    /// Adds what a `load` gives; on Err, the line that cannot be loaded, and why.
    pub(super) fn add(&mut self, load: &Load) -> Result<(), (u64, String)> {
        self.spacing = Some(load.step);
        for loaded in &load.series {
            if load.with_nhcb
                && let Some(labels) = as_native(&loaded.labels)
            {
                self.series.entry(labels).or_default().histograms = Some(loaded.line);
            }
            self.add_series(loaded, load.step).map_err(|message| (loaded.line, message))?;
        }
        Ok(())
    }

    fn add_series(&mut self, loaded: &LoadedSeries, step: Millis) -> Result<(), String> {
        let labels = &loaded.labels;
        let series = self.series.entry(labels.clone()).or_default();
        if loaded.has_start_times {
            series.start_times = Some(loaded.line);
        }
        if METADATA.iter().any(|name| labels.as_ref().get(name).is_some()) {
            series.metadata = Some(loaded.line);
        }
        let notation = match &loaded.points {
            Points::Histograms => {
                series.histograms = Some(loaded.line);
                return Ok(());
            }
            Points::Numbers(notation) => notation,
        };
        let samples = Arc::make_mut(&mut series.samples);
        for (i, v) in (0..).zip(notation.iter()) {
            let Some(v) = v else { continue };
            let sample = Sample { t: step.saturating_mul(i), v };
            match samples.last() {
                Some(last) if last.t == sample.t && last.v.to_bits() == v.to_bits() => continue,
                Some(last) if last.t >= sample.t => {
                    return Err(format!("{labels} has samples as late as these already; `clear` before it drops them"));
                }
                _ => samples.push(sample),
            }
            self.samples += 1;
            if self.samples > MAX_SAMPLES {
                return Err(format!("more than {MAX_SAMPLES} samples are loaded"));
            }
        }
        Ok(())
    }

    /// The samples of all series.
    pub(super) fn tracks(&self) -> Vec<Track> {
        let track = |(labels, series): (&Labels, &Series)| {
            let samples = Arc::clone(&series.samples);
            Track::new(labels.clone(), (0..samples.len()).map(move |i| samples[i]))
        };
        self.series.iter().filter(|(_, series)| !series.samples.is_empty()).map(track).collect()
    }

    /// Milliseconds between the samples loaded last; a minute where there are none.
    pub(super) fn spacing(&self) -> Millis {
        self.spacing.unwrap_or(60_000)
    }

    /// The line that loaded native histograms for a series that a selector matches.
    pub(super) fn histograms_of(&self, selector: &Selector) -> Option<u64> {
        self.matching(selector).find_map(|series| series.histograms)
    }

    /// The line that gave start timestamps to a series that a selector matches.
    pub(super) fn start_times_of(&self, selector: &Selector) -> Option<u64> {
        self.matching(selector).find_map(|series| series.start_times)
    }

    /// The line that gave type or unit labels to a series that a selector matches.
    pub(super) fn metadata_of(&self, selector: &Selector) -> Option<u64> {
        self.matching(selector).find_map(|series| series.metadata)
    }

    fn matching<'a>(&'a self, selector: &'a Selector) -> impl Iterator<Item = &'a Series> {
        self.series.iter().filter(|(labels, _)| selector.matches(labels.as_ref())).map(|(_, series)| series)
    }
}

/// The native histogram that a series of a classic one becomes with `load_with_nhcb`.
fn as_native(labels: &Labels) -> Option<Labels> {
    let name = labels.as_ref().get(METRIC_NAME)?;
    let base = ["_bucket", "_count", "_sum"].iter().find_map(|suffix| name.strip_suffix(suffix))?;
    let others = labels.as_ref().iter().filter(|(name, _)| ![METRIC_NAME, "le"].contains(name));
    Some(Labels::from_pairs(others.chain([(METRIC_NAME, base)])))
}
