//! The owner's part of a record, and how a thread finds its record again.

use core::cell::{Cell, RefCell};
use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use super::domain::{FREE, Inner, LEAVING, OWNED, Record};
use super::operation::Step;
use crate::sync::{Arc, thread_local};

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

    /// Frees everything that is retired.
    ///
    /// # Safety
    /// 1. Nobody protects anything in this domain, now or later.
    pub(super) unsafe fn free_all(&mut self) {
        while let Some(retired) = self.retired.pop() {
            // SAFETY: 1 of the contract.
            unsafe { retired.free() };
        }
    }
}

/// The domains this thread has used, with its record in each.
struct Attached {
    list: RefCell<Vec<(Arc<Inner>, NonNull<Record>)>>,
}

impl Drop for Attached {
    fn drop(&mut self) {
        if cfg!(loom) && std::thread::panicking() {
            // A model failed and is over: nothing of it may be touched any more.
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
    if let Last::Is(domain, record) = last()
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

/// Whether this thread's records have been given back, so that slots of guards may have a new owner.
pub(super) fn thread_is_ending() -> bool {
    matches!(last(), Last::Gone)
}

/// Gives a record back, after freeing what can be freed. The rest stays with the record, for its next
/// owner, for a flush, or for the end of the domain.
pub(super) fn release(inner: &Inner, record: &Record) {
    // Leaving, so that `close` keeps away meanwhile. Acquire on failure is not needed: CLOSING means that
    // somebody else empties the record, and nothing is read here.
    if record.owner.compare_exchange(OWNED, LEAVING, Ordering::Acquire, Ordering::Relaxed).is_err()
    {
        return;
    }
    super::scan::scan(inner, record);
    // Acquire: the last handle is gone, and so is every protection.
    if inner.closed.load(Ordering::Acquire) {
        // SAFETY: LEAVING keeps everybody else away (H1).
        let local = unsafe { &mut *record.local() };
        // SAFETY: `closed`: nothing is protected any more.
        unsafe { local.free_all() };
        record.pending.store(0, Ordering::Relaxed);
    }
    // Release: S6.
    record.owner.store(FREE, Ordering::Release);
}
