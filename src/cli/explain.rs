//! `forewarn explain`: what was expected of a series, and what the judgement of it rests on; of a running forewarn, or at an
//! instant of a history.
//!
//! Knows files, HTTP and the terminal; what models say of themselves is `model`'s part.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use url::Url;

use super::history::{HistoryArgs, executor};
use crate::backtest::{Backtest, Period};
use crate::base::{METRIC_NAME, Millis, format_rfc3339};
use crate::engine::Explanation;
use crate::http_client::{HttpClient, HttpClientConfig, Purpose, describe};
use crate::promql::{parse, parse_metric};
use crate::rules::{Position, Rule, RuleGroup, RuleKind, RuleSet};

/// Explanations shown.
const MOST: usize = 100;
/// Name of the rules made of an expression.
const EXPRESSION: &str = "expression";

/// `forewarn explain`'s arguments.
#[derive(Clone, Debug, Args)]
pub(super) struct ExplainArgs {
    /// An alert, NAME{label="value"} with any of its labels, or (with --data) an expression
    what: String,
    /// Address of a running forewarn
    #[arg(long, value_name = "URL", conflicts_with_all = ["rules", "data"])]
    url: Option<Url>,
    /// The instant [default: the end of the history]
    #[arg(long, value_parser = super::history::instant)]
    at: Option<Millis>,
    #[command(flatten)]
    history: HistoryArgs,
}

/// Explains. The exit code is 1 where there is nothing to explain.
pub(super) fn run(args: &ExplainArgs, colour: bool, out: &mut dyn Write) -> io::Result<ExitCode> {
    let told = match &args.url {
        Some(url) => args.history.http_config().and_then(|config| of_server(url, &config, &args.what)),
        None => of_history(args, colour),
    };
    match told {
        Ok(texts) => {
            texts.iter().try_for_each(|text| writeln!(out, "{text}"))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(fault) => {
            eprintln!("forewarn: {}", fault.trim_end());
            Ok(ExitCode::FAILURE)
        }
    }
}

fn of_server(url: &Url, config: &HttpClientConfig, what: &str) -> Result<Vec<String>, String> {
    let mut url = url.clone();
    url.set_path(&format!("{}/api/v1/explain", url.path().trim_end_matches('/')));
    url.query_pairs_mut().append_pair("alert", what);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    let answer: Value = runtime.block_on(async {
        let client = HttpClient::new(config, Purpose::Read, Duration::from_secs(30));
        let request = client.map_err(|e| e.to_string())?.request(Method::GET, url).await.map_err(|e| e.to_string())?;
        let answer = request.send().await.map_err(describe)?;
        if answer.status() == StatusCode::UNAUTHORIZED {
            return Err("name and password are asked for: give --http.config.file, or write them into the URL, as \
                 http://NAME:PASSWORD@host"
                .to_owned());
        }
        let body = answer.bytes().await.map_err(describe)?;
        serde_json::from_slice(&body).map_err(|e| format!("not an answer of forewarn: {e}"))
    })?;
    if let Some(error) = answer["error"].as_str() {
        return Err(error.to_owned());
    }
    let explanations = answer["data"]["explanations"].as_array().cloned().unwrap_or_default();
    let text = |explanation: &Value| {
        let of = |name: &str| explanation[name].as_str().unwrap_or_default().to_owned();
        let labels = explanation["labels"].as_object().into_iter().flatten();
        let labels: Vec<String> = labels.map(|(name, value)| format!("{name}={value}")).collect();
        shown(&of("rule"), &format!("{{{}}}", labels.join(", ")), &of("profile"), &of("at"), &of("text"))
    };
    non_empty(explanations.iter().map(text).collect(), what)
}

fn of_history(args: &ExplainArgs, colour: bool) -> Result<Vec<String>, String> {
    let history = &args.history;
    let (mut rules, profiles) = history.read_rules(&history.rules, colour)?;
    let (rule, labels) = match named(&args.what, &rules) {
        Some(alert) => alert,
        None => {
            rules.groups.push(Arc::new(made_of(&args.what)?));
            (EXPRESSION.to_owned(), vec![])
        }
    };
    let end = args.at.or(history.end);
    let learn_from = history.start.or(end).map(|t| t.saturating_sub(history.warm_up));
    let period = Period { learn_from, start: history.start.or(end), end };
    let options = history.engine_options();
    let executor = executor(&options)?;
    let backtest = Backtest::new(options, &rules, &profiles, period, false).map_err(super::backtest::faults)?;
    let mut backtests = [backtest];
    history.open(&[rules], period)?.play(&mut backtests, &*executor)?;
    let [mut backtest] = backtests;
    backtest.end(&*executor);
    let found = backtest.engine().explain(&rule, &labels, MOST);
    let text = |found: &Explanation| {
        let rule = if found.rule == EXPRESSION { &found.expr } else { &found.rule };
        let (labels, at) = (found.labels.to_string(), format_rfc3339(found.at));
        shown(rule, &labels, &found.profile, &at, &found.model.to_string())
    };
    non_empty(found.iter().map(text).collect(), &args.what)
}

/// The rule's name and the labels, if the text names one of the rules.
fn named(what: &str, rules: &RuleSet) -> Option<(String, Vec<(String, String)>)> {
    let metric = parse_metric(what).ok()?;
    let name = metric.as_ref().metric_name();
    rules.groups.iter().flat_map(|group| &group.rules).find(|rule| rule.name == name)?;
    let labels = metric.as_ref().iter().filter(|(label, _)| *label != METRIC_NAME);
    Some((name.to_owned(), labels.map(|(n, v)| (n.to_owned(), v.to_owned())).collect()))
}

/// A group whose models are the expression's, or, where it has none, both kinds over it.
fn made_of(expr: &str) -> Result<RuleGroup, String> {
    parse(expr).map_err(|e| format!("{expr}: neither a rule's name nor an expression: {e}"))?;
    let has_models = crate::backtest::Plot::of(expr).is_some_and(|plot| plot.curves.len() > 2);
    let exprs = match has_models {
        true => vec![expr.to_owned()],
        false => vec![format!("predict_anomaly({expr})"), format!("predict_quantile(0.5, {expr}, 0)")],
    };
    let position = Position { line: 1, column: 1 };
    let rule = |expr| Rule { name: EXPRESSION.to_owned(), expr, labels: vec![], kind: RuleKind::Record, position };
    Ok(RuleGroup {
        file: String::new(),
        name: EXPRESSION.to_owned(),
        interval: None,
        query_offset: None,
        limit: 0,
        rules: exprs.into_iter().map(rule).collect(),
    })
}

fn shown(rule: &str, labels: &str, profile: &str, at: &str, text: &str) -> String {
    format!("{rule} {labels} at {at}, profile {profile}:\n  {}", text.replace("; ", "\n  "))
}

fn non_empty(texts: Vec<String>, what: &str) -> Result<Vec<String>, String> {
    if texts.is_empty() {
        return Err(format!("{what}: no model has learnt such a series; only predictive functions have models"));
    }
    Ok(texts)
}
