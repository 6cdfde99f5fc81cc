//! Where a receiver that acknowledges hands over what it has got: a place in the engine's queue first, then the log, then
//! the engine, then the acknowledgement.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::{Form, SourceLog, batch_bytes};
use crate::base::{Batch, Millis};
use crate::source::{Inlet, SourceEvent};
use crate::state::log::Refused;

/// Why there is no place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoom {
    /// The engine is busy; it is worth trying again.
    Busy,
    /// The process is going down.
    Closed,
}

/// The way in of one receiver.
#[derive(Clone, Debug)]
pub struct Intake {
    /// Where samples go.
    pub inlet: Inlet,
    /// The source's name in the log.
    pub source: String,
    /// The log; None where no state is kept.
    pub log: Option<SourceLog>,
}

/// A place in the engine's queue.
#[derive(Debug)]
pub struct Room {
    intake: Intake,
    permit: mpsc::OwnedPermit<SourceEvent>,
}

impl Intake {
    /// Whether the clock was set back: what seems to lie in the future must then be asked for again rather than dropped.
    #[must_use]
    pub fn clock_is_behind(&self, now: Millis) -> bool {
        self.log.as_ref().is_some_and(|log| log.is_ahead_of(now))
    }

    /// Waits for a place in the queue. To be asked for before a body is decoded: what cannot be queued is not worth it.
    ///
    /// # Errors
    /// None within `patience`, or never.
    pub async fn room(&self, patience: Duration) -> Result<Room, NoRoom> {
        let reserved = tokio::time::timeout(patience, self.inlet.queue.clone().reserve_owned()).await;
        let permit = reserved.map_err(|_| NoRoom::Busy)?.map_err(|_| NoRoom::Closed)?;
        Ok(Room { intake: self.clone(), permit })
    }
}

impl Room {
    /// Takes a batch. When this returns it is the engine's, and durable if state is kept: it may be acknowledged. `raw` is
    /// what it was decoded from, where the log can keep that as it is.
    ///
    /// # Errors
    /// The log refuses: nothing has been taken, and the sender must be told to come again.
    pub async fn take(self, batch: Batch, raw: Option<(Form, &[u8])>) -> Result<(), Refused> {
        if batch.is_empty() {
            return Ok(());
        }
        let (permit, id) = (self.permit, self.intake.inlet.id);
        let Some(log) = &self.intake.log else {
            permit.send(SourceEvent::Batch(id, batch));
            return Ok(());
        };
        let (form, payload) = match raw {
            Some((form, bytes)) => (form, bytes.to_vec()),
            None => (Form::Batch, batch_bytes::encode(&batch)),
        };
        let (told, outcome) = oneshot::channel();
        log.append(&self.intake.source, form, payload, move |outcome| {
            if let Ok(number) = outcome {
                permit.send(SourceEvent::Logged(id, batch, number + 1));
            }
            // Whoever waited may have hung up.
            let _ = told.send(outcome.map(|_| ()));
        });
        outcome.await.unwrap_or(Err(Refused::Failed))
    }
}
