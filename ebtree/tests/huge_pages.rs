//! The wish for huge pages reaches the system: a process of its own, for it is of the whole process.
#![cfg(all(target_os = "linux", target_has_atomic = "64"))]
#![cfg(not(any(loom, miri, ebtree_no_pool)))]

use std::fs;
use std::ops::Range;
use std::path::Path;

use ebtree::{Domain, EbTree, advise_huge_pages};

/// Entries for several regions of 2 MiB: a leaf takes 32 bytes here, and a node 16.
const MANY: u64 = 100_000;

/// Inserts many entries and returns where the value of the last one lies.
fn grow(tree: &EbTree<u64, u64>, from: u64) -> usize {
    for key in from..from + MANY {
        assert!(tree.insert(key, key).is_none());
    }
    tree.get(&(from + MANY - 1)).map(|entry| std::ptr::from_ref(entry.value()).addr()).unwrap()
}

/// Returns whether huge pages were asked for where this address lies, by what the system says of its mapping.
fn is_advised(address: usize) -> bool {
    let maps = fs::read_to_string("/proc/self/smaps").unwrap();
    let mut inside = false;
    for line in maps.lines() {
        if let Some(range) = range(line) {
            inside = range.contains(&address);
        } else if let (true, Some(flags)) = (inside, line.strip_prefix("VmFlags:")) {
            return flags.split_whitespace().any(|flag| flag == "hg");
        }
    }
    panic!("{address:x} is mapped nowhere, or no flags are told")
}

/// The first line of a mapping: `7f0000000000-7f0000200000 rw-p …`.
fn range(line: &str) -> Option<Range<usize>> {
    let (from, to) = line.split_whitespace().next()?.split_once('-')?;
    let number = |digits| usize::from_str_radix(digits, 16).ok();
    Some(number(from)?..number(to)?)
}

#[test]
fn new_memory_is_of_huge_pages_while_they_are_wished_for() {
    for needed in ["/sys/kernel/mm/transparent_hugepage", "/proc/self/smaps"] {
        if !Path::new(needed).exists() {
            println!("skipped: there is no {needed}, so no huge pages that could be seen");
            return;
        }
    }
    let tree = EbTree::new_in(Domain::new());
    assert!(!is_advised(grow(&tree, 0)), "off at first");
    advise_huge_pages(true);
    let advised = grow(&tree, MANY);
    assert!(is_advised(advised));
    advise_huge_pages(false);
    assert!(!is_advised(grow(&tree, 2 * MANY)), "off again, for what is new");
    assert!(is_advised(advised), "what was there stays as it is");
    assert_eq!(tree.len() as u64, 3 * MANY);
}
