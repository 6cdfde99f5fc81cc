//! What the status page is told of the sources: written by the engine's owner, read by whoever asks.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::base::Millis;
use crate::source::SourceId;

use super::http::{Health, SourceStatus};

/// How the sources are.
#[derive(Clone, Debug, Default)]
pub struct Board(Arc<Mutex<Vec<Line>>>);

#[derive(Clone, Debug)]
struct Line {
    /// A job's targets share a line.
    ids: Vec<SourceId>,
    silence_max: Millis,
    name: String,
    description: String,
    newest: Option<Millis>,
    watermark: Option<Millis>,
    heard: Option<Millis>,
    ended: bool,
    trouble: Option<String>,
    /// For how long event time has waited for it, if it does.
    waited: Option<Duration>,
}

impl Board {
    /// Adds sources that share a name, of which nothing has been heard; after silence for longer than `silence_max` they
    /// are shown as degraded.
    pub fn add(&self, ids: Vec<SourceId>, silence_max: Millis, name: &str, description: &str) {
        self.lock().push(Line {
            ids,
            silence_max,
            name: name.to_owned(),
            description: description.to_owned(),
            newest: None,
            watermark: None,
            heard: None,
            ended: false,
            trouble: None,
            waited: None,
        });
    }

    /// A source has sent samples, at `now` by the host's clock.
    pub fn heard(&self, id: SourceId, newest: Option<Millis>, watermark: Option<Millis>, now: Millis) {
        if let Some(line) = self.lock().iter_mut().find(|line| line.ids.contains(&id)) {
            (line.newest, line.heard) = (line.newest.max(newest), Some(now));
            line.watermark = watermark.or(line.watermark);
        }
    }

    /// A source of this name is complete up to here.
    pub fn complete(&self, name: &str, watermark: Millis) {
        if let Some(line) = self.lock().iter_mut().find(|line| line.name == name) {
            line.watermark = Some(watermark);
        }
    }

    /// What is wrong with a source, if anything is.
    pub fn trouble(&self, id: SourceId, trouble: Option<String>) {
        if let Some(line) = self.lock().iter_mut().find(|line| line.ids.contains(&id)) {
            line.trouble = trouble;
        }
    }

    /// For how long event time has waited for the sources of this name, if it does.
    pub fn waited_for(&self, name: &str, waited: Option<Duration>) {
        if let Some(line) = self.lock().iter_mut().find(|line| line.name == name) {
            line.waited = waited;
        }
    }

    /// A source has come to its end.
    pub fn ended(&self, id: SourceId) {
        if let Some(line) = self.lock().iter_mut().find(|line| line.ids.contains(&id)) {
            line.ended = true;
        }
    }

    /// The sources as the status page shows them.
    #[must_use]
    pub fn list(&self, now: Millis) -> Vec<SourceStatus> {
        let health = |line: &Line| match line.heard {
            _ if line.ended && line.trouble.is_none() => Health::Ended,
            _ if line.trouble.is_some() || line.waited.is_some() => Health::Degraded,
            None => Health::Unknown,
            Some(at) if now.saturating_sub(at) > line.silence_max => Health::Degraded,
            Some(_) => Health::Good,
        };
        let lines = self.lock();
        let status = |line: &Line| SourceStatus {
            name: line.name.clone(),
            kind: line.name.split('_').next().unwrap_or_default().to_owned(),
            health: health(line),
            detail: detail(line),
            newest: line.newest,
            watermark: line.watermark,
        };
        lines.iter().map(status).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Line>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn detail(line: &Line) -> String {
    let waits = |waited: Duration| format!("event time waits for it, for {} s so far", waited.as_secs());
    let parts = [Some(line.description.clone()), line.trouble.clone(), line.waited.map(waits)];
    parts.into_iter().flatten().collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_degraded_after_its_own_silence_and_a_job_by_all_its_targets() {
        let board = Board::default();
        let (a, b) = (SourceId(0), SourceId(1));
        board.add(vec![a, b], 1_200, "scrape_j", "2 targets");
        let health = |now| board.list(now)[0].health;
        assert_eq!(health(0), Health::Unknown);
        board.heard(a, Some(5), Some(4), 1_000);
        assert_eq!((health(2_200), health(2_201)), (Health::Good, Health::Degraded));
        board.heard(b, Some(3), Some(4), 2_000);
        assert_eq!((health(2_201), board.list(2_201)[0].newest), (Health::Good, Some(5)));
        board.heard(a, Some(6), Some(4), 9_000);
        board.trouble(a, Some("no broker answers".to_owned()));
        assert_eq!(board.list(9_000)[0].detail, "2 targets: no broker answers");
        assert_eq!(health(9_000), Health::Degraded);
        board.trouble(a, None);
        assert_eq!(health(9_000), Health::Good);
        board.waited_for("scrape_j", Some(Duration::from_secs(75)));
        assert_eq!(board.list(9_000)[0].detail, "2 targets: event time waits for it, for 75 s so far");
        assert_eq!(health(9_000), Health::Degraded);
        board.waited_for("scrape_j", None);
        assert_eq!(health(9_000), Health::Good);
        board.ended(a);
        assert_eq!(health(9_000), Health::Ended);
    }
}
