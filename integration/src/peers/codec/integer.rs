//! The variable-length integers of the protocol (peers protocol, section 3).
//!
//! One byte below 240; otherwise the low four bits first, then groups of seven, least significant
//! first. The continuation bits are added like all others, so each length begins where the shorter one
//! ends and every value has exactly one encoding: there is no overlong form to refuse.

use core::fmt;

/// The most bytes an integer takes.
pub const BYTES_MAX: usize = 10;

/// The least first byte of an integer of more than one.
pub(super) const LONG: u8 = 240;

/// The value would be past 2^64-1, or takes more than [`BYTES_MAX`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow;

impl fmt::Display for Overflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an integer past 2^64-1")
    }
}

impl core::error::Error for Overflow {}

/// Reads the integer at the front of `bytes`: its value and how many bytes it took. `None` when the
/// bytes end before the integer does.
///
/// # Errors
/// When the value is past 2^64-1, which includes every integer of more than [`BYTES_MAX`] bytes. Where
/// HAProxy keeps whatever its shifts leave, we call it malformed.
pub fn decode(bytes: &[u8]) -> Result<Option<(u64, usize)>, Overflow> {
    let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
    let mut value = u64::from(first);
    if first < LONG {
        return Ok(Some((value, 1)));
    }
    let mut used = 1;
    let mut shift = 4;
    for &byte in rest {
        used += 1;
        let group = u64::from(byte);
        // A tenth byte that asks for an eleventh has its high bit shifted out here, so `shift` never
        // gets past 60.
        let shifted = group << shift;
        if shifted >> shift != group {
            return Err(Overflow);
        }
        value = value.checked_add(shifted).ok_or(Overflow)?;
        if byte < 128 {
            return Ok(Some((value, used)));
        }
        shift += 7;
    }
    Ok(None)
}

/// Returns how many bytes the first `count` integers take. `None` where one of them is missing, malformed, or so long that
/// it may be: then they are to be read with care, one by one. Looks at no more bytes than there are, whatever the count.
#[inline]
pub(super) fn skip(bytes: &[u8], count: u64) -> Option<usize> {
    let mut rest = bytes;
    let mut left = count;
    while left > 0 {
        // Eight of one byte each at once, as far as there are that many.
        if left >= 8
            && let Some((eight, later)) = rest.split_first_chunk::<8>()
            && are_short(u64::from_le_bytes(*eight))
        {
            rest = later;
            left -= 8;
            continue;
        }
        let (&first, later) = rest.split_first()?;
        rest = if first < LONG {
            later
        } else {
            let last = later.iter().take(SAFE).position(|byte| *byte < 128)?;
            later.get(last + 1..)?
        };
        left -= 1;
    }
    Some(bytes.len() - rest.len())
}

/// So many bytes after the first cannot make an integer overflow: 8 groups of 7 bits, beside the 4 low ones.
const SAFE: usize = 8;

/// Whether all eight bytes are below [`LONG`]: none has its four high bits set.
#[inline]
const fn are_short(eight: u64) -> bool {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    eight & eight << 1 & eight << 2 & eight << 3 & HIGH == 0
}

/// Appends the one encoding of `value`.
#[inline]
pub fn encode(value: u64, out: &mut Vec<u8>) {
    if value < u64::from(LONG) {
        out.push(low(value));
    } else {
        encode_long(value, out);
    }
}

fn encode_long(mut value: u64, out: &mut Vec<u8>) {
    out.push(low(value) | 0xf0);
    value = (value - 240) >> 4;
    while value >= 128 {
        out.push(low(value) | 0x80);
        value = (value - 128) >> 7;
    }
    out.push(low(value));
}

/// Returns how many bytes [`encode`] appends for `value`.
#[must_use]
pub const fn size(mut value: u64) -> usize {
    if value < 240 {
        return 1;
    }
    let mut size = 2;
    value = (value - 240) >> 4;
    while value >= 128 {
        size += 1;
        value = (value - 128) >> 7;
    }
    size
}

fn low(value: u64) -> u8 {
    let [low, ..] = value.to_le_bytes();
    low
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]
mod tests {
    use super::*;

    const KNOWN: &[(u64, &[u8])] = &[
        (0, &[0x00]),
        (239, &[0xef]),
        (240, &[0xf0, 0x00]),
        (241, &[0xf1, 0x00]),
        (256, &[0xf0, 0x01]),
        (2287, &[0xff, 0x7f]),
        (2288, &[0xf0, 0x80, 0x00]),
        (264_431, &[0xff, 0xff, 0x7f]),
        (264_432, &[0xf0, 0x80, 0x80, 0x00]),
        (33_818_863, &[0xff, 0xff, 0xff, 0x7f]),
        (33_818_864, &[0xf0, 0x80, 0x80, 0x80, 0x00]),
        (4_294_967_295, &[0xff, 0xf0, 0xfe, 0xfe, 0x7e]),
        (4_294_967_296, &[0xf0, 0xf1, 0xfe, 0xfe, 0x7e]),
        (4_328_786_159, &[0xff, 0xff, 0xff, 0xff, 0x7f]),
        (4_328_786_160, &[0xf0, 0x80, 0x80, 0x80, 0x80, 0x00]),
        (1 << 63, &[0xf0, 0xf1, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0x06]),
        (1_161_999_626_690_365_680, &[0xf0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00]),
        (u64::MAX, &[0xff, 0xf0, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0x0e]),
    ];

    #[test]
    fn table_of_known_encodings() {
        for (value, bytes) in KNOWN {
            let mut out = Vec::new();
            encode(*value, &mut out);
            assert_eq!(out, *bytes, "{value}");
            assert_eq!(size(*value), bytes.len(), "{value}");
            assert_eq!(decode(bytes), Ok(Some((*value, bytes.len()))), "{value}");
            for cut in 0..bytes.len() {
                assert_eq!(decode(&bytes[..cut]), Ok(None), "{value} cut at {cut}");
            }
        }
    }

    #[test]
    fn each_length_begins_where_the_shorter_ends() {
        let smallest: &[(usize, u64)] = &[
            (2, 240),
            (3, 2288),
            (4, 264_432),
            (5, 33_818_864),
            (6, 4_328_786_160),
            (7, 554_084_600_048),
            (8, 70_922_828_777_712),
            (9, 9_078_122_083_518_704),
            (10, 1_161_999_626_690_365_680),
        ];
        for (length, value) in smallest {
            assert_eq!(size(*value), *length);
            assert_eq!(size(*value - 1), *length - 1);
            for value in [*value, *value - 1] {
                let mut out = Vec::new();
                encode(value, &mut out);
                assert_eq!(decode(&out).unwrap().unwrap(), (value, out.len()));
            }
        }
    }

    #[test]
    fn past_the_largest_is_refused() {
        let largest = [0xff, 0xf0, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0x0e];
        for at in 1..largest.len() {
            let mut bytes = largest;
            bytes[at] += 1;
            assert_eq!(decode(&bytes), Err(Overflow), "one more in byte {at}");
        }
        let mut eleven = [0x80; 11];
        eleven[0] = 0xf0;
        assert_eq!(decode(&eleven), Err(Overflow));
        assert_eq!(decode(&eleven[..10]), Err(Overflow), "the tenth byte asks for an eleventh");
        assert_eq!(decode(&eleven[..9]), Ok(None));
        assert_eq!(decode(&[0xff; 64]), Err(Overflow));
    }

    #[test]
    fn skipped_as_far_as_decoded() {
        // Every known integer among short ones, at every place of a row of twelve.
        for (value, bytes) in KNOWN {
            for at in 0..12 {
                let mut row = vec![0xef; at];
                row.extend_from_slice(bytes);
                row.resize(row.len() + 11 - at, 7);
                for count in 0..=12_usize {
                    let end = if count > at { count - 1 + bytes.len() } else { count };
                    // One of ten bytes is left to `decode`, which may refuse it.
                    let expected = (count <= at || bytes.len() <= 9).then_some(end);
                    assert_eq!(skip(&row, count as u64), expected, "{value} at {at}, {count}");
                }
                assert_eq!(skip(&row, 13), None, "one is missing");
                assert_eq!(skip(&row, u64::MAX), None);
            }
        }
        let past_the_largest = [&[0xff; 9][..], &[0x7f], &[0; 8]].concat();
        assert_eq!(decode(&past_the_largest), Err(Overflow));
        assert_eq!(skip(&past_the_largest, 1), None);
        assert_eq!(skip(&[0xff; 12], 1), None);
    }
}
