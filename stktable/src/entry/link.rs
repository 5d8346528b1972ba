//! The word that links an entry to the next one in its expiry stack, and beside the address the sizes of the entry.
//!
//! ```text
//! 63          56 55         48 47                                   0
//! +-------------+-------------+--------------------------------------+
//! | units       | key_len     | address of the next entry            |
//! +-------------+-------------+--------------------------------------+
//! ```
//!
//! Sizes that do not fit stand behind the head, see [`entry`](super); then both are [`ELSEWHERE`]. They never change, so whoever
//! reads them beside a change of the address reads the same. Where a pointer has no 16 bits to spare, in models, and with
//! `--cfg ebtree_plain_edges`, they stand in words of their own.

use core::sync::atomic::Ordering;

use super::Entry;
use crate::sync::AtomicPtr;

/// In place of a size that does not fit.
pub(super) const ELSEWHERE: u8 = u8::MAX;

/// The sizes of an entry, if they fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    /// Bytes of the key.
    pub(super) key_len: u8,
    /// Size of the allocation in units of 16 bytes.
    pub(super) units: u8,
}

#[cfg(not(any(not(target_pointer_width = "64"), ebtree_plain_edges, loom)))]
mod layout {
    use super::{AtomicPtr, Entry, Ordering, Sizes};

    const SIZES: u32 = 48;
    const ADDRESS: usize = (1 << SIZES) - 1;

    #[derive(Debug)]
    pub(crate) struct Link(AtomicPtr<Entry>);

    impl Link {
        pub(in super::super) const fn new(Sizes { key_len, units }: Sizes) -> Self {
            let sizes = u16::from_be_bytes([units, key_len]) as usize;
            Self(AtomicPtr::new(core::ptr::without_provenance_mut(sizes << SIZES)))
        }

        #[inline]
        pub(crate) fn next(&self) -> *mut Entry {
            // Relaxed: see `set_next`.
            self.0.load(Ordering::Relaxed).map_addr(|word| word & ADDRESS)
        }

        /// Links the entry to another one, or to none. Only who has the entry in hand does, so this needs to be no exchange; and it is
        /// ordered by the push and the take of the whole chain.
        #[inline]
        pub(crate) fn set_next(&self, next: *mut Entry) {
            let sizes = self.0.load(Ordering::Relaxed).addr() & !ADDRESS;
            self.0.store(next.map_addr(|address| address | sizes), Ordering::Relaxed);
        }

        #[inline]
        pub(in super::super) fn sizes(&self) -> Sizes {
            // Relaxed: written before the entry was linked anywhere.
            let [units, key_len, ..] = self.0.load(Ordering::Relaxed).addr().to_be_bytes();
            Sizes { key_len, units }
        }

        /// Whether an entry can stand at this address.
        pub(in super::super) const fn takes(address: usize) -> bool {
            address & !ADDRESS == 0
        }
    }
}

#[cfg(any(not(target_pointer_width = "64"), ebtree_plain_edges, loom))]
mod layout {
    use super::{AtomicPtr, Entry, Ordering, Sizes};

    #[derive(Debug)]
    pub(crate) struct Link {
        next: AtomicPtr<Entry>,
        sizes: Sizes,
    }

    impl Link {
        pub(in super::super) fn new(sizes: Sizes) -> Self {
            Self { next: AtomicPtr::new(core::ptr::null_mut()), sizes }
        }

        pub(crate) fn next(&self) -> *mut Entry {
            // Relaxed: see `set_next`.
            self.next.load(Ordering::Relaxed)
        }

        /// Links the entry to another one, or to none. Only who has the entry in hand does; and it is ordered by the push and the take
        /// of the whole chain.
        pub(crate) fn set_next(&self, next: *mut Entry) {
            self.next.store(next, Ordering::Relaxed);
        }

        pub(in super::super) const fn sizes(&self) -> Sizes {
            self.sizes
        }

        pub(in super::super) const fn takes(_: usize) -> bool {
            true
        }
    }
}

pub(crate) use layout::Link;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn sizes_stay_whatever_is_linked() {
        for (key_len, units) in [(0, 1), (4, 5), (254, 254), (ELSEWHERE, ELSEWHERE)] {
            let sizes = Sizes { key_len, units };
            let link = Link::new(sizes);
            assert!(link.next().is_null());
            for address in [16, (1 << 47) - 16, 0] {
                let next = core::ptr::without_provenance_mut(address);
                link.set_next(next);
                assert_eq!((link.next(), link.sizes()), (next, sizes));
            }
        }
    }
}
