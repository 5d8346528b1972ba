//! A domain: the records of all its threads, and the handle that trees hold.

use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use super::barrier::Barrier;
use super::guard::Guard;
use super::local::Local;
use super::operation::Operation;
use super::slots::Slots;
use crate::reclaim::{Reclaimer, Token, sealed};
use crate::sync::{Arc, AtomicBool, AtomicLink, AtomicU8, AtomicUsize, Mutant, Tracked, mutant};

/// Nobody uses the record.
pub(super) const FREE: u8 = 0;
/// One thread uses the record.
pub(super) const OWNED: u8 = 1;
/// The last handle of the domain is gone; whoever set this frees what the record holds. Final.
pub(super) const CLOSING: u8 = 2;
/// The thread gives the record back, and frees what it can before.
pub(super) const LEAVING: u8 = 3;

/// One thread's part of a domain.
#[derive(Debug)]
pub(crate) struct Record {
    /// Set before the record is listed, then never changed.
    next: *mut Self,
    pub(super) owner: AtomicU8,
    /// Slots of operations under way: a stack.
    pub(super) operations: Slots,
    /// Slots of guards that were handed out.
    pub(super) guards: Slots,
    /// How many objects are retired and not yet freed. Written by the owner, read by [`Domain::unreclaimed`].
    pub(super) pending: AtomicUsize,
    local: core::cell::UnsafeCell<Local>,
    /// Shows a model whether the local part has one user at a time.
    tracked: Tracked,
}

impl Record {
    fn new() -> Self {
        Self {
            next: core::ptr::null_mut(),
            owner: AtomicU8::new(OWNED),
            operations: Slots::new(),
            guards: Slots::new(),
            pending: AtomicUsize::new(0),
            local: core::cell::UnsafeCell::new(Local::new()),
            tracked: Tracked::new(),
        }
    }

    /// Returns the owner's part.
    pub(super) fn local(&self) -> *mut Local {
        self.tracked.own();
        self.local.get()
    }

    /// Takes the record if nobody has it.
    pub(super) fn acquire(&self) -> bool {
        // Acquire: S6. Relaxed on failure: nothing is read then.
        self.owner.compare_exchange(FREE, OWNED, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Makes the record free for its next owner.
    pub(super) fn hand_over(&self) {
        let order =
            if mutant(Mutant::RelaxedHandOver) { Ordering::Relaxed } else { Ordering::Release };
        // Release: S6.
        self.owner.store(FREE, order);
    }

    /// Takes the record from `state` for good, the domain being closed.
    pub(super) fn close(&self, state: u8) -> bool {
        // Acquire: what the last owner wrote. Relaxed on failure: nothing is read then.
        self.owner.compare_exchange(state, CLOSING, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Notes the guard slots that are free. Guards that outlive their thread give back their slots by clearing
    /// them only, since the record may have another owner by then.
    ///
    /// # Safety
    /// 1. The caller owns the record in the sense of H1.
    unsafe fn find_free_guards(&self) {
        // SAFETY: 1 of the contract.
        let local = unsafe { &mut *self.local() };
        if local.free_guards.len() != local.guards {
            local.free_guards = self.guards.vacant(local.guards);
        }
    }
}

/// What outlives every handle while a thread still remembers its record.
#[derive(Debug)]
pub(crate) struct Inner {
    records: AtomicLink<Record>,
    pub(super) barrier: Barrier,
    /// No handle is left: nothing can be protected any more.
    pub(super) closed: AtomicBool,
    /// Objects kept for good because a barrier failed.
    pub(super) kept: AtomicUsize,
    /// A list that is as long as this is scanned.
    pub(super) batch: usize,
}

// SAFETY: records are shared by design; their `local` part is touched by one thread at a time (H1), and
// what it holds was required to be `Send` where it was retired.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

impl Inner {
    /// Calls `visit` with every record.
    pub(super) fn each_record(&self, mut visit: impl FnMut(&Record)) {
        // Acquire: S5.
        let mut at = self.records.load(Ordering::Acquire);
        while let Some(record) = NonNull::new(at) {
            // SAFETY: listed records live as long as `self` (H2).
            let record = unsafe { record.as_ref() };
            visit(record);
            at = record.next;
        }
    }

    /// Returns a record for this thread alone: one that was given back, or a new one.
    pub(super) fn acquire_record(&self) -> NonNull<Record> {
        let mut found = None;
        self.each_record(|record| {
            if found.is_none() && record.acquire() {
                found = Some(NonNull::from(record));
            }
        });
        if let Some(record) = found {
            // SAFETY: listed records live as long as `self` (H2).
            let acquired = unsafe { record.as_ref() };
            // SAFETY: acquired just now.
            unsafe { acquired.find_free_guards() };
            return record;
        }
        self.add_record(Record::new())
    }

    fn add_record(&self, record: Record) -> NonNull<Record> {
        let new = Box::into_raw(Box::new(record));
        let mut head = self.records.load(Ordering::Relaxed);
        loop {
            // SAFETY: `new` is ours alone until the CAS below lists it.
            unsafe { (*new).next = head };
            // Release: S5. Lock-free: a failure is another thread's success.
            let order =
                if mutant(Mutant::RelaxedListing) { Ordering::Relaxed } else { Ordering::Release };
            match self.records.compare_exchange(head, new, order, Ordering::Relaxed) {
                // SAFETY: made by `Box::into_raw`.
                Ok(_) => return unsafe { NonNull::new_unchecked(new) },
                Err(now) => head = now,
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let mut at = self.records.load(Ordering::Relaxed);
        while !at.is_null() {
            // SAFETY: made by `Box::into_raw`, met once; the last reference to the domain is going, so no
            // thread has a record of it.
            let record = unsafe { Box::from_raw(at) };
            at = record.next;
            // SAFETY: nothing is protected any more: there is neither handle nor thread.
            unsafe { super::scan::free_all(&record) };
        }
    }
}

/// Reclaims what is unlinked from the trees that share it, by hazard pointers.
///
/// Cloning is cheap and gives another handle to the same domain. Trees hold one. When the last handle
/// goes, everything that is still retired is freed, whichever thread had retired it.
///
/// # Memory bound
///
/// A thread scans when its list is 256 objects longer than what its last scan had to keep, which is at most what all
/// slots name. So with `T` the most threads that ever used the domain at one time, and `S` the slots of all of
/// them that are in use (one for each level of the path of an operation under way, one for each guard), at
/// most `T × (256 + S)` objects are unlinked and not yet freed, and those that operations under way have
/// unlinked. A thread that stalls for ever inside an operation keeps what its own slots name, what it has unlinked
/// itself and fewer than `256 + S` others, and nothing else. Two limits: a visitor or predicate that removes
/// entries keeps them until it returns; values whose `drop` removes others are freed one scan after the other.
///
/// A value that holds a handle of its own domain keeps the domain: when it was removed, it is freed by a scan
/// or a [`flush`](Self::flush), not by the end of the other handles.
///
/// # Values that panic when dropped
///
/// Values are dropped at the end of operations, of threads and of the domain. A panic in a value's `drop` comes out of
/// the operation that ended, whose work is done; an entry it was to return is given up, the objects that it had
/// not freed yet are left to the next scan. No value is dropped at the end of an operation while a panic goes by.
///
/// # Forked processes
///
/// Do not use a domain in both processes after a `fork`.
#[derive(Clone, Debug)]
pub struct Domain {
    owner: Arc<Owner>,
}

/// Shared by the handles. Its end is the end of all use.
#[derive(Debug)]
struct Owner {
    inner: Arc<Inner>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        super::scan::close(&self.inner);
    }
}

/// Objects in a thread's list before it looks which can be freed.
const BATCH: usize = 256;

impl Domain {
    /// Makes a domain of its own, with the cheapest barrier this system has.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Barrier::of_this_system(), BATCH)
    }

    /// Makes a domain whose readers pay a full fence, so that no scan needs the `membarrier` system call.
    ///
    /// For processes whose sandbox refuses that call later than at start.
    #[must_use]
    pub fn with_fences() -> Self {
        Self::with(Barrier::Symmetric, BATCH)
    }

    /// Makes a domain whose threads scan as soon as `batch` objects are retired, with full fences. For tests
    /// and models, which want to reclaim early.
    #[doc(hidden)]
    #[must_use]
    pub fn with_batch(batch: usize) -> Self {
        Self::with(Barrier::Symmetric, batch)
    }

    fn with(barrier: Barrier, batch: usize) -> Self {
        let inner = Inner {
            records: AtomicLink::new(core::ptr::null_mut()),
            barrier,
            closed: AtomicBool::new(false),
            kept: AtomicUsize::new(0),
            batch,
        };
        Self { owner: Arc::new(Owner { inner: Arc::new(inner) }) }
    }

    /// Returns the domain that every tree made without one shares. It lives as long as the process.
    #[cfg(not(loom))]
    #[must_use]
    pub fn global() -> Self {
        static GLOBAL: AtomicLink<Domain> = AtomicLink::new(core::ptr::null_mut());
        // Acquire: the domain was initialised before it was published below.
        let mut global = GLOBAL.load(Ordering::Acquire);
        if global.is_null() {
            let new = Box::into_raw(Box::new(Self::new()));
            // AcqRel: Release publishes ours; Acquire on failure for the other one.
            match GLOBAL.compare_exchange(global, new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => global = new,
                Err(first) => {
                    global = first;
                    // SAFETY: `new` came from `Box::into_raw` and was not published.
                    drop(unsafe { Box::from_raw(new) });
                }
            }
        }
        // SAFETY: not null, and never freed once published.
        unsafe { (*global).clone() }
    }

    /// Makes `threads` records beforehand, so that as many threads find one without allocating.
    pub fn reserve(&self, threads: usize) {
        for _ in 0..threads {
            let record = Record::new();
            record.owner.store(FREE, Ordering::Relaxed);
            self.inner().add_record(record);
        }
    }

    /// Frees what this thread and threads that have ended retired, as far as nobody protects it, and gives the memory
    /// that this thread keeps for new entries back where others find it; pages that are empty go to the system.
    ///
    /// Lock-free. Inside an operation (a visitor, a value's `drop`) it does nothing: the end of the
    /// outermost operation looks again.
    pub fn flush(&self) {
        if super::scan::flush(self.inner()) {
            crate::pool::empty();
        }
    }

    /// Returns how many objects are unlinked and not yet freed: a sum over threads, exact when they
    /// rest. Those that a failed barrier made unreclaimable are included.
    #[must_use]
    pub fn unreclaimed(&self) -> usize {
        // Relaxed: a count for people.
        let mut sum = self.inner().kept.load(Ordering::Relaxed);
        self.inner().each_record(|record| sum += record.pending.load(Ordering::Relaxed));
        sum
    }

    /// Returns whether both are handles of one domain.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.owner, &other.owner)
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.owner.inner
    }
}

impl sealed::Sealed for Domain {}

impl Reclaimer for Domain {
    type Guard = Guard;
    type Operation<'d> = Operation<'d>;

    #[inline]
    fn enter(&self, _: Token) -> Operation<'_> {
        Operation::enter(self.inner())
    }

    fn flush(&self) {
        Self::flush(self);
    }

    fn is_same(&self, other: &Self) -> bool {
        Self::is_same(self, other)
    }
}

#[cfg(not(loom))]
impl Default for Domain {
    /// Returns the [global](Domain::global) domain.
    fn default() -> Self {
        Self::global()
    }
}
