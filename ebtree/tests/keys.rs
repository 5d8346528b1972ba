//! Every type of key: ordered as the type itself is, and a tree of it like a `BTreeMap`.
#![cfg(not(loom))]

use std::collections::{BTreeMap, HashSet};
use std::fmt::Debug;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Bound;
use std::panic::RefUnwindSafe;
use std::sync::Arc;

use bolero::{TypeGenerator, check};
use ebtree::{ByteKey, Domain, EbTree, FixedWidthKey, Key, KeyTooLong, StrKey};

#[derive(Clone, Copy, Debug, TypeGenerator)]
enum Operation {
    Insert,
    Remove,
    Get,
    Neighbours,
    Range,
    PopFirst,
}

/// All the positions there are: what the keys have that are not of fixed width.
const ANY: u32 = 1 << 16;

/// Two keys differ where their order is decided, seen from either: below `positions`, and in no bit above.
fn differ_in_order<K: Key + Ord + Debug>(a: &K, b: &K, positions: u32) {
    let at = a.first_difference(b);
    assert_eq!(at, b.first_difference(a));
    assert_eq!(at.is_none(), a == b, "{a:?} and {b:?}");
    let leading = (a.leading(), b.leading());
    assert!(a.cmp(b) == leading.0.cmp(&leading.1) || leading.0 == leading.1, "{a:?} and {b:?}");
    if let Some(at) = at {
        assert_eq!((a.bit(at), b.bit(at)), (a > b, b > a), "{a:?} and {b:?} at {at}");
        assert!(u32::from(at) < positions, "{a:?} and {b:?} at {at}");
    }
    // Of equal ones, far enough for those that walks of these tests meet.
    let above = at.map_or(positions.saturating_sub(5000), |at| u32::from(at) + 1);
    for position in above..positions {
        let position = u16::try_from(position).unwrap();
        assert_eq!(a.bit(position), b.bit(position), "{a:?} and {b:?} at {position}");
    }
}

fn is_ordered<K: FixedWidthKey + Ord + Debug>(a: &K, b: &K) {
    differ_in_order(a, b, K::BITS);
}

/// Any position has an answer, also one of another type.
fn answers_everywhere<K: Key>(key: &K) {
    for position in [0, 7, 8, 63, 64, 127, 128, 129, 1000, u16::MAX - 8, u16::MAX] {
        let _ = key.bit(position);
    }
}

fn compare<K: Key + Ord + Debug>(steps: &[(Operation, K)], positions: u32) {
    for pair in steps.windows(2) {
        differ_in_order(&pair[0].1, &pair[1].1, positions);
        differ_in_order(&pair[0].1, &pair[0].1.clone(), positions);
    }
    let ours = EbTree::new_in(Domain::with_batch(4));
    let mut oracle = BTreeMap::new();
    for (number, (operation, key)) in steps.iter().enumerate() {
        answers_everywhere(key);
        let own = |pair: Option<(&K, &usize)>| pair.map(|(key, value)| (key.clone(), *value));
        match operation {
            Operation::Insert => assert_eq!(
                ours.insert(key.clone(), number).map(|old| *old.value()),
                oracle.insert(key.clone(), number)
            ),
            Operation::Remove => {
                assert_eq!(ours.remove(key).map(|old| *old.value()), oracle.remove(key));
            }
            Operation::Get => {
                assert_eq!(ours.get(key).map(|it| *it.value()), oracle.get(key).copied());
            }
            Operation::Neighbours => {
                let pair = |entry: Option<ebtree::Entry<'_, K, usize>>| {
                    entry.map(|entry| (entry.key().clone(), *entry.value()))
                };
                assert_eq!(pair(ours.ge(key)), own(oracle.range(key..).next()));
                let above = (Bound::Excluded(key), Bound::Unbounded);
                assert_eq!(pair(ours.gt(key)), own(oracle.range(above).next()));
                assert_eq!(pair(ours.lt(key)), own(oracle.range(..key).next_back()));
                assert_eq!(pair(ours.le(key)), own(oracle.range(..=key).next_back()));
                assert_eq!(pair(ours.first()), own(oracle.first_key_value()));
                assert_eq!(pair(ours.last()), own(oracle.last_key_value()));
            }
            Operation::Range => {
                let other = steps.get(number + 1).map_or(key, |step| &step.1);
                let (from, to) = (key.min(other), key.max(other));
                for range in [
                    (Bound::Included(from), Bound::Included(to)),
                    (Bound::Included(from), Bound::Excluded(to)),
                    (Bound::Excluded(from), Bound::Included(to)),
                ] {
                    let seen = ours.range((range.0.cloned(), range.1.cloned()));
                    let seen: Vec<_> = seen.map(|it| (it.key().clone(), *it.value())).collect();
                    let there = oracle.range::<K, _>(range);
                    assert!(there.map(|it| (it.0.clone(), *it.1)).eq(seen), "{range:?}");
                }
            }
            Operation::PopFirst => {
                assert_eq!(
                    ours.pop_first().map(|it| it.key().clone()),
                    oracle.pop_first().map(|it| it.0)
                );
            }
        }
    }
    let seen: Vec<K> = ours.iter().map(|entry| entry.key().clone()).collect();
    assert!(seen.iter().eq(oracle.keys()), "{seen:?}");
}

/// `spread` makes a key of few small numbers, so that keys meet, share prefixes and differ in single bits.
fn like_a_btree_map<K: FixedWidthKey + Ord + Debug>(spread: impl Fn(u8, u8) -> K + RefUnwindSafe) {
    like_a_btree_map_in(K::BITS, spread);
}

fn like_a_btree_map_in<K: Key + Ord + Debug>(
    positions: u32,
    spread: impl Fn(u8, u8) -> K + RefUnwindSafe,
) {
    check!().with_type::<Vec<(Operation, u8, u8)>>().for_each(|steps| {
        let steps: Vec<_> = steps
            .iter()
            .map(|(operation, high, low)| (*operation, spread(*high, *low & 3)))
            .collect();
        compare(&steps, positions);
    });
}

macro_rules! integers {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            // A low number turned round: its bits stand at both ends.
            like_a_btree_map(|high, low| (low as $name) ^ (high as $name).rotate_right(5));
            for a in [$name::MIN, $name::MAX, 0, 1, $name::MAX - 1] {
                for b in [$name::MIN, $name::MAX, 0, 1, $name::MAX - 1] {
                    is_ordered(&a, &b);
                }
            }
        }
    )*};
}

#[expect(clippy::cast_possible_wrap, trivial_numeric_casts, reason = "any number will do")]
mod integers {
    use super::{is_ordered, like_a_btree_map};

    integers!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);
}

#[test]
fn ipv4() {
    like_a_btree_map(|high, low| Ipv4Addr::new(high & 0x81, 0, low, high));
}

#[test]
fn ipv6() {
    like_a_btree_map(|high, low| {
        Ipv6Addr::new(u16::from(high) << 8, 0, 0, u16::from(low), 0, 0, 0, u16::from(high & 3))
    });
}

#[test]
fn addresses_of_both_families() {
    // The same numbers in either family, at either end of the longer one, and IPv4 mapped into IPv6.
    like_a_btree_map(|high, low| {
        let v4 = Ipv4Addr::new(high & 0xC0, 0, 0, low);
        match high & 3 {
            0 => IpAddr::V4(v4),
            1 => IpAddr::V6(v4.to_ipv6_mapped()),
            2 => IpAddr::V6(Ipv6Addr::from_bits(u128::from(v4.to_bits()) << 96)),
            _ => IpAddr::V6(Ipv6Addr::from_bits(u128::from(v4.to_bits()))),
        }
    });
    is_ordered(&IpAddr::V4(Ipv4Addr::BROADCAST), &IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    is_ordered(&IpAddr::V4(Ipv4Addr::UNSPECIFIED), &IpAddr::V6(Ipv6Addr::UNSPECIFIED));
}

#[test]
fn truth() {
    like_a_btree_map(|high, _| high & 1 != 0);
    is_ordered(&false, &true);
}

#[test]
fn characters() {
    like_a_btree_map(|high, low| {
        char::from_u32(u32::from(high) << 13 | u32::from(low)).unwrap_or(char::MAX)
    });
    let some = ['\0', 'a', '\u{D7FF}', '\u{E000}', '\u{FFFF}', '\u{10000}', char::MAX];
    for a in some {
        for b in some {
            is_ordered(&a, &b);
        }
    }
}

#[test]
fn tuples() {
    like_a_btree_map(|high, low| (low, Ipv4Addr::new(high, 0, 0, high & 3)));
    like_a_btree_map(|high, low| (high.cast_signed() >> 2, low & 1 != 0, [high & 1, low]));
    like_a_btree_map(|high, low| {
        let address: IpAddr = match high & 2 {
            0 => [0, 0, 0, high].into(),
            _ => [u16::from(high), 0, 0, 0, 0, 0, 0, 0].into(),
        };
        (low & 1 != 0, char::from(low), address, u16::from(high & 1))
    });
}

#[test]
fn nested_tuples() {
    like_a_btree_map(|high, low| ((high & 3, i16::from(low) - 1), (high & 4 != 0, [low, high])));
    // Nothing above, nothing below and nothing in between.
    like_a_btree_map(|high, low| (([0; 0], low), [0; 0], high & 7, [0; 0]));
    is_ordered(&([0; 0], [0; 0]), &([0; 0], [0; 0]));
}

#[test]
fn tuples_of_all_the_bits_there_are() {
    const { assert!(<([u8; 8191], u8)>::BITS == ANY) };
    let lowest = ([0; 8191], 0_u8);
    let mut next = lowest;
    next.1 = 1;
    is_ordered(&lowest, &next);
    assert_eq!(lowest.first_difference(&next), Some(0));
    let mut half = lowest;
    half.0[0] = 0x80;
    is_ordered(&next, &half);
    assert_eq!(next.first_difference(&half), Some(u16::MAX));
}

/// A type's bits are as many as it says: the most significant one decides between these two.
#[test]
fn as_wide_as_they_say() {
    fn highest<K: FixedWidthKey>(low: &K, high: &K) -> u32 {
        u32::from(low.first_difference(high).unwrap()) + 1 - K::BITS
    }
    assert_eq!(highest(&0_u8, &u8::MAX), 0);
    assert_eq!(highest(&i64::MIN, &i64::MAX), 0);
    assert_eq!(highest(&false, &true), 0);
    assert_eq!(highest(&'\0', &char::MAX), 0);
    assert_eq!(highest(&Ipv4Addr::UNSPECIFIED, &Ipv4Addr::BROADCAST), 0);
    assert_eq!(highest::<IpAddr>(&[0; 4].into(), &[0_u16; 8].into()), 0);
    assert_eq!(highest(&[0; 13], &[0xFF; 13]), 0);
    assert_eq!(highest(&(0_u8, 0_u32, [0; 3]), &(0x80, 0, [0; 3])), 0);
}

/// A fan-out chooses roots by it: were it in order and no more, all keys could have the same root.
#[test]
fn what_leads_is_the_first_64_bits() {
    fn is_first<K: FixedWidthKey + Debug>(keys: impl IntoIterator<Item = K>) {
        for key in keys {
            let first = |sum: u64, at: u32| {
                let position = K::BITS.checked_sub(at + 1).map(u16::try_from);
                sum << 1 | u64::from(position.is_some_and(|position| key.bit(position.unwrap())))
            };
            assert_eq!(key.leading(), (0..64).fold(0, first), "{key:?}");
        }
    }
    macro_rules! integers {
        ($($ty:ident)*) => {$(
            is_first([0, 1, 3, $ty::MIN, $ty::MAX, $ty::MAX / 5 * 3, $ty::MAX - 1]);
        )*};
    }
    integers!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);
    is_first([false, true]);
    is_first(['\0', 'a', '\u{1F600}', char::MAX]);
    is_first([[10, 1, 2, 3], [0, 0, 0, 1], [255, 0, 255, 255]].map(Ipv4Addr::from));
    is_first([1, 1 << 127 | 5 << 60, u128::MAX / 7].map(Ipv6Addr::from_bits));
    is_first([[0; 0]]);
    is_first([[1, 2, 0x83], [0x80, 0, 1]]);
    is_first([*b"exactly8", [0xFF; 8]]);
    is_first([*b"more than eight", [0x81; 15]]);

    // The family, and what comes first of either.
    let v4 = Ipv4Addr::new(129, 1, 2, 3);
    assert_eq!(IpAddr::V4(v4).leading(), v4.leading() >> 1);
    let v6 = Ipv6Addr::from_bits(u128::MAX / 7);
    assert_eq!(IpAddr::V6(v6).leading(), 1 << 63 | v6.leading() >> 1);
    // The first element alone, for it may not have all its bits there.
    assert_eq!((0x1234_u16, 7_u8).leading(), 0x1234_u16.leading());
    assert_eq!((-5_i8, true, 'c').leading(), (-5_i8).leading());
    assert_eq!((v4, 1_u8, 2_u8, 3_u8).leading(), v4.leading());
    for text in ["", "a", "seven77", "eight888", "nine99999"] {
        let mut first = [0; 8];
        let length = text.len().min(8);
        first[..length].copy_from_slice(&text.as_bytes()[..length]);
        let key = StrKey::new(text).unwrap();
        assert_eq!(key.leading(), u64::from_be_bytes(first), "{text}");
        assert_eq!(ByteKey::from(key).leading(), u64::from_be_bytes(first), "{text}");
    }
}

#[test]
fn blocks_of_bytes() {
    like_a_btree_map(|high, low| [0, high, 0, low]);
    like_a_btree_map(|high, low| {
        let mut block = [0_u8; 300];
        block[usize::from(high)] = low;
        block
    });
    is_ordered(&[0_u8; 0], &[]);
    let mut last = [0_u8; 8191];
    last[8190] = 1;
    is_ordered(&[0; 8191], &last);
}

#[test]
fn blocks_of_any_bytes() {
    check!().with_type::<([u8; 21], [u8; 21], u8)>().for_each(|(a, b, same)| {
        let mut b = *b;
        let same = usize::from(*same) % 22;
        b[..same].copy_from_slice(&a[..same]);
        is_ordered(a, &b);
    });
}

const LETTERS: [u8; 4] = [0, b'a', 0x80, 0xFF];

#[test]
fn byte_strings() {
    // Zeros, for any number of which is the beginning of more, and up to three letters.
    like_a_btree_map_in(ANY, |high, low| {
        let mut key = vec![0; usize::from(high & 7) * 3];
        let letters = [high >> 3, high >> 5, high >> 4].map(|at| LETTERS[usize::from(at & 3)]);
        key.extend(&letters[..usize::from(low)]);
        ByteKey::try_from(key).unwrap()
    });
}

#[test]
fn any_byte_strings() {
    check!().with_type::<(Vec<u8>, Vec<u8>, u8)>().for_each(|(a, b, same)| {
        let key = |bytes: &[u8]| ByteKey::new(bytes).unwrap();
        // Of one beginning; and one the beginning of the other.
        let shared = &a[..a.len().min(usize::from(*same))];
        let b = [shared, b].concat();
        for (ours, theirs) in [(&a[..], &b[..]), (shared, a), (shared, &b)] {
            differ_in_order(&key(ours), &key(theirs), ANY);
            assert_eq!(key(ours).cmp(&key(theirs)), ours.cmp(theirs));
        }
    });
}

#[test]
fn texts() {
    like_a_btree_map_in(ANY, |high, low| {
        let mut key = "/a".repeat(usize::from(high & 7));
        let letters = ["\0", "é", "\u{FFFF}", "\u{10000}"];
        key.extend((0..low).map(|at| letters[usize::from(high >> 3 >> at & 3)]));
        StrKey::try_from(key).unwrap()
    });
}

#[test]
fn any_texts() {
    check!().with_type::<(String, String)>().for_each(|(a, b)| {
        let key = |text: &str| StrKey::new(text).unwrap();
        let both = format!("{a}{b}");
        for (ours, theirs) in [(a, b), (a, &both)] {
            differ_in_order(&key(ours), &key(theirs), ANY);
            assert_eq!(key(ours).cmp(&key(theirs)), ours.cmp(theirs));
            let bytes = [ours, theirs].map(|text| ByteKey::from(key(text)));
            let difference = bytes[0].first_difference(&bytes[1]);
            assert_eq!(difference, key(ours).first_difference(&key(theirs)));
        }
    });
}

#[test]
fn beginnings_come_first() {
    let ascending: [&[u8]; 8] = [b"", b"\0", b"\0\0", b"\0a", b"a", b"a\0", b"ab", b"\xFF"];
    let tree = EbTree::new_in(Domain::with_batch(4));
    for key in ascending.iter().rev() {
        assert!(tree.insert(ByteKey::new(key).unwrap(), key.len()).is_none());
    }
    assert!(tree.iter().map(|entry| entry.key().to_vec()).eq(ascending));
    for key in ascending {
        let key = ByteKey::new(key).unwrap();
        assert_eq!(tree.get(&key).map(|entry| *entry.value()), Some(key.len()));
    }
    assert!(tree.get(&ByteKey::new(b"b").unwrap()).is_none());
    assert!(tree.get(&ByteKey::new(b"a\0\0").unwrap()).is_none());
    assert_eq!(tree.remove(&ByteKey::default()).map(|entry| *entry.value()), Some(0));
    assert!(tree.get(&ByteKey::default()).is_none());
}

#[test]
fn the_longest_keys_are_told_apart() {
    let longest = [0xFF; ByteKey::LENGTH_MAX];
    let mut last_bit = longest;
    last_bit[4094] ^= 1;
    let ascending = [b"", &longest[..4093], &longest[..4094], &last_bit[..], &longest[..]];
    let tree = EbTree::new_in(Domain::with_batch(4));
    for key in ascending.map(|key| ByteKey::new(key).unwrap()) {
        for other in ascending.map(|key| ByteKey::new(key).unwrap()) {
            differ_in_order(&key, &other, ANY);
        }
        assert!(tree.insert(key, ()).is_none());
    }
    assert!(tree.iter().map(|entry| entry.key().to_vec()).eq(ascending));
    assert!(tree.iter().all(|entry| tree.contains_key(entry.key())));
}

#[test]
fn longer_keys_are_refused() {
    assert_eq!((ByteKey::LENGTH_MAX, StrKey::LENGTH_MAX), (4095, 4095));
    for length in [0, 1, 4094, 4095, 4096, 4097, 1 << 20] {
        let text = "a".repeat(length);
        let bytes = text.as_bytes();
        let expected = if length <= 4095 { Ok(length) } else { Err((length, 4095)) };
        let is_so = |made: Result<usize, KeyTooLong>| {
            assert_eq!(made.map_err(|error| (error.length, error.limit)), expected);
        };
        let length = |key: ByteKey| key.len();
        is_so(ByteKey::new(bytes).map(length));
        is_so(ByteKey::try_from(bytes).map(length));
        is_so(ByteKey::try_from(bytes.to_vec()).map(length));
        is_so(ByteKey::try_from(Box::from(bytes)).map(length));
        is_so(ByteKey::try_from(Arc::from(bytes)).map(length));
        let length = |key: StrKey| key.len();
        is_so(StrKey::new(&text).map(length));
        is_so(StrKey::try_from(&*text).map(length));
        is_so(StrKey::try_from(text.clone()).map(length));
        is_so(StrKey::try_from(Box::from(&*text)).map(length));
        is_so(StrKey::try_from(Arc::from(&*text)).map(length));
        is_so(text.parse().map(length));
    }
    assert!(ByteKey::try_from(&[0; 4095]).is_ok());
    // The limit counts bytes, not characters.
    assert_eq!(StrKey::new(&"é".repeat(2048)).unwrap_err().length, 4096);
    let error: Box<dyn std::error::Error> = ByteKey::try_from(&[0; 4096]).unwrap_err().into();
    assert_eq!(error.to_string(), "a key of 4096 bytes, where 4095 are the limit");
}

#[test]
fn clones_share_what_they_hold() {
    let text: Arc<str> = Arc::from("shared");
    let key = StrKey::try_from(Arc::clone(&text)).unwrap();
    assert_eq!(key.clone().as_ptr(), text.as_ptr());
    assert_eq!(ByteKey::from(key.clone()).clone().as_ptr(), text.as_ptr());
    assert!(Arc::ptr_eq(&Arc::from(key), &text));
}

#[test]
fn strings_look_like_what_they_hold() {
    let (bytes, text) = (ByteKey::new(b"a\"\0").unwrap(), StrKey::new("a\"é").unwrap());
    assert_eq!(format!("{bytes:?}"), r#"b"a\"\x00""#);
    assert_eq!(format!("{text:?} {text:>4}"), r#""a\"é"  a"é"#);
    // And are found as that in std's collections.
    assert!(HashSet::from([bytes.clone()]).contains(&b"a\"\0"[..]));
    assert!(HashSet::from([text.clone()]).contains("a\"é"));
    assert!(BTreeMap::from([(text, ())]).contains_key("a\"é"));
    assert!(BTreeMap::from([(bytes, ())]).contains_key(&b"a\"\0"[..]));
}
