//! Walks: what a prefix covers, what covers it, and the outermost ones.

use core::fmt;
use core::ops::Bound;

use super::{Address, EbPrefixTree, Entry, Prefix};
use crate::reclaim::{Domain, Reclaimer};

/// A walk over all entries; see [`EbPrefixTree::iter`].
pub type Iter<'t, A, V, R = Domain> = Covered<'t, A, V, R>;

/// A walk over what a prefix covers; see [`EbPrefixTree::covered`].
pub struct Covered<'t, A: Address, V: Send + Sync + 'static, R: Reclaimer = Domain> {
    tree: &'t EbPrefixTree<A, V, R>,
    within: Prefix<A>,
    from: Bound<Prefix<A>>,
}

impl<'t, A: Address, V: Send + Sync + 'static, R: Reclaimer> Covered<'t, A, V, R> {
    pub(super) const fn new(tree: &'t EbPrefixTree<A, V, R>, within: Prefix<A>) -> Self {
        Self { tree, within, from: Bound::Included(within) }
    }
}

impl<'t, A: Address, V: Send + Sync + 'static, R: Reclaimer> Iterator for Covered<'t, A, V, R> {
    type Item = Entry<'t, A, V, R>;

    /// Returns the next entry. A prefix inserted between the last one and this call may be passed over only if it
    /// was not present during the whole call.
    fn next(&mut self) -> Option<Entry<'t, A, V, R>> {
        // What is covered stands in one row, after what covers it.
        let next = self.tree.seek(self.from).filter(|next| self.within.covers(next.prefix()))?;
        self.from = Bound::Excluded(*next.prefix());
        Some(next)
    }
}

/// A walk over the outermost of what a prefix covers; see [`EbPrefixTree::outermost`].
pub struct Outermost<'t, A: Address, V: Send + Sync + 'static, R: Reclaimer = Domain> {
    tree: &'t EbPrefixTree<A, V, R>,
    within: Prefix<A>,
    from: Bound<Prefix<A>>,
}

impl<'t, A: Address, V: Send + Sync + 'static, R: Reclaimer> Outermost<'t, A, V, R> {
    pub(super) const fn new(tree: &'t EbPrefixTree<A, V, R>, within: Prefix<A>) -> Self {
        Self { tree, within, from: Bound::Included(within) }
    }
}

impl<'t, A: Address, V: Send + Sync + 'static, R: Reclaimer> Iterator for Outermost<'t, A, V, R> {
    type Item = Entry<'t, A, V, R>;

    /// Returns the next entry, the first one beyond all that the last one covers.
    fn next(&mut self) -> Option<Entry<'t, A, V, R>> {
        let next = self.tree.seek(self.from).filter(|next| self.within.covers(next.prefix()))?;
        // The last of what it covers, if it were there, is its last address.
        self.from = Bound::Excluded(Prefix::host(next.prefix().last_address()));
        Some(next)
    }
}

/// A walk over what covers a prefix; see [`EbPrefixTree::covering`].
pub struct Covering<'t, A: Address, V: Send + Sync + 'static, R: Reclaimer = Domain> {
    tree: &'t EbPrefixTree<A, V, R>,
    /// What the next one covers.
    rest: Option<Prefix<A>>,
}

impl<'t, A: Address, V: Send + Sync + 'static, R: Reclaimer> Covering<'t, A, V, R> {
    pub(super) const fn new(tree: &'t EbPrefixTree<A, V, R>, of: Prefix<A>) -> Self {
        Self { tree, rest: Some(of) }
    }
}

impl<'t, A: Address, V: Send + Sync + 'static, R: Reclaimer> Iterator for Covering<'t, A, V, R> {
    type Item = Entry<'t, A, V, R>;

    /// Returns the longest cover that is shorter than the last one.
    fn next(&mut self) -> Option<Entry<'t, A, V, R>> {
        let next = self.tree.longest(self.rest?);
        self.rest = next.as_ref().and_then(|next| next.prefix().parent());
        next
    }
}

impl<A: Address + fmt::Debug, V: Send + Sync + 'static, R: Reclaimer> fmt::Debug
    for Covered<'_, A, V, R>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Covered").field("within", &self.within).field("from", &self.from).finish()
    }
}

impl<A: Address + fmt::Debug, V: Send + Sync + 'static, R: Reclaimer> fmt::Debug
    for Outermost<'_, A, V, R>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outermost").field("within", &self.within).field("from", &self.from).finish()
    }
}

impl<A: Address + fmt::Debug, V: Send + Sync + 'static, R: Reclaimer> fmt::Debug
    for Covering<'_, A, V, R>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Covering").field("rest", &self.rest).finish()
    }
}
