//! What a stalled reader keeps: how many removed entries wait to be freed while it holds one of them, with each reclaimer.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc;
use std::thread;

use ebtree::reclaim::Reclaimer;
use ebtree::{Domain, EbTree};
use serde::{Deserialize, Serialize};

use crate::random::mix;

/// Entries that are in the tree at any time.
const ENTRIES: u64 = 1_000;

/// What was found with one reclaimer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Garbage {
    /// Its name.
    pub reclaimer: String,
    /// How many entries were removed.
    pub removed: u64,
    /// The most that waited at once while a reader held an entry.
    pub peak: u64,
    /// The most that waited at once while nobody did.
    pub peak_without: u64,
    /// How many waited when the reader had gone on and everything that can be freed had been.
    pub left: u64,
}

/// A reclaimer, by name.
pub type Subject = (&'static str, fn(&str, u64) -> Garbage);

/// Returns every reclaimer.
#[must_use]
pub fn subjects() -> Vec<Subject> {
    let ours: Subject = ("ours", |name, removals| measure(name, &Domain::new, removals));
    #[cfg(feature = "rivals")]
    {
        use ebtree::reclaim::{Epoch, Haphazard, Leak, Seize};
        vec![
            ours,
            ("crossbeam-epoch", |name, removals| measure(name, &|| Epoch, removals)),
            ("seize", |name, removals| measure(name, &Seize::new, removals)),
            ("haphazard", |name, removals| measure(name, &|| Haphazard, removals)),
            ("nothing freed", |name, removals| measure(name, &|| Leak, removals)),
        ]
    }
    #[cfg(not(feature = "rivals"))]
    vec![ours]
}

/// A value that is counted while it lives.
struct Counted(Arc<AtomicI64>);

impl Counted {
    fn new(live: &Arc<AtomicI64>) -> Self {
        live.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(live))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn measure<R: Reclaimer>(name: &str, reclaimer: &dyn Fn() -> R, removals: u64) -> Garbage {
    let (peak, left) = churn(reclaimer(), removals, true);
    let (peak_without, _) = churn(reclaimer(), removals, false);
    Garbage { reclaimer: name.to_owned(), removed: removals, peak, peak_without, left }
}

/// Removes and inserts entries in turn. Returns the most that waited at once, and what waits at the end.
fn churn<R: Reclaimer>(reclaimer: R, removals: u64, is_held: bool) -> (u64, u64) {
    let live = Arc::new(AtomicI64::new(0));
    let tree = EbTree::new_in(reclaimer.clone());
    for number in 0..ENTRIES {
        drop(tree.insert(mix(number), Counted::new(&live)));
    }
    let waiting = |there: u64| {
        let there = i64::try_from(there).expect("a few entries");
        u64::try_from(live.load(Ordering::Relaxed) - there).unwrap_or(0)
    };
    let mut peak = 0;
    thread::scope(|scope| {
        let (holds, held) = mpsc::channel();
        let (goes_on, go_on) = mpsc::channel::<()>();
        let tree = &tree;
        let reader = is_held.then(|| {
            let reader = scope.spawn(move || {
                // The first to be removed.
                let entry = tree.get(&mix(0)).expect("nothing is removed yet");
                holds.send(()).expect("it is waited for");
                // Until the other end is dropped.
                let _ = go_on.recv();
                drop(entry);
            });
            held.recv().expect("it holds an entry");
            reader
        });
        // On a thread of its own, whose end hands over what it has kept to itself. Joined, since a scope does not wait for what
        // threads do at their very end.
        let churn = || {
            for number in 0..removals {
                drop(tree.remove(&mix(number)));
                peak = peak.max(waiting(ENTRIES - 1));
                drop(tree.insert(mix(number + ENTRIES), Counted::new(&live)));
            }
        };
        scope.spawn(churn).join().expect("no panic");
        drop(goes_on);
        if let Some(reader) = reader {
            reader.join().expect("no panic");
        }
    });
    // Epochs pass one by one, and each call frees a little: as long as that helps.
    let (mut left, mut in_vain) = (waiting(ENTRIES), 0);
    while left > 0 && in_vain < 16 {
        reclaimer.flush();
        in_vain = if waiting(ENTRIES) < left { 0 } else { in_vain + 1 };
        left = waiting(ENTRIES);
    }
    (peak, left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_keeps_a_bounded_number() {
        let [few, many] = [20_000, 40_000].map(|removals| subjects()[0].1("ours", removals));
        // Twice as many removals keep no more; and everything is freed in the end.
        assert!(many.peak < 20_000 && many.peak <= 2 * few.peak.max(1), "{few:?}, {many:?}");
        assert_eq!((few.left, many.left), (0, 0));
    }

    #[cfg(feature = "rivals")]
    #[test]
    fn epochs_and_nobody_keep_everything() {
        let subjects = subjects();
        let of = |name| subjects.iter().find(|(one, _)| *one == name).unwrap().1(name, 5_000);
        assert_eq!(of("nothing freed").left, 5_000);
        assert!(of("crossbeam-epoch").peak > 4_000);
    }
}
