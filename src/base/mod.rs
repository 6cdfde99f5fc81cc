//! What every other part speaks of: labels, samples, batches, time and limits.
//!
//! Imports nothing of ours, does no I/O and never reads a clock.

mod batch;
mod counter_start;
pub mod encode;
mod instant;
pub mod label_bytes;
mod labels;
mod limits;
mod nearest;
mod re2;
mod record;
mod recorded;
mod sample;
mod time;
mod time_span;
mod value;

pub use batch::{Batch, BatchBuilder, LabelError, SeriesRun};
pub use counter_start::CounterStart;
pub use instant::{parse_instant, unix_instant};
pub use labels::{LabelBuilder, Labels, LabelsRef, METRIC_NAME};
pub use limits::Limits;
pub use nearest::nearest;
pub use re2::re2_pattern;
pub use record::Record;
pub use recorded::Recorded;
pub use sample::{STALE_NAN_BITS, Sample, is_stale, stale_nan};
pub use time::{
    DURATION_PATTERN, DurationError, FAR, LONGEST_SPAN, Millis, format_duration, format_rfc3339, parse_duration,
    parse_rfc3339,
};
pub use time_span::TimeSpan;
pub use value::{format_value, parse_value};
