//! The order of keys: for tables that are asked for the entries of a network, or of a beginning of keys.
//!
//! ```text
//!  (10.0.0.1, 4)  (10.0.0.7, 2)  (10.0.0.7, 9)  (10.3.0.1, 5)        2 died, and 9 has its key by now
//! ```
//!
//! A set of elements, each a key and the number of the entry that has it, which no other entry of the table ever had. It owns no entry
//! and leads to none: whoever walks looks each key up in the key index, and passes over an entry of another number. So it
//! has no part in when an entry is freed, and there is no bit for it in the life word.
//!
//! It costs a node and a leaf for each entry, 8 bytes in the entry itself, an insertion at each creation and a removal at each death.
//!
//! # Invariants
//! O1  From before an entry is linked by its key until after it is marked dead, its element is in the set. So a walk passes over no entry
//!     that is alive throughout, from the first moment that anybody can find it.
//! O2  An entry's element is inserted once, by its creator, and removed once, by its killer, or by its creator where it was never linked.
//!     The killer's look at the references comes after the creator dropped his, so the removal after the insertion.
//! O3  No two elements are alike, and of those with one key at most one is of the entry that the key index has.

use core::ops::{Bound, ControlFlow};
use core::sync::atomic::Ordering;

use ebtree::{Domain, EbTree};

use crate::entry::Entry;
use crate::schema::Place;
use crate::sync::{AtomicU64, Mutant, mutant};

/// The index.
#[derive(Debug)]
pub(crate) struct OrderedIndex {
    elements: EbTree<Element, ()>,
    /// The last number that was given.
    last: AtomicU64,
    /// Where an entry keeps its number.
    place: Place,
}

/// A key, and the number of the entry that has it.
#[derive(Clone, Debug)]
pub(crate) struct Element {
    bytes: Bytes,
    number: u64,
}

/// Bytes kept in the element itself: an address of either family, and short strings.
const INLINE: usize = 22;

#[derive(Clone, Debug)]
enum Bytes {
    Inline { len: u8, bytes: [u8; INLINE] },
    Heap(Box<[u8]>),
}

impl Element {
    fn new(bytes: &[u8], number: u64) -> Self {
        let bytes = match u8::try_from(bytes.len()) {
            Ok(len) if bytes.len() <= INLINE => {
                let mut inline = [0; INLINE];
                inline[..bytes.len()].copy_from_slice(bytes);
                Bytes::Inline { len, bytes: inline }
            }
            _ => Bytes::Heap(bytes.into()),
        };
        Self { bytes, number }
    }

    /// Before every element of a key that begins with these bytes.
    pub(crate) fn before(bytes: &[u8]) -> Self {
        Self::new(bytes, 0)
    }

    /// Behind every element of this key.
    pub(crate) fn behind(bytes: &[u8]) -> Self {
        Self::new(bytes, u64::MAX)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Bytes::Heap(bytes) => bytes,
        }
    }

    fn byte(&self, at: usize) -> u8 {
        self.bytes().get(at).copied().unwrap_or(0)
    }
}

/// Bits of the longest key; those of the number come after them.
const KEY_BITS: usize = 8 * crate::key::KEY_SIZE_MAX as usize;
const _: () = assert!(KEY_BITS + 64 <= u16::MAX as usize + 1);

/// The position of bit number `index`, counted from the most significant.
#[expect(clippy::cast_possible_truncation, reason = "KEY_SIZE_MAX keeps it in 16 bits")]
const fn position(index: usize) -> u16 {
    u16::MAX - index as u16
}

impl ebtree::Key for Element {
    fn first_difference(&self, other: &Self) -> Option<u16> {
        // Past its end a key has zeroes: canonical keys of one table are of one length, or hold no NUL.
        for at in 0..self.bytes().len().max(other.bytes().len()) {
            let difference = self.byte(at) ^ other.byte(at);
            if difference != 0 {
                return Some(position(8 * at + difference.leading_zeros() as usize));
            }
        }
        let difference = self.number ^ other.number;
        (difference != 0).then(|| position(KEY_BITS + difference.leading_zeros() as usize))
    }

    fn bit(&self, position: u16) -> bool {
        let index = usize::from(u16::MAX - position);
        match index.checked_sub(KEY_BITS) {
            None => self.byte(index / 8) << (index % 8) & 0x80 != 0,
            Some(index) => self.number << index >> 63 != 0,
        }
    }
}

impl OrderedIndex {
    /// Entries keep their number at `place` of the table's schema.
    pub(crate) fn new(place: Place, domain: Domain) -> Self {
        Self { elements: EbTree::new_in(domain), last: AtomicU64::new(0), place }
    }

    /// Numbers a new entry and inserts its element, before it is linked (O1).
    pub(crate) fn insert(&self, entry: &Entry) {
        // Relaxed: only its uniqueness matters.
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        // Relaxed: published with the entry.
        entry.wide(self.place).store(number, Ordering::Relaxed);
        let there = self.elements.insert(Element::new(entry.key_bytes(), number), ());
        debug_assert!(there.is_none(), "O3");
    }

    /// Removes the element of an entry that was never linked, or was marked dead (O1).
    pub(crate) fn remove(&self, entry: &Entry) {
        let element = Element::new(entry.key_bytes(), self.number(entry));
        let was_there = self.elements.remove_if(&element, |()| true);
        debug_assert!(was_there, "O2");
    }

    /// Returns whether an element is of this entry, and not of one that had its key before.
    pub(crate) fn is_of(&self, element: &Element, entry: &Entry) -> bool {
        element.number == self.number(entry) || mutant(Mutant::OrderedByKeyAlone)
    }

    fn number(&self, entry: &Entry) -> u64 {
        // Relaxed: written before the entry was linked, and never again.
        entry.wide(self.place).load(Ordering::Relaxed)
    }

    #[cfg(all(test, not(loom)))]
    pub(crate) fn len(&self) -> usize {
        self.elements.len()
    }

    /// Visits the elements from a bound on, in the order of keys, until `visit` breaks.
    pub(crate) fn visit<B>(
        &self,
        from: Bound<&Element>,
        mut visit: impl FnMut(&Element) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        self.elements.range_with((from, Bound::Unbounded), |element, ()| visit(element))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use ebtree::Key;

    use super::*;

    /// Every two elements differ where their bits do first, in the order of (bytes, number).
    #[test]
    fn elements_are_in_the_order_of_their_bytes() {
        let long = vec![7; INLINE + 1];
        let mut all: Vec<Element> = Vec::new();
        let keys: [&[u8]; 8] = [b"", b"a", b"ab", b"abc", b"b", &[255; 4], &long, &[7; INLINE]];
        for bytes in keys {
            for number in [0, 16, 1 << 63, u64::MAX] {
                all.push(Element::new(bytes, number));
            }
        }
        for one in &all {
            for two in &all {
                let expected = (one.bytes(), one.number).cmp(&(two.bytes(), two.number));
                let found = match one.first_difference(two) {
                    None => core::cmp::Ordering::Equal,
                    Some(position) => {
                        assert_ne!(one.bit(position), two.bit(position));
                        one.bit(position).cmp(&two.bit(position))
                    }
                };
                assert_eq!(found, expected, "{one:?} {two:?}");
            }
        }
    }
}
