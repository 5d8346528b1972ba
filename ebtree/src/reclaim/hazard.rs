//! Hazard pointers: a thread announces what it is about to read, and nobody frees what is announced.
//!
//! A [`Domain`] is a set of records, one for each thread that uses it. A record holds the thread's
//! *slots* (what it reads now) and its list of *retired* objects (what it unlinked and nobody has freed
//! yet). When the list is long, its thread scans the slots of all records and frees what is in none.
//!
//! ```text
//! domain ─► record ─► record ─► …            a list that only grows while the domain lives
//!             │ operation slots: a stack     one per level of the path that is being walked
//!             │ guard slots: a free list     one per guard that was handed out
//!             └ retired: a vector            freed by a scan at the end of an outermost operation
//! ```
//!
//! Nobody waits for anybody: a stalled reader keeps what its slots name, at most, and nothing else.
//!
//! # Barriers
//!
//! Publication and the second read of the edge must not be reordered. Where the system has `membarrier`, the
//! reader pays a compiler fence only and each scan pays one system call that puts a barrier into every running
//! thread; otherwise, and in models, both sides pay a `SeqCst` fence. If `membarrier` ever fails after it was
//! registered, the objects of that scan are kept for good, and counted ([`Domain::unreclaimed`]).
//!
//! # Invariants
//! H1  A record is used by the one thread that set `owner` to OWNED, until it sets it back; its `local`
//!     part is touched by that thread only, or by whoever set CLOSING when no handle is left and so no
//!     thread is inside. LEAVING keeps the two apart when a thread ends while the domain is closed.
//! H2  A record, once listed, stays until the domain's last reference is gone.
//! H3  Within one record a pointer is only copied from an operation slot to a guard slot, the guard slot
//!     stored first; scans read operation slots first. So a scan cannot miss a copied pointer.
//! H4  A record is scanned when no operation of it is under way and no other scan of it. What is dropped by a scan
//!     may start operations and retire more, which waits for the next one.
//! H5  A guard slot is null, or named by one guard. Guards that outlive their thread only clear it.
//!
//! # Synchronization
//! S1  slot store; light barrier, then the edge is read again  <->  unlink; heavy barrier, slots are read
//! S4  slot clear, Release  ->  slot read by a scan, Acquire: the last use is before the free
//! S5  record listed, Release CAS  ->  list read by a scan, Acquire. A record listed later than that
//!     belongs to a thread that publishes after the heavy barrier, so its second read sees the unlink.
//! S6  `owner` set to FREE, Release  ->  set to OWNED, Acquire: the retired list is handed over.
//! S7  `owner` set to FREE; fence, then `closed` is read  <->  `closed` set; fence, then `owner` is read: of the
//!     thread that leaves and the one that closes, at least one frees what is left.

mod barrier;
mod domain;
mod guard;
mod local;
mod operation;
mod scan;
mod slots;

pub use domain::Domain;
#[cfg(loom)]
pub use local::{attach_to, end_thread};
