//! Functions of one number.

/// The functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum MathFn {
    Abs,
    Ceil,
    Floor,
    Exp,
    Ln,
    Log2,
    Log10,
    Sqrt,
    Sgn,
    Sin,
    Cos,
    Tan,
    Asin,
    Acos,
    Atan,
    Sinh,
    Cosh,
    Tanh,
    Asinh,
    Acosh,
    Atanh,
    Deg,
    Rad,
}

impl MathFn {
    /// The function of this PromQL name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "abs" => Self::Abs,
            "ceil" => Self::Ceil,
            "floor" => Self::Floor,
            "exp" => Self::Exp,
            "ln" => Self::Ln,
            "log2" => Self::Log2,
            "log10" => Self::Log10,
            "sqrt" => Self::Sqrt,
            "sgn" => Self::Sgn,
            "sin" => Self::Sin,
            "cos" => Self::Cos,
            "tan" => Self::Tan,
            "asin" => Self::Asin,
            "acos" => Self::Acos,
            "atan" => Self::Atan,
            "sinh" => Self::Sinh,
            "cosh" => Self::Cosh,
            "tanh" => Self::Tanh,
            "asinh" => Self::Asinh,
            "acosh" => Self::Acosh,
            "atanh" => Self::Atanh,
            "deg" => Self::Deg,
            "rad" => Self::Rad,
            _ => return None,
        })
    }

    /// Its value.
    #[must_use]
    pub fn apply(self, v: f64) -> f64 {
        match self {
            Self::Abs => v.abs(),
            Self::Ceil => v.ceil(),
            Self::Floor => v.floor(),
            Self::Exp => v.exp(),
            Self::Ln => v.ln(),
            Self::Log2 => v.log2(),
            Self::Log10 => v.log10(),
            Self::Sqrt => v.sqrt(),
            // Zero keeps its sign and NaN stays NaN.
            Self::Sgn if v > 0.0 => 1.0,
            Self::Sgn if v < 0.0 => -1.0,
            Self::Sgn => v,
            Self::Sin => v.sin(),
            Self::Cos => v.cos(),
            Self::Tan => v.tan(),
            Self::Asin => v.asin(),
            Self::Acos => v.acos(),
            Self::Atan => v.atan(),
            Self::Sinh => v.sinh(),
            Self::Cosh => v.cosh(),
            Self::Tanh => v.tanh(),
            Self::Asinh => v.asinh(),
            Self::Acosh => v.acosh(),
            Self::Atanh => v.atanh(),
            Self::Deg => v * 180.0 / std::f64::consts::PI,
            Self::Rad => v * std::f64::consts::PI / 180.0,
        }
    }
}

/// `clamp(v, low, high)` with Go's `math.Max(low, math.Min(high, v))`, where an infinity that decides the result stands
/// even against a NaN.
#[must_use]
pub fn clamp(v: f64, low: f64, high: f64) -> f64 {
    max(low, min(high, v))
}

fn max(a: f64, b: f64) -> f64 {
    match () {
        () if a == f64::INFINITY || b == f64::INFINITY => f64::INFINITY,
        () if a.is_nan() || b.is_nan() => f64::NAN,
        // Of two zeros the positive one.
        () if a == b => {
            if a.is_sign_negative() {
                b
            } else {
                a
            }
        }
        () => {
            if a > b {
                a
            } else {
                b
            }
        }
    }
}

fn min(a: f64, b: f64) -> f64 {
    -max(-a, -b)
}

/// `round(v, to)`: to the nearest multiple, halves up, as Prometheus computes it.
#[must_use]
pub fn round(v: f64, to: f64) -> f64 {
    let inverse = 1.0 / to;
    (v * inverse + 0.5).floor() / inverse
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clamping_is_that_of_go() {
        let (nan, inf) = (f64::NAN, f64::INFINITY);
        assert_eq!(clamp(5.0, 1.0, 3.0), 3.0);
        assert_eq!(clamp(-0.0, 0.0, inf).to_bits(), 0.0f64.to_bits());
        assert_eq!((clamp(inf, nan, inf), clamp(-inf, -inf, nan)), (inf, -inf));
        assert!(clamp(nan, -inf, inf).is_nan() && clamp(1.0, nan, inf).is_nan() && clamp(1.0, -inf, nan).is_nan());
    }

    #[test]
    fn rounding_goes_up_at_the_half() {
        assert_eq!(round(2.5, 1.0), 3.0);
        assert_eq!(round(-2.5, 1.0), -2.0);
        assert_eq!(round(0.123, 0.05), 0.1);
        assert_eq!(MathFn::Sgn.apply(-0.0).to_bits(), (-0.0f64).to_bits());
    }
}
