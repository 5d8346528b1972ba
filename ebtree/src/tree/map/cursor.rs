//! A place in the order of the keys that borrows nothing.

use super::{EbTree, Entry};
use crate::key::Key;
use crate::reclaim::Reclaimer;

/// A place between two keys, from which a map is walked step by step in both directions.
///
/// A cursor owns its place, and borrows neither the map nor an entry: it can stand in a struct beside the map
/// (or an `Arc` of it), be sent to another thread, or be kept between requests. It keeps nothing alive and blocks
/// nobody. Each step names the map; so one cursor can compare two maps, too.
///
/// ```text
///          next ─►
///   1   3 │ 5   8          the cursor is after 3: `next` returns 5 and moves behind it,
///       ◄─ prev            `prev` returns 3 and moves before it
/// ```
///
/// Concurrent changes do not disturb it: the place is between the keys, whether those are still there or not. What is
/// said of the steps of a [`Range`](super::Range) holds for each step here. There is no end that is final: `None` leaves the
/// cursor where it is, and keys that come later are found by the next call.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use ebtree::{Cursor, EbTree};
///
/// /// Hands out what there is in pages, over many calls.
/// struct Pages {
///     tree: Arc<EbTree<u32, &'static str>>,
///     cursor: Cursor<u32>,
/// }
///
/// impl Pages {
///     fn next_page(&mut self) -> Vec<(u32, &'static str)> {
///         let step = || self.cursor.next(&self.tree).map(|entry| (*entry.key(), *entry));
///         std::iter::from_fn(step).take(2).collect()
///     }
/// }
///
/// let tree = Arc::new(EbTree::from([(1, "a"), (2, "b"), (3, "c")]));
/// let mut pages = Pages { tree: Arc::clone(&tree), cursor: Cursor::default() };
/// assert_eq!(pages.next_page(), [(1, "a"), (2, "b")]);
/// tree.remove(&2);
/// assert_eq!(pages.next_page(), [(3, "c")]);
/// assert_eq!(pages.cursor.prev(&tree).map(|entry| *entry.key()), Some(3));
/// assert_eq!(pages.cursor.prev(&tree).map(|entry| *entry.key()), Some(1));
/// ```
#[derive(Clone, Debug)]
pub struct Cursor<K> {
    place: Place<K>,
}

#[derive(Clone, Debug)]
enum Place<K> {
    Start,
    Before(K),
    After(K),
    End,
}

impl<K> Default for Cursor<K> {
    /// Before all keys.
    fn default() -> Self {
        Self::start()
    }
}

impl<K> Cursor<K> {
    /// Returns a cursor before all keys.
    #[must_use]
    pub const fn start() -> Self {
        Self { place: Place::Start }
    }

    /// Returns a cursor after all keys.
    #[must_use]
    pub const fn end() -> Self {
        Self { place: Place::End }
    }

    /// Returns a cursor just before this key, whether it is in a map or not.
    #[must_use]
    pub const fn before(key: K) -> Self {
        Self { place: Place::Before(key) }
    }

    /// Returns a cursor just after this key, whether it is in a map or not.
    #[must_use]
    pub const fn after(key: K) -> Self {
        Self { place: Place::After(key) }
    }
}

impl<K: Key> Cursor<K> {
    /// Returns the entry after the cursor and moves behind it; at the end, returns `None` and stays. `O(d)`; lock-free.
    pub fn next<'t, V, R>(&mut self, tree: &'t EbTree<K, V, R>) -> Option<Entry<'t, K, V, R>>
    where
        V: Send + Sync + 'static,
        R: Reclaimer,
    {
        let next = self.peek_next(tree)?;
        *self = Self::after(next.key().clone());
        Some(next)
    }

    /// Returns the entry before the cursor and moves before it; at the start, returns `None` and stays. `O(d)`; lock-free.
    pub fn prev<'t, V, R>(&mut self, tree: &'t EbTree<K, V, R>) -> Option<Entry<'t, K, V, R>>
    where
        V: Send + Sync + 'static,
        R: Reclaimer,
    {
        let prev = self.peek_prev(tree)?;
        *self = Self::before(prev.key().clone());
        Some(prev)
    }

    /// Returns the entry after the cursor, which stays. `O(d)`; lock-free.
    #[must_use]
    pub fn peek_next<'t, V, R>(&self, tree: &'t EbTree<K, V, R>) -> Option<Entry<'t, K, V, R>>
    where
        V: Send + Sync + 'static,
        R: Reclaimer,
    {
        match &self.place {
            Place::Start => tree.first(),
            Place::Before(key) => tree.ge(key),
            Place::After(key) => tree.gt(key),
            Place::End => None,
        }
    }

    /// Returns the entry before the cursor, which stays. `O(d)`; lock-free.
    #[must_use]
    pub fn peek_prev<'t, V, R>(&self, tree: &'t EbTree<K, V, R>) -> Option<Entry<'t, K, V, R>>
    where
        V: Send + Sync + 'static,
        R: Reclaimer,
    {
        match &self.place {
            Place::Start => None,
            Place::Before(key) => tree.lt(key),
            Place::After(key) => tree.le(key),
            Place::End => tree.last(),
        }
    }
}
