//! Runs unit tests of rules as promtool does (prometheus/prometheus `cmd/promtool/unittest.go`): all groups are evaluated
//! at the start and at every `evaluation_interval` after it, whatever their own intervals; alerts are those that fire after
//! the evaluation before or at `eval_time`; expressions are evaluated at `eval_time` itself, after the rules.
//!
//! Otherwise than there, everything happens in one pass in order of time, and NaN is equal to NaN.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::alert::AlertState;
use crate::base::{Labels, Millis, Sample};
use crate::engine::{Engine, EngineOptions, GroupView, Inline, Output, Profiles, QuerySpec, QueryValue};
use crate::promql::{Op, Plan, PlanOptions, Planner, Schedule, Span, parse, reach};
use crate::rules::unit_test::{AlertTest, ExpectedAlert, ExpectedSample, ExprTest, TestFile, TestGroup};
use crate::rules::{Position, Rule, RuleGroup, RuleKind, RuleSet};

use super::verdict::{Check, Failure, FiringAlert, TestReport};
use super::virtual_time::{Track, VirtualTime};

/// Most evaluations of one test.
const MAX_EVALUATIONS: Millis = 100_000_000;

/// Name under which expressions with models are recorded, for the models to learn at every evaluation. No rule asks for it.
const KEPT_LEARNING: &str = "forewarn:expression_under_test";

const OFF_THE_GRID: &str = "with predictive functions, eval_time must be a multiple of evaluation_interval";

/// Runs the tests of a file over the rules that it names, in order.
#[must_use]
pub fn run_tests(file: &TestFile, rules: &RuleSet, profiles: &Profiles) -> Vec<TestReport> {
    let rules = in_order(file, rules);
    let numbered = file.tests.iter().enumerate();
    numbered
        .map(|(i, group)| {
            let name = group.name.clone().filter(|name| !name.is_empty());
            let mut failures = Run::new(file, group).run(&rules, profiles).unwrap_or_else(|failures| failures);
            failures.sort_by_key(|failure| failure.line);
            TestReport {
                name: name.unwrap_or_else(|| format!("unnamed#{i}")),
                checks: group.alert_rule_test.len() + group.promql_expr_test.len(),
                failures,
            }
        })
        .collect()
}

/// One test being run.
struct Run<'a> {
    file: &'a TestFile,
    group: &'a TestGroup,
    failures: Vec<Failure>,
}

/// An expression that can be evaluated.
struct Asked<'a> {
    test: &'a ExprTest,
    /// When all is known that it looks at: at its time, or later.
    known_at: Millis,
    expected: Vec<(Labels, f64)>,
}

impl<'a> Run<'a> {
    fn new(file: &'a TestFile, group: &'a TestGroup) -> Self {
        Self { file, group, failures: vec![] }
    }

    /// What went wrong; on Err, so much that the rest was left out.
    fn run(mut self, rules: &RuleSet, profiles: &Profiles) -> Result<Vec<Failure>, Vec<Failure>> {
        let tracks = self.tracks()?;
        let (mut asked, learning) = self.expressions();
        asked.sort_by_key(|asked| asked.known_at);
        let mut alerts: Vec<&AlertTest> = self.group.alert_rule_test.iter().collect();
        alerts.sort_by_key(|test| test.eval_time);

        let engine = self.engine(rules, &asked, learning, profiles)?;
        let (start, interval) = (self.group.start_timestamp, self.file.evaluation_interval);
        let mut time = VirtualTime::new(engine, start, tracks);
        let end = self.end(&asked)?;
        let (mut asked, mut alerts) = (asked.into_iter().enumerate().peekable(), alerts.into_iter().peekable());
        let mut elapsed = 0;
        while elapsed <= end {
            self.go(&mut time, elapsed, rules)?;
            let until = elapsed.saturating_add(interval);
            if alerts.peek().is_some_and(|test| test.eval_time < until) {
                let groups = time.engine().groups();
                while let Some(test) = alerts.next_if(|test| test.eval_time < until) {
                    self.compare_alerts(test, &groups);
                }
            }
            while let Some((index, asked)) = asked.next_if(|(_, asked)| asked.known_at < until) {
                self.go(&mut time, asked.known_at, rules)?;
                self.compare_values(&asked, index, time.engine());
            }
            elapsed = until;
        }
        if time.lost() > 0 {
            let message = format!("{} samples were lost: more series than limits.series", time.lost());
            self.failures.push(Failure::because(None, Check::Setup, message));
        }
        Ok(self.failures)
    }

    /// Goes on to an instant; a rule that fails ends the test.
    fn go(&mut self, time: &mut VirtualTime, elapsed: Millis, rules: &RuleSet) -> Result<(), Vec<Failure>> {
        let mut out = Output::default();
        time.run_until(self.group.start_timestamp + elapsed, &mut out);
        if out.failures == 0 {
            return Ok(());
        }
        let groups = time.engine().groups();
        let before = self.failures.len();
        for rule in groups.iter().take(rules.groups.len()).flat_map(|group| &group.rules) {
            if let Some(error) = &rule.last_error {
                let check = Check::Rule { name: rule.name.clone(), time: elapsed };
                self.failures.push(Failure::because(None, check, error));
            }
        }
        if self.failures.len() > before { Err(std::mem::take(&mut self.failures)) } else { Ok(()) }
    }

    /// Milliseconds from the start to the last instant looked at.
    fn end(&mut self, asked: &[Asked<'_>]) -> Result<Millis, Vec<Failure>> {
        let alerts = self.group.alert_rule_test.iter().map(|test| test.eval_time);
        let end = alerts.chain(asked.iter().map(|asked| asked.known_at)).max().unwrap_or(0);
        if end / self.file.evaluation_interval > MAX_EVALUATIONS {
            return Err(self.give_up(None, format!("more than {MAX_EVALUATIONS} evaluations up to the last eval_time")));
        }
        Ok(end)
    }

    fn give_up(&mut self, line: Option<u64>, message: impl Into<String>) -> Vec<Failure> {
        self.failures.push(Failure::because(line, Check::Setup, message));
        std::mem::take(&mut self.failures)
    }

    fn tracks(&mut self) -> Result<Vec<Track>, Vec<Failure>> {
        let (start, step) = (self.group.start_timestamp, self.group.interval.unwrap_or(self.file.evaluation_interval));
        // As in promtool, a series given twice is the one given last.
        let mut by_labels = BTreeMap::new();
        for (i, input) in self.group.input_series.iter().enumerate() {
            let line = Some(input.series.defined.line());
            let labels = input.labels().map_err(|e| e.to_string()).and_then(|labels| {
                if labels.as_ref().is_empty() { Err("a series needs a name or a label".to_owned()) } else { Ok(labels) }
            });
            let labels = labels.map_err(|e| self.give_up(line, format!("series {:?}: {e}", input.series.value)))?;
            let line = Some(input.values.defined.line());
            let notation = input.notation().map_err(|e| self.give_up(line, format!("values of {labels}: {e}")))?;
            by_labels.insert(labels, (i, notation));
        }
        let mut tracks: Vec<_> = by_labels.into_iter().collect();
        tracks.sort_by_key(|(_, (i, _))| *i);
        let track = |(labels, (_, notation)): (Labels, (usize, crate::rules::unit_test::Notation))| {
            let samples = (0..)
                .zip(notation.iter())
                .filter_map(move |(i, value): (Millis, _)| Some(Sample { t: start + i * step, v: value? }));
            Track::new(labels, samples)
        };
        Ok(tracks.into_iter().map(track).collect())
    }

    /// The expressions that can be evaluated, and those among them that models learn from.
    fn expressions(&mut self) -> (Vec<Asked<'a>>, Vec<String>) {
        let (mut asked, mut learning) = (Vec::new(), Vec::new());
        for test in &self.group.promql_expr_test {
            let expr = &test.expr.value;
            let interval = self.file.evaluation_interval;
            let checked = look_at(expr, interval, self.span(test)).and_then(|(has_models, ahead)| match has_models {
                false => Ok(ahead),
                true if test.eval_time % interval == 0 => {
                    learning.push(expr.clone());
                    Ok(ahead)
                }
                true => Err(OFF_THE_GRID.to_owned()),
            });
            let expected = test.exp_samples.iter().map(expected_sample).collect::<Result<Vec<_>, _>>();
            match checked.and_then(|ahead| Ok((ahead, expected?))) {
                Ok((ahead, mut expected)) => {
                    expected.sort_by(|a, b| a.0.cmp(&b.0));
                    asked.push(Asked { test, known_at: test.eval_time.saturating_add(ahead), expected });
                }
                Err(message) => self.failures.push(Failure::because(Some(line(test)), check(test), message)),
            }
        }
        (asked, learning)
    }

    /// An expression's one instant.
    fn span(&self, test: &ExprTest) -> Span {
        let t = self.group.start_timestamp.saturating_add(test.eval_time);
        Span { first: t, last: t }
    }

    fn engine(
        &mut self,
        rules: &RuleSet,
        asked: &[Asked<'_>],
        learning: Vec<String>,
        profiles: &Profiles,
    ) -> Result<Engine, Vec<Failure>> {
        let mut engine = Engine::new(EngineOptions {
            evaluation_interval: self.file.evaluation_interval,
            epoch: self.group.start_timestamp,
            external_labels: Labels::from_pairs(self.group.external_labels.clone()),
            external_url: self.group.external_url.clone(),
            ..EngineOptions::default()
        });
        let mut rules = rules.clone();
        if !learning.is_empty() {
            rules.groups.push(Arc::new(learning_group(learning)));
        }
        let query = |asked: &Asked<'_>| QuerySpec {
            expr: asked.test.expr.value.clone(),
            query_offset: asked.known_at - asked.test.eval_time,
            span: Some(self.span(asked.test)),
        };
        let queries: Vec<QuerySpec> = asked.iter().map(query).collect();
        match engine.load_with_queries(&rules, &queries, profiles, &mut Output::default()) {
            Ok(()) => Ok(engine),
            Err(faults) => {
                let failures = faults.iter().map(|fault| match fault.group.is_empty() {
                    true => Failure::because(None, Check::Setup, format!("expr: {}: {}", fault.rule, fault.message)),
                    false => Failure::because(None, Check::Setup, fault.to_string()),
                });
                self.failures.extend(failures);
                Err(std::mem::take(&mut self.failures))
            }
        }
    }

    fn compare_alerts(&mut self, test: &AlertTest, groups: &[GroupView]) {
        let name = &test.alertname.value;
        let mut expected: Vec<FiringAlert> = test.exp_alerts.iter().map(|alert| expected_alert(name, alert)).collect();
        expected.sort();
        let got = firing(name, groups);
        if expected != got {
            let check = Check::Alert { name: name.clone(), time: test.eval_time };
            self.failures.push(Failure::of_alerts(test.alertname.defined.line(), check, &expected, &got));
        }
    }

    fn compare_values(&mut self, asked: &Asked<'_>, index: usize, engine: &mut Engine) {
        let (line, check) = (line(asked.test), check(asked.test));
        let got = match engine.query(index, &Inline) {
            Ok(got) => {
                let mut elements = got.map(QueryValue::into_elements).unwrap_or_default();
                elements.sort_by(|a, b| a.0.cmp(&b.0));
                elements
            }
            Err(error) => return self.failures.push(Failure::because(Some(line), check, error.to_string())),
        };
        let same = |(e, g): (&(Labels, f64), &(Labels, f64))| e.0 == g.0 && equal(e.1, g.1, self.file.fuzzy_compare);
        if asked.expected.len() != got.len() || !asked.expected.iter().zip(&got).all(same) {
            self.failures.push(Failure::of_values(line, check, &asked.expected, &got));
        }
    }
}

/// The groups at the test's interval, sorted by `group_eval_order`; as in promtool, those not named count as first.
fn in_order(file: &TestFile, rules: &RuleSet) -> RuleSet {
    let mut groups = rules.groups.clone();
    groups.sort_by_key(|group| file.group_eval_order.iter().position(|name| *name == group.name).unwrap_or(0));
    for group in &mut groups {
        Arc::make_mut(group).interval = Some(file.evaluation_interval);
    }
    RuleSet { groups }
}

/// Whether an expression has models in it, and how far it looks ahead.
fn look_at(expr: &str, interval: Millis, span: Span) -> Result<(bool, Millis), String> {
    let parsed = parse(expr).map_err(|e| e.to_string())?;
    let ahead = reach(&parsed, Some(span)).map_err(|e| e.to_string())?.ahead;
    let mut plan = Plan::default();
    let options = PlanOptions { lookback: EngineOptions::default().lookback, default_step: interval };
    let schedule = Schedule { interval, query_offset: ahead };
    Planner::new(&mut plan, options, schedule).over(span).add(&parsed).map_err(|e| e.to_string())?;
    Ok((plan.nodes.iter().any(|node| matches!(node.op, Op::Model { .. })), ahead))
}

fn learning_group(learning: Vec<String>) -> RuleGroup {
    let position = Position { line: 1, column: 1 };
    let rule = |expr| Rule { name: KEPT_LEARNING.to_owned(), expr, labels: vec![], kind: RuleKind::Record, position };
    RuleGroup {
        file: String::new(),
        name: KEPT_LEARNING.to_owned(),
        interval: None,
        query_offset: None,
        limit: 0,
        rules: learning.into_iter().map(rule).collect(),
    }
}

fn line(test: &ExprTest) -> u64 {
    test.expr.defined.line()
}

fn check(test: &ExprTest) -> Check {
    Check::Expr { expr: test.expr.value.clone(), time: test.eval_time }
}

fn expected_sample(sample: &ExpectedSample) -> Result<(Labels, f64), String> {
    if sample.histogram.is_some() {
        return Err("native histograms are not supported".to_owned());
    }
    let labels = sample.labels().map_err(|e| format!("labels {:?}: {e}", sample.labels))?;
    Ok((labels, sample.value))
}

fn expected_alert(name: &str, alert: &ExpectedAlert) -> FiringAlert {
    let own = alert.exp_labels.iter().map(|(n, v)| (n.as_str(), v.as_str()));
    FiringAlert {
        labels: Labels::from_pairs(own.chain([("alertname", name)])),
        annotations: alert.exp_annotations.clone().into_iter().collect(),
    }
}

/// The alerts of a name that fire, whatever groups their rules are in, sorted.
fn firing(name: &str, groups: &[GroupView]) -> Vec<FiringAlert> {
    let rules = groups.iter().flat_map(|group| &group.rules).filter(|rule| rule.name == name);
    let active = rules.filter_map(|rule| rule.alert.as_ref()).flat_map(|alert| &alert.active);
    let firing = active.filter(|alert| alert.state == AlertState::Firing);
    let mut alerts: Vec<FiringAlert> = firing
        .map(|alert| FiringAlert {
            labels: alert.labels.clone(),
            annotations: BTreeMap::from_iter(alert.annotations.iter().cloned()).into_iter().collect(),
        })
        .collect();
    alerts.sort();
    alerts
}

/// Whether values are the same; `fuzzy`, also if they are neighbours.
fn equal(a: f64, b: f64, fuzzy: bool) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (fuzzy && (a.next_up() == b || a.next_down() == b))
}
