//! The key index: entries by the keyed hash of their key.
//!
//! The first bits of the hash pick one of `2^k` trees, whose leaves are the entries themselves; the tree key
//! is (hash, key), unique. So one CAS decides who creates an entry, and a dead entry that is
//! still linked is replaced in its place, never chained beside.

use core::hash::{BuildHasher, Hasher};
use core::ops::ControlFlow;
use core::ptr::NonNull;

use ebtree::Domain;
use ebtree::intrusive::{Forest, Ref, Retire};

use crate::entry::{Entry, Probe};
use crate::sync::{Mutant, mutant};

#[derive(Debug)]
pub(crate) struct KeyIndex {
    forest: Forest<Entry>,
    hasher: KeyHasher,
    /// Bits of the hash that pick the tree.
    bits: u32,
}

/// Models need the same hash in every execution; everybody else one that a stranger cannot foresee.
///
/// Fast rather than proof against cryptanalysis: who finds keys of one hash makes a tree of them that is as deep as
/// the hash and a key have bits, and no deeper.
#[cfg(not(loom))]
type KeyHasher = foldhash::quality::RandomState;
#[cfg(loom)]
type KeyHasher = core::hash::BuildHasherDefault<std::hash::DefaultHasher>;

/// At most 2^24 trees, 128 MiB when all are in use.
const BITS_MAX: u32 = 24;

/// Where a walk over all entries stands. It survives any change of the table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Position {
    tree: usize,
    last: Option<(u32, Box<[u8]>)>,
}

impl KeyIndex {
    pub(crate) fn new(size: u32, domain: Domain) -> Self {
        // A tree for each entry of a full table: each that is in use saves a node of twice its size, and none costs memory
        // before it is used.
        let bits = u64::from(size).next_power_of_two().ilog2().min(BITS_MAX);
        Self { forest: Forest::new_in(bits, domain), hasher: KeyHasher::default(), bits }
    }

    #[inline]
    pub(crate) fn probe<'k>(&self, bytes: &'k [u8]) -> Probe<'k> {
        // Half of it is kept: `2^24` trees, and eight bits more to tell their entries apart. After those come the bits of the keys.
        Probe { hash: (self.hash(bytes) >> 32) as u32, bytes }
    }

    /// Returns the keyed hash of a key.
    #[inline]
    pub(crate) fn hash(&self, bytes: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(bytes);
        hasher.finish()
    }

    #[inline]
    fn tree(&self, hash: u32) -> usize {
        hash.checked_shr(u32::BITS - self.bits).unwrap_or(0) as usize
    }

    pub(crate) fn get(&self, probe: Probe<'_>) -> Option<Ref<'_, Entry>> {
        self.forest.get(self.tree(probe.hash), probe)
    }

    /// Calls `visit` with the entry of a key, which is protected during the call.
    #[inline]
    pub(crate) fn get_ptr_with<T>(
        &self,
        probe: Probe<'_>,
        visit: impl FnOnce(NonNull<Entry>) -> T,
    ) -> Option<T> {
        self.forest.get_ptr_with(self.tree(probe.hash), probe, visit)
    }

    /// Calls `visit` with the entry of a key, without the cost of a guard.
    pub(crate) fn get_with<T>(
        &self,
        probe: Probe<'_>,
        visit: impl FnOnce(&Entry) -> T,
    ) -> Option<T> {
        self.forest.get_with(self.tree(probe.hash), probe, visit)
    }

    /// Looks up many entries side by side and calls `visit` with each, in order.
    pub(crate) fn get_many_with<'k>(
        &self,
        probes: impl IntoIterator<Item = Probe<'k>>,
        visit: impl FnMut(Probe<'k>, Option<&Entry>),
    ) {
        let keys = probes.into_iter().map(|probe| (self.tree(probe.hash), probe));
        self.forest.get_many_with(keys, visit);
    }

    /// Links a new entry, or returns the one that has its key.
    ///
    /// # Safety
    /// 1. `new` is initialised, private, and `probe` finds it.
    pub(crate) unsafe fn insert(
        &self,
        probe: Probe<'_>,
        new: NonNull<Entry>,
    ) -> Result<(), Ref<'_, Entry>> {
        // SAFETY: 1; and entries are freed by way of `unlinked` only, or with the forest.
        unsafe { self.forest.insert(self.tree(probe.hash), probe, new) }
    }

    /// Puts a new entry in the place of a dead one, if that is still linked.
    ///
    /// # Safety
    /// As for [`insert`](Self::insert).
    pub(crate) unsafe fn replace(
        &self,
        probe: Probe<'_>,
        dead: NonNull<Entry>,
        new: NonNull<Entry>,
    ) -> bool {
        // SAFETY: as in `insert`.
        unsafe { self.forest.replace_if(self.tree(probe.hash), probe, dead, new) }
    }

    /// Unlinks this entry, if it is still linked. The caller protects it.
    pub(crate) fn remove(&self, entry: &Entry) {
        let probe = entry.probe();
        self.forest.remove_if(self.tree(probe.hash), probe, |other| {
            core::ptr::eq(other, entry) || mutant(Mutant::UnlinkAny)
        });
    }

    /// Unlinks the entry of a key if it is dead, whichever it is.
    pub(crate) fn remove_dead(&self, probe: Probe<'_>) {
        self.forest.remove_if(self.tree(probe.hash), probe, |other| {
            other.life.load().is_dead() || mutant(Mutant::UnlinkAny)
        });
    }

    /// Returns the next entry of a walk, in the order of (tree, hash, key), and moves the position behind it.
    ///
    /// An entry that stands in the index during the whole walk is returned once.
    pub(crate) fn next(&self, position: &mut Position) -> Option<Ref<'_, Entry>> {
        while position.tree < self.forest.trees() {
            let next = match &position.last {
                None if self.forest.is_empty(position.tree) => None,
                None => self.forest.first(position.tree),
                Some((hash, bytes)) => self.forest.gt(position.tree, Probe { hash: *hash, bytes }),
            };
            if let Some(entry) = next {
                position.last = Some((entry.hash(), entry.key_bytes().into()));
                return Some(entry);
            }
            position.tree += 1;
            position.last = None;
        }
        None
    }

    /// Returns the place behind a key; of none the end.
    pub(crate) fn after(&self, bytes: Option<&[u8]>) -> Position {
        let Some(bytes) = bytes else { return Position { tree: self.forest.trees(), last: None } };
        let Probe { hash, bytes } = self.probe(bytes);
        Position { tree: self.tree(hash), last: Some((hash, bytes.into())) }
    }

    /// Calls `visit` with every entry from the position on, in the order of (tree, hash, key), until it breaks, and moves the position
    /// behind the last one visited. Each is protected during the call.
    ///
    /// An entry that stands in the index during the whole walk is visited once.
    pub(crate) fn visit<B>(
        &self,
        position: &mut Position,
        mut visit: impl FnMut(NonNull<Entry>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        // The rest of the tree that the walk rests in: a leaf or two, where a tree has about one.
        while let Some((hash, bytes)) = &position.last {
            match self.forest.gt(position.tree, Probe { hash: *hash, bytes }) {
                Some(entry) => {
                    position.last = Some((entry.hash(), entry.key_bytes().into()));
                    visit(entry.as_ptr())?;
                }
                None => *position = Position { tree: position.tree + 1, last: None },
            }
        }
        let trees = self.forest.trees();
        let rest = position.tree.min(trees)..trees;
        *position = Position { tree: trees, last: None };
        self.forest.each_of(rest, |pointer| {
            let visited = visit(pointer);
            if visited.is_break() {
                // SAFETY: protected during the call.
                let entry = unsafe { pointer.as_ref() };
                let last = Some((entry.hash(), entry.key_bytes().into()));
                *position = Position { tree: self.tree(entry.hash()), last };
            }
            visited
        })
    }

    /// Asks for the root of an entry that is going to be removed.
    #[inline]
    pub(crate) fn prefetch_root(&self, entry: &Entry) {
        if cfg!(not(loom)) {
            self.forest.prefetch_root(self.tree(entry.hash()));
        }
    }

    /// Asks for what that leads to.
    #[inline]
    pub(crate) fn prefetch_first(&self, entry: &Entry) {
        // In models it would be so many steps more.
        if cfg!(not(loom)) {
            self.forest.prefetch_first(self.tree(entry.hash()));
        }
    }

    /// Returns the entry whose key has this hash, all of it.
    pub(crate) fn with_hash(&self, hash: u64) -> Option<Ref<'_, Entry>> {
        let half = (hash >> 32) as u32;
        let tree = self.tree(half);
        let mut found = self.forest.ge(tree, Probe { hash: half, bytes: &[] })?;
        while found.hash() == half {
            if self.hash(found.key_bytes()) == hash {
                return Some(found);
            }
            let bytes: Box<[u8]> = found.key_bytes().into();
            found = self.forest.gt(tree, Probe { hash: half, bytes: &bytes })?;
        }
        None
    }

    /// Returns some entry at or after a place in the index, for sampling.
    pub(crate) fn near(&self, hash: u32) -> Option<Ref<'_, Entry>> {
        let start = self.tree(hash);
        let here = self.forest.ge(start, Probe { hash, bytes: &[] });
        here.or_else(|| {
            let trees = self.forest.trees();
            (0..trees.min(NEAR_TREES)).find_map(|step| self.forest.first((start + step) % trees))
        })
    }

    /// Protects an entry.
    ///
    /// # Safety
    /// 1. The caller holds a reference of it.
    pub(crate) unsafe fn protect(&self, held: NonNull<Entry>) -> Ref<'_, Entry> {
        // SAFETY: a reference keeps the entry from being killed, hence retired, until it is dropped; whoever
        // kills it has seen the drop (`life`, S1).
        unsafe { self.forest.protect(held) }
    }

    pub(crate) fn with_retire(&self, run: impl FnOnce(&Retire<'_, '_>)) {
        self.forest.with_retire(run);
    }

    pub(crate) const fn forest(&self) -> &Forest<Entry> {
        &self.forest
    }
}

/// Trees that [`KeyIndex::near`] looks into.
const NEAR_TREES: usize = 64;
