//! What the status page is told of the sources: written by the engine's owner, read by whoever asks.

use std::sync::{Arc, Mutex, PoisonError};

use crate::base::Millis;
use crate::source::SourceId;

use super::http::{Health, SourceStatus};

/// Sources silent for longer than this many of their idle timeouts are shown as degraded.
const SILENT_FOR: Millis = 60_000;

/// How the sources are.
#[derive(Clone, Debug, Default)]
pub struct Board(Arc<Mutex<Vec<Line>>>);

#[derive(Clone, Debug)]
struct Line {
    id: SourceId,
    name: String,
    description: String,
    newest: Option<Millis>,
    watermark: Option<Millis>,
    heard: Option<Millis>,
    ended: bool,
}

impl Board {
    /// Adds a source of which nothing has been heard.
    pub fn add(&self, id: SourceId, name: &str, description: &str) {
        self.lock().push(Line {
            id,
            name: name.to_owned(),
            description: description.to_owned(),
            newest: None,
            watermark: None,
            heard: None,
            ended: false,
        });
    }

    /// A source has sent samples, at `now` by the host's clock.
    pub fn heard(&self, id: SourceId, newest: Option<Millis>, watermark: Option<Millis>, now: Millis) {
        if let Some(line) = self.lock().iter_mut().find(|line| line.id == id) {
            (line.newest, line.watermark, line.heard) = (newest, watermark, Some(now));
        }
    }

    /// A source has come to its end.
    pub fn ended(&self, id: SourceId) {
        if let Some(line) = self.lock().iter_mut().find(|line| line.id == id) {
            line.ended = true;
        }
    }

    /// The sources as the status page shows them.
    #[must_use]
    pub fn list(&self, now: Millis) -> Vec<SourceStatus> {
        let health = |line: &Line| match line.heard {
            _ if line.ended => Health::Ended,
            None => Health::Unknown,
            Some(at) if now - at > SILENT_FOR => Health::Degraded,
            Some(_) => Health::Good,
        };
        let lines = self.lock();
        let status = |line: &Line| SourceStatus {
            name: line.name.clone(),
            kind: line.name.split('_').next().unwrap_or_default().to_owned(),
            health: health(line),
            detail: line.description.clone(),
            newest: line.newest,
            watermark: line.watermark,
        };
        lines.iter().map(status).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Line>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
