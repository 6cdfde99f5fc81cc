//! Parts of sources that come and go, and what sources are told of how far the engine is.

use std::sync::Arc;

use tokio::sync::watch;

use super::super::recorded::RecordedLanes;
use super::{Host, KnownSource};
use crate::source::clock::EventTime;
use crate::source::{Part, Positions, SourceId, clock};

impl Host {
    /// Where recorded samples go, if the engine collects them.
    #[must_use]
    pub(in crate::server) fn recorded_to(mut self, lanes: Arc<RecordedLanes>) -> Self {
        self.recorded_lanes = Some(lanes);
        self
    }

    /// Tells the sources how far the engine has taken in what they sent, every second and at the end, where nothing is kept
    /// that would say better what need not be read again.
    #[must_use]
    pub fn followed_by(mut self, sources: watch::Sender<Arc<Positions>>) -> Self {
        self.followed = Some(sources);
        self
    }

    /// Tells sources how far event time has come.
    #[must_use]
    pub fn tells(mut self, event_time: EventTime) -> Self {
        self.event_time = event_time;
        self
    }

    /// A part goes by the name of its source, whose metrics and line on the status page it shares.
    pub(super) fn open(&mut self, part: Part) {
        self.marks.register(part.id, part.pace, clock::now());
        let known = |id: SourceId| self.sources.iter().find(|s| s.id == id);
        let (None, Some(source)) = (known(part.id), known(part.of)) else { return };
        let part = KnownSource {
            id: part.id,
            of: part.of,
            pace: part.pace,
            silence_max: source.silence_max,
            metrics: source.metrics.clone(),
        };
        self.sources.push(part);
    }

    pub(super) fn tell_positions(&self) {
        if let Some(followed) = &self.followed {
            followed.send_if_modified(|told| {
                let news = **told != self.positions;
                if news {
                    *told = Arc::new(self.positions.clone());
                }
                news
            });
        }
    }
}
