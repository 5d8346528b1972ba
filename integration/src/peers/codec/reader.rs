//! Reads fields from the body of one message, and knows where in the message it is.

use super::{DecodeError, integer};

/// What is left of a body. Fields are taken from the front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    /// Returns a reader of `bytes`, the first of which is byte `offset` of its message.
    pub(super) const fn new(bytes: &'a [u8], offset: usize) -> Self {
        Self { bytes, offset }
    }

    /// Returns where in the message the next field begins.
    pub(super) const fn offset(&self) -> usize {
        self.offset
    }

    /// Returns the bytes that are left.
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// Takes an integer.
    pub(super) fn int(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        let offset = self.offset;
        match integer::decode(self.bytes) {
            Ok(Some((value, used))) => {
                self.take(used, field)?;
                Ok(value)
            }
            Ok(None) => Err(DecodeError::Truncated { field, offset }),
            Err(integer::Overflow) => Err(DecodeError::Overflow { field, offset }),
        }
    }

    /// Takes an integer and keeps its low 32 bits, as every counter narrower than the wire does.
    pub(super) fn int32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        self.int(field).map(low32)
    }

    /// Takes `count` bytes.
    pub(super) fn take(
        &mut self,
        count: usize,
        field: &'static str,
    ) -> Result<&'a [u8], DecodeError> {
        let offset = self.offset;
        let (taken, rest) =
            self.bytes.split_at_checked(count).ok_or(DecodeError::Truncated { field, offset })?;
        self.bytes = rest;
        self.offset += count;
        Ok(taken)
    }

    /// Takes an unsigned 32-bit number in network order.
    pub(super) fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        let offset = self.offset;
        let bytes = self.take(4, field)?;
        let bytes =
            <[u8; 4]>::try_from(bytes).map_err(|_| DecodeError::Truncated { field, offset })?;
        Ok(u32::from_be_bytes(bytes))
    }

    /// Takes a length and that many bytes, which are returned as a reader of their own. The length is
    /// never cut: one that reaches past the end is an error whatever its size.
    pub(super) fn counted(&mut self, field: &'static str) -> Result<Self, DecodeError> {
        let announced = self.int(field)?;
        let offset = self.offset;
        let left = self.bytes.len();
        let count = usize::try_from(announced)
            .ok()
            .filter(|count| *count <= left)
            .ok_or(DecodeError::LengthPastEnd { field, announced, left, offset })?;
        Ok(Self { bytes: self.take(count, field)?, offset })
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the low bits are what a counter keeps")]
pub(super) const fn low32(value: u64) -> u32 {
    value as u32
}
