//! Rules that would foretell a breach, run in the engine over simulated series: ours as users write them, and the usual ones.
//!
//! Every alert keeps firing for two hours, so that one that comes and goes counts once, whoever's it is.

use std::sync::Arc;

use super::judge::{Figures, judge};
use super::scenes::{Kind, Scene};
use super::{BIN, LIMIT};
use crate::backtest::history::{Backtest, Period, Slice};
use crate::base::{BatchBuilder, Labels, Limits, Millis};
use crate::engine::{EngineOptions, Executor, Profiles};
use crate::model::Profile;
use crate::rules::{RuleSet, Severity, load_file};

const METRIC: &str = "simulated";
const SCENE: &str = "scene";
/// Samples of so long go to the engine at once.
const SLICE_BINS: usize = 12;
const HORIZON_SECONDS: usize = 4 * 3_600;

/// What a rule foretold.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The expression, and its `for`.
    pub rule: String,
    /// Over all scenes.
    pub all: Figures,
    /// By what happens.
    pub by_kind: Vec<(Kind, Figures)>,
}

/// Runs the rules over the scenes.
///
/// # Errors
/// What the engine says of a profile that it cannot load.
pub fn contend(
    profile: &Profile,
    scenes: &[Scene],
    shards: usize,
    executor: &dyn Executor,
) -> Result<Vec<Outcome>, String> {
    let (groups, diagnostics) = load_file("breaches", &rules(&profile.name));
    if let Some(fault) = diagnostics.iter().find(|diagnostic| diagnostic.severity == Severity::Error) {
        return Err(fault.message.clone());
    }
    let rules = RuleSet { groups: groups.into_iter().map(Arc::new).collect() };
    let profiles: Profiles = [(profile.name.clone(), Arc::new(profile.clone()))].into();
    let options = EngineOptions { shards, evaluation_interval: BIN, explain_alerts: false, ..EngineOptions::default() };
    let loaded = Backtest::new(options, &rules, &profiles, Period::default(), false);
    let mut backtest = loaded.map_err(|e| e.first().map_or_else(String::new, ToString::to_string))?;
    let bins = scenes.iter().map(|scene| scene.values.len()).max().unwrap_or(0);
    for begin in (0..bins).step_by(SLICE_BINS) {
        let mut batch = BatchBuilder::new(&Limits::default());
        for (number, scene) in scenes.iter().enumerate() {
            batch.series(Labels::from_pairs([("__name__", METRIC), (SCENE, &number.to_string())]).as_ref());
            scene.points().skip(begin).take(SLICE_BINS).for_each(|(t, v)| batch.sample(t, v));
        }
        let complete_until = (begin + SLICE_BINS) as Millis * BIN - 1;
        backtest.take(&Slice { batch: batch.finish(), complete_until }, executor);
    }
    let history = backtest.finish(executor);
    if let Some((rule, fault)) = history.faults.first_key_value() {
        return Err(format!("{rule}: {fault}"));
    }
    Ok(history.rules.iter().map(|findings| outcome(scenes, findings)).collect())
}

fn outcome(scenes: &[Scene], findings: &crate::backtest::RuleFindings) -> Outcome {
    let mut alerts = vec![vec![]; scenes.len()];
    for page in &findings.pages {
        if let Some(own) =
            page.labels.as_ref().get(SCENE).and_then(|number| alerts.get_mut(number.parse::<usize>().ok()?))
        {
            own.push((page.fired_at / BIN) as usize);
        }
    }
    let (all, by_kind) = judge(scenes.iter().zip(alerts.iter().map(Vec::as_slice)));
    Outcome { rule: findings.rule.alert.clone(), all, by_kind }
}

/// Five rules; their names are what they say.
fn rules(profile: &str) -> String {
    let until = format!("time_until({METRIC}, {LIMIT}, 0.5, {profile:?}) < {HORIZON_SECONDS}");
    let median = format!("predict_quantile(0.5, {METRIC}, {HORIZON_SECONDS}, {profile:?}) >= {LIMIT}");
    let linear = |window: &str| format!("predict_linear({METRIC}[{window}], {HORIZON_SECONDS}) >= {LIMIT}");
    let all = [
        ("time_until(v, limit) < 4h", until.clone(), "0s"),
        ("time_until(v, limit) < 4h, for 10m", until, "10m"),
        ("predict_quantile(0.5, v, 4h) >= limit, for 10m", median, "10m"),
        ("predict_linear(v[1h], 4h) >= limit, for 15m", linear("1h"), "15m"),
        ("predict_linear(v[6h], 4h) >= limit, for 15m", linear("6h"), "15m"),
    ];
    let rule = |(name, expr, hold): &(&str, String, &str)| {
        format!("      - {{alert: {name:?}, expr: {expr:?}, for: {hold}, keep_firing_for: 2h}}\n")
    };
    format!("groups:\n  - name: breaches\n    interval: 5m\n    rules:\n{}", all.iter().map(rule).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::super::{made_up, scenes_of};
    use super::*;
    use crate::engine::Inline;

    #[test]
    fn what_is_told_of_a_few_scenes_beats_straight_lines() {
        let scenes = scenes_of(&made_up(11, 1)[..1], 11);
        assert_eq!(scenes.len(), 7);
        let outcomes = contend(&Profile::builtin("default").unwrap(), &scenes, 1, &Inline).unwrap();
        let [ours, .., short_line, long_line] = &outcomes[..] else { panic!("{}", outcomes.len()) };
        assert!(ours.all.breaches >= 6 && ours.all.foretold * 2 > ours.all.breaches, "{ours:?}");
        assert!(ours.all.false_alerts * 3 < short_line.all.false_alerts, "{ours:?} {short_line:?}");
        assert!(ours.all.false_alerts < long_line.all.false_alerts, "{ours:?} {long_line:?}");
    }
}
