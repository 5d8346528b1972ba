//! Names: the values of `server_key`. An entry keeps the number of a name; the text is kept once for a whole table.
//!
//! ```text
//!  entry.name ──► 7     by number   7: ("web1", 2 uses)  9: ("web2", 1 use)
//!                       by text     "web1": 7            "web2": 9
//! ```
//!
//! A name lives for as long as something *uses* it: an entry whose slot holds its number, or a thread that is about to put it there. The use
//! of a dead entry is ended by its killer. Whoever ends the last use takes the name out of both maps; the domain frees it. So no more
//! names are kept than entries have, and no more than a limit that the table is made with, each of a limited length: what a peer sends
//! beyond that is refused, not stored. There is no lock: a thread that finds a name on its way out helps, and makes a new one.
//!
//! # Invariants
//! N1  The uses of a name are at least the slots that hold its number. At 0 they stay 0: the name is over, and whoever made it so, and
//!     nobody else, takes it out by number and gives its place back.
//! N2  A number is given once. A name is in the map by number from before it is in the map by text until after its last use.
//! N3  A slot is written by who holds its entry, or by who killed it; the number that it held is given up after that. So if the
//!     name of a number that was read is gone, the slot has changed.
//!
//! # Synchronization
//! S1  slot written, AcqRel; last use ended, AcqRel; name removed  ->  name not found; slot read, Acquire   (the slot has changed)
//! S2  last use ended, AcqRel                                      ->  use refused, Acquire  (who helps sees it over)

use core::sync::atomic::Ordering;

use ebtree::{Domain, EbTree, StrKey};

use crate::entry::Entry;
use crate::schema::Place;
use crate::sync::{AtomicU32, AtomicU64, Mutant, mutant, relax};

/// The names of one table.
#[derive(Debug)]
pub(crate) struct Names {
    by_number: EbTree<u64, Name>,
    by_text: EbTree<StrKey, u64>,
    /// The last number that was given; 0 is no name.
    last: AtomicU64,
    /// Names that are kept, and places taken for those that are being made.
    kept: AtomicU32,
    max: u32,
    /// Where an entry keeps the number of its name.
    place: Place,
}

#[derive(Debug)]
struct Name {
    text: StrKey,
    uses: AtomicU32,
}

impl Name {
    /// Begins a use, unless the name is over (N1).
    fn begin_use(&self) -> bool {
        let more = |uses: u32| {
            if uses == 0 && !mutant(Mutant::NameRevived) { None } else { uses.checked_add(1) }
        };
        // Acquire: S2.
        self.uses.fetch_update(Ordering::Relaxed, Ordering::Acquire, more).is_ok()
    }

    /// Ends a use. Returns whether it was the last.
    fn end_use(&self) -> bool {
        // AcqRel: S1, and all uses come before the removal.
        self.uses.fetch_sub(1, Ordering::AcqRel) == 1
    }
}

impl Names {
    /// Entries keep the number of their name at `place` of the table's schema; at most `max` names are kept.
    pub(crate) fn new(place: Place, max: u32, domain: Domain) -> Self {
        Self {
            by_number: EbTree::new_in(domain.clone()),
            by_text: EbTree::new_in(domain),
            last: AtomicU64::new(0),
            kept: AtomicU32::new(0),
            max,
            place,
        }
    }

    /// Returns how many names are kept.
    pub(crate) fn kept(&self) -> u32 {
        self.kept.load(Ordering::Relaxed)
    }

    /// How many names each map holds.
    pub(crate) fn lens(&self) -> [usize; 2] {
        [self.by_number.len(), self.by_text.len()]
    }

    pub(crate) const fn max(&self) -> u32 {
        self.max
    }

    /// Names an entry that the caller holds; `None` takes its name away. Returns false, and does nothing, if that
    /// would be one name too many.
    pub(crate) fn set(&self, held: &Entry, text: Option<&StrKey>) -> bool {
        let Some(number) = text.map_or(Some(0), |text| self.begin_use(text)) else { return false };
        self.replace(held, number);
        true
    }

    /// Takes the name of a dead entry away. Its killer calls this, once.
    pub(crate) fn forget(&self, dead: &Entry) {
        // Relaxed: ours alone, and the last holder's writes came before the kill.
        if dead.wide(self.place).load(Ordering::Relaxed) != 0 {
            self.replace(dead, 0);
        }
    }

    fn replace(&self, entry: &Entry, number: u64) {
        // AcqRel: S1.
        let before = entry.wide(self.place).swap(number, Ordering::AcqRel);
        if before != 0 {
            self.end_use(before);
        }
    }

    /// Calls `visit` with the name of an entry, `None` where it has none. The entry is protected or held.
    ///
    /// Lock-free: each further look follows a change of the entry's name.
    pub(crate) fn get_with<T>(&self, entry: &Entry, visit: impl FnOnce(&str) -> T) -> Option<T> {
        let slot = entry.wide(self.place);
        let mut visit = Some(visit);
        // Acquire: S1.
        let mut number = slot.load(Ordering::Acquire);
        while number != 0 {
            let seen = self
                .by_number
                .get_with(&number, |name| visit.take().map(|visit| visit(&name.text)));
            if let Some(seen) = seen {
                return seen;
            }
            // Acquire: S1, N3.
            let now = slot.load(Ordering::Acquire);
            if now == number || mutant(Mutant::NameReadOnce) {
                debug_assert!(mutant(Mutant::NameReadOnce) || mutant(Mutant::NameRevived), "N3");
                return None;
            }
            number = now;
            relax();
        }
        None
    }

    /// Begins a use of a name, which is made if there is none of this text. `None` if there is no place for it.
    fn begin_use(&self, text: &StrKey) -> Option<u64> {
        loop {
            if let Some(number) = self.by_text.get_with(text, |number| *number) {
                if self.by_number.get_with(&number, Name::begin_use) == Some(true) {
                    return Some(number);
                }
                // Over: whoever ended its last use is about to take it out.
                self.by_text.remove_if(text, |other| *other == number);
                relax();
                continue;
            }
            let more = |kept| (kept < self.max).then(|| kept + 1);
            // Relaxed: a number.
            self.kept.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
            let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
            // N2: by number first.
            self.by_number.insert(number, Name { text: text.clone(), uses: AtomicU32::new(1) });
            if self.by_text.try_insert(text.clone(), number).is_ok() {
                return Some(number);
            }
            // Another thread made it meanwhile; ours was never seen.
            self.by_number.remove(&number);
            self.kept.fetch_sub(1, Ordering::Relaxed);
            relax();
        }
    }

    fn end_use(&self, number: u64) {
        let over =
            self.by_number.get_with(&number, |name| name.end_use().then(|| name.text.clone()));
        debug_assert!(over.is_some() || mutant(Mutant::NameRevived), "N2: the use was ours");
        if let Some(Some(text)) = over {
            self.by_text.remove_if(&text, |other| *other == number);
            self.by_number.remove(&number);
            self.kept.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
