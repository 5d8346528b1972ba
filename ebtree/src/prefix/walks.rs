//! Walks: what a prefix covers, what covers it, and the outermost ones.

use core::fmt;
use core::ops::Bound;

use super::{Address, EbPrefixTree, Entry, Prefix};

/// A walk over all entries; see [`EbPrefixTree::iter`].
pub type Iter<'t, A, V> = Covered<'t, A, V>;

/// A walk over what a prefix covers; see [`EbPrefixTree::covered`].
pub struct Covered<'t, A: Address, V: Send + Sync + 'static> {
    tree: &'t EbPrefixTree<A, V>,
    within: Prefix<A>,
    from: Bound<Prefix<A>>,
}

impl<'t, A: Address, V: Send + Sync + 'static> Covered<'t, A, V> {
    pub(super) const fn new(tree: &'t EbPrefixTree<A, V>, within: Prefix<A>) -> Self {
        Self { tree, within, from: Bound::Included(within) }
    }
}

impl<'t, A: Address, V: Send + Sync + 'static> Iterator for Covered<'t, A, V> {
    type Item = Entry<'t, A, V>;

    /// Returns the next entry. A prefix inserted between the last one and this call may be passed over only if it
    /// was not present during the whole call.
    fn next(&mut self) -> Option<Entry<'t, A, V>> {
        // What is covered stands in one row, after what covers it.
        let next = self.tree.seek(self.from).filter(|next| self.within.covers(next.prefix()))?;
        self.from = Bound::Excluded(*next.prefix());
        Some(next)
    }
}

/// A walk over the outermost of what a prefix covers; see [`EbPrefixTree::outermost`].
pub struct Outermost<'t, A: Address, V: Send + Sync + 'static> {
    tree: &'t EbPrefixTree<A, V>,
    within: Prefix<A>,
    from: Bound<Prefix<A>>,
}

impl<'t, A: Address, V: Send + Sync + 'static> Outermost<'t, A, V> {
    pub(super) const fn new(tree: &'t EbPrefixTree<A, V>, within: Prefix<A>) -> Self {
        Self { tree, within, from: Bound::Included(within) }
    }
}

impl<'t, A: Address, V: Send + Sync + 'static> Iterator for Outermost<'t, A, V> {
    type Item = Entry<'t, A, V>;

    /// Returns the next entry, the first one beyond all that the last one covers.
    fn next(&mut self) -> Option<Entry<'t, A, V>> {
        let next = self.tree.seek(self.from).filter(|next| self.within.covers(next.prefix()))?;
        // The last of what it covers, if it were there, is its last address.
        self.from = Bound::Excluded(Prefix::host(next.prefix().last_address()));
        Some(next)
    }
}

/// A walk over what covers a prefix; see [`EbPrefixTree::covering`].
pub struct Covering<'t, A: Address, V: Send + Sync + 'static> {
    tree: &'t EbPrefixTree<A, V>,
    /// What the next one covers.
    rest: Option<Prefix<A>>,
}

impl<'t, A: Address, V: Send + Sync + 'static> Covering<'t, A, V> {
    pub(super) const fn new(tree: &'t EbPrefixTree<A, V>, of: Prefix<A>) -> Self {
        Self { tree, rest: Some(of) }
    }
}

impl<'t, A: Address, V: Send + Sync + 'static> Iterator for Covering<'t, A, V> {
    type Item = Entry<'t, A, V>;

    /// Returns the longest cover that is shorter than the last one.
    fn next(&mut self) -> Option<Entry<'t, A, V>> {
        let next = self.tree.longest(self.rest?);
        self.rest = next.as_ref().and_then(|next| next.prefix().parent());
        next
    }
}

impl<A: Address + fmt::Debug, V: Send + Sync + 'static> fmt::Debug for Covered<'_, A, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Covered").field("within", &self.within).field("from", &self.from).finish()
    }
}

impl<A: Address + fmt::Debug, V: Send + Sync + 'static> fmt::Debug for Outermost<'_, A, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outermost").field("within", &self.within).field("from", &self.from).finish()
    }
}

impl<A: Address + fmt::Debug, V: Send + Sync + 'static> fmt::Debug for Covering<'_, A, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Covering").field("rest", &self.rest).finish()
    }
}
