//! The leaf of a table of prefixes.

use core::ptr::NonNull;

use super::{Address, Prefix};
use crate::key::Key;
use crate::leaf::{Leaf, Retire};
use crate::pool;
use crate::sync::Tracked;

#[repr(align(16))]
pub(super) struct PrefixLeaf<A, V> {
    pub(super) prefix: Prefix<A>,
    pub(super) value: V,
    tracked: Tracked,
}

impl<A, V> PrefixLeaf<A, V> {
    pub(super) fn boxed(prefix: Prefix<A>, value: V) -> NonNull<Self> {
        pool::boxed(Self { prefix, value, tracked: Tracked::new() })
    }

    /// Takes back a leaf that was not needed.
    ///
    /// # Safety
    /// 1. `leaf` came from `boxed` and was never linked.
    pub(super) unsafe fn unbox(leaf: NonNull<Self>) -> V {
        // SAFETY: 1 of the contract.
        unsafe { pool::unbox(leaf) }.value
    }
}

// SAFETY: 1. The prefix is never given out by `&mut`. 2. `repr(align(16))`. 3. `unlinked` retires. 4. Addresses and
// values are `Send`.
unsafe impl<A: Address, V: Send + Sync + 'static> Leaf for PrefixLeaf<A, V> {
    type Key<'k> = Prefix<A>;

    #[inline]
    fn key(&self) -> Prefix<A> {
        self.prefix
    }

    #[inline]
    fn first_difference(&self, key: Prefix<A>) -> Option<u16> {
        self.prefix.first_difference(&key)
    }

    #[inline]
    fn bit(key: Prefix<A>, position: u16) -> bool {
        key.bit(position)
    }

    unsafe fn unlinked(this: NonNull<Self>, retire: &Retire<'_, '_>) {
        // SAFETY: the leaf is linked by one tree, which has just unlinked it and says so once.
        unsafe { retire.retire(this) };
    }

    unsafe fn free(this: NonNull<Self>) {
        if cfg!(loom) {
            // Loom does not see freed memory; kept, a wrong read meets the end marked here.
            // SAFETY: from `boxed`; by the contract nobody else reads it.
            unsafe { this.as_ref() }.tracked.end();
            return;
        }
        // SAFETY: from `boxed`; by the contract nobody reads it, and it is freed once.
        drop(unsafe { pool::unbox(this) });
    }

    #[inline]
    fn touched(&self) {
        self.tracked.touch();
    }
}
