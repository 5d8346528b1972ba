//! Values that count themselves, and the end of a test.

use std::any::type_name;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;

use ebtree::Key;
use ebtree::reclaim::Reclaimer;

/// Counts the values that are alive.
#[derive(Clone, Debug, Default)]
pub(crate) struct Census(Arc<AtomicUsize>);

impl Census {
    pub(crate) fn value(&self, number: u64) -> Value {
        self.0.fetch_add(1, Ordering::Relaxed);
        Value { number, census: self.clone(), dropped: AtomicBool::new(false) }
    }

    pub(crate) fn alive(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Notices a use after its end, and a second end.
#[derive(Debug)]
pub(crate) struct Value {
    number: u64,
    census: Census,
    dropped: AtomicBool,
}

impl Value {
    pub(crate) fn number(&self) -> u64 {
        assert!(!self.dropped.load(Ordering::Relaxed), "read after its end");
        self.number
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        assert!(!self.dropped.swap(true, Ordering::Relaxed), "dropped twice");
        self.census.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A key that notices a use after its end, as far as its memory is not used again.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) key: u64,
    alive: AtomicU64,
}

const ALIVE: u64 = 0x5eed_cafe_f00d_1dea;

impl Checked {
    pub(crate) const fn new(key: u64) -> Self {
        Self { key, alive: AtomicU64::new(ALIVE) }
    }

    fn check(&self) {
        assert_eq!(self.alive.load(Ordering::Relaxed), ALIVE, "a key read after its end");
    }
}

impl Clone for Checked {
    fn clone(&self) -> Self {
        self.check();
        Self::new(self.key)
    }
}

impl Drop for Checked {
    fn drop(&mut self) {
        self.alive.store(0, Ordering::Relaxed);
    }
}

impl Key for Checked {
    fn first_difference(&self, other: &Self) -> Option<u16> {
        self.check();
        other.check();
        self.key.first_difference(&other.key)
    }

    fn bit(&self, position: u16) -> bool {
        self.check();
        self.key.bit(position)
    }
}

/// Whether what is unlinked is ever freed.
pub(crate) fn frees<R: Reclaimer>() -> bool {
    !type_name::<R>().ends_with("Leak")
}

/// Whether a reader that stalls keeps only what it reads.
pub(crate) fn is_bounded<R: Reclaimer>() -> bool {
    let name = type_name::<R>();
    name.ends_with("Domain") || name.ends_with("Haphazard")
}

/// Waits for the end of all values, the trees of this reclaimer being gone.
pub(crate) fn all_end<R: Reclaimer + Default>(reclaimer: R, census: &Census) {
    if !frees::<R>() {
        return;
    }
    reclaimer.flush();
    drop(reclaimer);
    // Two of the crates have one reclaimer for the whole process, in which other tests hold things up.
    let handle = R::default();
    for _ in 0..1_000_000 {
        if census.alive() == 0 {
            return;
        }
        handle.flush();
        thread::yield_now();
    }
    panic!("{} values were never dropped", census.alive());
}

/// Says so when it goes, also by a panic: others wait for it.
pub(crate) struct Done<'a>(pub(crate) &'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Pseudo-random numbers.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % n
    }
}
