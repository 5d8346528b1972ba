//! Tuples: the positions of each element stand above those of the elements after it.
//!
//! ```text
//!     A::BITS      B::BITS      C::BITS
//! +------------+------------+------------+
//! |     a      |     b      |     c      |   (a, b, c)
//! +------------+------------+------------+
//!  high                               0    position
//! ```

use super::{FixedWidthKey, Key};

macro_rules! tuple_keys {
    ($($element:ident $at:tt),+) => {
        /// Fails to compile for more than 65,536 bits, which have no positions.
        impl<$($element: FixedWidthKey),+> Key for ($($element,)+) {
            #[inline]
            fn first_difference(&self, other: &Self) -> Option<u16> {
                let mut below = Self::BITS;
                $(
                    below -= $element::BITS;
                    if let Some(position) = self.$at.first_difference(&other.$at) {
                        // An element that keeps to its bits never wraps; one that does not must not panic here.
                        return Some(position.wrapping_add(below as u16));
                    }
                )+
                None
            }

            #[inline]
            fn bit(&self, position: u16) -> bool {
                let mut below = Self::BITS;
                $(
                    below -= $element::BITS;
                    if let Some(position) = u32::from(position).checked_sub(below) {
                        return self.$at.bit(position as u16);
                    }
                )+
                // Nothing is below the last element.
                false
            }

            /// That of the first element. Those of the others may say nothing where it is equal for different ones.
            #[inline]
            fn leading(&self) -> u64 {
                self.0.leading()
            }
        }

        impl<$($element: FixedWidthKey),+> FixedWidthKey for ($($element,)+) {
            const BITS: u32 = {
                let bits = 0 $(+ $element::BITS)+;
                assert!(bits <= 1 << 16, "positions number 65,536 bits at most");
                bits
            };
        }
    };
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a position fits 16 bits, and so does what is below one"
)]
mod elements {
    use super::{FixedWidthKey, Key};

    tuple_keys!(A 0, B 1);
    tuple_keys!(A 0, B 1, C 2);
    tuple_keys!(A 0, B 1, C 2, D 3);
}
