//! Keys of every type, made of pieces that are often the same, so that keys share beginnings.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bolero::TypeGenerator;
use ebtree::{ByteKey, StrKey};

/// A piece of a string.
#[derive(Clone, Debug, TypeGenerator)]
#[expect(missing_docs, reason = "numbers that a fuzzer picks")]
pub enum Piece {
    Letter(u8),
    Byte(u8),
    Character(char),
    Zeros(u8),
    Word([u8; 8]),
    /// All but some bytes of a string that was made before, and then one bit turned over.
    Like {
        which: u8,
        without: u8,
        bit: Option<u8>,
    },
    /// Longer than any other.
    Long(u16),
}

/// Returns strings of up to 4,095 bytes; one at least.
#[must_use]
pub fn strings(recipes: &[Vec<Piece>]) -> Vec<ByteKey> {
    let mut made = vec![Vec::new()];
    for recipe in recipes {
        let mut string = Vec::new();
        for piece in recipe {
            match piece {
                Piece::Letter(letter) => string.push(b"\0a\x80\xFF"[usize::from(letter % 4)]),
                Piece::Byte(byte) => string.push(*byte),
                Piece::Character(character) => {
                    string.extend(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                Piece::Zeros(count) => string.extend(vec![0; usize::from(count % 20)]),
                Piece::Word(word) => string.extend(word),
                Piece::Like { which, without, bit } => {
                    let like = &made[usize::from(*which) % made.len()];
                    string.extend(&like[..like.len().saturating_sub(usize::from(without % 9))]);
                    if let (Some(bit), Some(last)) = (bit, string.last_mut()) {
                        *last ^= 1 << (bit % 8);
                    }
                }
                Piece::Long(length) => {
                    let more = usize::from(length % 5000);
                    let longest = ByteKey::LENGTH_MAX.saturating_sub(string.len());
                    string.extend(vec![0xFF; more.min(longest)]);
                }
            }
        }
        string.truncate(ByteKey::LENGTH_MAX);
        made.push(string);
    }
    made.into_iter().filter_map(|string| ByteKey::try_from(string).ok()).collect()
}

/// Returns what can be read of them as text.
#[must_use]
pub fn texts(recipes: &[Vec<Piece>]) -> Vec<StrKey> {
    let text = |string: ByteKey| {
        let read = string.utf8_chunks().map(|chunk| chunk.valid());
        StrKey::try_from(read.collect::<String>()).ok()
    };
    strings(recipes).into_iter().filter_map(text).collect()
}

/// What keys of fixed width are made of.
#[derive(Clone, Copy, Debug, TypeGenerator)]
#[expect(missing_docs, reason = "numbers that a fuzzer picks")]
pub struct Seed {
    pub which: u8,
    pub high: u8,
    pub middle: u8,
    pub low: u8,
    pub any: u128,
}

/// A tuple with elements of most kinds.
pub type Flow = (IpAddr, (i16, bool), [u8; 9], char);

impl Seed {
    /// The same numbers in either family, at either end of the longer one, and any.
    #[must_use]
    pub const fn address(&self) -> IpAddr {
        let few = (self.high as u32 & 0xC1) << 24 | self.low as u32 & 3;
        match self.which % 6 {
            0 => IpAddr::V4(Ipv4Addr::from_bits(few)),
            1 => IpAddr::V6(Ipv4Addr::from_bits(few).to_ipv6_mapped()),
            2 => IpAddr::V6(Ipv6Addr::from_bits((few as u128) << 96)),
            3 => IpAddr::V6(Ipv6Addr::from_bits(few as u128)),
            4 => IpAddr::V6(Ipv6Addr::from_bits(self.any)),
            _ => {
                let bytes = self.any.to_be_bytes();
                IpAddr::V4(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]))
            }
        }
    }

    /// Equal in many elements.
    #[must_use]
    pub fn flow(&self) -> Flow {
        let mut bytes = [0; 9];
        bytes[usize::from(self.middle % 9)] = self.low & 0x81;
        let number = i16::from(self.middle.cast_signed() >> 4) << (self.low % 9);
        let character = char::from_u32(u32::from(self.high) << 13 | u32::from(self.low & 1));
        let address = match self.high & 0x10 {
            0 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            _ => self.address(),
        };
        (address, (number, self.low & 2 != 0), bytes, character.unwrap_or(char::MAX))
    }

    /// A number with bits in few places.
    #[must_use]
    pub const fn number(&self) -> i128 {
        match self.which % 3 {
            0 => (self.low as i128 - 128) << (self.middle % 121),
            1 => (1_i128 << (self.middle % 128)) ^ (self.low as i128 & 1),
            _ => self.any.cast_signed(),
        }
    }
}
