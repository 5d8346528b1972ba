//! Entries that are found, or still kept, while their thread is ending.

use std::cell::RefCell;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use ebtree::reclaim::Reclaimer;
use ebtree::{EbTree, Entry, Key};

/// How far the two threads are: each waits for the other.
static STAGE: AtomicUsize = AtomicUsize::new(0);

fn wait(stage: usize) {
    while STAGE.load(Ordering::SeqCst) != stage {
        thread::yield_now();
    }
}

/// A key that lets another thread go on when it has been found.
#[derive(Clone)]
struct Hooked {
    waits: bool,
}

impl Key for Hooked {
    fn first_difference(&self, other: &Self) -> Option<u16> {
        if other.waits || self.waits {
            STAGE.store(2, Ordering::SeqCst);
            wait(3);
        }
        None
    }

    fn bit(&self, _: u16) -> bool {
        false
    }
}

struct Value(AtomicUsize);

impl Drop for Value {
    fn drop(&mut self) {
        self.0.store(0, Ordering::SeqCst);
    }
}

/// Looks an entry up when everything else that the thread had is gone, and keeps it while another thread removes it.
#[cfg(feature = "crossbeam-epoch")]
#[test]
fn an_epoch_is_that_of_the_operation() {
    use ebtree::reclaim::Epoch;

    static TREE: LazyLock<EbTree<Hooked, Value, Epoch>> = LazyLock::new(|| EbTree::new_in(Epoch));

    struct AtEnd;
    impl Drop for AtEnd {
        fn drop(&mut self) {
            wait(1);
            let entry = TREE.get(&Hooked { waits: true }).unwrap();
            STAGE.store(4, Ordering::SeqCst);
            wait(5);
            assert_eq!(entry.0.load(Ordering::SeqCst), 77, "freed under an entry");
        }
    }
    thread_local! {
        static END: RefCell<Option<AtEnd>> = const { RefCell::new(None) };
    }
    TREE.insert(Hooked { waits: false }, Value(AtomicUsize::new(77)));
    let thread = thread::spawn(|| {
        // Before what the reclaimer keeps of the thread, so ended after it.
        END.set(Some(AtEnd));
        let _ = TREE.contains_key(&Hooked { waits: false });
    });
    // Holds the epoch back until the other one's operation has begun.
    let held_back = TREE.get(&Hooked { waits: false });
    thread::spawn(|| Epoch.flush()).join().unwrap();
    STAGE.store(1, Ordering::SeqCst);
    wait(2);
    drop(held_back);
    drop(TREE.remove(&Hooked { waits: false }));
    Epoch.flush();
    STAGE.store(3, Ordering::SeqCst);
    wait(4);
    Epoch.flush();
    STAGE.store(5, Ordering::SeqCst);
    thread.join().unwrap();
}

/// Keeps an entry beyond what the reclaimer keeps of its thread, and lets others have what was the thread's.
#[cfg(feature = "seize")]
#[test]
fn an_entry_ends_after_the_number_of_its_thread() {
    use ebtree::reclaim::Seize;

    type Kept = RefCell<Vec<Entry<'static, u64, Value, Seize>>>;
    static TREE: LazyLock<EbTree<u64, Value, Seize>> =
        LazyLock::new(|| EbTree::new_in(Seize::new()));

    thread_local! {
        static KEPT: Kept = const { RefCell::new(Vec::new()) };
    }
    for round in 0..50 {
        TREE.insert(round, Value(AtomicUsize::new(77)));
        let thread = thread::spawn(move || {
            KEPT.with_borrow_mut(Vec::clear);
            let entry = TREE.get(&round).unwrap();
            drop(TREE.remove(&round));
            KEPT.with_borrow_mut(|kept| kept.push(entry));
        });
        let other = thread::spawn(move || {
            for key in 1_000..1_100 {
                TREE.insert(key, Value(AtomicUsize::new(77)));
                let entry = TREE.get(&key);
                drop(TREE.remove(&key));
                TREE.domain().flush();
                assert!(entry.is_none_or(|entry| entry.0.load(Ordering::SeqCst) == 77));
            }
        });
        thread.join().unwrap();
        other.join().unwrap();
    }
}
