//! One entry: its head, its key and its data slots, in one allocation.
//!
//! ```text
//! base                48      48+k      (to 8)
//! +-------------------+-------+-----+---------------------+------------------+
//! | head              | key   | pad | 8-byte slots        | 4-byte slots     |
//! +-------------------+-------+-----+---------------------+------------------+
//! ```
//!
//! What is behind the head is reached through `tail`, a pointer into the same allocation, so that a
//! shared reference to the head is enough.

use core::alloc::Layout;
use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use ebtree::intrusive::{Leaf, Retire};
use ebtree::reclaim::Reclaimer;

#[cfg(loom)]
use crate::data::Storage;
use crate::data::freq_ctr::FreqCtr;
use crate::life::{KEYED, Life};
use crate::schema::{Place, Schema};
use crate::sync::{AtomicPtr, AtomicU32, AtomicU64, Tracked};
use crate::tick::Tick;

/// The head of an entry.
#[repr(C, align(16))]
pub(crate) struct Entry {
    pub(crate) life: Life,
    /// The update sequence, see [`updates`](crate::index::updates).
    pub(crate) update: AtomicU64,
    /// The next entry in an expiry stack; whoever files the entry owns this.
    pub(crate) next: AtomicPtr<Self>,
    hash: u64,
    /// The end of the head: the key and the slots.
    tail: NonNull<u8>,
    /// The low bits of the tick at which the entry is over; where the table never expires, of its
    /// last touch.
    expire: AtomicU32,
    key_len: u16,
    /// Size of the allocation in units of 16 bytes.
    units: u16,
    tracked: Tracked,
}

const UNIT: usize = 16;
const HEAD: usize = size_of::<Entry>();
#[cfg(not(loom))]
const _: () = assert!(HEAD == 48);

// SAFETY: all that changes is atomic; `tail` points into the entry's own allocation, which lives as long as it.
unsafe impl Send for Entry {}
// SAFETY: as above.
unsafe impl Sync for Entry {}

/// What an entry is looked up by: the keyed hash of its key, and the key's canonical bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Probe<'k> {
    pub(crate) hash: u64,
    pub(crate) bytes: &'k [u8],
}

impl Probe<'_> {
    /// The position of bit number `index`, counted from the most significant bit of the hash.
    #[expect(clippy::cast_possible_truncation, reason = "KEY_SIZE_MAX keeps it in 16 bits")]
    const fn position(index: usize) -> u16 {
        u16::MAX - index as u16
    }
}

// 64 bits of hash and the bits of the longest key have a position each.
const _: () = assert!(64 + 8 * crate::key::KEY_SIZE_MAX as usize <= u16::MAX as usize + 1);

impl Entry {
    /// Allocates an entry whose slots are all zero, still private, held once by the caller.
    pub(crate) fn allocate(schema: &Schema, probe: Probe<'_>, expire: Tick) -> NonNull<Self> {
        let key_len = probe.bytes.len();
        let wide_at = wide_offset(key_len);
        let size = HEAD + wide_at + schema.bytes();
        let units = size.div_ceil(UNIT);
        let layout = layout(units);
        // SAFETY: the size is not zero.
        let base = unsafe { std::alloc::alloc_zeroed(layout) };
        let Some(base) = NonNull::new(base) else { std::alloc::handle_alloc_error(layout) };
        // SAFETY: the allocation is longer than the head.
        let tail = unsafe { base.add(HEAD) };
        let head = Self {
            life: Life::new(),
            update: AtomicU64::new(0),
            next: AtomicPtr::new(core::ptr::null_mut()),
            hash: probe.hash,
            tail,
            expire: AtomicU32::new(expire.low()),
            key_len: u16::try_from(key_len).expect("KEY_SIZE_MAX is below 2^16"),
            units: u16::try_from(units).expect("the key and 100 elements of each array fit"),
            tracked: Tracked::new(),
        };
        let entry = base.cast::<Self>();
        // SAFETY: ours, aligned, and large enough.
        unsafe { entry.write(head) };
        // SAFETY: the tail has room for the key, which lies elsewhere.
        unsafe { core::ptr::copy_nonoverlapping(probe.bytes.as_ptr(), tail.as_ptr(), key_len) };
        // Zeroed memory is a valid slot in ordinary builds; loom's atomics want to be made.
        #[cfg(loom)]
        schema.initialise(|storage, Place(at)| {
            // SAFETY: inside the allocation.
            let slot = unsafe { tail.add(wide_at + at) };
            match storage {
                // SAFETY: room for this slot, still private.
                Storage::Rate => unsafe { slot.cast().write(FreqCtr::new()) },
                // SAFETY: as above.
                Storage::Ull => unsafe { slot.cast().write(AtomicU64::new(0)) },
                // SAFETY: as above.
                _ => unsafe { slot.cast().write(AtomicU32::new(0)) },
            }
        });
        entry
    }

    /// Gives the memory back.
    ///
    /// # Safety
    /// 1. `this` came from `allocate`, nobody reads it now or later, and this is called once.
    pub(crate) unsafe fn deallocate(this: NonNull<Self>) {
        // SAFETY: 1 of the contract.
        let entry = unsafe { this.as_ref() };
        let units = entry.units;
        entry.tracked.end();
        if cfg!(loom) {
            // Loom does not see freed memory; kept, a wrong read meets the end marked above.
            return;
        }
        // SAFETY: allocated with this layout; nothing in an entry needs to be dropped.
        unsafe { std::alloc::dealloc(this.as_ptr().cast(), layout(usize::from(units))) };
    }

    /// Returns the key's canonical bytes.
    #[inline]
    pub(crate) fn key_bytes(&self) -> &[u8] {
        // SAFETY: `allocate` wrote `key_len` bytes here, and nobody writes them again.
        unsafe { core::slice::from_raw_parts(self.tail.as_ptr(), usize::from(self.key_len)) }
    }

    /// Returns what finds this entry.
    pub(crate) fn probe(&self) -> Probe<'_> {
        Probe { hash: self.hash, bytes: self.key_bytes() }
    }

    pub(crate) const fn hash(&self) -> u64 {
        self.hash
    }

    /// Returns the tick at which the entry is over, as seen from `now`, at most `ahead_ms` later. Relaxed: a date
    /// stored while a reference was held is seen by whoever sees that reference dropped.
    #[inline]
    pub(crate) fn expire(&self, now: Tick, ahead_ms: u32) -> Tick {
        now.at_most_ahead(self.expire.load(Ordering::Relaxed), ahead_ms)
    }

    /// Moves the date of an entry that is over at `expire` on to `now`, unless it was refreshed meanwhile: 32 bits
    /// tell dates apart for some weeks only.
    pub(crate) fn keep_over(&self, expire: Tick, now: Tick) {
        // Relaxed: as in `set_expire`.
        let _ = self.expire.compare_exchange(
            expire.low(),
            now.low(),
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
    }

    #[inline]
    pub(crate) fn set_expire(&self, expire: Tick) {
        if cfg!(loom) {
            // What `keep_over` writes comes right after what it replaced, so a store that it did not see comes later.
            // Loom does not know that of a plain store, and reads either after both.
            self.expire.swap(expire.low(), Ordering::Relaxed);
        } else {
            self.expire.store(expire.low(), Ordering::Relaxed);
        }
    }

    #[inline]
    fn slot<T>(&self, Place(at): Place) -> NonNull<T> {
        // SAFETY: the entry was allocated for the schema that the place comes from: inside the allocation.
        unsafe { self.tail.add(wide_offset(usize::from(self.key_len)) + at) }.cast()
    }

    /// Returns the slot of a `Storage::Ull` at `place` of the table's schema.
    #[inline]
    pub(crate) fn wide(&self, place: Place) -> &AtomicU64 {
        // SAFETY: a slot of 8 bytes by the schema, aligned and made by `allocate`; it changes atomically only.
        unsafe { self.slot::<AtomicU64>(place).as_ref() }
    }

    /// Returns the slot of a `Storage::Uint` or `Storage::Sint` at `place` of the table's schema.
    #[inline]
    pub(crate) fn narrow(&self, place: Place) -> &AtomicU32 {
        // SAFETY: as in `wide`, of 4 bytes.
        unsafe { self.slot::<AtomicU32>(place).as_ref() }
    }

    /// Returns the rate at `place` of the table's schema.
    #[inline]
    pub(crate) fn rate(&self, place: Place) -> &FreqCtr {
        // SAFETY: as in `wide`, two words; all zero is a valid rate.
        unsafe { self.slot::<FreqCtr>(place).as_ref() }
    }
}

/// Where the slots begin, from the end of the head.
const fn wide_offset(key_len: usize) -> usize {
    (key_len + 7) & !7
}

fn layout(units: usize) -> Layout {
    Layout::from_size_align(units * UNIT, UNIT).expect("at most 2^16 units of 16 bytes")
}

// SAFETY: 1. Hash and key are never written after `allocate`. 2. `align(16)`. 3. `unlinked` clears KEYED; whoever
// clears the last index bit retires the entry. 4. Nothing in an entry belongs to a thread.
unsafe impl Leaf for Entry {
    type Key<'k> = Probe<'k>;

    fn key(&self) -> Probe<'_> {
        self.probe()
    }

    #[inline]
    fn first_difference(&self, key: Probe<'_>) -> Option<u16> {
        let difference = self.hash ^ key.hash;
        if difference != 0 {
            return Some(Probe::position(difference.leading_zeros() as usize));
        }
        let mine = self.key_bytes();
        // Nearly always, where the hashes are equal.
        if mine == key.bytes {
            return None;
        }
        // Past its end a key has zeroes: canonical keys of one table are of one length, or hold no NUL.
        for at in 0..mine.len().max(key.bytes.len()) {
            let byte = |bytes: &[u8]| bytes.get(at).copied().unwrap_or(0);
            let difference = byte(mine) ^ byte(key.bytes);
            if difference != 0 {
                return Some(Probe::position(64 + 8 * at + difference.leading_zeros() as usize));
            }
        }
        None
    }

    #[inline]
    fn bit(key: Probe<'_>, position: u16) -> bool {
        let index = usize::from(u16::MAX - position);
        match index.checked_sub(64) {
            None => key.hash << index >> 63 != 0,
            Some(index) => {
                key.bytes.get(index / 8).is_some_and(|byte| byte << (index % 8) & 0x80 != 0)
            }
        }
    }

    unsafe fn unlinked<R: Reclaimer>(this: NonNull<Self>, retire: &Retire<'_, '_, R>) {
        // SAFETY: protected by the contract.
        if unsafe { this.as_ref() }.life.clear(KEYED) {
            // SAFETY: the last index bit was cleared, by this call: in no index any more, and once (L3).
            unsafe { retire.retire(this) };
        }
    }

    fn touched(&self) {
        self.tracked.touch();
    }

    unsafe fn free(this: NonNull<Self>) {
        // SAFETY: the same contract.
        unsafe { Self::deallocate(this) };
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("life", &self.life.load()).finish_non_exhaustive()
    }
}
