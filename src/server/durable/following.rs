//! Who follows checkpoints: sources that may let go of what they have read, and the outbox that may forget.

use std::sync::Arc;

use tokio::sync::watch;

use crate::sink::outbox::Outbox;
use crate::source::Positions;
use crate::source::durable::DurablePoint;

/// Who tells the sources what need not be read again: checkpoints where state is kept, else the engine, which then gets the
/// sender back.
pub(in crate::server) fn follow(
    checkpoints: Option<watch::Receiver<DurablePoint>>,
    sources: watch::Sender<Arc<Positions>>,
) -> Option<watch::Sender<Arc<Positions>>> {
    let Some(mut durable) = checkpoints else { return Some(sources) };
    tokio::spawn(async move {
        while durable.changed().await.is_ok() {
            let positions = durable.borrow_and_update().positions.clone();
            let positions = positions.into_iter().map(|(stream, next)| (stream.into(), next));
            sources.send_replace(Arc::new(positions.collect()));
        }
    });
    None
}

/// Identities of transitions are needed for as long as a restart could bring their ticks again.
pub(in crate::server) async fn forget_what_will_not_come_again(
    mut durable: watch::Receiver<DurablePoint>,
    outbox: Arc<Outbox>,
) {
    while durable.changed().await.is_ok() {
        let watermark = durable.borrow_and_update().watermark;
        watermark.into_iter().for_each(|watermark| outbox.forget_upto(watermark));
    }
}
