//! Long arrays of models' states as they are saved; serde itself goes no further than 32 elements. For `#[serde(with)]`.

/// Single-precision numbers.
pub(super) mod floats {
    use std::fmt;

    use serde::de::{Error, SeqAccess, Visitor};
    use serde::ser::SerializeTuple;
    use serde::{Deserializer, Serializer};

    pub fn serialize<S: Serializer, const N: usize>(values: &[f32; N], serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(N)?;
        values.iter().try_for_each(|v| tuple.serialize_element(v))?;
        tuple.end()
    }

    pub fn deserialize<'de, D: Deserializer<'de>, const N: usize>(deserializer: D) -> Result<[f32; N], D::Error> {
        deserializer.deserialize_tuple(N, Floats)
    }

    struct Floats<const N: usize>;

    impl<'de, const N: usize> Visitor<'de> for Floats<N> {
        type Value = [f32; N];

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{N} numbers")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<[f32; N], A::Error> {
            let mut values = [0.0; N];
            for (i, value) in values.iter_mut().enumerate() {
                *value = seq.next_element()?.ok_or_else(|| A::Error::invalid_length(i, &self))?;
            }
            Ok(values)
        }
    }
}

/// Numbers of 16 bits, as bytes: all of them are in use, so that a form of varying length would be longer.
pub(super) mod words {
    use std::fmt;

    use serde::de::{Error, Visitor};
    use serde::{Deserializer, Serializer};

    pub fn serialize<S: Serializer, const N: usize>(values: &[u16; N], serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::with_capacity(2 * N);
        values.iter().for_each(|v| bytes.extend_from_slice(&v.to_le_bytes()));
        serializer.serialize_bytes(&bytes)
    }

    pub fn deserialize<'de, D: Deserializer<'de>, const N: usize>(deserializer: D) -> Result<[u16; N], D::Error> {
        deserializer.deserialize_bytes(Words)
    }

    struct Words<const N: usize>;

    impl<const N: usize> Visitor<'_> for Words<N> {
        type Value = [u16; N];

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{N} numbers of 16 bits")
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<[u16; N], E> {
            let (pairs, rest) = bytes.as_chunks::<2>();
            if pairs.len() != N || !rest.is_empty() {
                return Err(E::invalid_length(bytes.len(), &self));
            }
            let mut values = [0; N];
            values.iter_mut().zip(pairs).for_each(|(value, pair)| *value = u16::from_le_bytes(*pair));
            Ok(values)
        }
    }
}
