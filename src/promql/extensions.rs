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
    /// Types of the arguments.
    types: &'static [ValueType],
    /// Fewest and most arguments.
    pub(super) arity: (usize, usize),
    /// Index of the argument φ, which must be a number in [0, 1].
    pub(super) quantile: Option<usize>,
    /// Index of the argument that names a profile, which must be a string.
    pub(super) profile: usize,
}

/// The functions.
pub(super) const EXTENSIONS: [Extension; 4] = [
    Extension {
        name: "predict_seasonal",
        signature: "predict_seasonal(v instant-vector, t scalar [, profile string])",
        types: &[ValueType::Vector, ValueType::Scalar, ValueType::String],
        arity: (2, 3),
        quantile: None,
        profile: 2,
    },
    Extension {
        name: "predict_quantile",
        signature: "predict_quantile(φ scalar, v instant-vector, t scalar [, profile string])",
        types: &[ValueType::Scalar, ValueType::Vector, ValueType::Scalar, ValueType::String],
        arity: (3, 4),
        quantile: Some(0),
        profile: 3,
    },
    Extension {
        name: "predict_anomaly",
        signature: "predict_anomaly(v instant-vector [, profile string])",
        types: &[ValueType::Vector, ValueType::String],
        arity: (1, 2),
        quantile: None,
        profile: 1,
    },
    Extension {
        name: TIME_UNTIL,
        signature: "time_until(v instant-vector, threshold scalar [, φ scalar [, profile string]])",
        types: &[ValueType::Vector, ValueType::Scalar, ValueType::Scalar, ValueType::String],
        arity: (2, 4),
        quantile: Some(2),
        profile: 3,
    },
];

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
        let functions =
            EXTENSIONS.iter().map(|e| Function::new(e.name, e.types.to_vec(), 1, ValueType::Vector, false)).collect();
        // It fails for names that are built in, which ours are not: the tests parse each of them.
        let _ = register_extra_functions(functions);
    });
}
