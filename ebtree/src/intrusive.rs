//! Trees of objects that the caller allocates, and that may be members of other structures too.
//!
//! [`EbTree`](crate::EbTree) owns its leaves. Here the leaf is the caller's: a stick-table entry, say, that is found
//! by key, waits for its expiry and stands in an update order, all in one allocation. The tree says when it
//! has let go of a leaf ([`Leaf::unlinked`]); the caller says when the leaf is given up for good
//! ([`Retire::retire`]); the [reclaimer](crate::reclaim) frees it when nobody looks at it any more.
//!
//! Every operation is lock-free. No guard can block anybody.

mod across;
mod batch;
mod by;
mod each;
mod linked;
#[cfg(all(test, not(loom)))]
mod stopped;

use core::alloc::Layout;
use core::fmt;
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::NonNull;

use crate::edge::AtomicEdge;
pub use crate::leaf::{Leaf, Retire};
pub(crate) use crate::leaf::{Own, Probe};
use crate::pool;
use crate::reclaim::{Domain, Protect, Reclaimer, Token};
use crate::tree::descent::{Depth, Walk};
use crate::tree::leaves::Leaves;
pub(crate) use crate::tree::ordered::Seek;
use crate::tree::unlinked::Unlinked;

/// Returns memory for a leaf from the pool that the nodes of all trees come from, or from the global allocator if it is larger than 256
/// bytes or aligned to more than 16. Each size is for itself there, without headers: ten entries of 80 bytes take 800.
///
/// Lock-free, but for what the system does when it is asked for more memory. When there is none, the global handler for that is called.
///
/// # Panics
/// When the layout is of size zero.
#[inline]
#[must_use]
pub fn allocate(layout: Layout) -> NonNull<u8> {
    assert!(layout.size() > 0, "memory of no size has no address of its own");
    pool::allocate(layout).unwrap_or_else(|| std::alloc::handle_alloc_error(layout))
}

/// Gives memory back. Any thread may.
///
/// # Safety
/// 1. `memory` came from [`allocate`] with this layout, nobody uses it any more, and this is called once.
#[inline]
pub unsafe fn deallocate(memory: NonNull<u8>, layout: Layout) {
    // SAFETY: 1 of the contract.
    unsafe { pool::give_back(memory, layout) };
}

/// A leaf that was found. It is not freed while this guard lives; it may be removed meanwhile.
pub struct Ref<'t, L, R: Reclaimer = Domain> {
    leaf: NonNull<L>,
    #[expect(dead_code, reason = "for its end")]
    guard: R::Guard,
    tree: PhantomData<&'t L>,
}

/// Nothing of its own; but a type with an end must not outlive what it borrows, and the guard's end needs the reclaimer,
/// which the tree holds.
///
/// ```compile_fail,E0597
/// let late;
/// let tree = ebtree::EbTree::from([(1_u32, 1)]);
/// late = tree.get(&1);
/// ```
impl<L, R: Reclaimer> Drop for Ref<'_, L, R> {
    fn drop(&mut self) {}
}

impl<L, R: Reclaimer> Ref<'_, L, R> {
    /// Returns the address of the leaf, which tells it from any other as long as the guard lives.
    #[must_use]
    pub const fn as_ptr(&self) -> NonNull<L> {
        self.leaf
    }
}

impl<L: Leaf, R: Reclaimer> Deref for Ref<'_, L, R> {
    type Target = L;

    fn deref(&self) -> &L {
        // SAFETY: `guard` has protected the leaf since it was known to be linked.
        let leaf = unsafe { self.leaf.as_ref() };
        leaf.touched();
        leaf
    }
}

impl<L: Leaf + fmt::Debug, R: Reclaimer> fmt::Debug for Ref<'_, L, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// A row of `2^k` trees in one array, for keys that begin with evenly spread bits (a hash): the caller picks
/// the tree by those bits. One tree is a row of one.
///
/// Each tree is in ascending order of its keys; across trees there is no order but that of their indexes.
///
/// Leaves go in through shared references, so a row of one type of leaf is none of another, which may say more of a lifetime:
///
/// ```compile_fail,E0308
/// # use ebtree::EbTree;
/// fn narrow(tree: &EbTree<u32, for<'a> fn(&'a str)>) -> &EbTree<u32, fn(&'static str)> {
///     tree
/// }
/// ```
pub struct Forest<L: Leaf, R: Reclaimer = Domain> {
    roots: Box<[AtomicEdge]>,
    domain: R,
    leaves: PhantomData<fn(L) -> L>,
}

impl<L: Leaf, R: Reclaimer> Forest<L, R> {
    /// Makes `2^k` empty trees, of 8 bytes each, that reclaim through `domain`. The memory of trees that are never used
    /// is not touched.
    ///
    /// # Panics
    /// When `k` is above 32, or too large for this system.
    #[must_use]
    pub fn new_in(k: u32, domain: R) -> Self {
        assert!(k <= 32, "at most 2^32 roots");
        let trees =
            usize::try_from(1_u64 << k).expect("a number that this system has addresses for");
        Self { roots: AtomicEdge::nulls(trees), domain, leaves: PhantomData }
    }

    /// Returns the number of trees.
    #[must_use]
    pub fn trees(&self) -> usize {
        self.roots.len()
    }

    /// Returns the domain.
    #[must_use]
    pub const fn domain(&self) -> &R {
        &self.domain
    }

    pub(crate) fn walk(&self, tree: usize) -> Walk<'_, L, R> {
        Walk::new(&self.roots[tree], &self.domain)
    }

    pub(crate) fn reference<'t>(walk: &Walk<'t, L, R>, depth: Depth) -> Ref<'t, L, R> {
        let leaf = walk.leaf_pointer(depth);
        let guard = walk.operation.guard(depth, leaf.as_ptr().cast());
        Ref { leaf, guard, tree: PhantomData }
    }

    /// Returns the leaf of this key.
    ///
    /// Lock-free; writes nothing that is shared but its slots, unless it meets two half-removed nodes in a row.
    ///
    /// # Panics
    /// When there is no tree of that index; so do all methods that take one.
    #[must_use]
    pub fn get(&self, tree: usize, key: L::Key<'_>) -> Option<Ref<'_, L, R>> {
        self.get_by(tree, Own(key))
    }

    /// Calls `visit` with the leaf of this key, without the cost of a guard. `visit` may use this and
    /// other trees.
    pub fn get_with<T>(
        &self,
        tree: usize,
        key: L::Key<'_>,
        visit: impl FnOnce(&L) -> T,
    ) -> Option<T> {
        self.get_with_by(tree, Own(key), visit)
    }

    /// Calls `visit` with the address of the leaf of this key, which is protected during the call: for callers that take a hold of
    /// their own on it.
    pub fn get_ptr_with<T>(
        &self,
        tree: usize,
        key: L::Key<'_>,
        visit: impl FnOnce(NonNull<L>) -> T,
    ) -> Option<T> {
        self.get_ptr_with_by(tree, Own(key), visit)
    }

    /// Links `new`, unless its key is there already: then returns the leaf that has it.
    ///
    /// # Errors
    /// The leaf that has the key. `new` is the caller's again.
    ///
    /// # Safety
    /// 1. `new` is initialised, nobody else can see it, no tree links it, and `key` is its key.
    /// 2. It stays allocated until it is retired after [`Leaf::unlinked`] was called, or the forest is dropped,
    ///    which frees it.
    pub unsafe fn insert(
        &self,
        tree: usize,
        key: L::Key<'_>,
        new: NonNull<L>,
    ) -> Result<(), Ref<'_, L, R>> {
        let mut walk = self.walk(tree);
        // SAFETY: 1 and 2 are the caller's.
        let inserted = unsafe { walk.insert(key, new) };
        let inserted = inserted.map_err(|depth| Self::reference(&walk, depth));
        walk.end(inserted)
    }

    /// Links `new` and returns it, unless its key is there already.
    ///
    /// # Errors
    /// The leaf that has the key. `new` is the caller's again.
    ///
    /// # Safety
    /// As for [`insert`](Self::insert).
    pub unsafe fn get_or_insert(
        &self,
        tree: usize,
        key: L::Key<'_>,
        new: NonNull<L>,
    ) -> Result<Ref<'_, L, R>, Ref<'_, L, R>> {
        let mut walk = self.walk(tree);
        // Protected before it is linked, so that it stays so when somebody removes it at once.
        let guard = walk.operation.guard_new(new.as_ptr().cast());
        // SAFETY: 1 and 2 are the caller's.
        let inserted = match unsafe { walk.insert(key, new) } {
            Ok(()) => Ok(Ref { leaf: new, guard, tree: PhantomData }),
            Err(depth) => Err(Self::reference(&walk, depth)),
        };
        walk.end(inserted)
    }

    /// Puts `new` in the place of `old`, which has the same key, if `old` is still linked; the key is never
    /// absent in between. Returns whether it was.
    ///
    /// # Safety
    /// As for [`insert`](Self::insert).
    pub unsafe fn replace_if(
        &self,
        tree: usize,
        key: L::Key<'_>,
        old: NonNull<L>,
        new: NonNull<L>,
    ) -> bool {
        let mut walk = self.walk(tree);
        loop {
            let Some(depth) = walk.descend(Own(key)) else { return false };
            if walk.leaf_pointer(depth) != old {
                return false;
            }
            // SAFETY: 1 and 2 are the caller's.
            if unsafe { walk.replace(depth, new) } {
                return true;
            }
        }
    }

    /// Removes the leaf of this key if `is_it` says so. Returns whether this call removed it.
    ///
    /// When it returns true, the leaf is unlinked and [`Leaf::unlinked`] has been called or is being called by
    /// a helper. Decide by the leaf's address to remove a certain one: a key may have been removed and inserted
    /// again.
    pub fn remove_if(&self, tree: usize, key: L::Key<'_>, is_it: impl FnMut(&L) -> bool) -> bool {
        self.remove_if_by(tree, Own(key), is_it)
    }

    /// Removes the leaf of this key and returns it.
    #[must_use]
    pub fn take(&self, tree: usize, key: L::Key<'_>) -> Option<Ref<'_, L, R>> {
        self.take_by(tree, Own(key))
    }

    /// Removes the first (or last) leaf if `is_due` agrees, and returns it. Exactly one caller gets a leaf.
    #[must_use]
    pub fn take_end_if(
        &self,
        tree: usize,
        first: bool,
        mut is_due: impl FnMut(&L) -> bool,
    ) -> Option<Ref<'_, L, R>> {
        let mut walk = self.walk(tree);
        loop {
            let depth = walk.extreme(first)?;
            let leaf = walk.leaf_pointer(depth);
            if !is_due(walk.leaf(depth)) {
                return None;
            }
            if let Some(guard) = walk.remove(depth) {
                return walk.end(Some(Ref { leaf, guard, tree: PhantomData }));
            }
        }
    }

    /// Returns the leaf with the smallest key of one tree.
    #[must_use]
    pub fn first(&self, tree: usize) -> Option<Ref<'_, L, R>> {
        let mut walk = self.walk(tree);
        let first = walk.extreme(true).map(|depth| Self::reference(&walk, depth));
        walk.end(first)
    }

    /// Returns the leaf with the largest key of one tree.
    #[must_use]
    pub fn last(&self, tree: usize) -> Option<Ref<'_, L, R>> {
        let mut walk = self.walk(tree);
        let last = walk.extreme(false).map(|depth| Self::reference(&walk, depth));
        walk.end(last)
    }

    /// Returns the leaf with the smallest key that is at least `key`.
    #[must_use]
    pub fn ge(&self, tree: usize, key: L::Key<'_>) -> Option<Ref<'_, L, R>> {
        self.seek(tree, Own(key), Seek::GE)
    }

    /// Returns the leaf with the smallest key above `key`.
    #[must_use]
    pub fn gt(&self, tree: usize, key: L::Key<'_>) -> Option<Ref<'_, L, R>> {
        self.seek(tree, Own(key), Seek::GT)
    }

    /// Returns the leaf with the largest key that is at most `key`.
    #[must_use]
    pub fn le(&self, tree: usize, key: L::Key<'_>) -> Option<Ref<'_, L, R>> {
        self.seek(tree, Own(key), Seek::LE)
    }

    /// Returns the leaf with the largest key below `key`.
    #[must_use]
    pub fn lt(&self, tree: usize, key: L::Key<'_>) -> Option<Ref<'_, L, R>> {
        self.seek(tree, Own(key), Seek::LT)
    }

    /// Begins an operation of this domain, for a caller that unlinks leaves from structures of its own and then
    /// [retires](Retire::retire) them, or that protects one by hand.
    pub fn with_retire<T>(&self, run: impl FnOnce(&Retire<'_, '_, R>) -> T) -> T {
        let operation = self.domain.enter(Token(()));
        let done = run(&Retire::new(&operation));
        operation.end(done)
    }
}

/// The leaf that has the key, and the one that was not linked.
type Taken<'t, L, R> = (Ref<'t, L, R>, Unlinked<L>);

/// The same, if a leaf has the key.
type Refused<'t, L, R> = (Option<Ref<'t, L, R>>, Unlinked<L>);

/// Leaves that the forest owns as soon as it links them, whatever panics: a method of the key before, or a value that is
/// dropped at the end of the operation.
impl<L: Leaf, R: Reclaimer> Forest<L, R> {
    /// Links `new`, unless its key is there already.
    ///
    /// # Errors
    /// The leaf that has the key, and `new`.
    ///
    /// # Safety
    /// 1. `key` is the key of `new`, and not borrowed from it.
    #[inline]
    pub(crate) unsafe fn insert_new(
        &self,
        tree: usize,
        key: L::Key<'_>,
        new: Unlinked<L>,
    ) -> Result<(), Taken<'_, L, R>> {
        let mut walk = self.walk(tree);
        // SAFETY: 1 of the contract; the rest is what `Unlinked` stands for.
        let inserted = match unsafe { walk.insert(key, new.pointer()) } {
            Ok(()) => {
                new.into_raw();
                Ok(())
            }
            Err(depth) => Err((Self::reference(&walk, depth), new)),
        };
        walk.end(inserted)
    }

    /// Links `new` and returns it, unless its key is there already.
    ///
    /// # Errors
    /// The leaf that has the key, and `new`.
    ///
    /// # Safety
    /// As for [`insert_new`](Self::insert_new).
    pub(crate) unsafe fn get_or_insert_new(
        &self,
        tree: usize,
        key: L::Key<'_>,
        new: Unlinked<L>,
    ) -> Result<Ref<'_, L, R>, Taken<'_, L, R>> {
        let mut walk = self.walk(tree);
        // Protected before it is linked, so that it stays so when somebody removes it at once.
        let guard = walk.operation.guard_new(new.pointer().as_ptr().cast());
        // SAFETY: as in `insert_new`.
        let inserted = match unsafe { walk.insert(key, new.pointer()) } {
            Ok(()) => Ok(Ref { leaf: new.into_raw(), guard, tree: PhantomData }),
            Err(depth) => Err((Self::reference(&walk, depth), new)),
        };
        walk.end(inserted)
    }

    /// Puts `new` in the place of `old`, if that is still linked.
    ///
    /// # Errors
    /// The leaf that has the key instead, if one has, and `new`.
    ///
    /// # Safety
    /// As for [`insert_new`](Self::insert_new).
    pub(crate) unsafe fn replace_new(
        &self,
        tree: usize,
        key: L::Key<'_>,
        old: NonNull<L>,
        new: Unlinked<L>,
    ) -> Result<(), Refused<'_, L, R>> {
        let mut walk = self.walk(tree);
        // SAFETY: 1 of the contract.
        let replaced = unsafe { Self::replace_on(&mut walk, key, old, new) }
            .map_err(|(there, new)| (there.map(|depth| Self::reference(&walk, depth)), new));
        walk.end(replaced)
    }

    /// Puts `new` in the place of `old`, if that is still linked, and returns it.
    ///
    /// # Errors
    /// As for [`replace_new`](Self::replace_new).
    ///
    /// # Safety
    /// As for [`insert_new`](Self::insert_new).
    pub(crate) unsafe fn exchange_new(
        &self,
        tree: usize,
        key: L::Key<'_>,
        old: NonNull<L>,
        new: Unlinked<L>,
    ) -> Result<Ref<'_, L, R>, Refused<'_, L, R>> {
        let mut walk = self.walk(tree);
        let leaf = new.pointer();
        // As in `get_or_insert_new`.
        let guard = walk.operation.guard_new(leaf.as_ptr().cast());
        // SAFETY: 1 of the contract.
        let replaced = match unsafe { Self::replace_on(&mut walk, key, old, new) } {
            Ok(()) => Ok(Ref { leaf, guard, tree: PhantomData }),
            Err((there, new)) => Err((there.map(|depth| Self::reference(&walk, depth)), new)),
        };
        walk.end(replaced)
    }

    /// Linearization: the CAS, or the second read of the edge to another leaf of this key, or as for
    /// [`insert`](Walk::insert) where none is found.
    ///
    /// # Safety
    /// As for [`insert_new`](Self::insert_new).
    unsafe fn replace_on(
        walk: &mut Walk<'_, L, R>,
        key: L::Key<'_>,
        old: NonNull<L>,
        mut new: Unlinked<L>,
    ) -> Result<(), (Option<Depth>, Unlinked<L>)> {
        loop {
            let Some(depth) = walk.descend(Own(key)) else { return Err((None, new)) };
            if walk.leaf_pointer(depth) != old {
                let is_same_key = walk.leaf(depth).first_difference(key).is_none();
                return Err((is_same_key.then_some(depth), new));
            }
            // Given away before the CAS: after it the leaf is the tree's, also if `Leaf::unlinked` of the old one panics.
            let leaf = new.into_raw();
            // SAFETY: as in `insert_new`.
            if unsafe { walk.replace(depth, leaf) } {
                return Ok(());
            }
            // SAFETY: not linked, so it is what it was before.
            new = unsafe { Unlinked::new(leaf) };
        }
    }

    /// Takes the trees apart into their leaves.
    pub(crate) fn take_leaves(&mut self) -> Leaves<L> {
        // SAFETY: borrowed exclusively, so no operation and no guard is left.
        unsafe { Leaves::new(&mut self.roots) }
    }
}

impl<L: Leaf, R: Reclaimer> Drop for Forest<L, R> {
    fn drop(&mut self) {
        drop(self.take_leaves());
    }
}

impl<L: Leaf, R: Reclaimer> fmt::Debug for Forest<L, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forest").field("trees", &self.roots.len()).finish_non_exhaustive()
    }
}
