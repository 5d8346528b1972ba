//! A leaf that says how many of its kind were freed.

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use ebtree::Key;
use ebtree::intrusive::{Forest, Leaf, Retire};
use ebtree::reclaim::Reclaimer;
use loom::cell::UnsafeCell;

/// Not modelled: it adds no order between the threads that count.
pub(crate) type Freed = Arc<AtomicUsize>;

#[repr(align(16))]
pub(crate) struct Item {
    key: u64,
    freed: Freed,
    /// Another leaf that this one names.
    pub(crate) names: Option<NonNull<Item>>,
    read: UnsafeCell<()>,
    ended: AtomicBool,
}

// SAFETY: loom checks the cell; the pointer is followed under protection.
unsafe impl Send for Item {}
// SAFETY: as above.
unsafe impl Sync for Item {}

impl Item {
    pub(crate) fn new(key: u64, freed: &Freed) -> NonNull<Self> {
        Self::naming(key, freed, None)
    }

    pub(crate) fn naming(key: u64, freed: &Freed, names: Option<NonNull<Self>>) -> NonNull<Self> {
        let (freed, read) = (Arc::clone(freed), UnsafeCell::new(()));
        let item = Self { key, freed, names, read, ended: AtomicBool::new(false) };
        NonNull::from(Box::leak(Box::new(item)))
    }

    /// Reads it, as far as loom can see.
    pub(crate) fn read(&self) {
        assert!(!self.ended.load(Ordering::Relaxed), "used after its end");
        self.read.with(|_| ());
    }
}

// SAFETY: 1. The key never changes. 2. `repr(align(16))`. 3. Retired at once. 4. It is kept.
unsafe impl Leaf for Item {
    type Key<'k> = u64;

    fn key(&self) -> u64 {
        self.key
    }

    fn first_difference(&self, key: u64) -> Option<u16> {
        Key::first_difference(&self.key, &key)
    }

    fn bit(key: u64, position: u16) -> bool {
        Key::bit(&key, position)
    }

    unsafe fn unlinked<R: Reclaimer>(this: NonNull<Self>, retire: &Retire<'_, '_, R>) {
        // SAFETY: unlinked from its only tree.
        unsafe { retire.retire(this) };
    }

    unsafe fn free(this: NonNull<Self>) {
        // SAFETY: it is kept for ever, since loom does not see freed memory.
        let this = unsafe { this.as_ref() };
        assert!(!this.ended.swap(true, Ordering::Relaxed), "freed twice");
        this.read.with_mut(|_| ());
        this.freed.fetch_add(1, Ordering::Relaxed);
    }

    fn touched(&self) {
        self.read();
    }
}

pub(crate) fn insert(tree: &Forest<Item>, item: NonNull<Item>) {
    // SAFETY: made just now, and kept for ever.
    let key = unsafe { item.as_ref() }.key;
    // SAFETY: new, and kept for ever.
    assert!(unsafe { tree.insert(0, key, item) }.is_ok());
}
