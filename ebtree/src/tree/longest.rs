//! Longest match: of the keys that begin a key, the longest.
//!
//! For keys that tell at certain positions, the *ends*, whether they go on (1) or stop (0), as
//! [prefixes](crate::prefix) do. What begins a key `k`, a *cover* of it, agrees with `k` down to an end at which it has a
//! 0 and `k` a 1. A node whose position is an end has one leaf on side 0 and nothing else: all keys there agree above
//! the position (I5) and stop at it, so they are one.
//!
//! ```text
//!    [ 1 ] ── 10.0.0.0/8         k = 10.1.2.3. The descent takes side 1 of each end that it meets.
//!       \                        It ends at 10.1.9.9, the witness: all that agrees with k above the first
//!      [ 2 ] ── 10.1.0.0/16      difference of the two are covers of k, or go the way of the descent.
//!         \
//!        [ 3 ]                   So the longest cover is on side 0 of the deepest end above that difference: /16 here.
//!        /   \                   When the first difference is an end at which the witness stops, the
//!  10.1.0.1  10.1.9.9            witness is the longest cover itself.
//! ```
//!
//! One descent of the kind that writers use records the path of `k` and protects all of it; then the path is climbed. At
//! an end whose leaf is flagged there is no cover any more. Any other leaf is published and its edge read again, in
//! a slot of its own. Last, the edges below are read again: if one has changed, all begins anew.
//!
//! # What holds
//!
//! **The cover was present**, at the second read `t` of its edge: clean, in a node that is protected and was
//! linked, so it was linked at `t` (I6).
//!
//! **No longer one was present during the whole call.** Let a cover `c` of `k` be present all the time, with its 0 at the end
//! `e`. The descent has `c` below each child that it takes, until it leaves `c` at a node of position `e` or arrives at its
//! leaf: below a node whose position is lower all keys would agree with `c` down to `e`, and so be `c`. If it leaves `c`
//! there, then the witness, found below that node, agrees with `k` above `e` (I5); so the climb comes by. It finds
//! `c` there, or else a flag, or a tag. A flag: the node was linked when the descent passed it, and `c` was not
//! there from the flagging, or from that passage if it is later, until the node was unlinked. A tag: the edge
//! on the path is flagged (I3), and all begins anew.
//!
//! **More: the answer is that of one instant, unless a longer cover came and went again within the call.** It is the
//! instant `t`, or that of the last read of the climb when there is no cover. Each edge from the node of the answer down to
//! the witness, or from the root if there is none, was read before `t` and again after it, with the same value. The
//! nodes are linked, being clean; their children never come back once they are gone; so all that can have happened to such
//! an edge is that nodes were put on it and spliced out again. Without those, the path stands in the tree at `t`, and a
//! longer cover would have to hang on side 0 of one of its ends, where a flag was seen, or be split from the witness
//! by a node on one of its edges. If the witness is the cover: a longer one would be split from it by its own parent
//! at the end of the cover, on whose side 0 the descent did not go. Thus who puts a new cover in before he takes an
//! old one out lets nobody see neither.
//!
//! **Lock-freedom.** All begins anew when an edge of the path has changed since the descent, which is another
//! thread's successful CAS. A descent that meets a frozen edge removes it.

use crate::leaf::{Leaf, Own};
use crate::reclaim::{Protect, Reclaimer, Step};
use crate::sync::{Mutant, mutant, relax};
use crate::tree::descent::{Depth, Walk};

/// The path is not what it was.
struct Changed;

impl<L: Leaf, R: Reclaimer> Walk<'_, L, R> {
    /// Finds the longest key that begins `key`, or is equal to it. `is_end` says of a position whether keys tell there if
    /// they go on.
    ///
    /// Lock-free. A key type that breaks its contract gets a wrong answer.
    pub(crate) fn longest(
        &mut self,
        key: L::Key<'_>,
        is_end: impl Fn(u16) -> bool,
    ) -> Option<Depth> {
        loop {
            let depth = self.descend(Own(key))?;
            let Some(difference) = self.leaf(depth).first_difference(key) else {
                return Some(depth);
            };
            if is_end(difference) && L::bit(key, difference) {
                // The witness stops where the key goes on.
                return Some(depth);
            }
            if let Ok(found) = self.longest_above(depth, difference, &is_end) {
                return found;
            }
            relax();
        }
    }

    /// Climbs from the witness at `depth` to the deepest end above its first difference from the key that still has a
    /// leaf on side 0.
    fn longest_above(
        &self,
        depth: Depth,
        difference: u16,
        is_end: impl Fn(u16) -> bool,
    ) -> Result<Option<Depth>, Changed> {
        // The path keeps its slots; the cover gets one beyond them.
        let found = depth + 1;
        let is_cover = |level: &usize| {
            let position = self.pos(*level);
            position > difference && is_end(position) && self.record_end(*level, found)
        };
        let (found, from) = match (0..depth).rev().find(is_cover) {
            Some(level) => (Some(found), level + 1),
            None => (None, 0),
        };
        let is_unchanged = (from..=depth).all(|level| self.is_still_linked(level));
        if is_unchanged || mutant(Mutant::NoPathCheck) { Ok(found) } else { Err(Changed) }
    }

    /// Makes the leaf on side 0 of the node at `level` the end of the path, at `found`. Returns false if there is none
    /// that counts.
    fn record_end(&self, level: usize, found: usize) -> bool {
        let place = self.node(level).edge(false);
        loop {
            let value = place.load();
            // Flagged: the cover is removed. Tagged: the edge on the path is flagged (I3), and the check of the path
            // will meet it. A node: never, with keys that keep their contract.
            let counts = value.is_flagged() && mutant(Mutant::FlaggedCoverCounts);
            if (value.is_frozen() && !counts) || !value.is_leaf() {
                return false;
            }
            self.operation.publish(found, value.address());
            // S1 and I6, as in `descend_by`.
            if place.load() == value || mutant(Mutant::NoCoverValidation) {
                self.operation.set_step(found, Step { edge: place, value });
                return true;
            }
            relax();
        }
    }
}
