//! Values as protobuf's JSON mapping writes them: 64-bit integers as text or number, NaN as text, enums by number or
//! name, `null` for whatever is the default. Knows no messages.
//!
//! <https://protobuf.dev/programming-guides/json/>

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// An integer or a double, whichever `T` is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Num<T>(pub(super) T);

/// What [`Num`] can hold.
pub(super) trait Number: Sized + FromStr + Default {
    /// The number of this value, if there is one.
    fn from_f64(v: f64) -> Option<Self>;
    /// The same of an integer, which may be larger than a double holds exactly.
    fn from_i128(v: i128) -> Option<Self>;
}

macro_rules! integer {
    ($($t:ty),*) => {$(
        impl Number for $t {
            fn from_f64(v: f64) -> Option<Self> {
                (v.fract() == 0.0 && v.abs() < 9e15).then(|| Self::try_from(v as i128).ok())?
            }
            fn from_i128(v: i128) -> Option<Self> {
                Self::try_from(v).ok()
            }
        }
    )*};
}
integer!(u64, i64, u32, i32);

impl Number for f64 {
    fn from_f64(v: f64) -> Option<Self> {
        Some(v)
    }

    fn from_i128(v: i128) -> Option<Self> {
        Some(v as Self)
    }
}

impl<'de, T: Number> Deserialize<'de> for Num<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfNumber<T>(std::marker::PhantomData<T>);
        impl<T: Number> Visitor<'_> for OfNumber<T> {
            type Value = T;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, or a number as text")
            }
            fn visit_u64<E: Error>(self, v: u64) -> Result<T, E> {
                T::from_i128(v.into()).ok_or_else(|| E::custom("a number is out of range"))
            }
            fn visit_i64<E: Error>(self, v: i64) -> Result<T, E> {
                T::from_i128(v.into()).ok_or_else(|| E::custom("a number is out of range"))
            }
            fn visit_f64<E: Error>(self, v: f64) -> Result<T, E> {
                T::from_f64(v).ok_or_else(|| E::custom("a number is not an integer, or out of range"))
            }
            // `f64` reads NaN, Infinity and -Infinity as the mapping writes them.
            fn visit_str<E: Error>(self, v: &str) -> Result<T, E> {
                v.parse().map_err(|_| E::custom("text that should be a number is none, or out of range"))
            }
            fn visit_unit<E: Error>(self) -> Result<T, E> {
                Ok(T::default())
            }
        }
        deserializer.deserialize_any(OfNumber(std::marker::PhantomData)).map(Num)
    }
}

/// `null` is the default.
pub(super) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(d: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(d)?.unwrap_or_default())
}

/// An enum by its number or by a name that `by_name` knows.
pub(super) fn enumeration<'de, D: Deserializer<'de>>(
    deserializer: D,
    by_name: impl Fn(&str) -> Option<i32>,
) -> Result<i32, D::Error> {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum NameOrNumber {
        Number(i32),
        Name(String),
        Null(()),
    }
    match NameOrNumber::deserialize(deserializer)? {
        NameOrNumber::Number(number) => Ok(number),
        NameOrNumber::Name(name) => {
            by_name(&name).or_else(|| name.parse().ok()).ok_or_else(|| D::Error::custom("an enum has no such value"))
        }
        NameOrNumber::Null(()) => Ok(0),
    }
}
