//! The table of strings of a remote write 2.0 request, and the numbers by which series and exemplars name them. Knows neither.

use super::super::protobuf::{Reader, Value};
use super::super::remote_write::DecodeError;
use super::request::SYMBOLS;

/// The table. A symbol takes sixteen bytes here, which two in the message can ask for; four do where symbols differ, as the
/// specification demands, but for the empty one and 128 of one character.
pub(super) fn symbols(message: &[u8]) -> Result<Vec<&[u8]>, DecodeError> {
    let symbols_max = 64 + message.len() / 4;
    let (mut reader, mut symbols) = (Reader::new(message), Vec::new());
    while let Some((field, value)) = reader.field()? {
        if field == SYMBOLS {
            if symbols.len() >= symbols_max {
                return Err(DecodeError::Symbols("it has more symbols than can differ in so many bytes"));
            }
            symbols.push(value.bytes(field)?);
        }
    }
    match symbols.first() {
        None | Some([]) => Ok(symbols),
        Some(_) => Err(DecodeError::Symbols("the first symbol is not empty")),
    }
}

/// Numbers of symbols, two for each label; packed, or one a field.
#[derive(Default)]
pub(super) struct Refs<'a> {
    name: Option<&'a [u8]>,
}

impl<'a> Refs<'a> {
    pub(super) fn read(
        &mut self,
        field: u32,
        value: Value<'a>,
        symbols: &[&'a [u8]],
        mut label: impl FnMut(&'a [u8], &'a [u8]),
    ) -> Result<(), DecodeError> {
        let mut one = |number: u64| {
            let symbol = usize::try_from(number).ok().and_then(|i| symbols.get(i).copied());
            let symbol = symbol.ok_or(DecodeError::Symbols("a series names a symbol that is not there"))?;
            match self.name.take() {
                None => self.name = Some(symbol),
                Some(name) => label(name, symbol),
            }
            Ok(())
        };
        match value {
            Value::Varint(number) => one(number),
            value => {
                let mut packed = Reader::new(value.bytes(field)?);
                while let Some(number) = packed.next_varint()? {
                    one(number)?;
                }
                Ok(())
            }
        }
    }

    pub(super) fn end(&self) -> Result<(), DecodeError> {
        match self.name {
            None => Ok(()),
            Some(_) => Err(DecodeError::Symbols("a series names a label without a value")),
        }
    }
}
