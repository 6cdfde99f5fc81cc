//! Runs Prometheus' scripts of PromQL evaluations: for every `eval` an engine is fed with the samples loaded, in order of
//! time, and its expression is evaluated as they come, up to the instants that the script asks for.
//!
//! Knows the language's meaning; its text is `rules::promql_script`'s part.

mod compare;
mod diff;
mod evaluate;
mod loaded;
mod remarks;

use crate::engine::{EvalError, QueryValue, Remarks};
use crate::rules::promql_script::{Command, Eval, Expectation, Script, Wording};

use super::verdict::{Check, Failure};
use evaluate::{Evaluated, Unable};
use loaded::Loaded;

/// What scripts are run with.
#[derive(Clone, Debug)]
pub struct ScriptOptions {
    /// Shards of the engine; no verdict depends on it.
    pub shards: usize,
    /// Whether names are dropped at the end of an expression only, as in Prometheus' runner.
    pub delayed_name_removal: bool,
}

impl Default for ScriptOptions {
    fn default() -> Self {
        Self { shards: 1, delayed_name_removal: true }
    }
}

/// What came of a script.
#[derive(Clone, Debug, Default)]
pub struct ScriptReport {
    /// Its evaluations, in order.
    pub evals: Vec<EvalReport>,
    /// What could not be loaded.
    pub failures: Vec<Failure>,
}

/// What came of an `eval`.
#[derive(Clone, Debug)]
pub struct EvalReport {
    /// Line of the script, from 1.
    pub line: u64,
    /// The expression.
    pub expr: String,
    /// Whether it is as expected.
    pub verdict: Verdict,
    /// Its value at each of its instants, or why there is none; nothing where it was not evaluated.
    pub values: Vec<Result<QueryValue, EvalError>>,
    /// What was remarked at any of them.
    pub remarks: Remarks,
}

/// Whether an evaluation is as expected.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It is.
    Passed {
        /// Greatest relative difference of a value from what was expected.
        difference: f64,
    },
    /// It needs what the engine does not have; that is named.
    Refused(String),
    /// It is not.
    Failed(Box<Failure>),
}

/// Runs a script.
#[must_use]
pub fn run_script(script: &Script, options: &ScriptOptions) -> ScriptReport {
    let mut loaded = Loaded::default();
    let mut report = ScriptReport::default();
    for command in &script.commands {
        match command {
            Command::Clear => loaded = Loaded::default(),
            Command::Load(load) => {
                if let Err((line, message)) = loaded.add(load) {
                    report.failures.push(Failure::because(Some(line), Check::Setup, message));
                }
            }
            Command::Eval(eval) => report.evals.push(run_eval(eval, &loaded, options)),
        }
    }
    report
}

fn run_eval(eval: &Eval, loaded: &Loaded, options: &ScriptOptions) -> EvalReport {
    let unable = match evaluate::evaluate(eval, loaded, options) {
        Ok(Evaluated { values, remarks }) => {
            let verdict =
                match compare::compare(eval, &values).and_then(|d| remarks::compare(eval, &remarks).map(|()| d)) {
                    Ok(difference) => Verdict::Passed { difference },
                    Err(failure) => Verdict::Failed(failure),
                };
            return EvalReport { line: eval.line, expr: eval.expr.clone(), verdict, values, remarks };
        }
        Err(unable) => unable,
    };
    let fails_anyhow = eval.expectations.iter().any(|e| matches!(e, Expectation::Fail(Wording::Any)));
    let verdict = match unable {
        // Whatever Prometheus says of it, it fails there, too.
        Unable::Early(_) if fails_anyhow => Verdict::Passed { difference: 0.0 },
        Unable::Refused(reason) | Unable::Early(reason) => Verdict::Refused(reason),
        Unable::Invalid(message) => Verdict::Failed(Box::new(Failure::because(Some(eval.line), check(eval), message))),
    };
    EvalReport { line: eval.line, expr: eval.expr.clone(), verdict, values: vec![], remarks: Remarks::default() }
}

fn check(eval: &Eval) -> Check {
    Check::Eval(eval.expr.clone())
}
