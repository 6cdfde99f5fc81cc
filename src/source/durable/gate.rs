//! Puts the log in the way of a source that asks, without its knowing: its events go through here to the engine, in order.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::{Form, SourceLog, batch_bytes};
use crate::source::{Inlet, SourceEvent};

/// An inlet whose batches are in the log before `inlet` gets them, and the task that sees to it; it ends with its source or
/// with the engine. A batch that the log refuses, which one that hangs does after a while, goes to the engine all the same,
/// and is counted.
pub fn gate(inlet: Inlet, source: String, log: SourceLog) -> (Inlet, impl Future<Output = ()>) {
    let (queue, mut events) = mpsc::channel(1);
    let gated = Inlet { id: inlet.id, queue };
    let source: Arc<str> = source.into();
    let task = async move {
        while let Some(event) = events.recv().await {
            let Ok(permit) = inlet.queue.clone().reserve_owned().await else { return };
            let SourceEvent::Batch(id, batch) = event else {
                permit.send(event);
                continue;
            };
            let (told, outcome) = oneshot::channel();
            let payload = batch_bytes::encode(&batch);
            let (unlogged, name) = (log.unlogged.clone(), Arc::clone(&source));
            log.append(&source, Form::Batch, payload, move |outcome| {
                permit.send(match outcome {
                    Ok(number) => SourceEvent::Logged(id, batch, number + 1),
                    Err(_) => {
                        unlogged.iter().for_each(|batches| batches.with_label_values(&[&*name]).inc());
                        SourceEvent::Unlogged(id, batch)
                    }
                });
                let _ = told.send(());
            });
            // Promises that follow must not overtake it.
            let _ = outcome.await;
        }
    };
    (gated, task)
}
