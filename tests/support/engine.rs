//! A real engine on a thread of its own, behind the handle that the server's parts use.

use std::sync::Arc;

use forewarn::base::{BatchBuilder, Labels, Limits, Millis};
use forewarn::engine::{Engine, EngineOptions, Inline, Output, Profiles};
use forewarn::rules::{RuleSet, load_file};
use forewarn::server::{Command, EngineHandle};

/// Samples of one series: labels, and (t, value).
pub type Series<'a> = (&'a [(&'a str, &'a str)], &'a [(Millis, f64)]);

/// An engine with these rules and samples, advanced to `watermark`. Its thread ends with the last handle.
pub fn engine(file: &str, rules: &str, series: &[Series<'_>], watermark: Millis) -> EngineHandle {
    let (groups, faults) = load_file(file, rules);
    assert!(faults.is_empty(), "{faults:?}");
    let rules = RuleSet { groups: groups.into_iter().map(Arc::new).collect() };
    let mut engine = Engine::new(EngineOptions::default());
    let mut out = Output::default();
    engine.load(&rules, &Profiles::default(), &mut out).unwrap();
    for (labels, samples) in series {
        let mut batch = BatchBuilder::new(&Limits::default());
        batch.series(Labels::from_pairs(labels.iter().copied()).as_ref());
        for &(t, v) in *samples {
            batch.sample(t, v);
        }
        engine.ingest(&batch.finish());
    }
    if series.is_empty() {
        // Without samples event time begins at the first watermark, and ticks come after it.
        engine.advance(watermark - 60_000, &Inline, &mut out);
    }
    engine.advance(watermark, &Inline, &mut out);
    let (handle, mut commands) = EngineHandle::new();
    std::thread::spawn(move || {
        while let Some(command) = commands.blocking_recv() {
            match command {
                Command::Groups(reply) => _ = reply.send(engine.groups()),
                Command::Holdings(reply) => _ = reply.send(engine.holdings()),
                Command::Explain { rule, labels, most, reply } => {
                    _ = reply.send(engine.explain(&rule, &labels, most));
                }
                Command::Load { rules, profiles, reply } => {
                    _ = reply.send(engine.load(&rules, &profiles, &mut Output::default()));
                }
            }
        }
    });
    handle
}
