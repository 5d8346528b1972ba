//! Values are dropped once, not before their last guard, and soon enough that garbage stays bounded.
#![cfg(not(loom))]

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Weak, mpsc};
use std::thread;

use ebtree::{Domain, EbTree, Entry, Key};

/// Runs a test with the barrier of this system, with full fences, and with a scan after every removal.
fn in_each_domain(test: impl Fn(Domain)) {
    test(Domain::new());
    test(Domain::with_fences());
    test(Domain::with_batch(1));
}

/// Counts the values that are alive, and notices a second drop.
#[derive(Clone, Default)]
struct Census(Arc<AtomicUsize>);

struct Value {
    census: Census,
    dropped: AtomicBool,
}

impl Census {
    fn value(&self) -> Value {
        self.0.fetch_add(1, Ordering::Relaxed);
        Value { census: self.clone(), dropped: AtomicBool::new(false) }
    }

    fn alive(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Value {
    fn is_alive(&self) -> bool {
        !self.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        assert!(!self.dropped.swap(true, Ordering::Relaxed), "dropped twice");
        self.census.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[test]
fn every_value_is_dropped_once() {
    in_each_domain(|domain| {
        let census = Census::default();
        let tree = EbTree::new_in(domain.clone());
        for key in 0..1000_u64 {
            tree.insert(key, census.value());
            assert!(tree.insert(key, census.value()).is_some_and(|old| old.value().is_alive()));
            assert!(tree.try_insert(key, census.value()).is_err());
            tree.get_or_insert_with(key, || census.value());
        }
        for key in 0..500 {
            assert!(tree.remove(&key).is_some_and(|old| old.value().is_alive()));
        }
        assert!(tree.pop_first().is_some() && tree.pop_last().is_some());
        domain.flush();
        assert_eq!((domain.unreclaimed(), census.alive()), (0, 498));
        drop(tree);
        assert_eq!(census.alive(), 0, "a tree takes its entries along");
    });
}

/// A thread is parked in a visitor, so its slots stay as they are; another one goes on.
#[test]
fn a_stalled_reader_keeps_what_it_reads_and_no_more() {
    // A million operations for each barrier, fewer without optimisation.
    const PAIRS: u64 = if cfg!(debug_assertions) { 50_000 } else { 500_000 };
    for domain in [Domain::new(), Domain::with_fences()] {
        let census = Census::default();
        let tree = EbTree::new_in(domain.clone());
        for key in 0..64_u64 {
            tree.insert(key << 32, census.value());
        }
        let (parked, release) = (Barrier::new(2), Barrier::new(2));
        thread::scope(|scope| {
            scope.spawn(|| {
                tree.get_with(&0, |value| {
                    parked.wait();
                    release.wait();
                    assert!(value.is_alive(), "removed long ago, and still there to read");
                })
                .expect("it was there");
            });
            parked.wait();
            drop(tree.remove(&0));
            // Two threads; three slots of the reader, at most 64 of the path and a guard here.
            let bound = 2 * (256 + 3 + 65);
            for key in 0..PAIRS {
                let key = key << 16 | 1;
                assert!(tree.insert(key, census.value()).is_none());
                assert!(tree.remove(&key).is_some());
                if key % 64 == 1 {
                    assert!(domain.unreclaimed() <= bound, "{}", domain.unreclaimed());
                }
            }
            domain.flush();
            assert!(domain.unreclaimed() <= 3, "what the reader's slots name");
            assert_eq!(census.alive(), 63 + 1, "one of them is the value that is read");
            release.wait();
        });
        domain.flush();
        assert_eq!((domain.unreclaimed(), census.alive()), (0, 63));
    }
}

#[test]
fn trees_of_one_domain_are_dropped_in_any_order() {
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]] {
        in_each_domain(|domain| {
            let census = Census::default();
            let make = || {
                let tree = EbTree::new_in(domain.clone());
                for key in 0..100_u64 {
                    tree.insert(key, census.value());
                    if key % 2 == 0 {
                        tree.remove(&key);
                    }
                }
                tree
            };
            let mut parts: [Option<Box<dyn std::any::Any>>; 4] =
                [Some(Box::new(make())), Some(Box::new(make())), Some(Box::new(make())), None];
            parts[3] = Some(Box::new(domain));
            assert!(census.alive() >= 150);
            for part in order {
                drop(parts[part].take());
            }
            assert_eq!(census.alive(), 0, "the last handle frees all, in order {order:?}");
        });
    }
}

/// The threads that used the domain live on; what they retired is freed all the same.
#[test]
fn the_end_of_a_domain_frees_what_living_threads_retired() {
    let census = Census::default();
    let (ready, end) = (Barrier::new(4), Barrier::new(4));
    let tree = Arc::new(EbTree::new_in(Domain::new()));
    thread::scope(|scope| {
        for id in 0..3_u64 {
            let (tree, census, ready, end) = (Arc::clone(&tree), &census, &ready, &end);
            scope.spawn(move || {
                for key in 0..50 {
                    tree.insert(key << 2 | id, census.value());
                    tree.remove(&(key << 2 | id));
                }
                drop(tree);
                ready.wait();
                end.wait();
            });
        }
        ready.wait();
        assert!(census.alive() > 0, "the batches are not full");
        drop(tree);
        assert_eq!(census.alive(), 0);
        end.wait();
    });
}

#[test]
fn what_a_thread_left_behind_is_adopted() {
    in_each_domain(|domain| {
        let census = Census::default();
        let tree = EbTree::new_in(domain.clone());
        for key in 0..10_u64 {
            tree.insert(key, census.value());
        }
        let entries: Vec<_> = (0..10).map(|key| tree.get(&key).unwrap()).collect();
        let remove = |keys: std::ops::Range<u64>| {
            thread::scope(|scope| {
                scope
                    .spawn(|| keys.for_each(|key| assert!(tree.remove(&key).is_some())))
                    .join()
                    .unwrap();
            });
        };
        remove(0..5);
        assert!(domain.unreclaimed() >= 5, "the thread has ended, its entries are looked at here");
        assert_eq!(census.alive(), 10);
        // The next thread takes the record over, and its end scans the whole list.
        remove(5..10);
        assert!(entries.iter().all(|entry| entry.value().is_alive()));
        drop(entries);
        domain.flush();
        assert_eq!((domain.unreclaimed(), census.alive()), (0, 0));
    });
}

#[test]
fn guards_outlive_removal_in_any_order() {
    in_each_domain(|domain| {
        let census = Census::default();
        let tree = EbTree::new_in(domain.clone());
        for key in 0..200_u64 {
            tree.insert(key, census.value());
        }
        // More guards than a segment has slots; one more for each entry that was removed.
        let mut entries: Vec<Option<Entry<'_, u64, Value>>> = Vec::new();
        for key in 0..200 {
            entries.push(tree.get(&key));
            entries.push(tree.remove(&key));
        }
        domain.flush();
        assert_eq!((domain.unreclaimed(), census.alive()), (200, 200));
        for step in [7, 3, 2, 1] {
            for at in (0..entries.len()).step_by(step) {
                entries[at] = None;
            }
            domain.flush();
            let held: std::collections::BTreeSet<u64> =
                entries.iter().flatten().map(|entry| *entry.key()).collect();
            assert!(entries.iter().flatten().all(|entry| entry.value().is_alive()));
            assert_eq!((domain.unreclaimed(), census.alive()), (held.len(), held.len()));
        }
    });
}

/// A value that uses its tree when it is dropped.
struct Busy {
    tree: Weak<EbTree<u64, Self>>,
    key: u64,
    census: Census,
    _value: Value,
}

impl Busy {
    fn new(tree: &Arc<EbTree<u64, Self>>, key: u64, census: &Census) -> Self {
        let tree = Arc::downgrade(tree);
        Self { tree, key, census: census.clone(), _value: census.value() }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let Some(tree) = self.tree.upgrade() else { return };
        if self.key >= 1 << 20 {
            return;
        }
        let next = self.key + (1 << 18);
        tree.insert(next, Self::new(&tree, next, &self.census));
        assert!(tree.get(&next).is_some_and(|entry| *entry.key() == next));
        assert!(tree.ge(&self.key).is_some());
        tree.domain().flush();
        assert!(tree.remove(&next).is_some());
    }
}

#[test]
fn values_use_their_tree_when_dropped() {
    in_each_domain(|domain| {
        let census = Census::default();
        let tree = Arc::new(EbTree::new_in(domain.clone()));
        for key in 0..1000 {
            tree.insert(key, Busy::new(&tree, key, &census));
        }
        thread::scope(|scope| {
            let halves = [0, 1].map(|half| {
                let tree = &tree;
                scope.spawn(move || {
                    (0..1000).filter(|key| key % 2 == half).for_each(|key| {
                        assert!(tree.remove(&key).is_some());
                    });
                })
            });
            // Joined one by one: the end of a scope does not wait for thread locals to be dropped.
            halves.into_iter().for_each(|half| half.join().unwrap());
        });
        // Four generations, each freed by one more look.
        for _ in 0..6 {
            domain.flush();
        }
        assert_eq!((domain.unreclaimed(), census.alive()), (0, 0));
        assert!(tree.is_empty());
    });
}

/// What the drops of one scan retire is looked at by the next, which comes as soon as there is a batch of it.
#[test]
fn what_drops_retire_is_not_taken_for_survivors() {
    struct Clears(Weak<EbTree<u64, Self>>, Value);
    impl Drop for Clears {
        fn drop(&mut self) {
            assert!(self.1.is_alive());
            if let Some(tree) = self.0.upgrade() {
                while tree.pop_last().is_some() {}
            }
        }
    }
    let census = Census::default();
    let domain = Domain::new();
    let tree = Arc::new(EbTree::new_in(domain.clone()));
    for key in 0..3000 {
        tree.insert(key, Clears(Arc::downgrade(&tree), census.value()));
    }
    drop(tree.remove(&0));
    domain.flush();
    assert!(domain.unreclaimed() > 1000, "dropping the first removed all the others");
    assert!(tree.is_empty() && tree.get(&1).is_none());
    assert!(domain.unreclaimed() == 0, "looking into the tree was enough");
    assert_eq!(census.alive(), 0);
}

/// Each value removes the next when it is dropped. At the end of a thread there is nobody left to
/// put that off to; it must not be done by calls inside calls.
#[test]
fn a_chain_of_drops_at_the_end_of_a_thread_does_not_nest() {
    struct Chained(Weak<EbTree<u64, Self>>, u64, Value);
    impl Drop for Chained {
        fn drop(&mut self) {
            assert!(self.2.is_alive());
            if let Some(tree) = self.0.upgrade() {
                tree.remove_if(&(self.1 + 1), |_| true);
            }
        }
    }
    const LENGTH: u64 = 20_000;
    let census = Census::default();
    let domain = Domain::with_fences();
    let tree = Arc::new(EbTree::new_in(domain.clone()));
    for key in 0..LENGTH {
        tree.insert(key, Chained(Arc::downgrade(&tree), key, census.value()));
    }
    thread::scope(|scope| {
        scope.spawn(|| assert!(tree.remove_if(&0, |_| true))).join().unwrap();
    });
    // Those that are not removed yet: freed with the tree.
    drop(tree);
    drop(domain);
    assert_eq!(census.alive(), 0);
}

#[test]
fn visitors_and_predicates_nest() {
    in_each_domain(|domain| {
        let census = Census::default();
        let one = EbTree::new_in(domain.clone());
        let two = EbTree::new_in(domain.clone());
        for key in 0..64_u64 {
            one.insert(key, census.value());
            two.insert(key, census.value());
        }
        for key in 0..32 {
            let removed = one.remove_if(&key, |first| {
                two.remove(&key);
                domain.flush();
                let popped = two.pop_first_if(|at, second| {
                    one.get_with(&(key + 1), |third| {
                        // Three operations below this one, and a fourth; each churns enough to use every slot.
                        for other in 1000..1040 {
                            one.insert(other, census.value());
                            two.insert(other, census.value());
                            assert!(one.remove(&other).is_some() && two.remove(&other).is_some());
                        }
                        assert!(one.iter().count() == 64 - usize::try_from(key).unwrap());
                        domain.flush();
                        assert!(first.is_alive() && second.is_alive() && third.is_alive());
                    })
                    .is_some()
                        && *at > key
                        && key % 2 == 0
                });
                assert_eq!(popped.is_some(), key % 2 == 0, "key {key}");
                drop(popped);
                // Put back what the next turn expects to be first.
                assert!(first.is_alive());
                true
            });
            assert!(removed);
            if key % 2 == 0 {
                two.insert(key + 1, census.value());
            }
        }
        domain.flush();
        assert_eq!(domain.unreclaimed(), 0);
        assert_eq!(census.alive(), one.iter().count() + two.iter().count());
    });
}

#[test]
fn a_panic_in_a_visitor_or_predicate_leaves_the_tree_as_it_was() {
    in_each_domain(|domain| {
        let census = Census::default();
        let tree = EbTree::new_in(domain.clone());
        for key in 0..100_u64 {
            tree.insert(key, census.value());
        }
        let panics: [&dyn Fn(); 5] = [
            &|| tree.get_with(&5, |_| panic!("on purpose")).unwrap(),
            &|| assert!(tree.remove_if(&5, |_| panic!("on purpose"))),
            &|| drop(tree.pop_first_if(|_, _| panic!("on purpose"))),
            &|| drop(tree.get_or_insert_with(500, || panic!("on purpose"))),
            &|| {
                tree.get_with(&5, |_| {
                    let _entry = tree.remove(&6);
                    tree.remove_if(&7, |_| panic!("on purpose"))
                });
            },
        ];
        for panic in panics {
            assert!(catch_unwind(AssertUnwindSafe(panic)).is_err());
        }
        assert!(tree.remove(&6).is_none(), "removed before the panic");
        assert_eq!(tree.iter().count(), 99);
        for key in 0..100 {
            assert_eq!(tree.remove(&key).is_some(), key != 6);
        }
        domain.flush();
        assert_eq!((domain.unreclaimed(), census.alive()), (0, 0), "no slot was left behind");
    });
}

/// Panics when it is dropped, if told to.
struct Fragile {
    panics: Arc<AtomicBool>,
    _value: Value,
}

impl Drop for Fragile {
    fn drop(&mut self) {
        assert!(!self.panics.load(Ordering::Relaxed), "on purpose");
    }
}

#[test]
fn a_panic_in_a_drop_leaves_the_rest_to_the_next_scan() {
    in_each_domain(|domain| {
        let census = Census::default();
        let panics = Arc::new(AtomicBool::new(true));
        let tree = EbTree::new_in(domain.clone());
        let insert = |key: u64| {
            tree.insert(key, Fragile { panics: Arc::clone(&panics), _value: census.value() });
        };
        (0..1000).for_each(insert);
        // Some operations end in a scan, which drops values, which panic; what was done is done.
        let mut caught = 0;
        for key in 0..1000 {
            caught +=
                usize::from(catch_unwind(AssertUnwindSafe(|| drop(tree.remove(&key)))).is_err());
            assert!(!tree.contains_key(&key));
        }
        // A value whose drop panicked counts as dropped: its fields were.
        caught += usize::from(catch_unwind(AssertUnwindSafe(|| domain.flush())).is_err());
        assert!(caught > 1);
        panics.store(false, Ordering::Relaxed);
        domain.flush();
        assert_eq!((domain.unreclaimed(), census.alive()), (0, 0), "no guard was left behind");

        // The same while another thread's list is flushed.
        (0..10).for_each(insert);
        let entries: Vec<_> = tree.iter().collect();
        thread::scope(|scope| {
            scope.spawn(|| (0..10).for_each(|key| drop(tree.remove(&key)))).join().unwrap();
        });
        drop(entries);
        panics.store(true, Ordering::Relaxed);
        assert!(catch_unwind(AssertUnwindSafe(|| domain.flush())).is_err());
        panics.store(false, Ordering::Relaxed);
        domain.flush();
        assert_eq!((domain.unreclaimed(), census.alive()), (0, 0), "the list can still be adopted");
    });
}

/// A guard in a thread local, dropped when the thread ends: before the thread's record is given back, or
/// after it.
#[test]
fn guards_may_be_dropped_by_the_end_of_their_thread() {
    type Kept = RefCell<Vec<Entry<'static, u64, Value>>>;
    thread_local! {
        static KEPT: Kept = const { RefCell::new(Vec::new()) };
    }
    in_each_domain(|domain| {
        for kept_first in [true, false] {
            let census = Census::default();
            let tree: &'static EbTree<u64, Value> =
                Box::leak(Box::new(EbTree::new_in(domain.clone())));
            for key in 0..100 {
                tree.insert(key, census.value());
            }
            for round in 0..10 {
                thread::spawn(move || {
                    if kept_first {
                        KEPT.with_borrow_mut(Vec::clear);
                    }
                    for key in 0..10 {
                        let entry = tree.get(&(round * 10 + key)).unwrap();
                        KEPT.with_borrow_mut(|kept| kept.push(entry));
                        drop(tree.remove(&(round * 10 + key)));
                    }
                    KEPT.with_borrow(|kept| {
                        assert!(kept.iter().all(|entry| entry.value().is_alive()));
                    });
                })
                .join()
                .unwrap();
            }
            assert!(tree.is_empty());
            domain.flush();
            assert_eq!((domain.unreclaimed(), census.alive()), (0, 0));
            // SAFETY: from a box above; all threads have ended.
            drop(unsafe { Box::from_raw(std::ptr::from_ref(tree).cast_mut()) });
        }
    });
}

/// Operations in the destructors of thread locals, after the thread's record was given back.
#[test]
fn trees_are_used_while_a_thread_ends() {
    struct Late(&'static EbTree<u64, Value>, Census, u64);
    impl Drop for Late {
        fn drop(&mut self) {
            let (tree, key) = (self.0, self.2);
            tree.insert(key, self.1.value());
            let entry = tree.get(&key).unwrap();
            assert!(tree.remove_if(&key, |value| {
                assert!(tree.ge(&0).is_some());
                value.is_alive()
            }));
            tree.domain().flush();
            assert!(entry.value().is_alive() && tree.first().is_some());
        }
    }
    thread_local! {
        static LATE: RefCell<Option<Late>> = const { RefCell::new(None) };
    }
    in_each_domain(|domain| {
        for late_first in [true, false] {
            let census = Census::default();
            let tree: &'static EbTree<u64, Value> =
                Box::leak(Box::new(EbTree::new_in(domain.clone())));
            tree.insert(0, census.value());
            let threads: Vec<_> = (1..5_u64)
                .map(|id| {
                    let census = census.clone();
                    thread::spawn(move || {
                        let late = Late(tree, census, id);
                        if late_first {
                            LATE.set(Some(late));
                            assert!(tree.get(&0).is_some());
                        } else {
                            assert!(tree.get(&0).is_some());
                            LATE.set(Some(late));
                        }
                    })
                })
                .collect();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            domain.flush();
            assert_eq!((domain.unreclaimed(), census.alive()), (0, 1));
            // SAFETY: from a box above; all threads have ended.
            drop(unsafe { Box::from_raw(std::ptr::from_ref(tree).cast_mut()) });
        }
    });
}

/// A key of 200 bits, most significant first. Paths are longer than three segments of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Long([u8; BYTES]);

const BYTES: usize = 25;
const BITS: usize = 8 * BYTES;

impl Long {
    /// The number whose bit `bit` is set; differs from the others of its kind at every level.
    fn power(bit: usize) -> Self {
        let mut bytes = [0; BYTES];
        bytes[BYTES - 1 - bit / 8] = 1 << (bit % 8);
        Self(bytes)
    }
}

impl Key for Long {
    fn first_difference(&self, other: &Self) -> Option<u16> {
        let at = self.0.iter().zip(&other.0).position(|(a, b)| a != b)?;
        let bit = 7 - (self.0[at] ^ other.0[at]).leading_zeros();
        u16::try_from((BYTES - 1 - at) * 8 + usize::try_from(bit).ok()?).ok()
    }

    fn bit(&self, position: u16) -> bool {
        let position = usize::from(position);
        self.0[BYTES - 1 - position / 8] >> (position % 8) & 1 != 0
    }
}

#[test]
fn paths_may_be_deeper_than_a_segment_of_slots() {
    in_each_domain(|domain| {
        let census = Census::default();
        let tree = EbTree::new_in(domain.clone());
        for bit in (0..BITS).rev() {
            assert!(tree.insert(Long::power(bit), census.value()).is_none());
        }
        let walked: Vec<_> = tree.iter().map(|entry| *entry.key()).collect();
        assert_eq!(walked, (0..BITS).map(Long::power).collect::<Vec<_>>());
        assert_eq!(tree.first().map(|entry| *entry.key()), Some(Long::power(0)));
        assert_eq!(tree.lt(&Long::power(9)).map(|entry| *entry.key()), Some(Long::power(8)));
        // Held and read at every depth, while an operation that is as deep runs inside.
        for bit in 0..BITS {
            let seen = tree.remove_if(&Long::power(bit), |value| {
                assert_eq!(tree.iter().count(), BITS - bit);
                value.is_alive()
            });
            assert!(seen);
        }
        domain.flush();
        assert_eq!((domain.unreclaimed(), census.alive()), (0, 0));
    });
}

#[test]
fn deep_paths_are_protected() {
    let census = Census::default();
    let domain = Domain::with_batch(8);
    let tree = EbTree::new_in(domain.clone());
    thread::scope(|scope| {
        let (tree, census) = (&tree, &census);
        let threads = [0, 1, 2, 3].map(|id| {
            scope.spawn(move || {
                for round in 0..20 {
                    for bit in 0..BITS {
                        let key = Long::power((bit * 7 + id * 50 + round) % BITS);
                        match (bit + id) % 4 {
                            0 | 1 => drop(tree.insert(key, census.value())),
                            2 => drop(tree.remove(&key)),
                            _ => {
                                let near = tree.le(&key);
                                assert!(near.is_none_or(|near| near.value().is_alive()));
                            }
                        }
                    }
                }
            })
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    domain.flush();
    assert_eq!((domain.unreclaimed(), census.alive()), (0, tree.iter().count()));
}

/// The system call is refused after it was registered: nothing may be freed then, and what is kept is
/// counted.
#[cfg(target_os = "linux")]
#[test]
fn nothing_is_freed_when_the_barrier_fails() {
    let census = Census::default();
    let domain = Domain::new();
    let tree = EbTree::new_in(domain.clone());
    let (done, result) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            // Of this thread only.
            if !refuse_membarrier() {
                return;
            }
            for key in 0..1000_u64 {
                tree.insert(key, census.value());
                tree.remove(&key);
            }
            domain.flush();
            done.send((domain.unreclaimed(), census.alive())).unwrap();
        });
    });
    let Ok((unreclaimed, alive)) = result.try_recv() else {
        println!("not checked: this system refuses a filter of system calls, or has no membarrier");
        return;
    };
    assert_eq!(alive, 1000, "no value was dropped");
    assert!(unreclaimed >= 1000);
    // Another thread, whose call works, frees what it unlinks; what was kept stays kept.
    for key in 0..1000 {
        tree.insert(key, census.value());
        tree.remove(&key);
    }
    domain.flush();
    assert_eq!((domain.unreclaimed(), census.alive()), (unreclaimed, 1000));
}

/// Makes `membarrier` fail on this thread from now on. Returns whether it worked before and fails now.
#[cfg(target_os = "linux")]
fn refuse_membarrier() -> bool {
    const PRIVATE_EXPEDITED: libc::c_int = 1 << 3;
    // SAFETY: takes integers and touches no memory of ours.
    let call = || unsafe { libc::syscall(libc::SYS_membarrier, PRIVATE_EXPEDITED, 0, 0) } == 0;
    if !call() {
        return false;
    }
    let number = u32::try_from(libc::SYS_membarrier).unwrap();
    let load = u16::try_from(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS).unwrap();
    let jump = u16::try_from(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K).unwrap();
    let end = u16::try_from(libc::BPF_RET | libc::BPF_K).unwrap();
    let line = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut filter = [
        line(load, 0, 0, 0),
        line(jump, 0, 1, number),
        line(end, 0, 0, libc::SECCOMP_RET_ERRNO | u32::try_from(libc::EPERM).unwrap()),
        line(end, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: 4, filter: filter.as_mut_ptr() };
    // SAFETY: takes integers.
    let alone = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } == 0;
    // SAFETY: the program is four lines long and is copied by the call.
    alone
        && unsafe {
            libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program)
        } == 0
        && !call()
}
