//! Longest matches and walks beside threads that change what they look at.
#![cfg(not(loom))]

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use ebtree::prefix::Prefix;
use ebtree::{Domain, EbPrefixTree, Ipv4Prefix};

/// The value of a prefix is its length, so that what was found can be checked.
type Tree = EbPrefixTree<Ipv4Addr, u8>;

/// A small generator, so that a run is reproduced by its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as u32 % end
    }
}

/// Steps each thread does: enough to find what there is to find in CI; `STRESS_STEPS` for longer runs.
fn steps() -> u64 {
    std::env::var("STRESS_STEPS").ok().and_then(|steps| steps.parse().ok()).unwrap_or(100_000)
}

fn network(text: &str) -> Ipv4Prefix {
    text.parse().unwrap()
}

fn insert(tree: &Tree, prefix: Ipv4Prefix) {
    tree.insert(prefix, prefix.length());
}

/// The tests run one after the other: with more threads than cores, calls and changes hardly ever meet.
static ALONE: Mutex<()> = Mutex::new(());

/// Sets the flag when it goes out of scope, by a panic too: the others then end.
struct Stop<'s>(&'s AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Three networks stay, one in the other. Others come and go: longer covers of one address, shorter ones in between, and
/// neighbours that split the path.
#[test]
fn never_shorter_than_what_stays() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let stays = [network("10.0.0.0/8"), network("10.1.0.0/16"), network("10.1.2.0/24")];
    let address = Ipv4Addr::new(10, 1, 2, 3);
    let tree = Tree::new_in(Domain::with_batch(32));
    stays.iter().for_each(|prefix| insert(&tree, *prefix));
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let (tree, stop) = (&tree, &stop);
        let until_here = Stop(stop);
        let change = |id: u64| {
            scope.spawn(move || {
                let mut random = Random(0x1234_5678 + id);
                while !stop.load(Ordering::Relaxed) {
                    // An address that agrees with the other one in some bits, and a prefix of it.
                    let common = random.below(33);
                    let other = address.to_bits() ^ 1_u32.checked_shl(common).unwrap_or(0);
                    let length = u8::try_from(random.below(33)).unwrap();
                    let prefix = Prefix::new(Ipv4Addr::from_bits(other), length).unwrap();
                    // One that stays may be replaced.
                    if stays.contains(&prefix) || random.below(2) == 0 {
                        insert(tree, prefix);
                    } else {
                        tree.remove(&prefix);
                    }
                }
            })
        };
        let changing: Vec<_> = (0..2).map(change).collect();
        for _ in 0..steps() / 2 {
            let found = tree.longest_match(address).expect("three that stay");
            assert!(found.prefix().contains(address), "{found:?}");
            assert_eq!(found.prefix().length(), *found.value());
            assert!(*found.value() >= 24, "{found:?}");
            let near = Ipv4Addr::new(10, 1, 77, 3);
            let found = tree.longest_match_with(near, |prefix, length| (*prefix, *length));
            assert!(found.is_some_and(|(prefix, length)| prefix.contains(near) && length >= 16));
        }
        for _ in 0..steps() / 100 {
            let all: Vec<_> = tree.covering(&address.into()).map(|it| *it.prefix()).collect();
            assert!(all.is_sorted_by(|a, b| a.length() > b.length() && b.covers(a)), "{all:?}");
            assert!(stays.iter().all(|prefix| all.contains(prefix)), "{all:?}");
            let all: Vec<_> = tree.covered(&stays[1]).map(|it| *it.prefix()).collect();
            assert!(all.is_sorted_by(|a, b| a < b) && all.iter().all(|it| stays[1].covers(it)));
            assert!(stays[1..].iter().all(|prefix| all.contains(prefix)), "{all:?}");
            let all: Vec<_> = tree.outermost(&Ipv4Prefix::ALL).map(|it| *it.prefix()).collect();
            assert!(all.windows(2).all(|two| two[0] < two[1] && !two[0].covers(&two[1])));
            assert!(stays.iter().all(|prefix| all.iter().any(|it| it.covers(prefix))), "{all:?}");
        }
        drop(until_here);
        // Joined one by one: ThreadSanitizer does not see how a scope ends.
        changing.into_iter().for_each(|thread| thread.join().unwrap());
    });
    stays.iter().for_each(|prefix| assert!(tree.contains_key(prefix)));
}

/// One thread replaces a longer network by a shorter one and back, the new one always first, and a neighbour comes and
/// goes in between. Who looks never sees neither, unless so much happened within the call that one came and went.
#[test]
fn no_gap_where_the_new_comes_before_the_old_goes() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (outer, short, long) =
        (network("10.0.0.0/8"), network("10.1.0.0/16"), network("10.1.2.0/24"));
    let address = Ipv4Addr::new(10, 1, 2, 3);
    let tree = Tree::new_in(Domain::with_batch(32));
    // The last one ends the descent, so that the cover is off the path.
    [outer, short, network("10.1.2.4")].iter().for_each(|prefix| insert(&tree, *prefix));
    let stop = AtomicBool::new(false);
    let changes = AtomicU64::new(0);
    let (mut judged, mut at) = (0, 0);
    thread::scope(|scope| {
        let (tree, stop, changes) = (&tree, &stop, &changes);
        let until_here = Stop(stop);
        let changing = scope.spawn(move || {
            let neighbour = network("10.1.2.128/25");
            while !stop.load(Ordering::Relaxed) {
                for (new, old) in [(long, short), (neighbour, neighbour), (short, long)] {
                    insert(tree, new);
                    changes.fetch_add(1, Ordering::SeqCst);
                    tree.remove(&old);
                    changes.fetch_add(1, Ordering::SeqCst);
                }
                // A rest, so that many calls meet few changes.
                (0..64).for_each(|_| std::hint::spin_loop());
            }
        });
        for _ in 0..steps() * 5 {
            let before = changes.load(Ordering::SeqCst);
            let found = tree.longest_match_with(address, |prefix, _| *prefix);
            // The one under way counts too.
            let within = changes.load(Ordering::SeqCst) - before + 1;
            assert!(found.is_some_and(|prefix| prefix.contains(address)));
            // From the coming of a network to its going it is four changes at least, both counted.
            if within < 4 {
                judged += 1;
                at += u64::from(within > 1);
                assert_ne!(found, Some(outer), "neither the new one nor the old one");
            }
        }
        drop(until_here);
        changing.join().unwrap();
    });
    assert!(judged > 0);
    println!("{judged} calls judged, {at} of them beside a change that ended within the call");
}
