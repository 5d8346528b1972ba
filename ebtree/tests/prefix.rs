//! The table of prefixes against a `BTreeMap` and a look at all of it, operation by operation.
#![cfg(not(loom))]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::{Ipv4Addr, Ipv6Addr};

use bolero::{TypeGenerator, check};
use ebtree::prefix::{Address, Entry, Prefix, PrefixError};
use ebtree::{Domain, EbPrefixTree, EbTree, Ipv4Prefix, Ipv6Prefix};

/// Addresses and lengths are drawn from few values, so that prefixes cover each other.
#[derive(Clone, Copy, Debug, TypeGenerator)]
enum Operation {
    Insert,
    TryInsert,
    Remove,
    RemoveIf(bool),
    Get,
    LongestMatch,
    Covering,
    Covered,
    Outermost,
    Ends,
    GetOrInsert,
    Update,
    Retain(bool),
    Clear,
}

fn pair<A: Address>(entry: Option<Entry<'_, A, usize>>) -> Option<(Prefix<A>, usize)> {
    entry.map(|entry| (*entry.prefix(), *entry.value()))
}

fn pairs<'t, A: Address>(
    walk: impl Iterator<Item = Entry<'t, A, usize>>,
) -> Vec<(Prefix<A>, usize)> {
    walk.map(|entry| (*entry.prefix(), *entry.value())).collect()
}

type Oracle<A> = BTreeMap<Prefix<A>, usize>;

/// All entries for which `is_it` says so of the prefix, in order.
fn those<A: Address>(
    oracle: &Oracle<A>,
    is_it: impl Fn(&Prefix<A>) -> bool,
) -> Vec<(Prefix<A>, usize)> {
    oracle.iter().filter(|(prefix, _)| is_it(prefix)).map(|(p, value)| (*p, *value)).collect()
}

fn compare<A: Address + Debug>(steps: &[(Operation, Prefix<A>)]) {
    let ours = EbPrefixTree::new_in(Domain::with_batch(4));
    let mut oracle: Oracle<A> = BTreeMap::new();
    for (number, (operation, prefix)) in steps.iter().enumerate() {
        match operation {
            Operation::Insert => {
                let old = pair(ours.insert(*prefix, number)).map(|(_, value)| value);
                assert_eq!(old, oracle.insert(*prefix, number));
            }
            Operation::TryInsert => {
                let there = ours.try_insert(*prefix, number).err().map(|(entry, back)| {
                    assert_eq!(back, number);
                    *entry.value()
                });
                assert_eq!(there, oracle.get(prefix).copied());
                oracle.entry(*prefix).or_insert(number);
            }
            Operation::Remove => {
                assert_eq!(pair(ours.remove(prefix)), oracle.remove_entry(prefix));
            }
            Operation::RemoveIf(yes) => {
                let removed = ours.remove_if(prefix, |_| *yes);
                assert_eq!(removed, *yes && oracle.remove(prefix).is_some());
            }
            Operation::Get => {
                let expected = oracle.get(prefix).copied();
                assert_eq!(pair(ours.get(prefix)), expected.map(|value| (*prefix, value)));
                assert_eq!(ours.get_with(prefix, |value| *value), expected);
                assert_eq!(ours.contains_key(prefix), expected.is_some());
            }
            Operation::LongestMatch => {
                for address in [prefix.address(), prefix.last_address()] {
                    let covers = those(&oracle, |cover| cover.contains(address));
                    let longest = covers.into_iter().max_by_key(|(cover, _)| cover.length());
                    assert_eq!(pair(ours.longest_match(address)), longest, "{address:?}");
                    let seen = ours.longest_match_with(address, |cover, value| (*cover, *value));
                    assert_eq!(seen, longest);
                }
            }
            Operation::Covering => {
                let mut covers = those(&oracle, |cover| cover.covers(prefix));
                covers.sort_by_key(|(cover, _)| std::cmp::Reverse(cover.length()));
                assert_eq!(pairs(ours.covering(prefix)), covers, "{prefix:?}");
            }
            Operation::Covered => {
                let inside = those(&oracle, |other| prefix.covers(other));
                assert_eq!(pairs(ours.covered(prefix)), inside, "{prefix:?}");
            }
            Operation::Outermost => {
                let outermost = those(&oracle, |other| {
                    let is_around =
                        |cover: &&Prefix<A>| prefix.covers(cover) && cover.covers(other);
                    prefix.covers(other) && oracle.keys().filter(is_around).count() == 1
                });
                assert_eq!(pairs(ours.outermost(prefix)), outermost, "{prefix:?}");
            }
            Operation::Ends => {
                let own = |pair: Option<(&Prefix<A>, &usize)>| pair.map(|(p, value)| (*p, *value));
                assert_eq!(pair(ours.first()), own(oracle.first_key_value()));
                assert_eq!(pair(ours.last()), own(oracle.last_key_value()));
                assert_eq!((ours.len(), ours.is_empty()), (oracle.len(), oracle.is_empty()));
            }
            Operation::GetOrInsert => assert_eq!(
                *ours.get_or_insert_with(*prefix, || number).value(),
                *oracle.entry(*prefix).or_insert(number)
            ),
            Operation::Update => {
                let updated = pair(ours.update(prefix, |value| value + 1));
                let there = oracle.get_mut(prefix).map(|value| {
                    *value += 1;
                    *value
                });
                assert_eq!(updated, there.map(|value| (*prefix, value)));
            }
            Operation::Retain(odd) => {
                let keep = |prefix: &Prefix<A>, value: usize| {
                    value % 2 == usize::from(*odd) || prefix.length().is_multiple_of(3)
                };
                ours.retain(|prefix, value| keep(prefix, *value));
                oracle.retain(|prefix, value| keep(prefix, *value));
            }
            // Seldom, or there would never be much in the table.
            Operation::Clear if number % 8 == 0 => {
                ours.clear();
                oracle.clear();
            }
            Operation::Clear => {}
        }
    }
    assert_eq!(pairs(ours.iter()), those(&oracle, |_| true));
    ours.domain().flush();
    assert_eq!(ours.domain().unreclaimed(), 0, "nobody protects anything here");
}

/// `spread` makes an address of few small numbers.
fn like_a_look_at_all<A: Address + Debug + std::panic::RefUnwindSafe>(
    spread: impl Fn(u8) -> A + std::panic::RefUnwindSafe,
    lengths: &[u8],
) {
    check!().with_type::<Vec<(Operation, u8, u8)>>().for_each(|steps| {
        let prefix = |address: u8, length: u8| {
            Prefix::new(spread(address), lengths[usize::from(length) % lengths.len()]).unwrap()
        };
        let steps: Vec<_> = steps
            .iter()
            .map(|(operation, address, length)| (*operation, prefix(*address, *length)))
            .collect();
        compare(&steps);
    });
}

#[test]
fn ipv4_of_few_bits() {
    let spread = |bits: u8| Ipv4Addr::from_bits(u32::from(bits & 0x1f) << 27);
    like_a_look_at_all(spread, &[0, 1, 2, 3, 4, 5]);
}

#[test]
fn ipv4_of_any_length() {
    let spread = |bits: u8| Ipv4Addr::new(10, bits & 3, bits >> 2 & 3, bits >> 4);
    like_a_look_at_all(spread, &[0, 8, 15, 16, 17, 22, 23, 24, 28, 30, 31, 32]);
}

#[test]
fn ipv6_of_few_bits() {
    let spread = |bits: u8| Ipv6Addr::from_bits(u128::from(bits & 0x0f) << 124);
    like_a_look_at_all(spread, &[0, 1, 2, 3, 4]);
}

#[test]
fn ipv6_of_any_length() {
    let spread = |bits: u8| {
        let [high, middle, low] = [bits & 3, bits >> 2 & 3, bits >> 4].map(u16::from);
        Ipv6Addr::new(0x2001, 0xdb8, high, middle, 0, 0, 0, low)
    };
    like_a_look_at_all(spread, &[0, 32, 47, 48, 49, 63, 64, 65, 126, 127, 128]);
}

/// Every length of one address at once: the deepest tree that there is, deeper than a segment of slots.
#[test]
fn as_deep_as_it_gets() {
    let address: Ipv6Addr = "2001:db8::ff".parse().unwrap();
    let tree: EbPrefixTree<Ipv6Addr, u8> =
        (0..=128).map(|length| (Prefix::new(address, length).unwrap(), length)).collect();
    assert!(tree.covering(&address.into()).map(|entry| *entry.value()).eq((0..=128).rev()));
    for length in (0..=128).rev() {
        assert_eq!(tree.longest_match(address).map(|entry| *entry.value()), Some(length));
        assert!(tree.remove(&Prefix::new(address, length).unwrap()).is_some());
    }
    assert!(tree.longest_match(address).is_none() && tree.is_empty());
}

/// A prefix may be the key of any tree.
#[test]
fn prefixes_as_keys_of_a_map() {
    let texts = ["10.0.0.0/8", "10.0.0.0/16", "10.255.0.0/16", "11.0.0.0/8", "9.0.0.0/8"];
    let tree: EbTree<Ipv4Prefix, ()> =
        texts.iter().map(|text| (text.parse().unwrap(), ())).collect();
    let seen: Vec<_> = tree.iter().map(|entry| entry.key().to_string()).collect();
    assert_eq!(seen, ["9.0.0.0/8", "10.0.0.0/8", "10.0.0.0/16", "10.255.0.0/16", "11.0.0.0/8"]);
}

#[test]
fn both_kinds_of_addresses_in_one_table() {
    let tree: EbPrefixTree<Ipv6Addr, &str> = EbPrefixTree::new();
    let four: Ipv4Prefix = "10.0.0.0/8".parse().unwrap();
    assert_eq!(four.to_ipv6_mapped().to_string(), "::ffff:10.0.0.0/104");
    tree.insert(four.to_ipv6_mapped(), "four");
    tree.insert("2001:db8::/32".parse().unwrap(), "six");
    let value = |address: Ipv6Addr| tree.longest_match(address).map(|entry| *entry.value());
    assert_eq!(value(Ipv4Addr::new(10, 1, 2, 3).to_ipv6_mapped()), Some("four"));
    assert_eq!(value("2001:db8::1".parse().unwrap()), Some("six"));
    assert_eq!(value(Ipv4Addr::new(11, 1, 2, 3).to_ipv6_mapped()), None);
}

#[test]
fn read_and_written() {
    for text in ["0.0.0.0/0", "10.0.0.0/8", "10.1.2.3/32"] {
        assert_eq!(text.parse::<Ipv4Prefix>().map(|prefix| prefix.to_string()), Ok(text.into()));
    }
    for text in ["::/0", "2001:db8::/32", "2001:db8::1/128"] {
        assert_eq!(text.parse::<Ipv6Prefix>().map(|prefix| prefix.to_string()), Ok(text.into()));
    }
    let host: Ipv4Prefix = "10.1.2.3".parse().unwrap();
    assert_eq!((host.length(), host), (32, Prefix::host([10, 1, 2, 3].into())));
    assert_eq!(format!("{:>14}|", "10.9.9.9/8".parse::<Ipv4Prefix>().unwrap()), "    10.0.0.0/8|");
    assert_eq!(Ipv4Prefix::ALL.to_string(), "0.0.0.0/0");
}

#[test]
fn refused() {
    let too_long = |length| PrefixError::TooLong { length, bits: 32 };
    for (text, error) in [
        ("10.0.0.0/33", too_long(33)),
        ("10.0.0.0/300", too_long(300)),
        ("10.0.0.0/", PrefixError::Length),
        ("10.0.0.0/+8", PrefixError::Length),
        ("10.0.0.0/08", PrefixError::Length),
        ("10.0.0.0/8/8", PrefixError::Length),
        ("10.0.0.0/99999999999", PrefixError::Length),
        ("10.0.0/8", PrefixError::Address),
        ("::/0", PrefixError::Address),
        ("", PrefixError::Address),
    ] {
        assert_eq!(text.parse::<Ipv4Prefix>(), Err(error), "{text}");
        assert!(!error.to_string().is_empty());
    }
    assert_eq!(Prefix::new(Ipv4Addr::LOCALHOST, 33), Err(too_long(33)));
    assert!("::/129".parse::<Ipv6Prefix>().is_err());
}
