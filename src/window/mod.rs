//! Windows over the samples of a series, kept up incrementally.
//!
//! A series' raw samples lie once in a compressed [`Ring`]. Each (function family, range) over it is a [`Window`]: a
//! tail cursor into the ring and an accumulator, so that a sample costs O(1) amortised and a tick O(1), however long
//! the range. Knows nothing of labels, expressions or shards.

mod counter;
mod double;
mod extreme;
mod recent;
mod regression;
mod ring;
mod spread;
mod sum;
#[allow(clippy::module_inception)]
mod window;

pub use counter::Counter;
pub use double::Double;
pub use extreme::{Extreme, Max, Min};
pub use recent::Recent;
pub use regression::{Line, Regression};
pub use ring::{Cursor, Ring, SavedRing};
pub use spread::Spread;
pub use sum::Sum;
pub use window::{Accumulator, Nothing, Window};
