//! The table: look up, create, kill. What expiry, peers and users do to it stands in the modules below.

mod batch;
mod entry_ref;
mod expire;
pub mod fetch;
mod filter;
mod glance;
mod kill;
mod learn;
mod metrics;
mod options;
mod prefix;
mod purge;
mod scan;
mod server_key;
mod teach;
mod track;
mod walk;

use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;

#[cfg(not(loom))]
use ebtree::Domain;

use crate::data::Column;
use crate::data::freq_ctr::LAG_MAX_MS;
use crate::declare::Declaration;
use crate::entry::{Entry, Probe};
use crate::index::expiry::ExpiryIndex;
use crate::index::keys::KeyIndex;
use crate::index::names::Names;
use crate::index::ordered::OrderedIndex;
use crate::index::updates::UpdateIndex;
use crate::key::Key;
use crate::schema::Schema;
use crate::sync::{AtomicBool, AtomicU32, AtomicU64, Mutant, fence, mutant, relax};
use crate::tick::Tick;

use metrics::Statistics;

pub use entry_ref::{EntryRef, Event, SetError, Value};
pub use expire::Expired;
pub use filter::{Comparison, Filter};
pub use glance::Glance;
pub use kill::Removed;
pub use learn::{Learned, Learning};
pub use metrics::Metrics;
pub use options::Options;
pub use prefix::PrefixWalk;
pub use server_key::{NAME_LEN_MAX, NAMES_MAX, NameError};
pub use teach::Taught;
pub use track::{OwnedTracker, TrackedEntry, Tracker};
pub use walk::Walk;

/// What a table calls when somebody who sleeps must look at it again. Called from any thread, also
/// from those that packets pass through: it must not block.
pub trait Wake: Send + Sync {
    /// Something is due before the date that [`StickTable::arm_expiry`] returned.
    fn expiry(&self);

    /// There is something new to tell peers since [`StickTable::arm_updates`] was called.
    fn updates(&self);
}

/// A stick table: entries with counters and rates, found by key, that expire.
///
/// Any number of threads use it at once. No operation takes a lock: a thread that is stopped anywhere holds nobody up.
/// The table has no clock, no thread and no socket: the time is an argument, and somebody calls
/// [`expire`](Self::expire).
///
/// # Promises
///
/// - There are never more than `size` entries; [`used`](Self::used) counts those that are alive, exactly.
/// - An [`EntryRef`] keeps its entry alive: neither expiry nor purge nor clear takes it.
/// - An entry that is past its date and not held is absent to every reader, swept or not.
/// - A change made through [`EntryRef::touch`] reaches every session that reads the update order, however it
///   interleaves with the session's reading.
pub struct StickTable {
    declaration: Declaration,
    schema: Schema,
    keys: KeyIndex,
    expiry: ExpiryIndex,
    /// Keeps the order of the keys, where that is asked for.
    ordered: Option<OrderedIndex>,
    /// The values of `server_key`, where it is stored.
    names: Option<Names>,
    updates: UpdateIndex,
    /// Entries alive, and reservations for entries that are being created.
    used: AtomicU32,
    /// The latest tick anybody has called with.
    clock: AtomicU64,
    /// Sessions sleep until there are updates.
    updates_armed: AtomicBool,
    wake: Option<Box<dyn Wake>>,
    /// Peers are told of changes.
    shared: bool,
    statistics: Statistics,
}

/// There is no room for a new entry: all are held, or the table does not purge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableFull {
    /// The table's local name.
    pub table: String,
    /// Its size.
    pub size: u32,
}

impl fmt::Display for TableFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {}: all {} entries are in use", self.table, self.size)
    }
}

impl core::error::Error for TableFull {}

/// What a quick look at the key index says.
enum Found<'t> {
    /// The entry, with a reference.
    Held(EntryRef<'t>),
    /// It is dead, or over: to be looked at with more care.
    Look,
}

impl StickTable {
    /// Makes an empty table.
    #[must_use]
    pub fn new(declaration: Declaration) -> Self {
        Self::with(declaration, Options::new())
    }

    /// Makes an empty table with options.
    #[must_use]
    pub fn with(declaration: Declaration, options: Options) -> Self {
        #[cfg(not(loom))]
        let domain = options.domain.unwrap_or_else(Domain::global);
        #[cfg(loom)]
        let domain = options.domain.expect("models bring a domain");
        let schema = Schema::new(&declaration.columns, options.ordered);
        Self {
            names: schema.name().map(|place| Names::new(place, options.names_max, domain.clone())),
            ordered: schema.number().map(|place| OrderedIndex::new(place, domain.clone())),
            schema,
            keys: KeyIndex::new(declaration.size, domain.clone()),
            expiry: ExpiryIndex::new(declaration.expire_ms, declaration.size, domain.clone()),
            updates: UpdateIndex::new(options.last_update, domain),
            shared: declaration.peers.is_some() || declaration.section.is_some(),
            declaration,
            used: AtomicU32::new(0),
            clock: AtomicU64::new(0),
            updates_armed: AtomicBool::new(false),
            wake: options.wake,
            statistics: Statistics::default(),
        }
    }

    /// Returns the declaration.
    #[must_use]
    pub const fn declaration(&self) -> &Declaration {
        &self.declaration
    }

    /// Returns the columns whose values are numbers, ascending by data type number: those declared, without
    /// `server_key`, whose values are [names](EntryRef::server_key).
    pub fn columns(&self) -> impl ExactSizeIterator<Item = Column> + '_ {
        self.schema.columns()
    }

    /// Returns the number of entries alive.
    #[must_use]
    pub fn used(&self) -> u32 {
        self.used.load(Ordering::Relaxed)
    }

    /// Returns how many more entries there is room for, without a purge: `table_avl`.
    #[must_use]
    pub fn available(&self) -> u32 {
        self.declaration.size.saturating_sub(self.used())
    }

    /// Returns the entry of a key, unless it is absent or over. Does not refresh it.
    ///
    /// Lock-free; expected constant time.
    #[inline]
    #[must_use]
    pub fn get(&self, key: &Key, now: Tick) -> Option<EntryRef<'_>> {
        self.observe(now);
        self.find(self.keys.probe(self.canonical(key)?), now)
    }

    /// Returns the entry that has this [id](EntryRef::id), unless it is absent or over. Does not refresh it. Any number may be asked for.
    ///
    /// Lock-free; expected constant time.
    #[must_use]
    pub fn get_by_id(&self, id: u64, now: Tick) -> Option<EntryRef<'_>> {
        self.observe(now);
        let found = self.keys.with_hash(id)?;
        self.enter(&found, now)
    }

    /// Returns the entry of a key, creating it first if it is absent. Does not refresh an entry that is there: see
    /// [`EntryRef::touch`].
    ///
    /// Of several threads that create one key at once, one does and all get its entry. Lock-free; expected constant
    /// time, but for the purge when the table is full.
    ///
    /// # Errors
    /// When there is no room.
    ///
    /// # Panics
    /// When the key is of another table's type.
    #[inline]
    pub fn get_or_create(&self, key: &Key, now: Tick) -> Result<EntryRef<'_>, TableFull> {
        self.get_or_create_for(key, self.delay_ms(), now)
    }

    /// As [`get_or_create`](Self::get_or_create), but a new entry lives for `expire_ms` only, at most the table's time,
    /// until it is touched. One that is there is not changed.
    ///
    /// # Errors
    /// When there is no room.
    ///
    /// # Panics
    /// When the key is of another table's type.
    pub fn get_or_create_for(
        &self,
        key: &Key,
        expire_ms: u32,
        now: Tick,
    ) -> Result<EntryRef<'_>, TableFull> {
        self.observe(now);
        let bytes = self.canonical(key).expect("a key of this table's type");
        let until = now + expire_ms.min(self.delay_ms());
        let (entry, _) = self.get_or_create_until(bytes, now, until)?;
        Ok(entry)
    }

    /// Returns the key's bytes if it is of this table's type and size.
    #[inline]
    fn canonical<'k>(&self, key: &'k Key) -> Option<&'k [u8]> {
        let spec = self.declaration.key;
        let fits = key.ty() == spec.ty() && key.as_bytes().len() <= spec.size() as usize;
        fits.then(|| key.as_bytes())
    }

    /// The time to live, 0 for ever.
    #[inline]
    const fn delay_ms(&self) -> u32 {
        self.declaration.expire_ms
    }

    /// Notes the time, for what has to be done without being told it. It never goes back.
    #[inline]
    fn observe(&self, now: Tick) {
        if now.0 > self.clock.load(Ordering::Relaxed) {
            self.clock.fetch_max(now.0, Ordering::Relaxed);
        }
    }

    /// The latest time noted.
    #[inline]
    fn clock(&self) -> Tick {
        Tick(self.clock.load(Ordering::Relaxed))
    }

    /// Whether an entry is past its date. Where nothing expires, none is.
    #[inline]
    fn is_over(&self, entry: &Entry, now: Tick) -> bool {
        self.delay_ms() != 0 && self.date(entry, now) <= now
    }

    /// The tick at which an entry is over, or was touched last where nothing expires. A date that is further
    /// ahead than a clock that leads can have set it lies behind.
    #[inline]
    fn date(&self, entry: &Entry, now: Tick) -> Tick {
        entry.expire(now, self.delay_ms() + LAG_MAX_MS)
    }

    /// Calls `visit` with the entry of a key, unless it is absent or over, and returns what it returns. Does not refresh it, and
    /// takes no reference: for who only reads, this is what costs least.
    ///
    /// Lock-free; expected constant time. `visit` may use this and other tables, and may take any time.
    pub fn get_with<T>(
        &self,
        key: &Key,
        now: Tick,
        visit: impl FnOnce(Glance<'_>) -> T,
    ) -> Option<T> {
        self.observe(now);
        let probe = self.keys.probe(self.canonical(key)?);
        self.keys.get_with(probe, |entry| self.glance(entry, now).map(visit))?
    }

    /// Returns what can be seen of a protected entry, unless it is dead, or over and not held.
    #[inline]
    fn glance<'e>(&'e self, entry: &'e Entry, now: Tick) -> Option<Glance<'e>> {
        Some(Glance::new(self, entry)).filter(|entry| self.is_there(*entry, now))
    }

    /// Whether an entry that is looked at is neither dead, nor over and not held.
    #[inline]
    fn is_there(&self, entry: Glance<'_>, now: Tick) -> bool {
        // Acquire, before the date is read, as in `enter`.
        let seen = entry.entry().life.load();
        !seen.is_dead() && (seen.references() != 0 || !self.is_over(entry.entry(), now))
    }

    /// Finds an entry and takes a reference. One that is over and not held is killed on the way.
    fn find(&self, probe: Probe<'_>, now: Tick) -> Option<EntryRef<'_>> {
        if let Found::Held(held) = self.find_quickly(probe, now)? {
            return Some(held);
        }
        let entry = self.keys.get(probe)?;
        self.enter(&entry, now)
    }

    /// Finds an entry and takes a reference, if nothing else is to be done first. Without a guard, which most look-ups
    /// would only drop.
    #[inline]
    fn find_quickly(&self, probe: Probe<'_>, now: Tick) -> Option<Found<'_>> {
        self.keys.get_ptr_with(probe, |pointer| {
            // SAFETY: protected during the call.
            let entry = unsafe { pointer.as_ref() };
            // As in `enter`.
            let seen = entry.life.load();
            let needs_a_look = self.is_over(entry, now) && seen.references() == 0;
            if seen.is_dead() || needs_a_look || !entry.life.take_reference() {
                return Found::Look;
            }
            Found::Held(EntryRef::new(self, pointer))
        })
    }

    /// Takes a reference of a protected entry, unless it is dead, or over and not held: then it is
    /// killed.
    fn enter(&self, entry: &ebtree::intrusive::Ref<'_, Entry>, now: Tick) -> Option<EntryRef<'_>> {
        loop {
            // Acquire, before the date is read: the word compared by the kill is the one that was seen with
            // this date.
            let seen = entry.life.load();
            if seen.is_dead() {
                return None;
            }
            if self.is_over(entry, now) && seen.references() == 0 {
                // SAFETY: `entry` protects it.
                if unsafe { self.kill(entry.as_ptr(), seen, kill::Hands::Elsewhere) } {
                    self.sweep_after_kill();
                    self.statistics.expired.fetch_add(1, Ordering::Relaxed);
                    return None;
                }
                // Touched or killed meanwhile.
                relax();
                continue;
            }
            return entry.life.take_reference().then(|| EntryRef::new(self, entry.as_ptr()));
        }
    }

    /// Finds or creates an entry; a new one is over at `until`. Returns also whether it is new.
    fn get_or_create_until(
        &self,
        bytes: &[u8],
        now: Tick,
        until: Tick,
    ) -> Result<(EntryRef<'_>, bool), TableFull> {
        self.get_or_create_at(self.keys.probe(bytes), now, until)
    }

    fn get_or_create_at(
        &self,
        probe: Probe<'_>,
        now: Tick,
        until: Tick,
    ) -> Result<(EntryRef<'_>, bool), TableFull> {
        if let Some(Found::Held(held)) = self.find_quickly(probe, now) {
            return Ok((held, false));
        }
        self.create_at(probe, false, now, until)
    }

    /// Creates an entry, unless there is one. `absent` says that there was none a moment ago, which saves a look if that is still so.
    fn create_at(
        &self,
        probe: Probe<'_>,
        mut absent: bool,
        now: Tick,
        until: Tick,
    ) -> Result<(EntryRef<'_>, bool), TableFull> {
        loop {
            // Without a place an entry that came meanwhile is to be found first, before another is purged for it.
            if !core::mem::take(&mut absent) || !self.take_place() {
                let there = self.keys.get(probe);
                if let Some(entry) = &there
                    && let Some(held) = self.enter(entry, now)
                {
                    return Ok((held, false));
                }
                self.reserve(now)?;
            }
            // Held by us, KEYED and FILED set beforehand: not killable, so nobody misses the stack
            // it does not stand in yet.
            let new = Entry::allocate(&self.schema, probe, until);
            let ordered = |run: fn(&OrderedIndex, &Entry)| {
                if let Some(ordered) = &self.ordered {
                    // SAFETY: ours, or held by us.
                    run(ordered, unsafe { new.as_ref() });
                }
            };
            if !mutant(Mutant::OrderedLate) {
                ordered(OrderedIndex::insert);
            }
            // SAFETY: private until it is linked, and `probe` finds it.
            let linked = match unsafe { self.keys.insert(probe, new) } {
                Ok(()) => true,
                // SAFETY: as above.
                Err(dead) if dead.life.load().is_dead() || mutant(Mutant::ReplaceAlive) => unsafe {
                    self.keys.replace(probe, dead.as_ptr(), new)
                },
                Err(_) => false,
            };
            if linked {
                if mutant(Mutant::OrderedLate) {
                    ordered(OrderedIndex::insert);
                }
                self.statistics.created.fetch_add(1, Ordering::Relaxed);
                self.file(new, until);
                return Ok((EntryRef::new(self, new), true));
            }
            if !mutant(Mutant::OrderedLate) {
                ordered(OrderedIndex::remove);
            }
            // SAFETY: never linked, so never seen.
            unsafe { Entry::deallocate(new) };
            self.used.fetch_sub(1, Ordering::Relaxed);
            relax();
        }
    }

    /// Takes a place for a new entry, purging if there is none.
    fn reserve(&self, now: Tick) -> Result<(), TableFull> {
        if self.take_place() {
            return Ok(());
        }
        while self.make_room(now) {
            if self.take_place() {
                return Ok(());
            }
        }
        self.statistics.refused.fetch_add(1, Ordering::Relaxed);
        Err(TableFull { table: self.declaration.local_name(), size: self.declaration.size })
    }

    /// Counts one more entry if there is a place. By CAS, not by adding and taking back: that would refuse others
    /// a place that is free.
    fn take_place(&self) -> bool {
        let size = self.declaration.size;
        let more = |used| (used < size).then(|| used + 1);
        if mutant(Mutant::PlaceByAdding) {
            let taken = self.used.fetch_add(1, Ordering::Relaxed) < size;
            if !taken {
                self.used.fetch_sub(1, Ordering::Relaxed);
            }
            return taken;
        }
        // Relaxed: a number; the entries are ordered by their own indexes.
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Files an entry in hand under the date at which it is over.
    fn file(&self, entry: NonNull<Entry>, at: Tick) {
        if self.expiry.file(entry, at) && self.delay_ms() != 0 {
            self.wake_expiry();
        }
    }

    fn wake_expiry(&self) {
        if let Some(wake) = &self.wake {
            wake.expiry();
        }
    }

    /// Queues a changed entry for the peers; the caller holds it.
    #[inline]
    fn queue(&self, held: &Entry) {
        if !self.updates.touch(held) {
            return;
        }
        // The leaf is linked; either `arm_updates` sees it, or we see that somebody sleeps.
        fence(Ordering::SeqCst);
        if self.updates_armed.load(Ordering::Relaxed)
            && self.updates_armed.swap(false, Ordering::Relaxed)
            && let Some(wake) = &self.wake
        {
            wake.updates();
        }
    }

    /// Gives a dead entry's memory to the domain, after the caller cleared its last index bit.
    fn retire(&self, over: NonNull<Entry>) {
        // SAFETY: in no index any more, and only the clearing of the last bit comes here (`life`, L3).
        self.keys.with_retire(|retire| unsafe { retire.retire(over) });
    }
}

impl Drop for StickTable {
    fn drop(&mut self) {
        // What is alive is linked by key, and freed with that index. What is dead and still filed is not.
        let mut filed = self.expiry.take_all();
        while let Some(entry) = filed.pop() {
            // SAFETY: FILED, so not freed.
            let word = unsafe { entry.as_ref() }.life.load();
            if word.is_dead() && !word.has(crate::life::KEYED) {
                // SAFETY: nobody else uses the table any more, and no index that is yet to be dropped
                // follows a pointer to it.
                unsafe { Entry::deallocate(entry) };
            }
        }
    }
}

impl fmt::Debug for StickTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StickTable")
            .field("declaration", &self.declaration)
            .field("used", &self.used())
            .finish_non_exhaustive()
    }
}
