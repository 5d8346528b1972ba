//! Whatever panics, the user's code or what it is called from: the map stays usable, and every key and value is dropped once.
#![cfg(not(loom))]

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use ebtree::{Domain, EbTree, Key};

thread_local! {
    /// How many more calls of a key's methods go well.
    static CALLS: Cell<Option<usize>> = const { Cell::new(None) };
}

fn call() {
    match CALLS.get() {
        None => {}
        Some(0) => panic!("as planned"),
        Some(left) => CALLS.set(Some(left - 1)),
    }
}

/// Runs `operation` with a key whose methods panic after so many calls. Returns whether they did.
fn panics(calls: usize, operation: impl FnOnce()) -> bool {
    CALLS.set(Some(calls));
    let panicked = catch_unwind(AssertUnwindSafe(operation)).is_err();
    CALLS.set(None);
    panicked
}

/// Counts what is alive.
#[derive(Clone, Default)]
struct Census(Arc<AtomicUsize>);

impl Census {
    fn counted(&self) -> Counted {
        self.0.fetch_add(1, Ordering::Relaxed);
        Counted { census: self.clone(), dropped: false }
    }

    fn alive(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

struct Counted {
    census: Census,
    dropped: bool,
}

impl Drop for Counted {
    fn drop(&mut self) {
        assert!(!core::mem::replace(&mut self.dropped, true), "dropped twice");
        self.census.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct FragileKey(u64, Counted);

impl Clone for FragileKey {
    fn clone(&self) -> Self {
        call();
        Self(self.0, self.1.census.counted())
    }
}

impl Key for FragileKey {
    fn first_difference(&self, other: &Self) -> Option<u16> {
        call();
        self.0.first_difference(&other.0)
    }

    fn bit(&self, position: u16) -> bool {
        call();
        self.0.bit(position)
    }
}

type Tree = EbTree<FragileKey, Counted>;

/// Tries each call of a key's methods in turn, on a map with the keys 1 to 9.
fn whichever_call_panics(name: &str, operation: impl Fn(&Tree, FragileKey, Counted)) {
    for at in [5, 50] {
        for calls in 0.. {
            let (keys, values) = (Census::default(), Census::default());
            let key = |number| FragileKey(number, keys.counted());
            let domain = Domain::with_batch(1);
            let tree = Tree::new_in(domain.clone());
            for number in 1..10 {
                tree.insert(key(number), values.counted());
            }
            let (new, value) = (key(at), values.counted());
            let panicked = panics(calls, || operation(&tree, new, value));
            domain.flush();
            let left = (domain.unreclaimed(), keys.alive(), values.alive());
            assert_eq!(left, (0, tree.len(), tree.len()), "{name}, call {calls} at {at}");
            // Usable all the same.
            assert!(tree.remove(&key(9)).is_some() && tree.get(&key(9)).is_none());
            tree.insert(key(at), values.counted());
            assert!(tree.contains_key(&key(at)));
            drop((tree, domain));
            assert_eq!((keys.alive(), values.alive()), (0, 0), "{name}, call {calls} at {at}");
            if !panicked {
                assert!(calls > 3, "{name}: several calls panicked before");
                break;
            }
        }
    }
}

#[test]
fn a_panic_in_a_method_of_the_key_leaks_nothing() {
    whichever_call_panics("insert", |tree, key, value| drop(tree.insert(key, value)));
    whichever_call_panics("try_insert", |tree, key, value| drop(tree.try_insert(key, value)));
    whichever_call_panics("get_or_insert_with", |tree, key, value| {
        drop(tree.get_or_insert_with(key, || value));
    });
    // Between the look and the insert somebody else inserts.
    whichever_call_panics("get_or_insert_with, too late", |tree, key, value| {
        let again = key.clone();
        drop(tree.get_or_insert_with(key, || {
            let other = value.census.counted();
            tree.insert(again, value);
            other
        }));
    });
    whichever_call_panics("update", |tree, key, _| {
        drop(tree.update(&key, |old| old.census.counted()));
    });
    whichever_call_panics("compute", |tree, key, value| {
        let change = tree.compute(&key, |_| Some(value.census.counted()));
        assert!(change.after.is_some());
    });
    whichever_call_panics("compute, removing", |tree, key, _| {
        assert!(tree.compute(&key, |_| None).after.is_none());
    });
    whichever_call_panics("replace_if", |tree, key, value| {
        drop(tree.replace_if(&key, value, |_| true));
    });
    whichever_call_panics("compare_exchange", |tree, key, value| {
        let entry = tree.ge(&key).or_else(|| tree.first()).expect("never empty");
        assert!(tree.compare_exchange(&entry, value.census.counted()).is_ok());
        assert!(tree.compare_exchange(&entry, value).is_err());
    });
    whichever_call_panics("remove_entry", |tree, key, _| {
        let entry = tree.ge(&key).or_else(|| tree.first()).expect("never empty");
        assert!(tree.remove_entry(&entry));
        assert!(!tree.remove_entry(&entry));
    });
}

/// A value whose drop panics as long as it is told to.
struct Fragile {
    panics: Arc<AtomicBool>,
    _counted: Counted,
}

impl Drop for Fragile {
    fn drop(&mut self) {
        assert!(!self.panics.load(Ordering::Relaxed), "on purpose");
    }
}

/// Removes a key such that its value is dropped at the end of the next operation: not of this one, because a panic goes by.
fn remove_quietly(tree: &EbTree<u64, Fragile>, key: u64) {
    struct OnUnwind<'t>(&'t EbTree<u64, Fragile>, u64);
    impl Drop for OnUnwind<'_> {
        fn drop(&mut self) {
            drop(self.0.remove(&self.1));
        }
    }
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let _remove = OnUnwind(tree, key);
        panic!("on purpose");
    }));
    assert!(unwound.is_err());
}

/// An operation that is given what makes its end panic.
type Operation<'a> = &'a dyn Fn(&EbTree<u64, Fragile>, &dyn Fn());

/// The end of an operation drops what was removed before, which panics: what the operation has linked stays linked, what
/// it has not is freed. The key 2 is there, 1 is not.
#[test]
fn a_panic_in_a_drop_after_the_work_is_done() {
    let (census, panics) = (Census::default(), Arc::new(AtomicBool::new(false)));
    let value = || Fragile { panics: Arc::clone(&panics), _counted: census.counted() };
    let quiet = || Fragile { panics: Arc::default(), _counted: census.counted() };
    let after = |operation: Operation<'_>| {
        let domain = Domain::with_batch(1);
        let tree = EbTree::new_in(domain.clone());
        tree.insert(2, quiet());
        tree.insert(3, value());
        let before = core::ptr::from_ref(tree.get(&2).unwrap().value()).addr();
        let break_the_next = || {
            remove_quietly(&tree, 3);
            panics.store(true, Ordering::Relaxed);
        };
        let run = AssertUnwindSafe(|| operation(&tree, &break_the_next));
        let panicked = catch_unwind(run).is_err();
        panics.store(false, Ordering::Relaxed);
        assert!(panicked, "at the end of the operation");
        let is_other = core::ptr::from_ref(tree.get(&2).unwrap().value()).addr() != before;
        domain.flush();
        assert_eq!((domain.unreclaimed(), census.alive()), (0, tree.len()));
        let inserted = tree.contains_key(&1);
        drop(tree);
        assert_eq!(census.alive(), 0);
        (inserted, is_other)
    };

    let insert = |key| {
        after(&|tree, break_the_next| {
            break_the_next();
            drop(tree.insert(key, quiet()));
        })
    };
    assert_eq!(insert(1), (true, false));
    assert_eq!(insert(2), (false, false), "at the end of the first attempt");
    let try_insert = |key| {
        after(&|tree, break_the_next| {
            break_the_next();
            drop(tree.try_insert(key, quiet()));
        })
    };
    assert_eq!(try_insert(1), (true, false));
    assert_eq!(try_insert(2), (false, false));
    let get_or_insert = after(&|tree, break_the_next| {
        drop(tree.get_or_insert_with(1, || {
            break_the_next();
            quiet()
        }));
    });
    assert_eq!(get_or_insert, (true, false));
    let compute = |key| {
        after(&|tree, break_the_next| {
            let change = tree.compute(&key, |_| {
                break_the_next();
                Some(quiet())
            });
            drop(change);
        })
    };
    assert_eq!(compute(1), (true, false));
    assert_eq!(compute(2), (false, true));
    let compare_exchange = after(&|tree, break_the_next| {
        let there = tree.get(&2).unwrap();
        break_the_next();
        drop(tree.compare_exchange(&there, quiet()));
    });
    assert_eq!(compare_exchange, (false, true));
    let refused = after(&|tree, break_the_next| {
        let there = tree.get(&2).unwrap();
        tree.insert(2, quiet());
        // Two are retired then, of which one is looked at.
        break_the_next();
        drop(tree.compare_exchange(&there, quiet()));
    });
    assert_eq!(refused, (false, true));
}

#[test]
fn entries_that_changes_return_are_kept() {
    let (census, domain) = (Census::default(), Domain::with_batch(1));
    let tree = EbTree::new_in(domain.clone());
    let inserted = tree.compute(&1_u64, |_| Some(census.counted()));
    let updated = tree.update(&1, |_| census.counted()).unwrap();
    let exchanged = tree.compare_exchange(&updated, census.counted()).unwrap_or_else(|_| panic!());
    let replaced = tree.replace_if(&1, census.counted(), |_| true).unwrap_or_else(|_| panic!());
    let refused = tree.compare_exchange(&replaced, census.counted()).err().unwrap();
    let removed = tree.compute(&1, |_| None);
    domain.flush();
    assert!(tree.is_empty() && removed.after.is_none());
    assert_eq!((domain.unreclaimed(), census.alive()), (4, 5), "four entries, one refused value");
    drop((inserted, updated, exchanged, replaced, refused));
    domain.flush();
    assert_eq!((domain.unreclaimed(), census.alive()), (1, 1));
    drop(removed);
    domain.flush();
    assert_eq!((domain.unreclaimed(), census.alive()), (0, 0));
}

#[test]
fn closures_nest_and_panic_and_nothing_leaks() {
    let census = Census::default();
    let domain = Domain::with_batch(1);
    let tree = EbTree::new_in(domain.clone());
    for key in 0..10_u64 {
        tree.insert(key, census.counted());
    }
    let nested = || {
        tree.update(&1, |_| {
            drop(tree.compute(&2, |_| None));
            drop(tree.compute(&20, |_| Some(census.counted())));
            drop(tree.remove(&3));
            assert_eq!(tree.range(..).rev().count(), 9);
            census.counted()
        })
    };
    assert!(nested().is_some());
    assert_eq!(tree.len(), 9);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        tree.update(&1, |_| {
            let made = census.counted();
            drop(tree.compute(&4, |_| None));
            drop(tree.update(&5, |_| panic!("on purpose")));
            made
        })
        .is_some()
    }));
    assert!(panicked.is_err());
    domain.flush();
    assert_eq!((domain.unreclaimed(), census.alive(), tree.len()), (0, 8, 8));
    drop(tree.into_iter().nth(3));
    assert_eq!(census.alive(), 0);
}

#[test]
fn an_iterator_by_value_drops_the_rest_once_also_when_a_drop_panics() {
    let (census, panics) = (Census::default(), Arc::new(AtomicBool::new(false)));
    for (front, back) in [(0, 0), (1, 0), (0, 1), (3, 4), (50, 50), (60, 70)] {
        let tree = EbTree::new_in(Domain::new());
        for key in 0..100_u64 {
            let panics = if key == 45 { Arc::clone(&panics) } else { Arc::default() };
            tree.insert(key, Fragile { panics, _counted: census.counted() });
        }
        let mut all = tree.into_iter();
        assert_eq!(all.by_ref().take(front).count(), front.min(100));
        assert_eq!(all.by_ref().rev().take(back).count(), back.min(100 - front));
        assert_eq!(census.alive(), 100_usize.saturating_sub(front + back));
        let dropped = front <= 45 && 45 < 100_usize.saturating_sub(back);
        panics.store(true, Ordering::Relaxed);
        let panicked = catch_unwind(AssertUnwindSafe(|| drop(all))).is_err();
        panics.store(false, Ordering::Relaxed);
        assert_eq!((panicked, census.alive()), (dropped, 0), "{front} {back}");
    }
}

/// The scan at the end of a walk drops a value that panics, when the walk has its result already.
#[test]
fn what_a_visitor_broke_with_is_dropped_when_the_end_panics() {
    struct Bomb(bool);
    impl Drop for Bomb {
        fn drop(&mut self) {
            assert!(!self.0 || std::thread::panicking(), "on purpose");
        }
    }
    let tree = EbTree::new_in(Domain::with_batch(1));
    tree.insert(1_u64, Bomb(false));
    tree.insert(2, Bomb(true));
    let witness = std::sync::Arc::new(());
    let walk = std::panic::AssertUnwindSafe(|| {
        tree.range_with(.., |_, _| {
            drop(tree.remove(&2));
            std::ops::ControlFlow::Break(std::sync::Arc::clone(&witness))
        })
    });
    assert!(std::panic::catch_unwind(walk).is_err());
    assert_eq!(std::sync::Arc::strong_count(&witness), 1, "leaked");
}
