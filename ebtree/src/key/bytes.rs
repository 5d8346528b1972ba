//! Blocks of bytes of one length: positions count down from the first bit of the first byte.

use super::Key;

impl<const N: usize> Key for [u8; N] {
    /// Fails to compile for more than 8,191 bytes, whose bits have no positions.
    #[inline]
    fn first_difference(&self, other: &Self) -> Option<u16> {
        const { assert!(N <= 8191, "positions number 65,528 bits at most") };
        let at = self.iter().zip(other).position(|(ours, theirs)| ours != theirs)?;
        let bit = (self[at] ^ other[at]).leading_zeros();
        let index = u16::try_from(at).ok()? * 8 + u16::try_from(bit).ok()?;
        Some(u16::MAX - index)
    }

    #[inline]
    fn bit(&self, position: u16) -> bool {
        let index = u16::MAX - position;
        self.get(usize::from(index / 8)).is_some_and(|byte| byte << (index % 8) & 0x80 != 0)
    }
}
