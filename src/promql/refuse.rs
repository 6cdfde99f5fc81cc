//! What parts of PromQL forewarn does not take, and what it says about them.
//!
//! Why: native histograms need another sample type, and experimental parts change under their users.

use std::ops::Range;

use super::error::ExprError;
use super::functions::{Refusal, look_up};

/// Refuses a call of a function that is not taken.
pub(super) fn function(name: &str, span: Range<usize>) -> Result<(), ExprError> {
    let Err(refusal) = look_up(name) else { return Ok(()) };
    Err(match refusal {
        Refusal::NativeHistogram => {
            ExprError::refused(span, format!("{name}() works on native histograms, which are not supported"))
                .help("use the classic histogram's _bucket, _sum and _count series")
        }
        Refusal::Experimental => {
            let error = ExprError::refused(span, format!("{name}() is experimental in Prometheus and not supported"));
            match name {
                "double_exponential_smoothing" => {
                    error.help("predict_seasonal() and predict_quantile() forecast with trend and seasons")
                }
                "sort_by_label" | "sort_by_label_desc" => error.help("a rule's result has no order; leave it out"),
                _ => error,
            }
        }
        Refusal::Removed => {
            let error = ExprError::at(span, format!("{name}() was removed from Prometheus"));
            match name {
                "holt_winters" => {
                    error.help("predict_seasonal() and predict_quantile() forecast with trend and seasons")
                }
                _ => error,
            }
        }
        Refusal::Unknown(near) => {
            let error = ExprError::at(span, format!("unknown function {name}()"));
            match near {
                Some(near) => error.help(format!("did you mean {near}()?")),
                None => error.help("there are PromQL's functions and the predictive ones of docs/promql.md"),
            }
        }
    })
}

/// The aggregations `limitk` and `limit_ratio`.
pub(super) fn aggregation(name: &str, span: Range<usize>) -> ExprError {
    ExprError::refused(span, format!("{name} is experimental in Prometheus and not supported"))
        .help("topk() and bottomk() take a fixed number of series")
}

/// Arithmetic or functions in the place of a duration.
pub(super) fn duration_arithmetic(span: Range<usize>) -> ExprError {
    ExprError::refused(span, "arithmetic in a duration is experimental in Prometheus and not supported")
        .help("write the duration out, like 90m")
}

/// The modifiers `smoothed` and `anchored`.
pub(super) fn range_modifier(name: &str, span: Range<usize>) -> ExprError {
    ExprError::refused(span, format!("the {name} modifier is experimental in Prometheus and not supported"))
}

/// The modifiers `fill`, `fill_left` and `fill_right`.
pub(super) fn fill_modifier(name: &str, span: Range<usize>) -> ExprError {
    ExprError::refused(span, format!("the {name} modifier is experimental in Prometheus and not supported"))
        .help("use `or` to give missing series a value: a + (b or a * 0)")
}

/// The operators `</` and `>/`.
pub(super) fn trim_operator(span: Range<usize>) -> ExprError {
    ExprError::refused(span, "the operators </ and >/ trim native histograms, which are not supported")
}
