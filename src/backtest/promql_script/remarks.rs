//! Whether an evaluation was warned of as its script expects.

use super::compare::differ;
use crate::backtest::verdict::Failure;
use crate::engine::Remarks;
use crate::rules::promql_script::{Eval, Expectation, Wording};

/// Err if a warning or info is missing that is expected, or is there that is not: where some are expected, all must be; and
/// where nothing is said, anything may be there.
pub(super) fn compare(eval: &Eval, remarks: &Remarks) -> Result<(), Box<Failure>> {
    let expected = |of: fn(&Expectation) -> Option<&Wording>| eval.expectations.iter().filter_map(of).collect();
    let warnings: Vec<&Wording> = expected(|e| if let Expectation::Warn(wording) = e { Some(wording) } else { None });
    let infos: Vec<&Wording> = expected(|e| if let Expectation::Info(wording) = e { Some(wording) } else { None });
    let no_warning = eval.expectations.iter().any(|e| matches!(e, Expectation::NoWarn));
    let no_info = eval.expectations.iter().any(|e| matches!(e, Expectation::NoInfo));
    of_kind(eval, "warnings", &warnings, no_warning, &remarks.warnings)?;
    of_kind(eval, "infos", &infos, no_info, &remarks.infos)
}

fn of_kind(eval: &Eval, kind: &str, expected: &[&Wording], none: bool, got: &[String]) -> Result<(), Box<Failure>> {
    let all_came = expected.iter().all(|wording| got.iter().any(|message| wording.fits(message)));
    let all_expected = got.iter().all(|message| expected.iter().any(|wording| wording.fits(message)));
    if (expected.is_empty() && !none) || (all_came && all_expected) {
        return Ok(());
    }
    let expected = expected.iter().map(ToString::to_string).collect();
    Err(differ(eval, &format!("{kind} other than expected"), expected, got.to_vec()))
}
