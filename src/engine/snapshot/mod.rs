//! Snapshots: the whole state of an engine as records, and an engine that goes on from them as if nothing had been between.
//!
//! Taken between two calls of [`Engine::ingest`] or [`Engine::advance`]. Nothing is formatted or compressed: rings are bytes
//! already, and all else is copied. What can be found out again (memos, label sets in between, who is not wanted) is left out.
//! See docs/decisions/0009-snapshots.md; knows nothing of files or of where samples come from.

mod error;
mod groups;
mod in_force;
mod models;
mod outline;
mod record;
mod rows;
mod series;
mod sharding;

pub(super) use error::Fault;
pub use error::RestoreError;
pub(super) use record::{Reader, put};

use super::engine::Engine;
use super::load::LoadError;
use super::options::EngineOptions;
use crate::base::Record;
use outline::Outline;
use record::{Opened, Writer};

/// An engine that goes on where another one was.
#[derive(Debug)]
pub struct Restored {
    /// The engine, with the rules that were in force; [`Engine::load`] puts today's in force, and keeps of them what any
    /// reload keeps.
    pub engine: Engine,
    /// Rules of then that this release does not take; their state is gone.
    pub left_out: Vec<LoadError>,
}

impl Engine {
    /// All that the engine knows. The same state gives the same bytes.
    ///
    /// ```
    /// use forewarn::engine::{Engine, EngineOptions};
    ///
    /// let engine = Engine::new(EngineOptions::default());
    /// let records = engine.snapshot();
    /// let restored = Engine::restore(EngineOptions::default(), &records).unwrap();
    /// assert_eq!(restored.engine.snapshot(), records);
    /// ```
    #[must_use]
    pub fn snapshot(&self) -> Vec<Record> {
        let mut writer = Writer::default();
        in_force::save(self, &mut writer);
        outline::save(self, &mut writer);
        groups::save(self, &mut writer);
        series::save(self, &mut writer);
        models::save(self, &mut writer);
        writer.finish()
    }

    /// An engine that gives, from the same samples, what the one would have given that the snapshot was taken of, with as many
    /// shards as `options` say. Records whose name does not begin with `engine/` are passed over.
    ///
    /// # Errors
    /// A record that is missing, damaged, or of a release that is not known.
    pub fn restore(options: EngineOptions, records: &[Record]) -> Result<Restored, RestoreError> {
        let records = Opened::new(records)?;
        let mut loaded = in_force::load(&options, &records)?;
        let outline: Outline = records.read("outline", Reader::take)?;
        let mut map = outline.restore(&mut loaded.engine);
        groups::restore(&mut loaded, &records)?;
        series::restore(&mut loaded, &mut map, &records)?;
        models::restore(&mut loaded, &map, &records)?;
        let (mut engine, left_out) = (loaded.engine, loaded.left_out);
        engine.options = options;
        Ok(Restored { engine, left_out })
    }
}
