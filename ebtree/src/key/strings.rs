//! Byte strings and text, of any length up to a limit.
//!
//! "a" is the beginning of "ab": no bit tells them apart. So each byte is read as nine bits, a 1 before its own
//! eight, and a 0 after the last byte, with which the shorter one comes first:
//!
//! ```text
//! "a"    1 01100001  0
//! "ab"   1 01100001  1 01100010  0
//!                    ^ the first difference
//! ```
//!
//! No byte is set aside to mark the end, so that a key may contain any. A bit's index is the number of the byte
//! and, in the lowest four bits, which of the nine it is: no division, for six indexes of sixteen left unused. Positions
//! count down from 65,535, the index 0.

use core::borrow::Borrow;
use core::fmt;
use core::ops::Deref;
use core::str::FromStr;
use std::sync::Arc;

use super::bytes::{first_bytes, first_different_bit};
use super::{Key, Lookup};

/// A byte string of up to 4,095 bytes, as a key.
///
/// Ordered byte by byte, a beginning before what it begins, as `[u8]` is. Any byte may occur, zero too.
///
/// A clone shares the bytes and allocates nothing, for a walk clones each key that it passes, and an allocator may
/// make it wait for others. The bytes can thus be shared with other trees and maps as well.
///
/// # Limits
///
/// [`LENGTH_MAX`](Self::LENGTH_MAX) bytes; constructors refuse more, so that whoever has a key can insert it. The
/// end of a longer one would have no position. An [`EbMultiTree`](crate::EbMultiTree) numbers its entries in 64 more positions
/// below the key's, and takes 4,091 bytes only.
///
/// # Examples
///
/// ```
/// use ebtree::{ByteKey, EbTree};
///
/// let sessions = EbTree::new();
/// sessions.insert(ByteKey::new(b"id\0a")?, 1);
/// sessions.insert(ByteKey::new(b"id")?, 2);
/// assert_eq!(sessions.first().map(|entry| entry.key().len()), Some(2));
/// assert!(ByteKey::new(&[0; 4096]).is_err());
/// # Ok::<_, ebtree::KeyTooLong>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteKey(Arc<[u8]>);

/// A text of up to 4,095 bytes of UTF-8, as a key.
///
/// Ordered by code point, a beginning before what it begins, as `str` is. Otherwise like [`ByteKey`]: a clone
/// shares the text and allocates nothing; an [`EbMultiTree`](crate::EbMultiTree) takes 4,091 bytes only.
///
/// # Examples
///
/// ```
/// use ebtree::{EbTree, StrKey};
///
/// let hits = EbTree::new();
/// for path in ["/", "/static", "/static/logo.svg", "/status"] {
///     hits.insert(StrKey::new(path)?, 0_u64);
/// }
/// // Up to the next text that does not begin so.
/// let below = hits.range(StrKey::new("/static")?..StrKey::new("/statid")?);
/// assert!(below.map(|entry| entry.key().to_string()).eq(["/static", "/static/logo.svg"]));
/// # Ok::<_, ebtree::KeyTooLong>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StrKey(Arc<str>);

/// Why a string cannot be a key: it is longer than the positions of its bits can number.
///
/// ```
/// use ebtree::{KeyTooLong, StrKey};
///
/// let refused = StrKey::try_from("z".repeat(5000)).unwrap_err();
/// assert_eq!((refused.length, refused.limit), (5000, StrKey::LENGTH_MAX));
/// assert_eq!(refused.to_string(), "a key of 5000 bytes, where 4095 are the limit");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyTooLong {
    /// The length of the string, in bytes.
    pub length: usize,
    /// The length that would have been accepted, in bytes.
    pub limit: usize,
}

impl fmt::Display for KeyTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a key of {} bytes, where {} are the limit", self.length, self.limit)
    }
}

impl core::error::Error for KeyTooLong {}

/// The number of the byte that a key of this length would have next must fit twelve bits: there its end is marked.
const LENGTH_MAX: usize = (u16::MAX >> 4) as usize;

/// What the two have in common; `$unsized` is what they hold.
macro_rules! string_key {
    ($name:ident of $unsized:ty, from $($owned:ty)*) => {
        impl $name {
            /// The length of the longest key, in bytes.
            pub const LENGTH_MAX: usize = LENGTH_MAX;

            /// Makes a key. Copies the bytes; what is in an `Arc` already becomes a key without a copy, with `try_from`.
            ///
            /// # Errors
            /// More than [`LENGTH_MAX`](Self::LENGTH_MAX) bytes.
            pub fn new(key: &$unsized) -> Result<Self, KeyTooLong> {
                Self::try_from(key)
            }
        }

        $(
            impl TryFrom<$owned> for $name {
                type Error = KeyTooLong;

                fn try_from(key: $owned) -> Result<Self, KeyTooLong> {
                    // Before anything is copied.
                    match key.len() {
                        ..=LENGTH_MAX => Ok(Self(key.into())),
                        length => Err(KeyTooLong { length, limit: LENGTH_MAX }),
                    }
                }
            }
        )*

        impl From<$name> for Arc<$unsized> {
            /// Returns what the key holds, without a copy.
            fn from(key: $name) -> Self {
                key.0
            }
        }

        impl Deref for $name {
            type Target = $unsized;

            fn deref(&self) -> &$unsized {
                &self.0
            }
        }

        impl AsRef<$unsized> for $name {
            fn as_ref(&self) -> &$unsized {
                &self.0
            }
        }

        impl Borrow<$unsized> for $name {
            fn borrow(&self) -> &$unsized {
                &self.0
            }
        }

        impl Key for $name {
            #[inline]
            fn first_difference(&self, other: &Self) -> Option<u16> {
                first_difference((*self.0).as_ref(), (*other.0).as_ref())
            }

            #[inline]
            fn bit(&self, position: u16) -> bool {
                bit((*self.0).as_ref(), position)
            }

            #[inline]
            fn leading(&self) -> u64 {
                first_bytes((*self.0).as_ref())
            }
        }

        lookup!($name by $unsized);
    };
}

macro_rules! lookup {
    ($name:ident by $query:ty $(, $length:ident)?) => {
        impl$(<const $length: usize>)? Lookup<$query> for $name {
            /// Any difference from a longer string than keys may be is at the end of the key at the latest.
            #[inline]
            fn first_difference_from(&self, query: &$query) -> Option<u16> {
                first_difference((*self.0).as_ref(), query.as_ref())
            }

            #[inline]
            fn bit_of(query: &$query, position: u16) -> bool {
                bit(query.as_ref(), position)
            }

            #[inline]
            fn leading_of(query: &$query) -> u64 {
                first_bytes(query.as_ref())
            }
        }
    };
}

string_key!(ByteKey of [u8], from &[u8] Vec<u8> Box<[u8]> Arc<[u8]>);
string_key!(StrKey of str, from &str String Box<str> Arc<str>);
lookup!(ByteKey by [u8; N], N);

impl<const N: usize> TryFrom<&[u8; N]> for ByteKey {
    type Error = KeyTooLong;

    fn try_from(key: &[u8; N]) -> Result<Self, KeyTooLong> {
        Self::new(key)
    }
}

impl FromStr for StrKey {
    type Err = KeyTooLong;

    fn from_str(key: &str) -> Result<Self, KeyTooLong> {
        Self::new(key)
    }
}

impl From<StrKey> for ByteKey {
    /// Returns the text as bytes, without a copy. The order is the same.
    fn from(key: StrKey) -> Self {
        Self(key.0.into())
    }
}

impl fmt::Debug for ByteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.escape_ascii())
    }
}

impl fmt::Debug for StrKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl fmt::Display for StrKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

#[inline]
fn first_difference(ours: &[u8], theirs: &[u8]) -> Option<u16> {
    let index = match first_different_bit(ours, theirs) {
        Some(bit) => bit / 8 * 16 + bit % 8 + 1,
        None if ours.len() == theirs.len() => return None,
        // Where the shorter one has ended and the longer one goes on.
        None => 16 * u16::try_from(ours.len().min(theirs.len())).ok()?,
    };
    Some(u16::MAX - index)
}

#[inline]
fn bit(key: &[u8], position: u16) -> bool {
    let index = u16::MAX - position;
    // The nine bits; shifted, the one that is asked for stands in the ninth place.
    key.get(usize::from(index / 16))
        .is_some_and(|byte| (0x100 | u16::from(*byte)) << (index % 16) & 0x100 != 0)
}
