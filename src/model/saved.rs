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

/// A number that is saved in always as many bytes.
pub(super) trait Fixed: Copy + Default {
    /// So many.
    const BYTES: usize;
    /// Appends them, the lowest first.
    fn write(self, out: &mut Vec<u8>);
    /// Reads [`Self::BYTES`] bytes.
    fn read(bytes: &[u8]) -> Option<Self>;
}

/// Implements [`Fixed`] by the primitive's own bytes.
macro_rules! fixed {
    ($($number:ty),*) => {$(
        impl Fixed for $number {
            const BYTES: usize = size_of::<Self>();
            fn write(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
            fn read(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self::from_le_bytes)
            }
        }
    )*};
}

fixed!(u8, i8, i16, u16);

/// Whole numbers, as bytes: all of their bits are in use, so that a form of varying length would be longer.
pub(super) mod words {
    use std::fmt;
    use std::marker::PhantomData;

    use serde::de::{Error, Visitor};
    use serde::{Deserializer, Serializer};

    use super::Fixed;

    pub fn serialize<S: Serializer, T: Fixed, const N: usize>(
        values: &[T; N],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::with_capacity(T::BYTES * N);
        values.iter().for_each(|v| v.write(&mut bytes));
        serializer.serialize_bytes(&bytes)
    }

    pub fn deserialize<'de, D: Deserializer<'de>, T: Fixed, const N: usize>(
        deserializer: D,
    ) -> Result<[T; N], D::Error> {
        deserializer.deserialize_bytes(Words(PhantomData))
    }

    struct Words<T, const N: usize>(PhantomData<T>);

    impl<T: Fixed, const N: usize> Visitor<'_> for Words<T, N> {
        type Value = [T; N];

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{N} numbers of {} bytes", T::BYTES)
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<[T; N], E> {
            let unfit = || E::invalid_length(bytes.len(), &self);
            if bytes.len() != T::BYTES * N {
                return Err(unfit());
            }
            let mut values = [T::default(); N];
            for (value, bytes) in values.iter_mut().zip(bytes.chunks_exact(T::BYTES)) {
                *value = T::read(bytes).ok_or_else(unfit)?;
            }
            Ok(values)
        }
    }
}
