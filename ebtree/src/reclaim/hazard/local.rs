//! The owner's part of a record, and how a thread finds its record again.

use core::cell::{Cell, RefCell};
use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use super::domain::{FREE, Inner, LEAVING, OWNED, Record};
use crate::reclaim::path::Step;
use crate::sync::{Arc, Mutant, fence, has_failed, mutant, thread_local};

/// An object that was unlinked, and how to free it.
#[derive(Debug)]
pub(crate) struct Retired {
    object: NonNull<()>,
    free: unsafe fn(NonNull<()>),
}

impl Retired {
    pub(super) const fn new(object: NonNull<()>, free: unsafe fn(NonNull<()>)) -> Self {
        Self { object, free }
    }

    pub(super) fn address(&self) -> usize {
        self.object.as_ptr().addr()
    }

    /// Frees the object.
    ///
    /// # Safety
    /// 1. Nobody reads the object now or later.
    pub(super) unsafe fn free(self) {
        // SAFETY: by the contract of `Operation::retire`, `free` may be called once nobody reads the
        // object (1); by value, so once.
        unsafe { (self.free)(self.object) };
    }
}

/// What only the record's owner touches (H1).
#[derive(Debug)]
pub(crate) struct Local {
    /// Retired objects, oldest first.
    pub(super) retired: Vec<Retired>,
    /// Reused by every scan.
    pub(super) announced: Vec<usize>,
    /// The paths of the operations under way, parallel to the operation slots.
    pub(super) path: Vec<Step>,
    /// How many operations are under way, one inside the other. A scan counts as one.
    pub(super) depth: usize,
    /// Operation slots in use.
    pub(super) top: usize,
    /// Guard slots that were used and given back.
    pub(super) free_guards: Vec<usize>,
    /// Guard slots that have ever been used.
    pub(super) guards: usize,
    /// The length of `retired` at which the next scan is worth it.
    pub(super) threshold: usize,
}

impl Local {
    pub(super) const fn new() -> Self {
        Self {
            retired: Vec::new(),
            announced: Vec::new(),
            path: Vec::new(),
            depth: 0,
            top: 0,
            free_guards: Vec::new(),
            guards: 0,
            threshold: 0,
        }
    }
}

/// The domains this thread has used, with its record in each.
struct Attached {
    list: RefCell<Vec<(Arc<Inner>, NonNull<Record>)>>,
}

impl Drop for Attached {
    fn drop(&mut self) {
        if has_failed() {
            core::mem::forget(core::mem::take(self.list.get_mut()));
            return;
        }
        set_last(Last::Gone);
        for (inner, record) in self.list.get_mut().drain(..) {
            // SAFETY: H2, `inner` is held.
            let record = unsafe { record.as_ref() };
            release(&inner, record);
        }
    }
}

/// What this thread looked up last.
#[derive(Clone, Copy)]
enum Last {
    None,
    Is(*const Inner, NonNull<Record>),
    /// The thread is ending, and its records have been given back.
    Gone,
    /// The same, but for this record, which is being given back.
    Leaving(*const Inner, NonNull<Record>),
}

#[cfg(not(loom))]
thread_local! {
    static LAST: Cell<Last> = const { Cell::new(Last::None) };
    static ATTACHED: Attached = const { Attached { list: RefCell::new(Vec::new()) } };
}
#[cfg(loom)]
thread_local! {
    static LAST: Cell<Last> = Cell::new(Last::None);
    static ATTACHED: Attached = Attached { list: RefCell::new(Vec::new()) };
}

/// Returns what this thread looked up last. In models thread locals end in any order: gone is gone.
#[inline]
fn last() -> Last {
    LAST.try_with(Cell::get).unwrap_or(Last::Gone)
}

fn set_last(last: Last) {
    // Fails in models only, where `last` then says `Gone` anyway.
    let _ = LAST.try_with(|place| place.set(last));
}

/// A record that the current thread may use, and whether it must be given back after this use.
pub(super) struct Attachment {
    pub(super) record: NonNull<Record>,
    pub(super) temporary: bool,
}

/// Returns this thread's record, making one at its first use of the domain.
#[inline]
pub(super) fn attach(inner: &Arc<Inner>) -> Attachment {
    if let Last::Is(domain, record) | Last::Leaving(domain, record) = last()
        && core::ptr::eq(domain, &raw const **inner)
    {
        return Attachment { record, temporary: false };
    }
    attach_slow(inner)
}

#[cold]
fn attach_slow(inner: &Arc<Inner>) -> Attachment {
    let known = ATTACHED.try_with(|attached| {
        let mut list = attached.list.borrow_mut();
        let known =
            list.iter().find(|(other, _)| Arc::ptr_eq(other, inner)).map(|(_, record)| *record);
        if let Some(record) = known {
            return (record, Vec::new());
        }
        // Domains that nobody holds any more: their records have been emptied. They are dropped
        // after the borrow, since the drop of what they hold may come back here.
        // Acquire: see `close`.
        let gone = list.extract_if(.., |(other, _)| other.closed.load(Ordering::Acquire)).collect();
        let record = inner.acquire_record();
        list.push((Arc::clone(inner), record));
        (record, gone)
    });
    match known {
        Ok((record, gone)) => {
            set_last(Last::Is(&raw const **inner, record));
            for (other, record) in gone {
                // SAFETY: H2, `other` is held.
                release(&other, unsafe { record.as_ref() });
            }
            Attachment { record, temporary: false }
        }
        // The thread is ending: use a record for this one operation.
        Err(_) => Attachment { record: inner.acquire_record(), temporary: true },
    }
}

/// Whether a record that this thread has used is still its own. When the thread ends, records get other owners.
pub(super) fn is_still_ours(record: NonNull<Record>) -> bool {
    match last() {
        Last::None | Last::Is(..) => true,
        Last::Gone => false,
        Last::Leaving(_, leaving) => leaving == record,
    }
}

/// Makes a record the one that this thread uses, until it is dropped.
struct Current(Last);

impl Current {
    fn set(inner: &Inner, record: &Record) -> Self {
        let (domain, record) = (&raw const *inner, NonNull::from(record));
        let before = last();
        set_last(match before {
            Last::None | Last::Is(..) => Last::Is(domain, record),
            Last::Gone | Last::Leaving(..) => Last::Leaving(domain, record),
        });
        Self(before)
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        set_last(self.0);
    }
}

/// Gives a record back, after freeing what can be freed. The rest stays with the record, for its next
/// owner, for a flush, or for the end of the domain.
pub(super) fn release(inner: &Inner, record: &Record) {
    // LEAVING keeps `close` away meanwhile. A failure means CLOSING: somebody else empties the record, and
    // nothing is read here. Acquire for the same reason as in `acquire`, though it was ours already.
    if record.owner.compare_exchange(OWNED, LEAVING, Ordering::Acquire, Ordering::Relaxed).is_err()
    {
        return;
    }
    if mutant(Mutant::FreeBeforeScan) {
        record.hand_over();
    }
    // Also when a value's `drop` panics in the scan.
    let _given_back = GivenBack(inner, record);
    // Not while a panic goes by: a value whose `drop` panics too would end the process.
    if !std::thread::panicking() {
        // What values do in their `drop` goes through this record too, instead of through one that would be
        // taken, scanned and given back inside this scan, and so on without end.
        let _current = Current::set(inner, record);
        super::scan::scan(inner, record);
    }
}

/// A record that its thread gives back when this goes.
struct GivenBack<'r>(&'r Inner, &'r Record);

impl Drop for GivenBack<'_> {
    fn drop(&mut self) {
        let Self(inner, record) = *self;
        record.hand_over();
        // S7: either `close` finds the record free, or it is seen here that the domain is closed.
        fence(Ordering::SeqCst);
        let is_closed = || inner.closed.load(Ordering::Acquire);
        if !mutant(Mutant::NoLookAtClosed) && is_closed() && record.close(FREE) {
            // SAFETY: CLOSING makes the record ours (H1); no handle is left, so nothing is protected.
            unsafe { super::scan::free_all(record) };
        }
    }
}

/// Gives this thread the record at `index` of the list, which must be free. For models: threads that compete
/// for records have more schedules than a model of something else can afford.
#[cfg(loom)]
pub fn attach_to(domain: &super::Domain, index: usize) {
    let inner = domain.inner();
    let mut records = Vec::new();
    inner.each_record(|record| records.push(NonNull::from(record)));
    let record = records[index];
    // SAFETY: H2.
    assert!(unsafe { record.as_ref() }.acquire(), "free, as the model has seen to");
    ATTACHED.with(|attached| attached.list.borrow_mut().push((Arc::clone(inner), record)));
    set_last(Last::Is(&raw const **inner, record));
}

/// Does what the end of this thread does. For models, in which a thread that is joined may not have
/// ended yet.
///
/// # Safety
/// 1. The thread has neither operation nor guard, in any domain.
#[cfg(loom)]
pub unsafe fn end_thread() {
    let _ = ATTACHED.try_with(|attached| {
        let list = core::mem::take(&mut *attached.list.borrow_mut());
        set_last(Last::None);
        for (inner, record) in list {
            // SAFETY: H2, `inner` is held.
            release(&inner, unsafe { record.as_ref() });
        }
    });
}
