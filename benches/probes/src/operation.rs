//! The operations, and what one probe of each does.

use std::ops::ControlFlow;

use ebtree::{Domain, EbTree};

use crate::random::{Random, mix};

/// Entries in the tree that is probed.
const ENTRIES: u64 = 10_000;

/// An operation that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Looks up a key that is there.
    Get,
    /// Inserts a key that is not there, and removes it: the sum of both.
    InsertRemove,
    /// Inserts a key above all others, and takes the smallest: the sum of both.
    InsertPop,
    /// Finds the next entry from a random key.
    Ge,
    /// Looks a key up that is there, in a map with a fanned-out root.
    GetFanned,
    /// Looks at a hundred entries in order.
    Scan,
    /// Looks up sixteen keys that are there, at once.
    Get16,
    /// Finds the entry of a client in a table, counts a request of it in a counter and a rate, and refreshes it.
    Track,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Get,
        Self::InsertRemove,
        Self::InsertPop,
        Self::Ge,
        Self::GetFanned,
        Self::Scan,
        Self::Get16,
        Self::Track,
    ];

    /// Returns the name in the record.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::InsertRemove => "insert-remove",
            Self::InsertPop => "insert-pop",
            Self::Ge => "ge",
            Self::GetFanned => "get-fanned",
            Self::Scan => "scan",
            Self::Get16 => "get16",
            Self::Track => "track",
        }
    }

    /// Returns the operation of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.name() == name)
    }

    /// Runs the operation `times` times on a tree of random keys.
    ///
    /// # Panics
    /// When the tree answers wrongly.
    pub fn probe(self, times: u64) {
        if self == Self::Track {
            return crate::clients::probe(10_000, times);
        }
        let bits = if self == Self::GetFanned { ENTRIES.next_power_of_two().ilog2() } else { 0 };
        let tree = EbTree::builder().domain(Domain::new()).fan_out(bits).build();
        for number in 0..ENTRIES {
            tree.insert(if self == Self::InsertPop { number } else { mix(number) }, number);
        }
        let mut random = Random::new(1);
        for turn in 0..times {
            let number = random.below(ENTRIES);
            match self {
                Self::Get | Self::GetFanned => {
                    assert_eq!(tree.get_with(&mix(number), |v| *v), Some(number))
                }
                Self::InsertRemove => {
                    let key = mix(ENTRIES + number);
                    assert!(tree.insert(key, number).is_none());
                    assert!(tree.remove(&key).is_some());
                }
                Self::InsertPop => {
                    tree.insert(ENTRIES + turn, number);
                    assert_eq!(tree.pop_first().map(|entry| *entry.key()), Some(turn));
                }
                Self::Ge => {
                    let key = mix(number);
                    assert_eq!(tree.ge(&key).map(|entry| *entry.key()), Some(key));
                }
                Self::Track => unreachable!("not of a tree"),
                Self::Get16 => {
                    let keys: [u64; 16] =
                        std::array::from_fn(|more| mix((number + more as u64 * 500) % ENTRIES));
                    let mut found = 0;
                    tree.get_many_with(&keys, |key, number| {
                        found += usize::from(number.is_some_and(|number| mix(*number) == *key));
                    });
                    assert_eq!(found, 16);
                }
                Self::Scan => {
                    let mut left = 100;
                    let _ = tree.range_with(mix(number).., |key, number| {
                        assert_eq!(*key, mix(*number));
                        left -= 1;
                        if left > 0 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                    });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_answer() {
        for operation in Operation::ALL {
            assert_eq!(Operation::named(operation.name()), Some(operation));
            operation.probe(100);
        }
    }
}
