//! The predictive functions forewarn adds to PromQL: names, signatures and how the grammar's parser learns of them.
//!
//! What they compute is the engine's and the models' part.

use std::sync::OnceLock;

use promql_parser::parser::value::ValueType;
use promql_parser::parser::{Function, register_extra_functions};

/// A predictive function as its user calls it.
#[derive(Debug)]
pub(super) struct Extension {
    /// Name.
    pub(super) name: &'static str,
    /// Signature, as the documentation writes it.
    pub(super) signature: &'static str,
    /// Types of the arguments; of the last there may be none or, with [`Self::variadic`] -1, any number.
    types: &'static [ValueType],
    /// Fewest and most arguments.
    pub(super) arity: (usize, usize),
    /// Index of the argument φ, which must be a number in [0, 1].
    pub(super) quantile: Option<usize>,
    /// Index of the argument that names a profile, which must be a string.
    pub(super) profile: Option<usize>,
    /// As in the parser: how many of the last argument may be left out or, if -1, that there may be any number.
    variadic: i32,
}

/// The functions.
pub(super) const EXTENSIONS: [Extension; 6] = [
    Extension {
        name: "predict_seasonal",
        signature: "predict_seasonal(v instant-vector, t scalar [, profile string])",
        types: &[ValueType::Vector, ValueType::Scalar, ValueType::String],
        arity: (2, 3),
        quantile: None,
        profile: Some(2),
        variadic: 1,
    },
    Extension {
        name: "predict_quantile",
        signature: "predict_quantile(φ scalar, v instant-vector, t scalar [, profile string])",
        types: &[ValueType::Scalar, ValueType::Vector, ValueType::Scalar, ValueType::String],
        arity: (3, 4),
        quantile: Some(0),
        profile: Some(3),
        variadic: 1,
    },
    Extension {
        name: "predict_anomaly",
        signature: "predict_anomaly(v instant-vector [, profile string])",
        types: &[ValueType::Vector, ValueType::String],
        arity: (1, 2),
        quantile: None,
        profile: Some(1),
        variadic: 1,
    },
    Extension {
        name: TIME_UNTIL,
        signature: "time_until(v instant-vector, threshold scalar [, φ scalar [, profile string]])",
        types: &[ValueType::Vector, ValueType::Scalar, ValueType::Scalar, ValueType::String],
        arity: (2, 4),
        quantile: Some(2),
        profile: Some(3),
        variadic: 1,
    },
    Extension {
        name: "changed_at",
        signature: "changed_at(v instant-vector [, profile string])",
        types: &[ValueType::Vector, ValueType::String],
        arity: (1, 2),
        quantile: None,
        profile: Some(1),
        variadic: 1,
    },
    Extension {
        name: OUTLIER_SCORE,
        signature: "outlier_score(v instant-vector, label string [, label string ...])",
        // The parser wants one less than there are types where there may be any number.
        types: &[ValueType::Vector, ValueType::String, ValueType::String],
        arity: (2, usize::MAX),
        quantile: None,
        profile: None,
        variadic: -1,
    },
];

/// The one that looks at several series at once and keeps no model.
pub(super) const OUTLIER_SCORE: &str = "outlier_score";

/// The one function with two optional arguments. The parser knows one optional argument of a type of its own, so a call
/// without φ is completed with [`DEFAULT_QUANTILE`] before it is parsed: its tree always has φ.
pub(super) const TIME_UNTIL: &str = "time_until";

/// φ of `time_until` where none is given: the median.
pub(super) const DEFAULT_QUANTILE: &str = "0.5";

/// The extension of this name.
pub(super) fn extension(name: &str) -> Option<&'static Extension> {
    EXTENSIONS.iter().find(|extension| extension.name == name)
}

/// Tells the parser of the extensions, once for the process.
pub(super) fn register() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        let functions = EXTENSIONS
            .iter()
            .map(|e| Function::new(e.name, e.types.to_vec(), e.variadic, ValueType::Vector, false))
            .collect();
        // It fails for names that are built in, which ours are not: the tests parse each of them.
        let _ = register_extra_functions(functions);
    });
}
