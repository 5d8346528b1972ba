//! Walks that call a visitor: each step goes on from the path of the one before.

use core::ops::{Bound, ControlFlow, Range};
use core::ptr::NonNull;

use super::{Forest, Leaf, Own, Probe, Seek};
use crate::reclaim::{Domain, Protect, Reclaimer};
use crate::sync::{Mutant, mutant, prefetch, relax};
use crate::tree::descent::Walk;
use crate::tree::ordered::Outcome;

/// Steps after which a walk begins a new operation, so that what its thread retires meanwhile can be freed.
const STEPS: usize = if cfg!(loom) { 2 } else { 256 };
/// Trees whose first object is asked for before it is their turn.
const AHEAD: usize = 32;

/// A walk over one tree or over several, one after the other.
struct Each<'t, L: Leaf, R: Reclaimer = Domain> {
    forest: &'t Forest<L, R>,
    walk: Walk<'t, L, R>,
    /// Since the operation of `walk` began.
    steps: usize,
}

impl<'t, L: Leaf, R: Reclaimer> Each<'t, L, R> {
    fn begin(forest: &'t Forest<L, R>, tree: usize) -> Self {
        Self { forest, walk: forest.walk(tree), steps: 0 }
    }

    /// Ends the operation, and then begins a new one: inside another none ever scans.
    fn renew(self, tree: usize) -> Self {
        let forest = self.forest;
        self.walk.end(());
        Self::begin(forest, tree)
    }

    /// Ends the operation before the value that the visitor broke with becomes a return value, as `Protect::end` says.
    fn broken<B>(self, value: ControlFlow<B>) -> ControlFlow<B, Self> {
        match self.walk.end(value) {
            ControlFlow::Break(value) => ControlFlow::Break(value),
            ControlFlow::Continue(()) => unreachable!("called with what broke"),
        }
    }

    /// Visits the leaves of a tree, to which `walk` has turned. Returns itself, or what the visitor broke with.
    fn tree<B>(
        mut self,
        tree: usize,
        from: Bound<impl Probe<L>>,
        forward: bool,
        visit: &mut impl FnMut(NonNull<L>) -> ControlFlow<B>,
    ) -> ControlFlow<B, Self> {
        let seek = |inclusive| Seek { forward, inclusive };
        let first = match from {
            Bound::Unbounded => self.walk.extreme(forward),
            Bound::Included(key) => self.walk.seek(key, seek(true)),
            Bound::Excluded(key) => self.walk.seek(key, seek(false)),
        };
        let Some(mut depth) = first else { return ControlFlow::Continue(self) };
        let mut at = self.walk.leaf_pointer(depth);
        if depth == 0 {
            // The only one, and protected by its slot.
            self.steps += 1;
            return match visit(at) {
                ControlFlow::Continue(()) => ControlFlow::Continue(self),
                broken @ ControlFlow::Break(_) => self.broken(broken),
            };
        }
        // Protects the leaf at which the walk is, and with it its key, when the path's slots are used again.
        let mut held = self.walk.operation.guard(depth, at.as_ptr().cast());
        loop {
            // SAFETY: `held` protects it.
            let leaf = unsafe { at.as_ref() };
            leaf.touched();
            if let broken @ ControlFlow::Break(_) = visit(at) {
                drop(held);
                return self.broken(broken);
            }
            leaf.touched();
            self.steps += 1;
            let is_new = self.steps >= STEPS;
            let mut next = Outcome::Again;
            if is_new {
                self = self.renew(tree);
            } else {
                next = self.walk.beyond(depth, forward);
            }
            leaf.touched();
            depth = match next {
                Outcome::At(depth) => depth,
                Outcome::Nothing => return ControlFlow::Continue(self),
                Outcome::Again => {
                    relax();
                    match self.walk.seek(Own(leaf.key()), seek(false)) {
                        Some(depth) => depth,
                        None => return ControlFlow::Continue(self),
                    }
                }
            };
            at = self.walk.leaf_pointer(depth);
            if is_new {
                // At the end of a thread each operation may have a record of its own, and a copy from one record to
                // another can be missed by a scan (H3).
                held = self.walk.operation.guard(depth, at.as_ptr().cast());
            } else if !mutant(Mutant::WalkHoldsNothing) {
                self.walk.operation.hold(&mut held, depth, at.as_ptr().cast());
            }
        }
    }
}

impl<L: Leaf, R: Reclaimer> Forest<L, R> {
    /// Visits the leaves of one tree from a bound on, in ascending (`forward`) or in descending order, until the visitor breaks.
    ///
    /// A key that is present during the whole walk is visited once, one that comes or goes meanwhile at most
    /// once, and all of them in order. The visitor may use this and other trees, and may
    /// take any time: it holds up nobody. Cheaper than a search for each step: the path is kept, and no guard is made; so what the
    /// visitor inserts ahead of the walk may be passed over.
    pub fn each<B>(
        &self,
        tree: usize,
        from: Bound<L::Key<'_>>,
        forward: bool,
        visit: impl FnMut(&L) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        self.each_by(tree, from.map(Own), forward, visit)
    }

    /// As [`each`](Self::each), from whatever stands for a key.
    pub(crate) fn each_by<B>(
        &self,
        tree: usize,
        from: Bound<impl Probe<L>>,
        forward: bool,
        mut visit: impl FnMut(&L) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let visit = &mut |leaf: NonNull<L>| {
            // SAFETY: protected during the call.
            let leaf = unsafe { leaf.as_ref() };
            leaf.touched();
            visit(leaf)
        };
        Each::begin(self, tree).tree(tree, from, forward, visit).map_continue(|_| ())
    }

    /// Visits the leaves of several trees, tree by tree and in ascending order within each, until the visitor breaks. It
    /// gets the address of each leaf, which is protected during the call.
    ///
    /// Otherwise as [`each`](Self::each), and the way to look at all leaves of a row of many small trees: one operation
    /// serves many of them, and what the next ones begin with is fetched beforehand.
    ///
    /// # Panics
    /// When there are not so many trees.
    pub fn each_of<B>(
        &self,
        trees: Range<usize>,
        mut visit: impl FnMut(NonNull<L>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let mut taken = self.taken(trees);
        // Trees that are not empty, what each begins with asked for, in a ring: the next one stands at `turn`.
        let mut coming: [Option<usize>; AHEAD] = core::array::from_fn(|_| self.ask(taken.next()));
        let Some(first) = coming[0] else { return ControlFlow::Continue(()) };
        let mut each = Each::begin(self, first);
        let mut turn = 0;
        while let Some(tree) = coming[turn] {
            coming[turn] = self.ask(taken.next());
            turn = (turn + 1) % AHEAD;
            if let Some(tree) = coming[(turn + AHEAD / 2) % AHEAD] {
                each.walk.ask_below(&self.roots[tree]);
            }
            if each.steps >= STEPS {
                each = each.renew(tree);
            } else {
                each.walk.turn_to(&self.roots[tree]);
            }
            each = each.tree(tree, Bound::<Own<'_, L>>::Unbounded, true, &mut visit)?;
        }
        ControlFlow::Continue(())
    }

    /// Asks for what a tree begins with, before it is its turn.
    #[inline]
    fn ask(&self, tree: Option<usize>) -> Option<usize> {
        if let Some(tree) = tree {
            prefetch(self.roots[tree].load().address());
        }
        tree
    }

    /// Returns whether a tree was empty at some instant of the call: one load.
    #[must_use]
    pub fn is_empty(&self, tree: usize) -> bool {
        self.roots[tree].load().is_null()
    }
}
