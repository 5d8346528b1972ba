//! One entry: its head, its key and its data slots, in one allocation.
//!
//! ```text
//! base               32      32+k                                  16 × units
//! +------------------+-------+-----+--------------+----------------+
//! | head             | key   | pad | 4-byte slots | 8-byte slots   |
//! +------------------+-------+-----+--------------+----------------+
//! ```
//!
//! Slots are counted from the end, so that a short key and an odd slot of 4 bytes share what would be padding: an IPv4 address with
//! a counter, two rates and a byte count takes 80 bytes. Where the key or the whole has 255 units or more, both sizes stand before
//! the key as two numbers of 4 bytes.
//!
//! What is behind the head is reached by its address alone: the allocation's provenance is exposed when it is made, so that a shared
//! reference to the head is enough.

mod link;

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
use crate::sync::{AtomicU32, AtomicU64, Tracked};
use crate::tick::Tick;
use link::{ELSEWHERE, Link, Sizes};

/// The head of an entry.
#[repr(C, align(16))]
pub(crate) struct Entry {
    pub(crate) life: Life,
    /// The update sequence, see [`updates`](crate::index::updates).
    pub(crate) update: AtomicU64,
    /// The next entry in an expiry stack, which whoever files the entry owns; and sizes.
    pub(crate) link: Link,
    hash: u32,
    /// The low bits of the tick at which the entry is over; where the table never expires, of its
    /// last touch.
    expire: AtomicU32,
    tracked: Tracked,
}

const UNIT: usize = 16;
const HEAD: usize = size_of::<Entry>();
#[cfg(not(any(not(target_pointer_width = "64"), ebtree_plain_edges, loom)))]
const _: () = assert!(HEAD == 32);
// SAFETY: all that changes is atomic; who follows the link has the entry in hand. Other atomic pointers than loom's say so themselves.
#[cfg(loom)]
unsafe impl Send for Entry {}
// SAFETY: as above.
#[cfg(loom)]
unsafe impl Sync for Entry {}

/// The sizes before the key, where they do not fit into the link.
const LARGE: usize = 2 * size_of::<u32>();

/// What an entry is looked up by: the keyed hash of its key, and the key's canonical bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Probe<'k> {
    pub(crate) hash: u32,
    pub(crate) bytes: &'k [u8],
}

impl Probe<'_> {
    /// The position of bit number `index`, counted from the most significant bit of the hash.
    #[expect(clippy::cast_possible_truncation, reason = "KEY_SIZE_MAX keeps it in 16 bits")]
    const fn position(index: usize) -> u16 {
        u16::MAX - index as u16
    }
}

/// Bits of a hash.
const HASH_BITS: usize = u32::BITS as usize;
// The bits of a hash and those of the longest key have a position each.
const _: () = assert!(HASH_BITS + 8 * crate::key::KEY_SIZE_MAX as usize <= u16::MAX as usize + 1);

impl Entry {
    /// Allocates an entry whose slots are all zero, still private, held once by the caller.
    pub(crate) fn allocate(schema: &Schema, probe: Probe<'_>, expire: Tick) -> NonNull<Self> {
        let key_len = probe.bytes.len();
        let size = HEAD + key_len + schema.bytes();
        let small = |size: usize| u8::try_from(size).ok().filter(|size| *size != ELSEWHERE);
        let (sizes, large) = match (small(key_len), small(size.div_ceil(UNIT))) {
            (Some(key_len), Some(units)) => (Sizes { key_len, units }, 0),
            _ => (Sizes { key_len: ELSEWHERE, units: ELSEWHERE }, LARGE),
        };
        let units = (size + large).div_ceil(UNIT);
        let base = ebtree::intrusive::allocate(layout(units));
        assert!(Link::takes(base.as_ptr().expose_provenance()), "an address that fits the link");
        let head = Self {
            life: Life::new(),
            update: AtomicU64::new(0),
            link: Link::new(sizes),
            hash: probe.hash,
            expire: AtomicU32::new(expire.low()),
            tracked: Tracked::new(),
        };
        let entry = base.cast::<Self>();
        // SAFETY: ours, aligned, and large enough.
        unsafe { entry.write(head) };
        // SAFETY: the allocation is longer than the head.
        let tail = unsafe { base.add(HEAD) };
        if large != 0 {
            let fits = "the key and 100 elements of each array";
            let sizes = [key_len, units].map(|size| u32::try_from(size).expect(fits));
            // SAFETY: there is room for them, aligned to 16.
            unsafe { tail.cast::<[u32; 2]>().write(sizes) };
        }
        // SAFETY: behind the sizes, and the allocation is longer.
        let key = unsafe { tail.add(large) };
        // SAFETY: room for the key, which lies elsewhere.
        unsafe { core::ptr::copy_nonoverlapping(probe.bytes.as_ptr(), key.as_ptr(), key_len) };
        // SAFETY: right behind the key, at most at the end of the allocation.
        let rest = unsafe { key.add(key_len) };
        // Zeroed memory is a valid slot in ordinary builds; loom's atomics want to be made.
        // SAFETY: up to the end of the allocation.
        unsafe { rest.write_bytes(0, units * UNIT - HEAD - large - key_len) };
        #[cfg(loom)]
        schema.initialise(|storage, Place(back)| {
            // SAFETY: inside the allocation.
            let slot = unsafe { base.add(units * UNIT - back) };
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
        let units = entry.units();
        entry.tracked.end();
        if cfg!(loom) {
            // Loom does not see freed memory; kept, a wrong read meets the end marked above.
            return;
        }
        // By its address, since the pointer may have been made from a shared reference to the head.
        let memory = core::ptr::with_exposed_provenance_mut(this.addr().get());
        // SAFETY: the address of an entry is not null.
        let memory = unsafe { NonNull::new_unchecked(memory) };
        // SAFETY: allocated with this layout; nothing in an entry needs to be dropped.
        unsafe { ebtree::intrusive::deallocate(memory, layout(units)) };
    }

    /// Returns the place so many bytes into the allocation, which is at least so long.
    #[inline]
    fn at(&self, offset: usize) -> NonNull<u8> {
        let place = core::ptr::from_ref(self).addr() + offset;
        // SAFETY: not null, since the entry is not.
        unsafe { NonNull::new_unchecked(core::ptr::with_exposed_provenance_mut(place)) }
    }

    /// Returns the sizes that did not fit into the link: those of the key and of the whole.
    #[cold]
    fn large(&self) -> [u32; 2] {
        // SAFETY: `allocate` wrote them here, and nobody writes them again.
        unsafe { self.at(HEAD).cast().read() }
    }

    /// Returns the size of the allocation in units of 16 bytes.
    #[inline]
    fn units(&self) -> usize {
        match self.link.sizes().units {
            ELSEWHERE => self.large()[1] as usize,
            units => usize::from(units),
        }
    }

    /// Returns the key's canonical bytes.
    #[inline]
    pub(crate) fn key_bytes(&self) -> &[u8] {
        let (at, len) = match self.link.sizes().key_len {
            ELSEWHERE => (HEAD + LARGE, self.large()[0] as usize),
            key_len => (HEAD, usize::from(key_len)),
        };
        // SAFETY: `allocate` wrote this many bytes here, and nobody writes them again.
        unsafe { core::slice::from_raw_parts(self.at(at).as_ptr(), len) }
    }

    /// Returns what finds this entry.
    pub(crate) fn probe(&self) -> Probe<'_> {
        Probe { hash: self.hash, bytes: self.key_bytes() }
    }

    pub(crate) const fn hash(&self) -> u32 {
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
    fn slot<T>(&self, Place(back): Place) -> NonNull<T> {
        // The entry was allocated for the schema that the place comes from: inside the allocation.
        self.at(self.units() * UNIT - back).cast()
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

fn layout(units: usize) -> Layout {
    Layout::from_size_align(units * UNIT, UNIT).expect("no more than memory")
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
                return Some(Probe::position(
                    HASH_BITS + 8 * at + difference.leading_zeros() as usize,
                ));
            }
        }
        None
    }

    #[inline]
    fn bit(key: Probe<'_>, position: u16) -> bool {
        let index = usize::from(u16::MAX - position);
        match index.checked_sub(HASH_BITS) {
            None => key.hash << index >> (HASH_BITS - 1) != 0,
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

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::data::{Column, DataType, Storage};

    /// Keys and slots of every size stay what they are, at either way of noting sizes.
    #[test]
    fn keys_and_slots_share_an_allocation() {
        let column = |data_type, elements| Column { data_type, elements, period_ms: 1_000 };
        let some = [
            column(DataType::Gpc0, 1),
            column(DataType::BytesInCnt, 1),
            column(DataType::ConnRate, 1),
        ];
        let most = [column(DataType::Gpt, 100), column(DataType::GpcRate, 100), some[1]];
        for columns in [&[][..], &some, &most] {
            let schema = Schema::new(columns, false);
            for len in [0, 1, 4, 5, 16, 253, 254, 255, 256, 4_000, 8_184] {
                let bytes: Vec<u8> = (1..=251).cycle().take(len).collect();
                let probe = Probe { hash: 7, bytes: &bytes };
                let pointer = Entry::allocate(&schema, probe, Tick(9));
                // SAFETY: ours.
                let entry = unsafe { pointer.as_ref() };
                assert_eq!(entry.probe(), probe);
                for column in columns {
                    for element in 0..column.elements {
                        let (_, place) = schema.find(column.data_type, element).unwrap();
                        match column.data_type.storage() {
                            Storage::Rate => {
                                assert_eq!(entry.rate(place).read(Tick(5), 1_000), 0);
                                entry.rate(place).add(Tick(5), 1_000, 3);
                            }
                            Storage::Ull => {
                                assert_eq!(entry.wide(place).swap(!0, Ordering::Relaxed), 0);
                            }
                            _ => assert_eq!(entry.narrow(place).swap(!0, Ordering::Relaxed), 0),
                        }
                    }
                }
                assert_eq!(entry.probe(), probe, "no slot lies in the key");
                let size = HEAD + len + schema.bytes();
                let large = len >= 255 || size > 254 * UNIT;
                assert_eq!(entry.units(), (size + if large { LARGE } else { 0 }).div_ceil(UNIT));
                // SAFETY: ours, and used no more.
                unsafe { Entry::deallocate(pointer) };
            }
        }
    }
}
