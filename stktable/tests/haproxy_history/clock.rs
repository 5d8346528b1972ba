//! Clocks that wrap, and rates. Most of the rates' own rows are in `rates.rs`.

use stktable::data::freq_ctr::FreqCtr;

use super::*;

/// Just before the low 32 bits of the clock are 0.
const WRAP: u64 = 1 << 32;

/// `593802128`. The table expires across the wrap of the clock: the catalogue's own recipe, 20 s before the wrap with a time
/// to live of 15 s, keys over half the size, and one key all the time.
#[test]
fn a_table_expires_across_the_wrap() {
    let table = table(1_000, 15_000);
    let mut used_max = 0;
    for step in 0..600_u32 {
        let now = START + step * 100;
        bump(&table, 0, now);
        if step % 10 == 0 {
            bump(&table, 1 + step, now);
        }
        while table.next_due().is_some_and(|due| due <= now) {
            table.expire(now, 20);
        }
        used_max = used_max.max(table.used());
        let oldest = table.entries(now).map(|entry| entry.expires_in(now)).min().unwrap();
        assert!(oldest > 0 && oldest <= 15_000, "at {step}");
    }
    // A key a second lives for 15 s.
    assert!(used_max <= 17, "{used_max} entries at once");
    assert_eq!(table.metrics().expired + u64::from(table.used()), 61, "one key, and 60 others");
}

/// 93f994e8b, HEAD:bucket-date. The first date is the earliest in time, on whichever side of the wrap each of them lies.
#[test]
fn the_first_date_is_the_earliest_in_time() {
    for before in [100, 500, 1_000, 1_500] {
        let table = table(10, 1_000);
        let now = Tick(WRAP - before);
        // Later ones first, so that each moves the first date.
        for later in [900, 600, 300, 0] {
            bump(&table, later, now + later);
            let first = table.next_due().unwrap().since(now);
            let date = u64::from(later) + 1_000;
            assert!((date..=date + 8).contains(&first), "{before} before the wrap: {first}");
        }
        for later in [0, 300, 600, 900] {
            let due = table.arm_expiry().unwrap();
            assert_eq!(table.expire(due, 10).expired, 1);
            assert!(table.get(&key(later), due).is_none());
        }
        assert_eq!(table.arm_expiry(), None);
    }
}

/// ed55ff878. A date whose low 32 bits are 0 is a date, not "never": entries touched then, due then, and rates begun then.
#[test]
fn a_date_of_zero_is_a_date() {
    for offset in 0..=16 {
        let zero = Tick(WRAP + offset - 8);
        // Touched at 0, due a second later.
        let touched = table(10, 1_000);
        bump(&touched, 1, zero);
        assert!(touched.get(&key(1), zero + 999).is_some());
        assert!(touched.get(&key(1), zero + 1_000).is_none());
        // Due at 0.
        let due = table(10, 1_000);
        let before = Tick(zero.0 - 1_000);
        bump(&due, 1, before);
        assert_eq!(due.get(&key(1), before).unwrap().expires_in(before), 1_000);
        assert!(due.get(&key(1), Tick(zero.0 - 1)).is_some());
        assert!(due.get(&key(1), zero).is_none());
        // Touched at 0, longest ago, in a table that never expires.
        let oldest = table(2, 0);
        bump(&oldest, 1, zero);
        bump(&oldest, 2, zero + 5_000);
        bump(&oldest, 3, zero + 9_000);
        assert!(oldest.get(&key(1), zero + 9_000).is_none() && oldest.used() == 2);
        // A period that begins at 0: the first one, and one after others.
        let rate = FreqCtr::new();
        if offset % 2 == 0 {
            rate.add(Tick(zero.0 - 5_000), 1_000, 7);
        }
        rate.add(zero, 1_000, 50);
        // An empty counter just after 0 joins the period that 0 began.
        let age = if offset % 2 == 0 { 999 } else { 999 - 8 };
        assert_eq!(rate.read(zero + age, 1_000), 50, "at {zero:?}");
        assert_eq!(rate.read(zero + 2_002, 1_000), 0);
    }
}

/// 5705a6e3b, 91eb9b082. What is ahead of an even pace is nothing past the period, and never wraps below nothing.
#[test]
fn nothing_is_ahead_past_the_period_nor_below_nothing() {
    for now in [100_000, WRAP - 500, 1 << 31] {
        let rate = FreqCtr::new();
        rate.add(Tick(now), 1_000, 40);
        let ahead =
            |later: u64, limit| rate.snapshot(1_000).overshoot(Tick(now + later), 1_000, limit);
        assert_eq!((ahead(0, 50), ahead(500, 50), ahead(800, 50)), (40, 15, 0));
        assert_eq!((ahead(999, 50), ahead(1_000, u32::MAX)), (0, 0), "slower than the limit");
        for pause in [1_001, 10_000, 86_400_000, 1 << 31] {
            assert_eq!(ahead(pause, 1), 0, "after {pause} ms");
        }
        assert_eq!(
            rate.snapshot(1_000).overshoot(Tick(now - 2), 1_000, 1),
            0,
            "begun in the future"
        );
    }
}
