//! The update order: what peers have to be told, by the sequence in which it changed.
//!
//! ```text
//!   seq    7    9   10        14                     next = 15
//!          e    e    e         e                     each entry once, under its latest seq
//!                    ^frontier: some session may have begun to read up to here
//! ```
//!
//! Every session keeps its own cursor. An entry that no session can have read yet (its seq is above the *frontier*) is
//! not moved when it changes again: its value is read when it is sent. So a hot entry costs a fence and two
//! loads per touch, and a slow peer never makes the index larger than the table. Leaves that every session has behind it are *trimmed*; the
//! entry keeps its seq, and gets another leaf when it changes again, since no seq that was read is above the frontier.
//!
//! The frontier is what keeps an update from being lost. Sequences are drawn before leaves are linked, so a session
//! could pass the place of a leaf that is not there yet. It raises the frontier to where it is going to read *before* it
//! reads; and whoever linked a leaf looks at the frontier *afterwards*, and draws again if the leaf lies behind it.
//!
//! # Invariants
//! U1  A leaf of an entry is linked only while its inserter holds a reference of the entry, or under the seq that is in the
//!     entry's `update`. So when an entry dies, at most the leaf of its `update` is linked.
//! U2  A change made before a session read the entry was sent with it, or a leaf of the entry stands above the cursor of that
//!     session, or the toucher has not returned yet.
//!
//! # Synchronization
//! S1  value; fence; `frontier` is read    <->  `frontier` is raised; fence; value is read
//! S2  leaf linked; fence; `frontier` read <->  `frontier` is raised; fence; leaves are walked
//! S3  leaf linked; fence; `update` read   <->  `update` is moved; fence; the old leaf is unlinked

use core::alloc::Layout;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use ebtree::Domain;
use ebtree::intrusive::{Forest, Leaf, Ref, Retire};
use ebtree::reclaim::Reclaimer;

use crate::entry::Entry;
use crate::index::keys::KeyIndex;
use crate::life::QUEUED;
use crate::sync::{AtomicU64, Mutant, Tracked, fence, mutant, relax};

/// The place of one entry in the order.
#[repr(align(16))]
#[derive(Debug)]
pub(crate) struct Update {
    seq: u64,
    entry: NonNull<Entry>,
    tracked: Tracked,
}

// SAFETY: the pointer is followed under the protection that `gt_with_target` gives.
unsafe impl Send for Update {}
// SAFETY: as above.
unsafe impl Sync for Update {}

impl Update {
    fn boxed(seq: u64, entry: NonNull<Entry>) -> NonNull<Self> {
        let leaf = ebtree::intrusive::allocate(Layout::new::<Self>()).cast::<Self>();
        // SAFETY: of this layout, and ours alone.
        unsafe { leaf.write(Self { seq, entry, tracked: Tracked::new() }) };
        leaf
    }
}

/// Sequence numbers are 64 bits wide, and so are their positions.
fn first_difference(a: u64, b: u64) -> Option<u16> {
    let difference = a ^ b;
    #[expect(clippy::cast_possible_truncation, reason = "at most 63")]
    (difference != 0).then(|| (63 - difference.leading_zeros()) as u16)
}

// SAFETY: 1. `seq` never changes. 2. `align(16)`. 3. `unlinked` retires. 4. A leaf belongs to no thread.
unsafe impl Leaf for Update {
    type Key<'k> = u64;

    fn key(&self) -> u64 {
        self.seq
    }

    fn first_difference(&self, key: u64) -> Option<u16> {
        first_difference(self.seq, key)
    }

    fn bit(key: u64, position: u16) -> bool {
        key >> position & 1 != 0
    }

    fn touched(&self) {
        self.tracked.touch();
    }

    unsafe fn unlinked<R: Reclaimer>(this: NonNull<Self>, retire: &Retire<'_, '_, R>) {
        // SAFETY: one tree links it, which has just unlinked it, once.
        unsafe { retire.retire(this) };
    }

    unsafe fn free(this: NonNull<Self>) {
        // SAFETY: nobody else reads it.
        unsafe { this.as_ref() }.tracked.end();
        if cfg!(loom) {
            // Loom does not see freed memory; kept, a wrong read meets the end marked above.
            return;
        }
        // SAFETY: from `boxed`; freed once, when nobody reads it. There is nothing to drop in it.
        unsafe { ebtree::intrusive::deallocate(this.cast(), Layout::new::<Self>()) };
    }
}

/// In an entry's `update`: the leaf of this seq may not be linked yet.
const PENDING: u64 = 1;

const fn pack(seq: u64) -> u64 {
    seq << 1
}

const fn seq_of(update: u64) -> u64 {
    update >> 1
}

/// A word that is written often, alone on its cache lines.
#[derive(Debug)]
#[repr(align(128))]
struct Lonely(AtomicU64);

/// The index.
#[derive(Debug)]
pub(crate) struct UpdateIndex {
    leaves: Forest<Update>,
    /// The last seq that was drawn.
    next: Lonely,
    /// The highest seq that any session has begun to read.
    frontier: Lonely,
}

/// The one tree of the forest.
const TREE: usize = 0;

impl UpdateIndex {
    /// Makes an empty index whose first update has the seq after `last`.
    pub(crate) fn new(last: u64, domain: Domain) -> Self {
        Self {
            leaves: Forest::new_in(0, domain),
            next: Lonely(AtomicU64::new(last)),
            frontier: Lonely(AtomicU64::new(last)),
        }
    }

    /// Sees to it that every session will send, or send again, an entry whose value was changed before this call. The
    /// caller holds a reference. Returns whether sleeping sessions have something new to send.
    ///
    /// Lock-free: each turn but the first follows a session that raised the frontier, or another toucher.
    #[inline]
    pub(crate) fn touch(&self, held: &Entry) -> bool {
        if !mutant(Mutant::NoTouchFence) {
            // S1.
            fence(Ordering::SeqCst);
        }
        let mut news = false;
        loop {
            // Acquire: whoever cleared PENDING has linked the leaf.
            let update = held.update.load(Ordering::Acquire);
            // Acquire: with the fence before; a lower value than the true one only costs a turn.
            if seq_of(update) > self.frontier.0.load(Ordering::Acquire) {
                // No session can have read the entry under this seq: it will find the new value.
                if update & PENDING == 0 || mutant(Mutant::NoHelp) {
                    return news;
                }
                self.link(held, seq_of(update));
                return true;
            }
            // Relaxed: only its uniqueness matters.
            let seq = self.next.0.fetch_add(1, Ordering::Relaxed) + 1;
            // AcqRel: the seq is linked, and the former one unlinked, by us.
            if held
                .update
                .compare_exchange(update, pack(seq) | PENDING, Ordering::AcqRel, Ordering::Relaxed)
                .is_err()
            {
                relax();
                continue;
            }
            if !held.life.load().has(QUEUED) {
                held.life.set(QUEUED);
            }
            self.link(held, seq);
            news = true;
            if seq_of(update) != 0 {
                // S3: whoever links the former leaf late sees that `update` has moved.
                fence(Ordering::SeqCst);
                self.unlink(held, seq_of(update));
            }
            // S2: did a session pass before the leaf was there?
            fence(Ordering::SeqCst);
            if mutant(Mutant::NoSecondLook) || self.frontier.0.load(Ordering::Acquire) < seq {
                return true;
            }
        }
    }

    /// Links the leaf of an entry that the caller holds, if whoever drew its seq has not yet.
    ///
    /// A session calls this when the leaf by which it found the entry is no longer the entry's: that may have been all
    /// that told of a change whose toucher has returned.
    pub(crate) fn help(&self, held: &Entry) {
        let update = held.update.load(Ordering::Acquire);
        if update & PENDING != 0 && !mutant(Mutant::NoSessionHelp) {
            self.link(held, seq_of(update));
        }
    }

    /// Links the leaf of `seq`, and takes it out again if the entry has moved on meanwhile (U1).
    fn link(&self, held: &Entry, seq: u64) {
        let leaf = Update::boxed(seq, NonNull::from(held));
        // SAFETY: private, and its key is `seq`; freed through `unlinked` only.
        if unsafe { self.leaves.insert(TREE, seq, leaf) }.is_err() {
            // SAFETY: not linked: somebody helped and was first. Ours again, and never seen.
            unsafe { Update::free(leaf) };
        }
        // Relaxed on failure: it has moved on, or another helper was first. Release: the leaf is there.
        let _ = held.update.compare_exchange(
            pack(seq) | PENDING,
            pack(seq),
            Ordering::AcqRel,
            Ordering::Relaxed,
        );
        // S3.
        fence(Ordering::SeqCst);
        if seq_of(held.update.load(Ordering::Acquire)) != seq && !mutant(Mutant::NoLateUnlink) {
            self.unlink(held, seq);
        }
    }

    fn unlink(&self, entry: &Entry, seq: u64) {
        self.leaves.remove_if(TREE, seq, |leaf| core::ptr::eq(leaf.entry.as_ptr(), entry));
    }

    /// Unlinks the leaf of a dead entry. Its killer calls this before it clears QUEUED.
    pub(crate) fn forget(&self, dead: &Entry) {
        // Whoever linked a leaf of the entry had a reference of it, which the killer has seen dropped: what is linked is seen here.
        if !self.leaves.is_empty(TREE) {
            self.unlink(dead, seq_of(dead.update.load(Ordering::Acquire)));
        }
    }

    /// Unlinks the first leaf if its seq is at most `upto`, which no session reads again. Returns whether it did.
    ///
    /// Whoever changes its entry later draws a new seq: this one is not above the frontier. Whoever is still about to link it, or helps to,
    /// links it again, and it stays until it is trimmed again, moved or forgotten.
    pub(crate) fn trim_first(&self, upto: u64) -> bool {
        // Relaxed: raised before the session read, and it told the caller that it has.
        let upto = upto.min(self.frontier.0.load(Ordering::Relaxed));
        let upto = if mutant(Mutant::TrimUnread) { u64::MAX } else { upto };
        self.leaves.take_end_if(TREE, true, |leaf| leaf.seq <= upto).is_some()
    }

    /// Returns the seq under which an entry stands, 0 if it has never been queued.
    pub(crate) fn seq(entry: &Entry) -> u64 {
        seq_of(entry.update.load(Ordering::Acquire))
    }

    /// Returns the seq of the last leaf: how far a session can read now. 0, or the first seq less one, when there is none.
    ///
    /// Not the last seq that was drawn: else an idle session and a toucher could chase each other.
    pub(crate) fn last(&self) -> u64 {
        self.leaves.last(TREE).map_or(0, |leaf| leaf.seq)
    }

    /// Announces that a session is going to read leaves up to `upto`. Values read after this call are as
    /// new as the leaves they are found by (U2).
    pub(crate) fn begin(&self, upto: u64) {
        if mutant(Mutant::NoFrontier) {
            return;
        }
        // AcqRel, then the fence of S1 and S2.
        self.frontier.0.fetch_max(upto, Ordering::AcqRel);
        fence(Ordering::SeqCst);
    }

    /// Returns a seq below that of every change from now on, though a session may not have come that far.
    pub(crate) fn mark(&self) -> u64 {
        // Relaxed: the caller's own changes come after it, and whoever draws above it is later. Of those who drew below it or kept their seq,
        // the fence of `begin` sees what they did before the fence of their touch (S1): who was not seen to begin changes above the mark.
        let drawn = self.next.0.load(Ordering::Relaxed);
        self.begin(drawn);
        drawn
    }

    /// Returns the first leaf above `after` and up to `upto`, with its entry, protected.
    pub(crate) fn next<'t>(
        &'t self,
        keys: &'t KeyIndex,
        after: u64,
        upto: u64,
    ) -> Option<(u64, Ref<'t, Entry>)> {
        // SAFETY:
        // 1. A leaf's `entry` never changes.
        // 2. An entry is retired when its last index bit is cleared; QUEUED is cleared after its leaf was unlinked
        //    (`forget`), and no other leaf is linked then (U1).
        // 3. A table's indexes share its domain.
        let found =
            unsafe { self.leaves.gt_with_target(TREE, after, keys.forest(), |leaf| leaf.entry) };
        let (leaf, entry) = found?;
        entry.touched();
        (leaf.seq <= upto).then(|| (leaf.seq, entry))
    }
}
