//! Protobuf's wire format (<https://protobuf.dev/programming-guides/encoding/>): numbered fields, one after another.

use super::DecodeError;

/// One field as it stands on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field<'b> {
    pub(super) number: u64,
    pub(super) wire: Wire<'b>,
}

/// A field's undecoded value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire<'b> {
    Varint(u64),
    Bytes(&'b [u8]),
    /// 32 or 64 bits: no Kubernetes message we know has one, so it is only skipped.
    Fixed,
}

/// Walks the fields of a message. It stops at the first error.
#[derive(Debug)]
pub(super) struct Reader<'b> {
    rest: &'b [u8],
    failed: bool,
}

impl<'b> Reader<'b> {
    pub(super) fn new(message: &'b [u8]) -> Reader<'b> {
        Reader {
            rest: message,
            failed: false,
        }
    }

    fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0_u64;
        for (index, byte) in self.rest.iter().enumerate().take(10) {
            let bits = u64::from(byte & 0x7f);
            if index == 9 && bits > 1 {
                return Err(DecodeError::Wire("a number overflows 64 bits"));
            }
            value |= bits << (7 * index);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(DecodeError::Wire("a number does not end"))
    }

    fn take(&mut self, length: u64) -> Result<&'b [u8], DecodeError> {
        let length = usize::try_from(length)
            .ok()
            .filter(|length| *length <= self.rest.len());
        let (taken, rest) = self
            .rest
            .split_at(length.ok_or(DecodeError::Wire("a field is cut short"))?);
        self.rest = rest;
        Ok(taken)
    }

    fn field(&mut self) -> Result<Field<'b>, DecodeError> {
        let key = self.varint()?;
        let number = key >> 3;
        if number == 0 {
            return Err(DecodeError::Wire("a field has number 0"));
        }
        let wire = match key & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => self.take(8).map(|_| Wire::Fixed)?,
            2 => {
                let length = self.varint()?;
                Wire::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Wire::Fixed)?,
            _ => return Err(DecodeError::Wire("a field has an unknown wire type")),
        };
        Ok(Field { number, wire })
    }
}

impl<'b> Iterator for Reader<'b> {
    type Item = Result<Field<'b>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        self.failed = field.is_err();
        Some(field)
    }
}

/// A string field's value.
pub(super) fn text(bytes: &[u8]) -> Result<String, DecodeError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| DecodeError::Wire("a string is not UTF-8"))
}
