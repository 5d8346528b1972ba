//! Whether two nodes have the same table.

use std::fmt;

use stktable::table::Value;
use stktable::{Column, EntryRef, StickTable, Tick};

/// How long an update may take. Peers are not told when an entry was touched: it lives on from when it was learned. So by
/// this much the dates of one entry may differ, and this near its end it may be on one node only. Rates may differ by
/// what counts in this time.
const DELAY_MS: u32 = 2_000;
/// By how many events a rate may differ beside.
const RATE_MORE: u64 = 2;

/// What counts as equal.
pub(super) const RULES: &str =
    "values equal,\nexp within 2 s, rates by no more than 2 s make; conn_cur is each node's own";

/// How the tables of two nodes compare.
#[derive(Debug)]
pub(super) struct Compared {
    /// The table's local name.
    pub(super) name: String,
    /// Entries that both have.
    pub(super) entries: u32,
    /// Entries that differ, or that one has not.
    pub(super) differ: u32,
    /// The first of those, and why.
    example: Option<String>,
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} entries on both nodes, {} differ", self.name, self.entries, self.differ)?;
        self.example.as_ref().map_or(Ok(()), |example| write!(f, ", such as {example}"))
    }
}

impl Compared {
    fn differs(&mut self, why: impl FnOnce() -> String) {
        self.differ += 1;
        self.example.get_or_insert_with(why);
    }
}

/// Compares a table of two nodes, entry by entry.
pub(super) fn tables(a: &StickTable, b: &StickTable, now: Tick) -> Compared {
    let name = a.declaration().local_name();
    let mut compared = Compared { name, entries: 0, differ: 0, example: None };
    let columns: Vec<Column> = a.columns().filter(|column| !column.data_type.is_local()).collect();
    for here in a.entries(now) {
        let Some(there) = b.get(&here.key(), now) else {
            only(&here, "a", now, &mut compared);
            continue;
        };
        compared.entries += 1;
        if let Some(why) = difference(&here, &there, &columns, now) {
            compared.differs(|| format!("{}: {why}", here.key()));
        }
    }
    for there in b.entries(now) {
        if a.get(&there.key(), now).is_none() {
            only(&there, "b", now, &mut compared);
        }
    }
    compared
}

fn only(entry: &EntryRef<'_>, node: &str, now: Tick, compared: &mut Compared) {
    let left = entry.expires_in(now);
    if left > DELAY_MS {
        compared.differs(|| format!("{}: only on {node}, exp={left}", entry.key()));
    }
}

fn difference(a: &EntryRef<'_>, b: &EntryRef<'_>, columns: &[Column], now: Tick) -> Option<String> {
    let (left_a, left_b) = (a.expires_in(now), b.expires_in(now));
    if left_a.abs_diff(left_b) > DELAY_MS {
        return Some(format!("exp {left_a} and {left_b}"));
    }
    columns.iter().find_map(|column| {
        let ty = column.data_type;
        (0..column.elements).find_map(|at| {
            let (value_a, value_b) = (a.value(ty, at, now), b.value(ty, at, now));
            let (read_a, read_b) = (a.read(ty, at, now), b.read(ty, at, now));
            let equal = match (value_a, value_b) {
                (Some(Value::Rate { .. }), Some(Value::Rate { .. })) => {
                    let events = events(value_a).max(events(value_b));
                    let apart = read_a.unwrap_or(0).abs_diff(read_b.unwrap_or(0));
                    let period_ms = u64::from(column.period_ms);
                    apart <= events * u64::from(DELAY_MS) / period_ms + RATE_MORE
                }
                _ => value_a == value_b,
            };
            let shown = |read: Option<i64>| read.map_or("none".to_owned(), |read| read.to_string());
            (!equal).then(|| format!("{ty} {} and {}", shown(read_a), shown(read_b)))
        })
    })
}

/// The events that a rate counted in its two periods.
fn events(value: Option<Value>) -> u64 {
    match value {
        Some(Value::Rate { current, previous, .. }) => u64::from(current) + u64::from(previous),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use stktable::{DataType, Declaration, KeySpec};

    use super::*;

    #[test]
    fn differences_are_found() {
        let declaration = Declaration::builder("t", KeySpec::INTEGER)
            .size(10)
            .expire_ms(10_000)
            .store(DataType::Gpc0)
            .store(DataType::ConnCur)
            .build()
            .unwrap();
        let [a, b] = [StickTable::new(declaration.clone()), StickTable::new(declaration)];
        let now = Tick(1 << 20);
        let key = |text: &str| KeySpec::INTEGER.parse(text).unwrap();
        let set = |table: &StickTable, text: &str, ty, value, now| {
            let entry = table.get_or_create(&key(text), now).unwrap();
            entry.set(ty, 0, value, now).unwrap();
            entry.touch(now);
        };
        set(&a, "1", DataType::Gpc0, 5, now);
        set(&b, "1", DataType::Gpc0, 5, now + 1_900);
        set(&b, "1", DataType::ConnCur, 1, now + 1_900);
        let found = tables(&a, &b, now + 2_000);
        assert_eq!((found.entries, found.differ), (1, 0), "{found}");
        set(&a, "2", DataType::Gpc0, 1, now);
        set(&b, "3", DataType::Gpc0, 1, now);
        set(&b, "1", DataType::Gpc0, 6, now + 1_900);
        assert_eq!(tables(&a, &b, now + 2_000).differ, 3);
        assert_eq!(tables(&a, &b, now + 9_500).differ, 1, "two are about to expire");
    }
}
