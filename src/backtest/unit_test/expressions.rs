//! Expressions under test: which of them can be evaluated, what models they have, and whether a value is as expected.

use std::sync::Arc;

use crate::base::{Labels, Millis, format_duration};
use crate::engine::{EngineOptions, Profiles, QuerySpec};
use crate::promql::{ModelKind, Op, Plan, PlanOptions, Planner, Schedule, Span, parse, reach};
use crate::rules::unit_test::{ExpectedSample, ExpectedValue, ExprTest, Tolerance};
use crate::rules::{Position, Rule, RuleGroup, RuleKind};

/// Name under which expressions with models are recorded, for the models to learn at every evaluation. No rule asks for it.
const KEPT_LEARNING: &str = "forewarn:expression_under_test";

/// An expression that can be evaluated.
pub(super) struct Asked<'a> {
    pub test: &'a ExprTest,
    /// When all is known that it looks at, milliseconds since the start: at its time, or later.
    pub known_at: Millis,
    /// Its one instant.
    span: Span,
    /// Its elements, sorted by labels.
    pub expected: Vec<(Labels, ExpectedValue)>,
    pub models: Vec<(ModelKind, String)>,
}

impl<'a> Asked<'a> {
    /// Reads the expression and what is expected of it.
    pub fn new(test: &'a ExprTest, start: Millis, interval: Millis) -> Result<Self, String> {
        let t = start.saturating_add(test.eval_time);
        let span = Span { first: t, last: t };
        let Looks { models, ahead } = look_at(&test.expr.value, interval, Some(span))?;
        if !models.is_empty() && test.eval_time % interval != 0 {
            return Err(off_the_grid(test.eval_time, interval));
        }
        if !models.is_empty() && ahead > 0 {
            return Err(
                "predictive functions learn as time goes and cannot look ahead: neither negative offsets nor a \
                        later instant after @ go with them"
                    .to_owned(),
            );
        }
        let mut expected = Vec::with_capacity(test.exp_samples.len());
        for sample in &test.exp_samples {
            expected.push(expected_sample(sample, test.tolerance)?);
        }
        expected.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(Self { test, known_at: test.eval_time.saturating_add(ahead), span, expected, models })
    }

    /// The same for the engine, which is asked when all is known.
    pub fn query(&self) -> QuerySpec {
        let query_offset = self.known_at - self.test.eval_time;
        QuerySpec { expr: self.test.expr.value.clone(), query_offset, span: Some(self.span) }
    }

    /// Whether these are the elements expected.
    pub fn is_met_by(&self, got: &[(Labels, f64)], fuzzy: bool) -> bool {
        let mut pairs = self.expected.iter().zip(got);
        self.expected.len() == got.len() && pairs.all(|(e, g)| e.0 == g.0 && meets(e.1, g.1, fuzzy))
    }
}

/// Whether a value is as expected; `fuzzy`, also if it is the next one to the one expected.
pub(super) fn meets(expected: ExpectedValue, got: f64, fuzzy: bool) -> bool {
    match expected {
        ExpectedValue::Between(min, max) => (min..=max).contains(&got),
        ExpectedValue::Near(value, tolerance) => {
            value == got
                || (value.is_nan() && got.is_nan())
                || (fuzzy && (value.next_up() == got || value.next_down() == got))
                || tolerance.is_some_and(|tolerance| tolerance.allows(value, got))
        }
    }
}

/// What an expression asks for beside the present.
pub(super) struct Looks {
    /// Its models, by kind and profile.
    pub models: Vec<(ModelKind, String)>,
    /// How far it looks ahead.
    ahead: Millis,
}

/// Looks at an expression, of a rule or, with its `span`, one that is evaluated there only.
pub(super) fn look_at(expr: &str, interval: Millis, span: Option<Span>) -> Result<Looks, String> {
    let parsed = parse(expr).map_err(|e| e.to_string())?;
    let ahead = reach(&parsed, span).map_err(|e| e.to_string())?.ahead;
    let mut plan = Plan::default();
    let options = PlanOptions { lookback: EngineOptions::default().lookback, default_step: interval };
    let mut planner = Planner::new(&mut plan, options, Schedule { interval, query_offset: ahead });
    if let Some(span) = span {
        planner = planner.over(span);
    }
    planner.add(&parsed).map_err(|e| e.to_string())?;
    let models = plan.nodes.iter().filter_map(|node| match &node.op {
        Op::Model { kind, profile, .. } => Some((*kind, profile.clone())),
        _ => None,
    });
    Ok(Looks { models: models.collect(), ahead })
}

/// Why an expression or rule with these models may not have given what was expected at `elapsed`; `is_less`, because it
/// gave fewer elements.
pub(super) fn hint(
    models: &[(ModelKind, String)],
    elapsed: Millis,
    profiles: &Profiles,
    is_less: bool,
) -> Option<String> {
    let warm_up = |name: &String| profiles.get(name).map_or(0, |profile| profile.warm_up);
    let cold = models.iter().find(|(kind, name)| *kind != ModelKind::Forecaster && elapsed < warm_up(name));
    if let Some((kind, name)) = cold {
        let does = if *kind == ModelKind::Detector { "scores a series with reserve" } else { "tells of no change" };
        let (warm_up, elapsed) = (format_duration(warm_up(name)), format_duration(elapsed));
        return Some(format!(
            "profile {name:?} {does} until it has seen {warm_up} of it (warm_up), and this is after {elapsed}: \
             let the series run longer, or name a profile with a shorter warm_up"
        ));
    }
    (is_less && models.iter().any(|(kind, _)| *kind == ModelKind::Forecaster)).then(|| {
        "a forecast is absent until its model has seen enough of the series, and wherever the model's own recent error \
         is too large; time_until is absent where the forecast does not cross the threshold within the horizon"
            .to_owned()
    })
}

/// A group that records expressions.
pub(super) fn learning_group(learning: Vec<String>) -> Arc<RuleGroup> {
    let position = Position { line: 1, column: 1 };
    let rule = |expr| Rule { name: KEPT_LEARNING.to_owned(), expr, labels: vec![], kind: RuleKind::Record, position };
    Arc::new(RuleGroup {
        file: String::new(),
        name: KEPT_LEARNING.to_owned(),
        interval: None,
        query_offset: None,
        limit: 0,
        rules: learning.into_iter().map(rule).collect(),
    })
}

fn off_the_grid(eval_time: Millis, interval: Millis) -> String {
    let before = eval_time / interval * interval;
    let [interval, before, after] = [interval, before, before + interval].map(format_duration);
    format!(
        "with predictive functions, eval_time must be a multiple of evaluation_interval ({interval}), since models learn at \
         every evaluation and only there: write {before} or {after}"
    )
}

fn expected_sample(sample: &ExpectedSample, tolerance: Option<Tolerance>) -> Result<(Labels, ExpectedValue), String> {
    if sample.histogram.is_some() {
        return Err("native histograms are not supported".to_owned());
    }
    let labels = sample.labels().map_err(|e| format!("labels {:?}: {e}", sample.labels))?;
    let value = match sample.value {
        ExpectedValue::Near(value, own) => ExpectedValue::Near(value, own.or(tolerance)),
        between @ ExpectedValue::Between(..) => between,
    };
    Ok((labels, value))
}
