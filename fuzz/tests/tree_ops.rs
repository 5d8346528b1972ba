//! The tree against `BTreeMap`, with guards that are kept, visitors that use the tree, and two threads.
#![cfg(not(loom))]

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use bolero::{TypeGenerator, check, produce};
use ebtree::{Domain, EbTree, Entry};
use fuzz::tree::counted::Counted;
use fuzz::tree::{Operation, Shape, Shared, Spread, compare};

#[test]
fn like_a_btree_map_with_guards_and_visitors() {
    let operations = produce::<Vec<Operation>>().with().len(0..=300_usize);
    check!()
        .with_max_len(1 << 13)
        .with_generator((Shape::produce(), Spread::produce(), operations))
        .for_each(|(shape, spread, operations)| {
            compare(*shape, operations, |k| spread.wide(k));
            compare(*shape, operations, |k| spread.narrow(k));
        });
}

/// What one thread did: values it put in, and values it took out.
#[derive(Default)]
struct Account {
    put: Vec<(u64, u64)>,
    taken: Vec<(u64, u64)>,
}

fn pair(entry: &Entry<'_, u64, Counted>) -> (u64, u64) {
    (*entry.key(), entry.value().number())
}

fn thread(
    tree: &EbTree<u64, Counted>,
    alive: &Arc<AtomicUsize>,
    id: u64,
    spread: Spread,
    operations: &[Shared],
) -> Account {
    let mut account = Account::default();
    let mut next = id << 32;
    let mut value = || {
        next += 1;
        (next, Counted::new(next, alive))
    };
    for operation in operations {
        let key = |k: u8| spread.wide(k % 6);
        match *operation {
            Shared::TryInsert { key: k } => {
                let (number, value) = value();
                match tree.try_insert(key(k), value) {
                    Ok(()) => account.put.push((key(k), number)),
                    Err((there, _)) => assert_eq!(*there.key(), key(k)),
                }
            }
            Shared::Insert { key: k } => {
                let (number, value) = value();
                account.put.push((key(k), number));
                if let Some(old) = tree.insert(key(k), value) {
                    account.taken.push(pair(&old));
                }
            }
            Shared::GetOrInsert { key: k } => {
                let (number, value) = value();
                let entry = tree.get_or_insert_with(key(k), || value);
                if entry.value().number() == number {
                    account.put.push((key(k), number));
                }
            }
            Shared::Remove { key: k } => {
                account.taken.extend(tree.remove(&key(k)).map(|e| pair(&e)))
            }
            Shared::RemoveIf { key: k, own } => {
                let mut seen = 0;
                let removed = tree.remove_if(&key(k), |value| {
                    seen = value.number();
                    own == (seen >> 32 == id)
                });
                if removed {
                    account.taken.push((key(k), seen));
                }
            }
            Shared::PopFirst => account.taken.extend(tree.pop_first().map(|entry| pair(&entry))),
            Shared::PopLast => account.taken.extend(tree.pop_last().map(|entry| pair(&entry))),
            Shared::Get { key: k } => {
                if let Some(entry) = tree.get(&key(k)) {
                    assert_eq!(*entry.key(), key(k));
                    entry.value().number();
                }
            }
            Shared::Walk => {
                let keys: Vec<_> = tree.iter().map(|entry| pair(&entry).0).collect();
                assert!(keys.is_sorted_by(|a, b| a < b), "in strict order");
            }
            Shared::Flush => tree.domain().flush(),
        }
    }
    account
}

#[test]
fn two_threads_neither_lose_nor_double() {
    let operations = || produce::<Vec<Shared>>().with().len(0..=200_usize);
    check!()
        .with_max_len(1 << 12)
        .with_generator((Spread::produce(), operations(), operations()))
        .for_each(|(spread, one, two)| {
            let alive = Arc::new(AtomicUsize::new(0));
            let tree = EbTree::new_in(Domain::with_batch(4));
            let (a, b) = thread::scope(|scope| {
                let other = scope.spawn(|| thread(&tree, &alive, 1, *spread, one));
                let ours = thread(&tree, &alive, 2, *spread, two);
                (ours, other.join().unwrap_or_else(|panic| resume_unwind(panic)))
            });
            let sorted = |mut pairs: Vec<(u64, u64)>| {
                pairs.sort_unstable();
                pairs
            };
            let put = sorted([a.put, b.put].concat());
            let present: Vec<_> = tree.iter().map(|entry| pair(&entry)).collect();
            let gone = sorted([a.taken, b.taken, present.clone()].concat());
            assert_eq!(put, gone, "what was put in was taken out once, or is there");
            tree.domain().flush();
            assert_eq!(tree.domain().unreclaimed(), 0);
            assert_eq!(alive.load(Ordering::Relaxed), present.len());
            drop(tree);
            assert_eq!(alive.load(Ordering::Relaxed), 0);
        });
}
