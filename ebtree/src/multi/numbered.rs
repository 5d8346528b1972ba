//! The key of one entry among several of one key.

use core::convert::Infallible;

use crate::key::{ByteKey, FixedWidthKey, Key, KeyTooLong, Lookup, Sought, StrKey};

/// Positions that the number takes, below those of the key.
const NUMBER: u16 = 64;

/// A key whose positions leave room for the numbers of an [`EbMultiTree`](super::EbMultiTree).
///
/// Every [`FixedWidthKey`] of up to 65,472 bits is one.
pub trait MultiKey: Key {
    /// Why a key of this type is not taken; for many types, nothing.
    type Refusal;

    /// By how much positions of this type are lifted to make room: 64, or 0 where [`check`](Self::check) sees to it
    /// that none below 64 is used.
    #[doc(hidden)]
    const LIFT: u16;

    /// Whether this key leaves room.
    #[doc(hidden)]
    fn check(&self) -> Result<(), Self::Refusal>;
}

impl<K: FixedWidthKey> MultiKey for K {
    type Refusal = Infallible;

    const LIFT: u16 = {
        assert!(K::BITS <= (1 << 16) - NUMBER as u32, "64 more positions than the key's");
        NUMBER
    };

    #[inline]
    fn check(&self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Four bytes less than elsewhere leave the lowest 71 positions unused.
const LENGTH_MAX: usize = ByteKey::LENGTH_MAX - 4;

macro_rules! strings {
    ($($key:ident)*) => {$(
        impl MultiKey for $key {
            type Refusal = KeyTooLong;

            const LIFT: u16 = 0;

            fn check(&self) -> Result<(), KeyTooLong> {
                match self.len() {
                    ..=LENGTH_MAX => Ok(()),
                    length => Err(KeyTooLong { length, limit: LENGTH_MAX }),
                }
            }
        }
    )*};
}

strings!(ByteKey StrKey);

/// A key and a number, in this order.
#[derive(Clone, Debug)]
pub(super) struct Numbered<K> {
    key: K,
    number: u64,
}

impl<K: MultiKey> Numbered<K> {
    pub(super) const fn new(key: K, number: u64) -> Self {
        Self { key, number }
    }

    /// Not above any other of this key.
    pub(super) fn first(key: &K) -> Self {
        Self::new(key.clone(), 0)
    }

    /// Not below any other of this key.
    pub(super) fn last(key: &K) -> Self {
        Self::new(key.clone(), u64::MAX)
    }

    pub(super) const fn key(&self) -> &K {
        &self.key
    }

    pub(super) const fn number(&self) -> u64 {
        self.number
    }
}

impl<K: MultiKey> Key for Numbered<K> {
    #[inline]
    fn first_difference(&self, other: &Self) -> Option<u16> {
        match self.key.first_difference(&other.key) {
            // A key that keeps its contract never wraps; one that does not must not panic here.
            Some(position) => Some(position.wrapping_add(K::LIFT)),
            None => self.number.first_difference(&other.number),
        }
    }

    #[inline]
    fn bit(&self, position: u16) -> bool {
        if position < NUMBER {
            self.number.bit(position)
        } else {
            self.key.bit(position.wrapping_sub(K::LIFT))
        }
    }

    #[inline]
    fn leading(&self) -> u64 {
        self.key.leading()
    }
}

/// What stands for a key, and a number.
#[derive(Debug)]
pub(super) struct At<'q, Q: ?Sized> {
    key: &'q Q,
    number: u64,
}

impl<'q, Q: ?Sized> At<'q, Q> {
    /// Not above any entry of this key.
    pub(super) const fn first(key: &'q Q) -> Self {
        Self { key, number: 0 }
    }

    /// Not below any entry of this key.
    pub(super) const fn last(key: &'q Q) -> Self {
        Self { key, number: u64::MAX }
    }
}

impl<Q: ?Sized> Clone for At<'_, Q> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<Q: ?Sized> Copy for At<'_, Q> {}

impl<K: MultiKey + Lookup<Q>, Q: ?Sized> Sought<Numbered<K>> for At<'_, Q> {
    #[inline]
    fn differs_at(self, key: &Numbered<K>) -> Option<u16> {
        match key.key.first_difference_from(self.key) {
            // As in `Numbered`.
            Some(position) => Some(position.wrapping_add(K::LIFT)),
            None => key.number.first_difference(&self.number),
        }
    }

    #[inline]
    fn bit_at(self, position: u16) -> bool {
        if position < NUMBER {
            self.number.bit(position)
        } else {
            K::bit_of(self.key, position.wrapping_sub(K::LIFT))
        }
    }

    #[inline]
    fn leads_with(self) -> u64 {
        K::leading_of(self.key)
    }
}
