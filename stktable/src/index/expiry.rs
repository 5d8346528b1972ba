//! The expiry index: entries by the coarse tick at which they are due.
//!
//! ```text
//!  tree of ticks      1000 ────► 1008 ────► 1032
//!                      │          │          │
//!  stacks              e ► e ► e  e          e ► e      linked through the entries
//! ```
//!
//! A touch only stores the entry's new date. The index is put right when the old date comes due: whoever sweeps
//! a tick takes its whole chain, frees what is over and files the rest anew. Filing is one CAS.
//! Chains are only ever taken whole, never popped entry by entry (a popped entry could be freed and filed again
//! between a reader's two looks).
//!
//! In large tables a few stacks stand for each tick, picked by the entry's hash, so that "now + expire" is not one hot
//! word.
//!
//! Dead entries that wait here for their tick are swept when they are many. A stack is two chains for that: `head`, where
//! entries are filed, and `looked`, where a forced sweep puts those that it found alive, so that the next one goes on
//! with the others. When `head` is empty the two change places.
//!
//! # Invariants
//! E1  An entry with FILED stands in exactly one chain: of one stack, or in one thread's hands. Who has it there owns its
//!     `next`.
//! E2  A CLOSED chain stays closed, and nothing is put there any more. A stack whose head is closed is out of the tree or
//!     on its way, and what its `looked` still holds is in the hands of whoever closed the head.
//!
//! # Synchronization
//! S1  push, Release                  ->  take, Acquire           (`next`)
//! S2  push; fence; `armed` is read  <->  `armed` is written; fence; the first tick is read

mod hand;

use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use ebtree::{Domain, EbTree};

use crate::entry::Entry;
use crate::sync::{AtomicI64, AtomicPtr, AtomicU64, Mutant, fence, mutant, relax};
use crate::tick::Tick;

pub(crate) use hand::Hand;

/// Key bits that pick one of the stacks of a tick.
const SHARD_BITS: u32 = 2;
/// Tables smaller than this have one stack for each tick, which makes their purge exact.
const SHARDED_FROM: u32 = 1 << 16;

/// The entries of one tick.
#[derive(Debug)]
struct Stack {
    head: Head,
    /// Those that a forced sweep has looked at.
    looked: Head,
}

/// A chain that anybody may push to, take whole, or close.
#[derive(Debug)]
struct Head(AtomicPtr<Entry>);

/// What the head of a closed stack holds. No entry lies there: entries are aligned to 16.
const CLOSED: *mut Entry = core::ptr::without_provenance_mut(1);

/// Entries taken out of a stack: the caller has them in hand (E1).
#[derive(Debug)]
pub(crate) struct Chain(*mut Entry);

impl Chain {
    pub(crate) const EMPTY: Self = Self(core::ptr::null_mut());

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_null()
    }

    /// Takes the first entry off. Its `next` is read here, before anybody can file it elsewhere.
    pub(crate) fn pop(&mut self) -> Option<NonNull<Entry>> {
        let first = NonNull::new(self.0)?;
        // SAFETY: FILED keeps the entry from being retired while it is in hand.
        let entry = unsafe { first.as_ref() };
        // Ours (E1), and ordered by the take (S1).
        self.0 = entry.link.next();
        Some(first)
    }

    /// Puts an entry in hand in front.
    pub(crate) fn push(&mut self, entry: NonNull<Entry>) {
        // SAFETY: in hand, so not retired.
        unsafe { entry.as_ref() }.link.set_next(self.0);
        self.0 = entry.as_ptr();
    }

    /// Puts all of `front` before this chain. Takes as long as `front` is.
    fn prepend(&mut self, mut front: Self) {
        while let Some(entry) = front.pop() {
            self.push(entry);
        }
    }
}

fn is_closed(head: *mut Entry) -> bool {
    core::ptr::eq(head, CLOSED)
}

impl Head {
    fn new() -> Self {
        Self(AtomicPtr::new(core::ptr::null_mut()))
    }

    /// Pushes one entry in hand. Returns false if the chain is closed.
    fn push(&self, entry: NonNull<Entry>) -> bool {
        // Relaxed: only stored, never read through.
        let mut head = self.0.load(Ordering::Relaxed);
        loop {
            if is_closed(head) {
                return false;
            }
            // SAFETY: in hand, so not retired.
            unsafe { entry.as_ref() }.link.set_next(head);
            // Release: S1. The head may have come back to the same entry meanwhile: it is still the chain we
            // link to, since chains are only taken whole.
            match self.0.compare_exchange_weak(
                head,
                entry.as_ptr(),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => head = now,
            }
            relax();
        }
    }

    /// Takes the whole chain and leaves an empty one. Nothing is taken from a closed one.
    fn take(&self) -> Chain {
        let mut head = self.0.load(Ordering::Relaxed);
        loop {
            if head.is_null() || is_closed(head) {
                return Chain::EMPTY;
            }
            // Acquire: S1.
            match self.0.compare_exchange_weak(
                head,
                core::ptr::null_mut(),
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(head) => return Chain(head),
                Err(now) => head = now,
            }
            relax();
        }
    }

    /// Takes the whole chain and closes it (E2).
    fn close(&self) -> Chain {
        let end = if mutant(Mutant::NotClosed) { core::ptr::null_mut() } else { CLOSED };
        // Acquire: S1.
        let head = self.0.swap(end, Ordering::Acquire);
        if is_closed(head) { Chain::EMPTY } else { Chain(head) }
    }

    /// Puts a chain in hand where there is none. Returns it if there is one, or the end.
    fn put(&self, chain: Chain) -> Result<(), (Chain, *mut Entry)> {
        // Release: S1.
        self.0
            .compare_exchange(core::ptr::null_mut(), chain.0, Ordering::Release, Ordering::Relaxed)
            .map(drop)
            .map_err(|head| (chain, head))
    }

    /// Returns whether there was nothing in it, closed or not.
    fn is_empty(&self) -> bool {
        let head = self.0.load(Ordering::Relaxed);
        head.is_null() || is_closed(head)
    }

    /// Closes the chain if it is empty. Returns whether it is closed.
    fn close_if_empty(&self) -> bool {
        // Relaxed: nothing is taken.
        match self.0.compare_exchange(
            core::ptr::null_mut(),
            CLOSED,
            Ordering::Relaxed,
            Ordering::Relaxed,
        ) {
            Ok(_) => true,
            Err(head) => is_closed(head),
        }
    }
}

impl Stack {
    fn new() -> Self {
        Self { head: Head::new(), looked: Head::new() }
    }

    /// Takes one of the chains and leaves the stack open.
    fn take(&self) -> Chain {
        let chain = self.head.take();
        if chain.is_empty() { self.looked.take() } else { chain }
    }
}

/// The index.
#[derive(Debug)]
pub(crate) struct ExpiryIndex {
    ticks: EbTree<u64, Stack>,
    /// A coarse tick is 2^this milliseconds.
    granule: u32,
    /// Bits of a key that pick one of a tick's stacks.
    shard_bits: u32,
    /// The date at which the driver is going to wake up, in milliseconds.
    armed: AtomicU64,
    /// Dead entries that still stand in a chain. Signed: a sweep may count one off before its killer has
    /// counted it.
    pub(crate) dead: AtomicI64,
    /// Where the next forced sweep goes on.
    forced: AtomicU64,
}

impl ExpiryIndex {
    /// `delay_ms` is the table's time to live, 0 for ever.
    pub(crate) fn new(delay_ms: u32, size: u32, domain: Domain) -> Self {
        // About 512 ticks of a delay, of 8 ms to 4 s; where nothing expires, the order for purging, by the second.
        let granule = match delay_ms {
            0 => 10,
            _ => (delay_ms / 512).checked_ilog2().unwrap_or(0).clamp(3, 12),
        };
        Self {
            ticks: EbTree::new_in(domain),
            granule,
            shard_bits: if size < SHARDED_FROM { 0 } else { SHARD_BITS },
            armed: AtomicU64::new(u64::MAX),
            dead: AtomicI64::new(0),
            forced: AtomicU64::new(0),
        }
    }

    fn key(&self, entry: &Entry, at: Tick) -> u64 {
        let shard = u64::from(entry.hash()) & ((1 << self.shard_bits) - 1);
        at.0 >> self.granule << self.shard_bits | shard
    }

    /// The date at which every entry under `key` is due.
    const fn due(&self, key: u64) -> u64 {
        ((key >> self.shard_bits) + 1).saturating_mul(1 << self.granule)
    }

    /// Whether an entry over `at` belongs under a later key than this.
    pub(crate) fn is_later(&self, at: Tick, key: u64) -> bool {
        at.0 >> self.granule > key >> self.shard_bits
    }

    /// Files an entry in hand under the date at which it is over. Returns whether that is before the date
    /// the driver sleeps for: then it must be woken.
    pub(crate) fn file(&self, entry: NonNull<Entry>, at: Tick) -> bool {
        // SAFETY: in hand, so not retired.
        let key = self.key(unsafe { entry.as_ref() }, at);
        loop {
            let stack = self.ticks.get_or_insert_with(key, Stack::new);
            if stack.value().head.push(entry) {
                break;
            }
            self.unlink(key, stack.value());
            relax();
        }
        self.must_wake(self.due(key))
    }

    /// Looks whether something due at `due` must wake the driver.
    fn must_wake(&self, due: u64) -> bool {
        if mutant(Mutant::NoArm) {
            return false;
        }
        // S2: either `arm` sees the tick, or we see what it armed.
        fence(Ordering::SeqCst);
        due < self.armed.load(Ordering::Relaxed)
            && due < self.armed.fetch_min(due, Ordering::Relaxed)
    }

    /// Notes that the driver is going to sleep, and returns until when; `None` when nothing is filed.
    pub(crate) fn arm(&self) -> Option<Tick> {
        loop {
            let due = self.next_due().map_or(u64::MAX, |tick| tick.0);
            self.armed.store(due, Ordering::Relaxed);
            // S2.
            fence(Ordering::SeqCst);
            if self.next_due().map_or(u64::MAX, |tick| tick.0) >= due {
                return (due != u64::MAX).then_some(Tick(due));
            }
            relax();
        }
    }

    /// Returns the date of the first tick.
    pub(crate) fn next_due(&self) -> Option<Tick> {
        self.ticks.first().map(|entry| Tick(self.due(*entry.key())))
    }

    fn unlink(&self, key: u64, stack: &Stack) {
        self.ticks.remove_if(&key, |other| core::ptr::eq(other, stack));
    }

    /// Takes the chains of the first tick that is due, and closes them. Returns its key too.
    fn take_due(&self, now: Tick) -> Option<(u64, [Chain; 2])> {
        let first = self.ticks.first()?;
        let key = *first.key();
        if self.due(key) > now.0 {
            return None;
        }
        let chains = [first.value().head.close(), first.value().looked.close()];
        self.unlink(key, first.value());
        Some((key, chains))
    }

    /// Takes a chain of the first stack under a key above `after` that is not empty, due or not. Empty stacks on the
    /// way are removed.
    pub(crate) fn take_after(&self, after: Option<u64>) -> Option<(u64, Chain)> {
        self.after(after, Stack::take)
    }

    /// Takes those of a tick that a forced sweep has looked at.
    pub(crate) fn take_looked(&self, key: u64) -> Chain {
        self.ticks.get_with(&key, |stack| stack.looked.take()).unwrap_or(Chain::EMPTY)
    }

    /// Goes to the first stack under a key above `after` that `take` gets a chain of.
    fn after(&self, after: Option<u64>, take: impl Fn(&Stack) -> Chain) -> Option<(u64, Chain)> {
        let mut after = after;
        loop {
            let next = match after {
                None => self.ticks.first(),
                Some(key) => self.ticks.gt(&key),
            }?;
            let (key, stack) = (*next.key(), next.value());
            let chain = take(stack);
            if !chain.is_empty() {
                return Some((key, chain));
            }
            // `looked` first: a stack whose head is closed takes nothing any more (E2).
            if stack.head.is_empty() && stack.looked.close_if_empty() && stack.head.close_if_empty()
            {
                self.unlink(key, stack);
            }
            after = Some(key);
        }
    }

    /// Puts a chain in hand back under `key`. Takes as long as the list of those that were filed there
    /// meanwhile, not as the chain. Returns whether the driver must be woken.
    pub(crate) fn put_back(&self, key: u64, chain: Chain) -> bool {
        self.put_back_to(key, chain, |stack| &stack.head)
    }

    /// Puts a chain in hand back with those that a forced sweep has looked at, as [`put_back`](Self::put_back) does.
    pub(crate) fn put_back_looked(&self, key: u64, chain: Chain) -> bool {
        self.put_back_to(key, chain, |stack| &stack.looked)
    }

    fn put_back_to(&self, key: u64, chain: Chain, head_of: fn(&Stack) -> &Head) -> bool {
        if chain.is_empty() {
            return false;
        }
        let mut chain = chain;
        loop {
            let stack = self.ticks.get_or_insert_with(key, Stack::new);
            let mut to = head_of(stack.value());
            loop {
                match to.put(chain) {
                    Ok(()) => return self.must_wake(self.due(key)),
                    Err((back, head)) => {
                        chain = back;
                        if !is_closed(head) {
                            chain.prepend(to.take());
                        } else if core::ptr::eq(to, &raw const stack.value().head) {
                            break;
                        } else {
                            // Where only `looked` was closed in time, the chain goes back to the others.
                            to = &stack.value().head;
                        }
                    }
                }
                relax();
            }
            self.unlink(key, stack.value());
            relax();
        }
    }

    /// Puts an entry in hand, which a forced sweep found alive, with those that it need not look at again. Returns
    /// whether the driver must be woken.
    pub(crate) fn put_looked(&self, key: u64, entry: NonNull<Entry>) -> bool {
        loop {
            let stack = self.ticks.get_or_insert_with(key, Stack::new);
            // Where only `looked` was closed in time, the entry goes back to the others.
            if stack.value().looked.push(entry) || stack.value().head.push(entry) {
                return self.must_wake(self.due(key));
            }
            self.unlink(key, stack.value());
            relax();
        }
    }

    /// Takes the next chain of the forced sweep, which goes round all ticks.
    pub(crate) fn take_forced(&self) -> Option<(u64, Chain)> {
        let take = |stack: &Stack| {
            let chain = stack.head.take();
            if chain.is_empty() {
                // All of this stack has been looked at: next time from the start.
                if let Err((chain, _)) = stack.head.put(stack.looked.take()) {
                    return chain;
                }
            }
            chain
        };
        // Relaxed: a hint of where to go on.
        let at = self.forced.load(Ordering::Relaxed);
        let taken = self.after((at != 0).then_some(at), take).or_else(|| self.after(None, take))?;
        self.forced.store(taken.0, Ordering::Relaxed);
        Some(taken)
    }

    /// Takes everything, when nobody else uses the index any more.
    pub(crate) fn take_all(&mut self) -> Chain {
        let mut all = Chain::EMPTY;
        while let Some(stack) = self.ticks.pop_first() {
            all.prepend(stack.value().head.take());
            all.prepend(stack.value().looked.take());
        }
        all
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::entry::Probe;
    use crate::schema::Schema;

    /// Steps of three threads, played by hand.
    #[test]
    fn a_stack_with_an_open_head_stays() {
        let mut index = ExpiryIndex::new(8000, 100, Domain::new());
        let schema = Schema::new(&[], false);
        let entry = |hash| Entry::allocate(&schema, Probe { hash, bytes: b"k" }, Tick(1000));
        let [a, b, e] = [entry(1), entry(2), entry(3)];
        index.file(a, Tick(1000));
        index.file(b, Tick(1000));
        // A forced sweep has looked at both.
        let (key, mut chain) = index.take_after(None).unwrap();
        while let Some(entry) = chain.pop() {
            index.put_looked(key, entry);
        }
        // P, a purge: `purge_chain` has what was looked at in hand.
        let in_hand = index.take_looked(key);
        // S, another purge or sweep, in `after`: nothing there, so it closes `looked` first ...
        {
            let stack = index.ticks.get(&key).unwrap();
            assert!(stack.head.is_empty() && stack.looked.close_if_empty());
            // ... F files an entry of the same tick ...
            index.file(e, Tick(1000));
            // ... and S finds the head taken: the stack stays linked.
            assert!(!stack.head.close_if_empty());
        }
        // P goes on.
        index.put_back_looked(key, in_hand);
        let mut all = index.take_all();
        let mut found = Vec::new();
        while let Some(entry) = all.pop() {
            found.push(entry);
        }
        assert!(found.contains(&a) && found.contains(&b));
        assert!(found.contains(&e), "filed, and found again");
        for entry in found {
            // SAFETY: from `allocate`, and in nobody's hands any more.
            unsafe { Entry::deallocate(entry) };
        }
    }
}
