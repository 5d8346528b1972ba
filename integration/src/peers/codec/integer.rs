//! The variable-length integers of the protocol (peers protocol, section 3).
//!
//! One byte below 240; otherwise the low four bits first, then groups of seven, least significant
//! first. The continuation bits are added like all others, so each length begins where the shorter one
//! ends and every value has exactly one encoding: there is no overlong form to refuse.

use core::fmt;

/// The most bytes an integer takes.
pub const BYTES_MAX: usize = 10;

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
    if first < 240 {
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

/// Appends the one encoding of `value`.
pub fn encode(mut value: u64, out: &mut Vec<u8>) {
    if value < 240 {
        out.push(low(value));
        return;
    }
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
}
