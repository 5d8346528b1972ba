//! How much memory a map takes, and that it comes back. One test in a process of its own: it looks at the whole process.
#![cfg(all(target_os = "linux", not(loom)))]

use ebtree::{Domain, EbTree};

/// Entries: 32 MB of cells.
const ENTRIES: u64 = 1_000_000;

/// Bytes of this process that are in memory.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
    // SAFETY: no memory is involved.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    pages * u64::try_from(page).unwrap()
}

/// Spreads the keys over memory and tree, as a hash does.
fn key(index: u64) -> u64 {
    let mut key = index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    key = (key ^ key >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    key ^ key >> 27
}

#[test]
#[cfg_attr(any(ebtree_plain_edges, ebtree_no_pool), ignore = "of the packed layout in the pool")]
fn an_entry_takes_32_bytes_and_gives_them_back() {
    // What every process needs once.
    let tree = EbTree::<u64, u64>::new_in(Domain::new());
    tree.insert(0, 0);
    let before = resident();

    std::thread::scope(|scope| {
        for half in 0..2 {
            let tree = &tree;
            scope.spawn(move || {
                for index in (half..ENTRIES).step_by(2) {
                    tree.insert(key(index), index);
                }
            });
        }
    });
    let full = resident();
    let taken = (full - before) as f64 / ENTRIES as f64;
    assert!(taken < 33.0, "{taken:.1} bytes an entry");

    // In another order than they came, half of them on threads that then end, half on this one.
    std::thread::scope(|scope| {
        for half in 0..2 {
            let tree = &tree;
            scope.spawn(move || {
                for index in (0..ENTRIES / 2).rev().filter(|index| index % 2 == half) {
                    tree.remove(&key(index * 2));
                }
            });
        }
    });
    for index in 0..ENTRIES / 2 {
        tree.remove(&key(index * 2 + 1));
    }
    assert!(tree.is_empty());
    tree.domain().flush();
    let after = resident();
    let kept = after.saturating_sub(before) as f64 / (full - before) as f64;
    println!(
        "resident: {before} before, {full} full ({taken:.1} an entry), {after} after ({kept:.3})"
    );
    assert!(kept < 0.1, "{kept:.3} of the memory has not come back");

    // A root for each entry costs 8 bytes, and saves a node of 16 where it is used.
    let before = resident();
    let fanned_out = EbTree::builder().domain(Domain::new()).fan_out(20).build();
    assert!(resident() - before < 1 << 20, "the roots are not touched before they are used");
    (0..ENTRIES).for_each(|index| drop(fanned_out.insert(key(index), index)));
    let taken = (resident() - before) as f64 / ENTRIES as f64;
    println!("resident with 2^20 roots: {taken:.1} an entry");
    assert!(taken < 33.0, "{taken:.1} bytes an entry, roots among them");

    // Few pages go back while entries end, since most become free at the very end; the rest when it is asked for, in steps.
    let full = resident();
    for index in 0..ENTRIES {
        fanned_out.remove(&key(index));
    }
    let mut steps = 0;
    let mut last = resident();
    while ebtree::return_memory(64) {
        let now = resident();
        // What a step looks at, and some slack for what other threads of the test harness do.
        assert!(last.saturating_sub(now) <= 80 * 4096, "a step returns no more than it looks at");
        last = now;
        steps += 1;
    }
    // The roots stay.
    let returned = full - resident();
    println!("returned in {steps} steps: {returned} of {}", full - before);
    assert!(steps > 10, "what became free at the end waits");
    assert!(returned as f64 > 0.9 * (taken - 8.4) * ENTRIES as f64, "{returned} bytes came back");
}
