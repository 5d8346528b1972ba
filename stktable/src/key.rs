//! Keys: the five types, and one canonical form of each.
//!
//! Every operation on a table takes a [`Key`], and a [`Key`] is only ever made by a [`KeySpec`], which cuts
//! and pads it as the table's type asks. So no two places can disagree on what a key's bytes are
//! (several faults in HAProxy's history were such a disagreement: a NUL or an over-long key
//! hashed one way and compared another).
//!
//! | type | canonical bytes |
//! | --- | --- |
//! | `ip`, `ipv6` | 4 or 16, network order |
//! | `integer` | 4, big-endian |
//! | `string` | up to the first NUL, at most `size - 1` |
//! | `binary` | exactly `size`, cut or padded with zeroes |

mod prefix;

use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

pub use prefix::Prefix;

/// The type of a table's keys, numbered as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum KeyType {
    /// An unsigned 32-bit integer.
    Integer = 2,
    /// An IPv4 address.
    Ip = 4,
    /// An IPv6 address.
    Ipv6 = 5,
    /// A string of bytes without NUL.
    String = 6,
    /// A block of bytes of one length.
    Binary = 7,
}

impl KeyType {
    /// Returns the word in configurations and dumps.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Integer => "integer",
            Self::Ip => "ip",
            Self::Ipv6 => "ipv6",
            Self::String => "string",
            Self::Binary => "binary",
        }
    }

    /// Returns the type of this word. `ipv4` is another word for `ip`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "integer" => Self::Integer,
            "ip" | "ipv4" => Self::Ip,
            "ipv6" => Self::Ipv6,
            "string" => Self::String,
            "binary" => Self::Binary,
            _ => return None,
        })
    }

    /// Returns the number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Returns the type of this number on the wire, `None` where it names no type a table can have.
    #[must_use]
    pub const fn from_number(number: u64) -> Option<Self> {
        Some(match number {
            2 => Self::Integer,
            4 => Self::Ip,
            5 => Self::Ipv6,
            6 => Self::String,
            7 => Self::Binary,
            _ => return None,
        })
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The type of a table's keys and their stored size, as both ends of a peers session must agree on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeySpec {
    ty: KeyType,
    size: u32,
}

/// The largest stored size of a key, in bytes.
pub const KEY_SIZE_MAX: u32 = 8184;

/// The stored size of a string or binary key whose declaration gives no `len`.
const SIZE_DEFAULT: u32 = 32;

impl KeySpec {
    /// Keys of type `integer`.
    pub const INTEGER: Self = Self { ty: KeyType::Integer, size: 4 };
    /// Keys of type `ip`.
    pub const IP: Self = Self { ty: KeyType::Ip, size: 4 };
    /// Keys of type `ipv6`.
    pub const IPV6: Self = Self { ty: KeyType::Ipv6, size: 16 };
    /// Keys of type `string` without `len`: 31 bytes and the end.
    pub const STRING: Self = Self { ty: KeyType::String, size: SIZE_DEFAULT };
    /// Keys of type `binary` without `len`: 32 bytes.
    pub const BINARY: Self = Self { ty: KeyType::Binary, size: SIZE_DEFAULT };

    /// Returns the specification of `type string len LEN`.
    ///
    /// # Errors
    /// When `len` is 0 or above [`KEY_SIZE_MAX`] - 1.
    pub const fn string(len: u32) -> Result<Self, KeyError> {
        if len == 0 || len >= KEY_SIZE_MAX {
            return Err(KeyError::Length { len, max: KEY_SIZE_MAX - 1 });
        }
        Ok(Self { ty: KeyType::String, size: len + 1 })
    }

    /// Returns the specification of `type binary len LEN`.
    ///
    /// # Errors
    /// When `len` is 0 or above [`KEY_SIZE_MAX`].
    pub const fn binary(len: u32) -> Result<Self, KeyError> {
        if len == 0 || len > KEY_SIZE_MAX {
            return Err(KeyError::Length { len, max: KEY_SIZE_MAX });
        }
        Ok(Self { ty: KeyType::Binary, size: len })
    }

    /// Returns the key type.
    #[must_use]
    pub const fn ty(self) -> KeyType {
        self.ty
    }

    /// Returns the stored size in bytes, which is what travels in a definition: for a string one more
    /// than the longest key.
    #[must_use]
    pub const fn size(self) -> u32 {
        self.size
    }

    /// Returns the key whose bytes these are, in canonical form: a string is cut at its first NUL and
    /// at the table's length, a binary key is cut or padded with zeroes.
    ///
    /// # Errors
    /// When a fixed-width key (`ip`, `ipv6`, `integer`) has another number of bytes.
    #[inline]
    pub fn key(self, bytes: &[u8]) -> Result<Key, KeyError> {
        let size = self.size as usize;
        match self.ty {
            KeyType::Integer | KeyType::Ip | KeyType::Ipv6 => {
                if bytes.len() != size {
                    return Err(KeyError::Width {
                        ty: self.ty,
                        expected: self.size,
                        found: bytes.len(),
                    });
                }
                Ok(Key::new(self.ty, bytes, size))
            }
            KeyType::String => {
                let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
                let bytes = bytes.get(..end.min(size - 1)).unwrap_or_default();
                Ok(Key::new(self.ty, bytes, bytes.len()))
            }
            KeyType::Binary => Ok(Key::new(self.ty, bytes.get(..size).unwrap_or(bytes), size)),
        }
    }

    /// Returns the bytes of the key that [`key`](Self::key) would return, where they are the beginning of these: without a copy.
    /// `None` where they are too few, or for a key of fixed width too many.
    #[inline]
    #[must_use]
    pub fn canonical(self, bytes: &[u8]) -> Option<&[u8]> {
        let size = self.size as usize;
        match self.ty {
            KeyType::Integer | KeyType::Ip | KeyType::Ipv6 => {
                (bytes.len() == size).then_some(bytes)
            }
            KeyType::String => {
                let kept = bytes.get(..size - 1).unwrap_or(bytes);
                let end = kept.iter().position(|byte| *byte == 0).unwrap_or(kept.len());
                kept.get(..end)
            }
            KeyType::Binary => bytes.get(..size),
        }
    }

    /// Returns the key that this text means on a command line.
    ///
    /// Addresses are taken in either family and cast as HAProxy casts them (an IPv4-mapped,
    /// IPv4-compatible or 6to4 address becomes IPv4; an IPv4 address becomes IPv4-mapped). An integer
    /// is decimal, 0 to 2^32-1. A string is taken as it is. A binary key is hexadecimal.
    ///
    /// # Errors
    /// When the text is not a key of this type. Trailing characters are refused.
    pub fn parse(self, text: &str) -> Result<Key, KeyError> {
        let invalid = || KeyError::Text { ty: self.ty };
        match self.ty {
            KeyType::Integer => {
                if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err(invalid());
                }
                let value: u32 = text.parse().map_err(|_| invalid())?;
                self.key(&value.to_be_bytes())
            }
            KeyType::Ip => {
                let address = match Ipv4Addr::from_str(text) {
                    Ok(address) => address,
                    Err(_) => {
                        Ipv6Addr::from_str(text).ok().and_then(to_ipv4).ok_or_else(invalid)?
                    }
                };
                self.key(&address.octets())
            }
            KeyType::Ipv6 => {
                let address = match Ipv6Addr::from_str(text) {
                    Ok(address) => address,
                    Err(_) => Ipv4Addr::from_str(text).map_err(|_| invalid())?.to_ipv6_mapped(),
                };
                self.key(&address.octets())
            }
            KeyType::String => self.key(text.as_bytes()),
            KeyType::Binary => {
                let digits = text.as_bytes();
                if !digits.len().is_multiple_of(2) || digits.len() > 2 * self.size as usize {
                    return Err(invalid());
                }
                let mut bytes = Vec::with_capacity(digits.len() / 2);
                for pair in digits.chunks_exact(2) {
                    let [high, low] = pair else { return Err(invalid()) };
                    let digit = |byte: u8| char::from(byte).to_digit(16).ok_or_else(invalid);
                    let value = digit(*high)? * 16 + digit(*low)?;
                    bytes.push(u8::try_from(value).map_err(|_| invalid())?);
                }
                self.key(&bytes)
            }
        }
    }
}

/// Returns the IPv4 address inside an IPv6 address, where there is one: mapped, compatible or 6to4.
fn to_ipv4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let join = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0 | 0xffff) => Some(join(g, h)),
        (0x2002, high, low, ..) => Some(join(high, low)),
        _ => None,
    }
}

/// Bytes kept in the key itself rather than on the heap.
const INLINE: usize = 38;

/// The key of an entry, in the canonical form of its table's [`KeySpec`].
#[derive(Clone)]
pub struct Key {
    ty: KeyType,
    bytes: Bytes,
}

#[derive(Clone)]
enum Bytes {
    Inline { len: u8, bytes: [u8; INLINE] },
    Heap(Box<[u8]>),
}

impl Key {
    /// Returns a key of `len` bytes that begins with `prefix` and goes on with zeroes.
    #[inline]
    fn new(ty: KeyType, prefix: &[u8], len: usize) -> Self {
        debug_assert!(prefix.len() <= len);
        let bytes = match u8::try_from(len) {
            Ok(short) if len <= INLINE => {
                let mut bytes = [0; INLINE];
                bytes[..prefix.len()].copy_from_slice(prefix);
                Bytes::Inline { len: short, bytes }
            }
            _ => {
                let mut bytes = vec![0; len];
                bytes[..prefix.len()].copy_from_slice(prefix);
                Bytes::Heap(bytes.into_boxed_slice())
            }
        };
        Self { ty, bytes }
    }

    /// Returns the type of the key.
    #[must_use]
    pub const fn ty(&self) -> KeyType {
        self.ty
    }

    /// Returns the canonical bytes.
    #[inline]
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Bytes::Heap(bytes) => bytes,
        }
    }
}

impl From<Ipv4Addr> for Key {
    /// Returns the key of an `ip` table.
    #[inline]
    fn from(address: Ipv4Addr) -> Self {
        Self::new(KeyType::Ip, &address.octets(), 4)
    }
}

impl From<Ipv6Addr> for Key {
    /// Returns the key of an `ipv6` table.
    #[inline]
    fn from(address: Ipv6Addr) -> Self {
        Self::new(KeyType::Ipv6, &address.octets(), 16)
    }
}

impl From<u32> for Key {
    /// Returns the key of an `integer` table.
    #[inline]
    fn from(number: u32) -> Self {
        Self::new(KeyType::Integer, &number.to_be_bytes(), 4)
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.ty == other.ty && self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Key {}

impl core::hash::Hash for Key {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {self}", self.ty)
    }
}

/// Writes the key as HAProxy's `show table` does: addresses and integers as text, strings with
/// space, `=`, backslash and unprintable bytes escaped, binary keys in upper-case hexadecimal.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.as_bytes();
        match self.ty {
            KeyType::Integer => {
                let bytes = <[u8; 4]>::try_from(bytes).unwrap_or_default();
                write!(f, "{}", u32::from_be_bytes(bytes))
            }
            KeyType::Ip => {
                write!(f, "{}", Ipv4Addr::from(<[u8; 4]>::try_from(bytes).unwrap_or_default()))
            }
            KeyType::Ipv6 => {
                let address = Ipv6Addr::from(<[u8; 16]>::try_from(bytes).unwrap_or_default());
                match address.segments() {
                    // IPv4-compatible: the C library writes the last four bytes as IPv4, unless the
                    // zeroes before them go on.
                    [0, 0, 0, 0, 0, 0, tail, _] if tail != 0 => {
                        let [.., a, b, c, d] = address.octets();
                        write!(f, "::{}", Ipv4Addr::new(a, b, c, d))
                    }
                    _ => write!(f, "{address}"),
                }
            }
            KeyType::String => {
                use fmt::Write as _;
                for byte in bytes {
                    match byte {
                        b' ' | b'=' | b'\\' => write!(f, "\\{}", char::from(*byte))?,
                        b'\t' => f.write_str("\\t")?,
                        b'\n' => f.write_str("\\n")?,
                        b'\r' => f.write_str("\\r")?,
                        0x1b => f.write_str("\\e")?,
                        0x21..=0x7e => f.write_char(char::from(*byte))?,
                        _ => write!(f, "\\x{byte:02X}")?,
                    }
                }
                Ok(())
            }
            KeyType::Binary => bytes.iter().try_for_each(|byte| write!(f, "{byte:02X}")),
        }
    }
}

/// Why something is not a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// The `len` of a declaration is 0 or too large.
    Length {
        /// What was declared.
        len: u32,
        /// What is allowed.
        max: u32,
    },
    /// A fixed-width key has another number of bytes.
    Width {
        /// The table's key type.
        ty: KeyType,
        /// Its width.
        expected: u32,
        /// The number of bytes given.
        found: usize,
    },
    /// A prefix has more bits than a key.
    Prefix {
        /// The number of bits given.
        bits: u32,
        /// The bits of a key.
        max: u32,
    },
    /// The text does not say a key of this type.
    Text {
        /// The table's key type.
        ty: KeyType,
    },
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { len, max } => write!(f, "key length {len} is not between 1 and {max}"),
            Self::Width { ty, expected, found } => {
                write!(f, "a key of type {ty} has {expected} bytes, not {found}")
            }
            Self::Prefix { bits, max } => write!(f, "a prefix of {bits} bits, of keys of {max}"),
            Self::Text { ty } => write!(f, "not a key of type {ty}"),
        }
    }
}

impl core::error::Error for KeyError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_numbers_are_keys() {
        let address = Ipv4Addr::new(192, 0, 2, 7);
        assert_eq!(KeySpec::IP.parse("192.0.2.7"), Ok(Key::from(address)));
        let mapped = address.to_ipv6_mapped();
        assert_eq!(KeySpec::IPV6.parse("192.0.2.7"), Ok(Key::from(mapped)));
        assert_eq!(KeySpec::INTEGER.parse("70000"), Ok(Key::from(70_000)));
    }

    #[test]
    fn strings_end_at_nul_and_at_the_length() {
        let spec = KeySpec::string(3).unwrap();
        assert_eq!(spec.key(b"a\0b").unwrap(), spec.key(b"a").unwrap());
        assert_eq!(spec.key(b"abcd").unwrap().as_bytes(), b"abc");
        assert_eq!(KeySpec::STRING.key(&[b'x'; 40]).unwrap().as_bytes().len(), 31);
    }

    #[test]
    fn binary_is_always_full_width() {
        let spec = KeySpec::binary(4).unwrap();
        assert_eq!(spec.key(b"ab").unwrap().as_bytes(), b"ab\0\0");
        assert_eq!(spec.key(b"abcdef").unwrap().as_bytes(), b"abcd");
        assert_eq!(spec.parse("6162").unwrap().to_string(), "61620000");
        assert!(spec.parse("616").is_err());
        let long = KeySpec::binary(100).unwrap().key(b"x").unwrap();
        assert_eq!(long.as_bytes().len(), 100);
    }

    #[test]
    fn addresses_are_cast_between_families() {
        let text = |spec: KeySpec, text: &str| spec.parse(text).map(|key| key.to_string());
        assert_eq!(text(KeySpec::IP, "::ffff:1.2.3.4").as_deref(), Ok("1.2.3.4"));
        assert_eq!(text(KeySpec::IP, "2002:102:304::").as_deref(), Ok("1.2.3.4"));
        assert!(text(KeySpec::IP, "2001:db8::1").is_err());
        assert_eq!(text(KeySpec::IPV6, "192.0.2.9").as_deref(), Ok("::ffff:192.0.2.9"));
        assert_eq!(text(KeySpec::IPV6, "2001:DB8::1").as_deref(), Ok("2001:db8::1"));
    }

    /// As HAProxy 2.6.12 writes them.
    #[test]
    fn ipv6_addresses_are_written_as_the_c_library_does() {
        for (text, written) in [
            ("::", "::"),
            ("::1", "::1"),
            ("::abcd", "::abcd"),
            ("::0.0.1.0", "::100"),
            ("::1:0", "::0.1.0.0"),
            ("::1.2.3.4", "::1.2.3.4"),
            ("::ffff:1.2.3.4", "::ffff:1.2.3.4"),
            ("::fffe:1.2.3.4", "::fffe:102:304"),
            ("::ffff:0:1.2.3.4", "::ffff:0:102:304"),
            ("64:ff9b::1.2.3.4", "64:ff9b::102:304"),
            ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
            ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
            ("1:0:0:2:0:0:0:3", "1:0:0:2::3"),
            ("0:0:1::", "0:0:1::"),
            ("1::", "1::"),
        ] {
            assert_eq!(KeySpec::IPV6.parse(text).unwrap().to_string(), written, "{text}");
        }
    }

    #[test]
    fn integers_are_checked_whole() {
        for wrong in ["", "12abc", "-1", "+1", "4294967296", " 1"] {
            assert!(KeySpec::INTEGER.parse(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(KeySpec::INTEGER.parse("4294967295").unwrap().to_string(), "4294967295");
    }

    #[test]
    fn strings_are_escaped_in_dumps() {
        let key = KeySpec::STRING.key(b"a b=\\\t\x1b\xc3").unwrap();
        assert_eq!(key.to_string(), "a\\ b\\=\\\\\\t\\e\\xC3");
    }
}
