//! Where a receiver that acknowledges hands over what it has got: a place in the engine's queue first, then the log, then
//! the engine, then the acknowledgement.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::{Form, SourceLog, batch_bytes};
use crate::base::{Batch, Millis};
use crate::source::{Inlet, SourceEvent};
use crate::state::log::Refused;

/// Why nothing is taken now, though nothing is wrong with what was sent: its sender is to come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ComeAgain {
    /// There is no place in the queue.
    #[error("the engine is busy: try again")]
    Busy,
    /// The process is going down.
    #[error("shutting down")]
    Closed,
    /// The log takes nothing.
    #[error("{0}: try again")]
    Log(#[from] Refused),
    /// What seems to lie in the future may not.
    #[error("this host's clock was set back, and what was sent lies in its future: try again when it is right")]
    ClockBehind,
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
    /// Lets samples of the future be dropped, unless the clock was set back: then they must be asked for again.
    ///
    /// # Errors
    /// There are some, `future`, by a clock that is behind.
    pub fn check_clock(&self, future: u64, now: Millis) -> Result<(), ComeAgain> {
        match &self.log {
            Some(log) if future > 0 && log.is_ahead_of(now) => Err(ComeAgain::ClockBehind),
            _ => Ok(()),
        }
    }

    /// Waits for a place in the queue. To be asked for before a body is decoded: what cannot be queued is not worth it.
    ///
    /// # Errors
    /// None within `patience`, or never.
    pub async fn room(&self, patience: Duration) -> Result<Room, ComeAgain> {
        let reserved = tokio::time::timeout(patience, self.inlet.queue.clone().reserve_owned()).await;
        let permit = reserved.map_err(|_| ComeAgain::Busy)?.map_err(|_| ComeAgain::Closed)?;
        Ok(Room { intake: self.clone(), permit })
    }
}

impl Room {
    /// Takes a batch. When this returns it is the engine's, and durable if state is kept: it may be acknowledged. `raw` is
    /// what it was decoded from, where the log can keep that as it is.
    ///
    /// # Errors
    /// The log refuses: nothing has been taken, and the sender must be told to come again.
    pub async fn take(self, batch: Batch, raw: Option<(Form, &[u8])>) -> Result<(), ComeAgain> {
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
        Ok(outcome.await.unwrap_or(Err(Refused::Failed))?)
    }
}
