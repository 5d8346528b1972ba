//! Reads fields from the body of one message, and knows where in the message it is.

use super::{DecodeError, integer};

/// What is left of a body. Fields are taken from the front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    /// Where in the message the bytes end: so a field that is taken changes one thing only.
    end: usize,
}

impl<'a> Reader<'a> {
    /// Returns a reader of `bytes`, the first of which is byte `offset` of its message.
    pub(super) const fn new(bytes: &'a [u8], offset: usize) -> Self {
        Self { bytes, end: offset + bytes.len() }
    }

    /// Returns where in the message the next field begins.
    #[inline]
    pub(super) const fn offset(&self) -> usize {
        self.end - self.bytes.len()
    }

    /// Returns the bytes that are left.
    #[inline]
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// Takes an integer.
    #[inline]
    pub(super) fn int(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        match self.bytes.split_first() {
            Some((&first, rest)) if first < integer::LONG => {
                self.bytes = rest;
                Ok(u64::from(first))
            }
            _ => self.long_int(field),
        }
    }

    fn long_int(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        let offset = self.offset();
        match integer::decode(self.bytes) {
            Ok(Some((value, used))) => {
                self.take(used, field)?;
                Ok(value)
            }
            Ok(None) => Err(DecodeError::Truncated { field, offset }),
            Err(integer::Overflow) => Err(DecodeError::Overflow { field, offset }),
        }
    }

    /// Skips this many integers, all well-formed. False where one is not, or is missing; nothing was skipped then.
    #[inline]
    pub(super) fn skip_ints(&mut self, count: u64) -> bool {
        let Some(used) = integer::skip(self.bytes, count) else { return false };
        let Some(rest) = self.bytes.get(used..) else { return false };
        self.bytes = rest;
        true
    }

    /// Takes an integer and keeps its low 32 bits, as every counter narrower than the wire does.
    #[inline]
    pub(super) fn int32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        self.int(field).map(low32)
    }

    /// Takes `count` bytes.
    #[inline]
    pub(super) fn take(
        &mut self,
        count: usize,
        field: &'static str,
    ) -> Result<&'a [u8], DecodeError> {
        let Some((taken, rest)) = self.bytes.split_at_checked(count) else {
            return Err(DecodeError::Truncated { field, offset: self.offset() });
        };
        self.bytes = rest;
        Ok(taken)
    }

    /// Takes an unsigned 32-bit number in network order.
    #[inline]
    pub(super) fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        let Some((bytes, rest)) = self.bytes.split_first_chunk() else {
            return Err(DecodeError::Truncated { field, offset: self.offset() });
        };
        self.bytes = rest;
        Ok(u32::from_be_bytes(*bytes))
    }

    /// Takes a length and that many bytes, which are returned as a reader of their own. The length is
    /// never cut: one that reaches past the end is an error whatever its size.
    pub(super) fn counted(&mut self, field: &'static str) -> Result<Self, DecodeError> {
        let announced = self.int(field)?;
        let offset = self.offset();
        let left = self.bytes.len();
        let count = usize::try_from(announced)
            .ok()
            .filter(|count| *count <= left)
            .ok_or(DecodeError::LengthPastEnd { field, announced, left, offset })?;
        Ok(Self::new(self.take(count, field)?, offset))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the low bits are what a counter keeps")]
pub(super) const fn low32(value: u64) -> u32 {
    value as u32
}
