//! Which functions there are: PromQL's stable ones, and those that are refused, with the reason.
//!
//! Signatures and types are the parser's.

use super::extensions::EXTENSIONS;
use crate::base::nearest;

/// PromQL's stable functions (Prometheus 3.x `promql/parser/functions.go`, less the experimental ones).
pub(super) const STABLE: [&str; 67] = [
    "abs",
    "absent",
    "absent_over_time",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "avg_over_time",
    "ceil",
    "changes",
    "clamp",
    "clamp_max",
    "clamp_min",
    "cos",
    "cosh",
    "count_over_time",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "days_in_month",
    "deg",
    "delta",
    "deriv",
    "exp",
    "floor",
    "histogram_fraction",
    "histogram_quantile",
    "hour",
    "idelta",
    "increase",
    "irate",
    "label_join",
    "label_replace",
    "last_over_time",
    "ln",
    "log10",
    "log2",
    "max_over_time",
    "min_over_time",
    "minute",
    "month",
    "pi",
    "predict_linear",
    "present_over_time",
    "quantile_over_time",
    "rad",
    "rate",
    "resets",
    "round",
    "scalar",
    "sgn",
    "sin",
    "sinh",
    "sort",
    "sort_desc",
    "sqrt",
    "stddev_over_time",
    "stdvar_over_time",
    "sum_over_time",
    "tan",
    "tanh",
    "time",
    "timestamp",
    "vector",
    "year",
];

/// Functions of native histograms.
const NATIVE_HISTOGRAM: [&str; 5] =
    ["histogram_avg", "histogram_count", "histogram_stddev", "histogram_stdvar", "histogram_sum"];

/// Functions that are experimental in Prometheus, but say all in their names: they are taken.
const SETTLED: [&str; 6] = [
    "first_over_time",
    "mad_over_time",
    "ts_of_first_over_time",
    "ts_of_last_over_time",
    "ts_of_max_over_time",
    "ts_of_min_over_time",
];

/// Functions that Prometheus has behind `--enable-feature=promql-experimental-functions` and its like, and that are refused.
const EXPERIMENTAL: [&str; 13] = [
    "double_exponential_smoothing",
    "end",
    "histogram_quantiles",
    "info",
    "integral",
    "max_of",
    "min_of",
    "range",
    "sort_by_label",
    "sort_by_label_desc",
    "start",
    "start_timestamp",
    "step",
];

/// Why a function is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Works on native histograms only.
    NativeHistogram,
    /// Experimental in Prometheus.
    Experimental,
    /// Was removed from Prometheus.
    Removed,
    /// There is none of this name; perhaps this one is meant.
    Unknown(Option<&'static str>),
}

/// Whether a function may be called, by its exact name.
pub(super) fn look_up(name: &str) -> Result<(), Refusal> {
    if known().any(|k| k == name) {
        Ok(())
    } else if NATIVE_HISTOGRAM.contains(&name) {
        Err(Refusal::NativeHistogram)
    } else if EXPERIMENTAL.contains(&name) {
        Err(Refusal::Experimental)
    } else if matches!(name, "holt_winters" | "count_scalar" | "drop_common_labels") {
        Err(Refusal::Removed)
    } else {
        Err(Refusal::Unknown(nearest(&name.to_ascii_lowercase(), known())))
    }
}

fn known() -> impl Iterator<Item = &'static str> {
    STABLE.into_iter().chain(SETTLED).chain(EXTENSIONS.iter().map(|e| e.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_finds_its_neighbour() {
        assert_eq!(look_up("RATE"), Err(Refusal::Unknown(Some("rate"))));
        assert_eq!(look_up("rat"), Err(Refusal::Unknown(Some("rate"))));
        assert_eq!(look_up("predict_quantil"), Err(Refusal::Unknown(Some("predict_quantile"))));
        assert_eq!(look_up("entirely_different"), Err(Refusal::Unknown(None)));
    }

    #[test]
    fn every_stable_function_is_known_to_the_parser() {
        for name in STABLE.into_iter().chain(SETTLED) {
            let refused = promql_parser::parser::parse(&format!("{name}()"));
            let unknown = refused.is_err_and(|e| e.contains("unknown function"));
            assert!(!unknown, "{name}");
        }
    }
}
