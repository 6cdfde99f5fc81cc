//! Recorded series on their way to a receiver: a bounded queue and a task, whatever the receiver is.
//!
//! ```text
//! RecordedLane::put ─► queue (oldest dropped when full) ─► task: batch ─► RecordedReceiver ─► settle, or wait and try again
//! ```
//!
//! Samples leave in the order in which they were recorded, one batch at a time, so that a receiver sees each series in order.
//! Knows samples and when to try again; what a receiver speaks, and what its answers mean, is the receiver's business.

mod lane;
mod metrics;
mod queue;
mod waiting;
mod write_request;

pub use lane::{Batching, Delivery, LaneState, RecordedLane, RecordedReceiver};
pub use metrics::RecordedMetrics;
pub use queue::{Bound, Outcome, Queued, Refusal};
pub use waiting::waits_for;
pub(super) use write_request::{with_external, write_request};
