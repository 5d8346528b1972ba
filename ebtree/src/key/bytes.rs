//! Blocks of bytes of one length: positions count down to zero from the first bit of the first byte.

use super::{FixedWidthKey, Key};

impl<const N: usize> Key for [u8; N] {
    /// Fails to compile for more than 8,191 bytes, whose bits have no positions.
    #[inline]
    fn first_difference(&self, other: &Self) -> Option<u16> {
        opposite(Self::BITS, first_different_bit(self, other)?)
    }

    #[inline]
    fn bit(&self, position: u16) -> bool {
        let Some(index) = opposite(Self::BITS, position) else { return false };
        self.get(usize::from(index / 8)).is_some_and(|byte| byte << (index % 8) & 0x80 != 0)
    }

    #[inline]
    fn leading(&self) -> u64 {
        first_bytes(self)
    }
}

impl<const N: usize> FixedWidthKey for [u8; N] {
    #[expect(clippy::cast_possible_truncation, reason = "no more than 8,191")]
    const BITS: u32 = {
        assert!(N <= 8191, "positions number 65,528 bits at most");
        8 * N as u32
    };
}

/// Returns the first eight bytes as a number, the first byte highest; zeros stand for those that there are not.
#[inline]
pub(super) fn first_bytes(bytes: &[u8]) -> u64 {
    match bytes.first_chunk() {
        Some(first) => u64::from_be_bytes(*first),
        None => {
            (0..8).fold(0, |sum, at| sum << 8 | bytes.get(at).map_or(0, |byte| u64::from(*byte)))
        }
    }
}

/// Turns the index of a bit, counted from the first of `bits`, into its position, counted from the last; and
/// back. `None` if there is no such bit.
#[inline]
fn opposite(bits: u32, at: u16) -> Option<u16> {
    bits.checked_sub(u32::from(at) + 1)?.try_into().ok()
}

/// Returns the index of the first bit where the two differ, as far as both go, which is no further than 8,191 bytes.
///
/// Compares eight bytes at a time, read so that the first bit of the first byte is the highest.
#[inline]
pub(super) fn first_different_bit(ours: &[u8], theirs: &[u8]) -> Option<u16> {
    let both = ours.len().min(theirs.len());
    let (words, tail) = ours[..both].as_chunks();
    let (their_words, their_tail) = theirs[..both].as_chunks();
    for (at, (word, their_word)) in words.iter().zip(their_words).enumerate() {
        let different = u64::from_be_bytes(*word) ^ u64::from_be_bytes(*their_word);
        if different != 0 {
            return index(8 * at, different.leading_zeros());
        }
    }
    let at = tail.iter().zip(their_tail).position(|(byte, their_byte)| byte != their_byte)?;
    index(8 * words.len() + at, (tail[at] ^ their_tail[at]).leading_zeros())
}

#[inline]
fn index(byte: usize, bit: u32) -> Option<u16> {
    u16::try_from(8 * byte + bit as usize).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_of_every_length_is_found() {
        for length in 0..=if cfg!(miri) { 17 } else { 40 } {
            let ours = vec![0xA5; length];
            assert_eq!(first_different_bit(&ours, &ours), None);
            for bit in 0..8 * length {
                let mut theirs = ours.clone();
                theirs[bit / 8] ^= 0x80 >> (bit % 8);
                // What comes after the first difference, or after the end of the other, decides nothing.
                for later in &mut theirs[bit / 8 + 1..] {
                    *later = 0xFF;
                }
                let found = u16::try_from(bit).ok();
                assert_eq!(first_different_bit(&ours, &theirs), found);
                theirs.extend(0..9);
                assert_eq!(first_different_bit(&ours, &theirs), found);
                assert_eq!(first_different_bit(&theirs, &ours), found);
            }
        }
    }
}
