//! A reader of the protobuf wire format over borrowed bytes. Knows fields and wire types, no messages.
//!
//! Format: <https://protobuf.dev/programming-guides/encoding/>. Groups (wire types 3 and 4) are long deprecated and
//! refused.

/// Bytes that are not a protobuf message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The message ends inside a field.
    #[error("the message ends inside a field")]
    Truncated,
    /// A variable-length integer longer than ten bytes.
    #[error("a varint is longer than ten bytes")]
    Varint,
    /// Field number zero or too large.
    #[error("a field number is out of range")]
    Field,
    /// A wire type that does not exist or is not supported.
    #[error("wire type {0} is unknown or deprecated")]
    WireType(u8),
    /// A field that came with another wire type than its message says.
    #[error("field {0} has the wrong wire type")]
    Mismatch(u32),
}

/// The payload of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// An integer, a bool or an enum.
    Varint(u64),
    /// Eight bytes: fixed64 or a double.
    Fixed64(u64),
    /// Bytes, a string or a message.
    Bytes(&'a [u8]),
    /// Four bytes: fixed32 or a float.
    Fixed32(u32),
}

impl<'a> Value<'a> {
    /// The bytes of a length-delimited field.
    ///
    /// # Errors
    /// Another wire type.
    #[inline]
    pub fn bytes(self, field: u32) -> Result<&'a [u8], WireError> {
        if let Self::Bytes(bytes) = self { Ok(bytes) } else { Err(WireError::Mismatch(field)) }
    }

    /// The value of a `double`.
    ///
    /// # Errors
    /// Another wire type.
    #[inline]
    pub fn double(self, field: u32) -> Result<f64, WireError> {
        if let Self::Fixed64(bits) = self { Ok(f64::from_bits(bits)) } else { Err(WireError::Mismatch(field)) }
    }

    /// The value of an `int64`.
    ///
    /// # Errors
    /// Another wire type.
    #[inline]
    pub fn int64(self, field: u32) -> Result<i64, WireError> {
        if let Self::Varint(v) = self { Ok(v as i64) } else { Err(WireError::Mismatch(field)) }
    }
}

/// Reads the fields of one message in order.
///
/// ```
/// use forewarn::source::decode::protobuf::{Reader, Value};
/// let mut reader = Reader::new(&[0x08, 0x96, 0x01]);
/// assert_eq!(reader.field().unwrap(), Some((1, Value::Varint(150))));
/// assert_eq!(reader.field().unwrap(), None);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads a message.
    #[must_use]
    pub fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The next field's number and payload; `None` at the end of the message.
    ///
    /// # Errors
    /// Bytes that are not a field.
    // Always inlined: handed over in memory, the nested result stalls every reader (a third of the time of a decode).
    #[inline(always)]
    pub fn field(&mut self) -> Result<Option<(u32, Value<'a>)>, WireError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let field = u32::try_from(tag >> 3).ok().filter(|f| (1..1 << 29).contains(f)).ok_or(WireError::Field)?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let len = usize::try_from(self.varint()?).map_err(|_| WireError::Truncated)?;
                let (head, rest) = self.rest.split_at_checked(len).ok_or(WireError::Truncated)?;
                self.rest = rest;
                Value::Bytes(head)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
            other => return Err(WireError::WireType(other as u8)),
        };
        Ok(Some((field, value)))
    }

    /// The next of packed integers; `None` at their end.
    ///
    /// # Errors
    /// Bytes that are no integer.
    #[inline]
    pub fn next_varint(&mut self) -> Result<Option<u64>, WireError> {
        if self.rest.is_empty() { Ok(None) } else { self.varint().map(Some) }
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, WireError> {
        match self.rest {
            [byte, rest @ ..] if *byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0;
        for (i, byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * i);
            if *byte < 0x80 {
                self.rest = &self.rest[i + 1..];
                return Ok(value);
            }
        }
        Err(if self.rest.len() < 10 { WireError::Truncated } else { WireError::Varint })
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Result<usize, WireError> {
        let (mut reader, mut fields) = (Reader::new(bytes), 0);
        while reader.field()?.is_some() {
            fields += 1;
        }
        Ok(fields)
    }

    #[test]
    fn every_fault_has_its_name() {
        assert_eq!(all(&[0x08]), Err(WireError::Truncated));
        assert_eq!(all(&[0x12, 5, 1]), Err(WireError::Truncated));
        assert_eq!(all(&[0x09, 1, 2, 3]), Err(WireError::Truncated));
        assert_eq!(all(&[0x0b]), Err(WireError::WireType(3)));
        assert_eq!(all(&[0x00]), Err(WireError::Field));
        assert_eq!(all(&[0xff; 11]), Err(WireError::Varint));
        assert_eq!(all(&[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]), Err(WireError::Truncated));
    }

    #[test]
    fn the_largest_varint_and_all_wire_types_read() {
        let minus_one = [0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        let (field, value) = Reader::new(&minus_one).field().unwrap().unwrap();
        assert_eq!(value.int64(field), Ok(-1));
        assert_eq!(value.bytes(field), Err(WireError::Mismatch(1)));
        assert_eq!(all(&[0x0d, 1, 2, 3, 4, 0x12, 0, 0x19, 0, 0, 0, 0, 0, 0, 0, 0, 0x20, 7]), Ok(4));
    }
}
