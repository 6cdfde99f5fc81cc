//! One test from its first evaluation to its last.

use std::collections::BTreeMap;
use std::sync::Arc;

use regex::Regex;

use crate::alert::AlertState;
use crate::backtest::verdict::{At, Check, Failure};
use crate::backtest::virtual_time::VirtualTime;
use crate::base::{Labels, Millis, format_duration};
use crate::engine::{Engine, EngineOptions, GroupView, Inline, Output, Profiles, QuerySpec, QueryValue};
use crate::rules::RuleSet;
use crate::rules::unit_test::{AlertTest, ExpectedAlert, TestFile, TestGroup};

use super::expressions::{Asked, hint, learning_group, look_at, meets};
use super::report::{AlertEvent, FiringAlert, TestReport};
use super::series::{Recordings, Times, tracks};
use super::windows::Watch;

/// Most evaluations of one test.
const MAX_EVALUATIONS: Millis = 100_000_000;

/// Far beyond any test: repetitions of alerts are no change, and each has its annotations expanded.
const RESEND_DELAY: Millis = 1 << 50;

/// What tests are run with.
#[derive(Clone, Debug, Default)]
pub struct TestSetup {
    /// Profiles that rules may name.
    pub profiles: Profiles,
    /// The series that files give.
    pub recordings: Recordings,
    /// Only tests whose names match one of these; all, if there are none.
    pub only: Vec<Regex>,
    /// Whether reports have the timeline of their alerts.
    pub timeline: bool,
}

/// Runs the tests of a file over the rules that it names, in order, each when its report is asked for.
pub fn run_tests<'a>(
    file: &'a TestFile,
    rules: &RuleSet,
    setup: &'a TestSetup,
) -> impl Iterator<Item = TestReport> + use<'a> {
    let rules = in_order(file, rules);
    let chosen = |group: &TestGroup| {
        let name = group.name.as_deref().unwrap_or_default();
        setup.only.is_empty() || setup.only.iter().any(|only| only.is_match(name))
    };
    file.tests.iter().enumerate().filter(move |(_, group)| chosen(group)).map(move |(i, group)| {
        let name = group.name.clone().filter(|name| !name.is_empty());
        let mut run = Run { file, group, setup, report: TestReport::default() };
        // What has gone wrong is in the report.
        let _ = run.run(&rules);
        let mut report = run.report;
        report.name = name.unwrap_or_else(|| format!("unnamed#{i}"));
        report.checks = group.alert_rule_test.len() + group.promql_expr_test.len() + group.alert_window_test.len();
        report.failures.sort_by_key(|failure| failure.line);
        report
    })
}

/// One test being run.
struct Run<'a> {
    file: &'a TestFile,
    group: &'a TestGroup,
    setup: &'a TestSetup,
    report: TestReport,
}

/// Something is wrong that leaves nothing to go on with; it is in the report.
struct GivenUp;

impl<'a> Run<'a> {
    fn run(&mut self, rules: &RuleSet) -> Result<(), GivenUp> {
        let times = self.times()?;
        // First, so that what is wrong with them is told even if a series does not read.
        let asked = self.expressions();
        let tracks = tracks(self.group, times, &self.setup.recordings).or_else(|failure| self.give_up(*failure))?;
        let mut alerts: Vec<&AlertTest> = self.group.alert_rule_test.iter().collect();
        alerts.sort_by_key(|test| test.eval_time);
        let mut watches: Vec<Watch<'a>> = self.group.alert_window_test.iter().map(Watch::new).collect();

        let mut time = VirtualTime::new(self.engine(rules, &asked)?, times.start, tracks);
        let (mut asked, mut alerts) = (asked.into_iter().enumerate().peekable(), alerts.into_iter().peekable());
        let interval = self.file.evaluation_interval;
        for elapsed in (0..=times.end - times.start).step_by(interval as usize) {
            self.go(&mut time, elapsed, rules, &mut watches)?;
            watches.iter_mut().for_each(|watch| watch.tick(elapsed));
            let until = elapsed.saturating_add(interval);
            if alerts.peek().is_some_and(|test| test.eval_time < until) {
                let groups = time.engine().groups();
                while let Some(test) = alerts.next_if(|test| test.eval_time < until) {
                    self.compare_alerts(test, &groups, rules);
                }
            }
            while let Some((index, asked)) = asked.next_if(|(_, asked)| asked.known_at < until) {
                self.go(&mut time, asked.known_at, rules, &mut watches)?;
                self.compare_values(&asked, index, time.engine());
            }
        }
        for (index, asked) in asked {
            // The test is over; the engine goes on until it knows that nothing more comes. What its rules do is not looked at.
            time.run_until(times.start.saturating_add(asked.known_at), &mut Output::default());
            self.compare_values(&asked, index, time.engine());
        }
        self.report.samples = time.fed();
        self.report.failures.extend(watches.iter().filter_map(|watch| watch.failure(times.start)));
        if time.lost() > 0 {
            let message = format!("{} samples were lost: more series than limits.series", time.lost());
            self.report.failures.push(Failure::because(None, Check::Setup, message));
        }
        Ok(())
    }

    /// Goes on to an instant; a rule that fails ends the test.
    fn go(
        &mut self,
        time: &mut VirtualTime,
        elapsed: Millis,
        rules: &RuleSet,
        watches: &mut [Watch<'_>],
    ) -> Result<(), GivenUp> {
        let mut out = Output::default();
        let start = self.group.start_timestamp;
        time.run_until(start + elapsed, &mut out);
        for transition in out.transitions {
            watches.iter_mut().for_each(|watch| watch.observe(&transition, elapsed));
            if self.setup.timeline {
                self.report.timeline.push(AlertEvent { elapsed, transition });
            }
        }
        if out.failures == 0 {
            return Ok(());
        }
        let groups = time.engine().groups();
        let mut has_failed = false;
        for rule in groups.iter().take(rules.groups.len()).flat_map(|group| &group.rules) {
            if let Some(error) = &rule.last_error {
                let check = Check::Rule(rule.name.clone(), self.at(elapsed));
                self.report.failures.push(Failure::because(None, check, error));
                has_failed = true;
            }
        }
        if has_failed { Err(GivenUp) } else { Ok(()) }
    }

    /// The start, and the last evaluation before or at the last instant looked at.
    fn times(&mut self) -> Result<Times, GivenUp> {
        let group = self.group;
        let alerts = group.alert_rule_test.iter().map(|test| test.eval_time);
        let exprs = group.promql_expr_test.iter().map(|test| test.eval_time);
        let windows = group.alert_window_test.iter().map(|test| test.to);
        let last = alerts.chain(exprs).chain(windows).max().unwrap_or(0);
        let step = self.file.evaluation_interval;
        if last / step > MAX_EVALUATIONS {
            let message = format!(
                "more than {MAX_EVALUATIONS} evaluations up to {}, the last time looked at: raise evaluation_interval",
                format_duration(last)
            );
            return self.give_up(Failure::because(None, Check::Setup, message));
        }
        let start = group.start_timestamp;
        Ok(Times { start, end: start + last / step * step, interval: group.interval.unwrap_or(step) })
    }

    fn give_up<T>(&mut self, failure: Failure) -> Result<T, GivenUp> {
        self.report.failures.push(failure);
        Err(GivenUp)
    }

    fn at(&self, elapsed: Millis) -> At {
        At { elapsed, start: self.group.start_timestamp }
    }

    /// The expressions that can be evaluated, in the order in which all is known that they look at.
    fn expressions(&mut self) -> Vec<Asked<'a>> {
        let mut asked = Vec::new();
        for test in &self.group.promql_expr_test {
            let interval = self.file.evaluation_interval;
            let expr = Asked::new(test, self.group.start_timestamp, interval).and_then(|expr| {
                if expr.known_at / interval <= MAX_EVALUATIONS {
                    return Ok(expr);
                }
                let known_at = format_duration(expr.known_at);
                Err(format!("more than {MAX_EVALUATIONS} evaluations up to {known_at}, the latest time it looks at"))
            });
            match expr {
                Ok(expr) => asked.push(expr),
                Err(message) => {
                    let check = Check::Expr(test.expr.value.clone(), self.at(test.eval_time));
                    let failure = Failure::because(Some(test.expr.defined.line()), check, message);
                    self.report.failures.push(failure);
                }
            }
        }
        asked.sort_by_key(|asked| asked.known_at);
        asked
    }

    fn engine(&mut self, rules: &RuleSet, asked: &[Asked<'_>]) -> Result<Engine, GivenUp> {
        let mut engine = Engine::new(EngineOptions {
            evaluation_interval: self.file.evaluation_interval,
            epoch: self.group.start_timestamp,
            external_labels: Labels::from_pairs(self.group.external_labels.clone()),
            external_url: self.group.external_url.clone(),
            resend_delay: RESEND_DELAY,
            ..EngineOptions::default()
        });
        let mut rules = rules.clone();
        let learning = asked.iter().filter(|asked| !asked.models.is_empty());
        let learning: Vec<String> = learning.map(|asked| asked.test.expr.value.clone()).collect();
        if !learning.is_empty() {
            rules.groups.push(learning_group(learning));
        }
        let queries: Vec<QuerySpec> = asked.iter().map(Asked::query).collect();
        let Err(faults) = engine.load_with_queries(&rules, &queries, &self.setup.profiles, &mut Output::default())
        else {
            return Ok(engine);
        };
        self.report.failures.extend(faults.iter().map(|fault| match fault.group.is_empty() {
            true => Failure::because(None, Check::Setup, format!("expr: {}: {}", fault.rule, fault.message)),
            false => Failure::because(None, Check::Setup, fault.to_string()),
        }));
        Err(GivenUp)
    }

    fn compare_alerts(&mut self, test: &AlertTest, groups: &[GroupView], rules: &RuleSet) {
        let name = &test.alertname.value;
        let mut expected: Vec<FiringAlert> = test.exp_alerts.iter().map(|alert| expected_alert(name, alert)).collect();
        expected.sort();
        let got = firing(name, groups);
        if expected != got {
            let check = Check::Alert(name.clone(), self.at(test.eval_time));
            let mut failure = Failure::of_alerts(test.alertname.defined.line(), check, &expected, &got);
            if got.len() < expected.len() {
                failure.hint = self.silence(name, test.eval_time, groups, rules);
            }
            self.report.failures.push(failure);
        }
    }

    /// Why alerts of a name may not fire.
    fn silence(&self, name: &str, elapsed: Millis, groups: &[GroupView], rules: &RuleSet) -> Option<String> {
        let mut named = groups.iter().flat_map(|group| &group.rules).filter(|rule| rule.name == name);
        let Some(alert) = named.find_map(|rule| rule.alert.as_ref()) else {
            return Some(format!("no rule in rule_files has the alert {name}"));
        };
        if let Some(pending) = alert.active.iter().find(|alert| alert.state == AlertState::Pending) {
            let since = format_duration(pending.active_at - self.group.start_timestamp);
            return Some(format!("{} is pending since {since}, for {}", pending.labels, format_duration(alert.hold)));
        }
        let exprs = rules.groups.iter().flat_map(|group| &group.rules).filter(|rule| rule.name == name);
        let models: Vec<_> = exprs
            .filter_map(|rule| look_at(&rule.expr, self.file.evaluation_interval, None).ok())
            .flat_map(|l| l.models)
            .collect();
        hint(&models, elapsed, &self.setup.profiles, true)
    }

    fn compare_values(&mut self, asked: &Asked<'_>, index: usize, engine: &mut Engine) {
        let (test, fuzzy) = (asked.test, self.file.fuzzy_compare);
        let line = test.expr.defined.line();
        let check = Check::Expr(test.expr.value.clone(), self.at(test.eval_time));
        let got = engine.query(index, &Inline).map(|got| {
            let mut elements = got.map(QueryValue::into_elements).unwrap_or_default();
            elements.sort_by(|a, b| a.0.cmp(&b.0));
            elements
        });
        match got {
            Err(error) => self.report.failures.push(Failure::because(Some(line), check, error.to_string())),
            Ok(got) if asked.is_met_by(&got, fuzzy) => {}
            Ok(got) => {
                let mut failure = Failure::of_values(line, check, &asked.expected, &got, |e, g| meets(e, g, fuzzy));
                let is_less = got.len() < asked.expected.len();
                failure.hint = hint(&asked.models, test.eval_time, &self.setup.profiles, is_less);
                self.report.failures.push(failure);
            }
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
