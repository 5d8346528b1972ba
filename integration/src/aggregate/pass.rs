//! One aggregate, and its work in steps of bounded size.
//!
//! ```text
//! begin ──► what changed, source by source ──► what sources have no more ──► what is to be told again ──► trim ──► lease
//! ```
//!
//! No clock and no sockets: the same calls with the same tables do the same, so that it can be simulated.

use std::ops::ControlFlow;
use std::sync::Arc;

use stktable::data::Storage;
use stktable::table::Walk;
use stktable::{DataType, Key, KeySpec, Tick};

use super::combine::{Element, Sum, same};
use super::reader::Reader;
use super::status::{AggregateStatus, SourceStatus};
use super::{LEASE_KEY_LEN, LEASE_MS, LEASE_RENEW_MS, Settings, Sources};
use crate::shared::SharedTable;

/// Keys that are combined in one step.
const BATCH: usize = 256;
/// A pass that takes longer does not say of itself that it is up to date.
const FRESH_MS: u64 = 1000;

/// Sources of a table, and the table that is made of them.
#[derive(Debug)]
pub struct Aggregate {
    section: String,
    from: String,
    sources: Arc<Sources>,
    into: Arc<SharedTable>,
    lease: Option<(Arc<SharedTable>, Key)>,
    /// The key under which sources that make sums themselves say whether theirs are whole.
    source_key: Option<Key>,
    settings: Settings,
    elements: Vec<Element>,
    readers: Vec<Reader>,
    phase: Phase,
    /// Of the pass that is under way.
    begun_at: Tick,
    /// What was published since it began has a later sequence.
    begun_seq: u64,
    /// Everything was in the sums at the end of the last pass, and no source has been lost since.
    complete: bool,
    /// Whether this pass may end complete.
    may_complete: bool,
    renewed_at: Option<Tick>,
    /// Until then nothing is told but the lease: what a source that makes sums itself says now may be less than the whole, and some
    /// peer may still have a lease of before.
    hold_until: Option<Tick>,
    /// The walk over what is told again.
    refresh: Option<Walk>,
    refresh_at: Tick,
    status: AggregateStatus,
    keys: Vec<Key>,
    sums: Vec<Sum>,
}

/// The key of a table in lease tables.
fn lease_key(name: &str) -> Option<Key> {
    KeySpec::string(LEASE_KEY_LEN).and_then(|spec| spec.key(name.as_bytes())).ok()
}

/// What a pass is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    /// The changes of the source at this position.
    Changed(usize),
    /// What the source at this position has no more.
    Gone(usize),
    /// What is to be told again.
    Refresh,
    /// The order of updates that were read.
    Trim(usize),
}

impl Aggregate {
    /// Makes an aggregate of `sources`, whose table is called `from`, into a table, which has the types that
    /// [`declaration`](super::declaration) gives it. `lease` is the table that says whether it is complete.
    #[must_use]
    pub fn new(
        section: impl Into<String>,
        from: &SharedTable,
        sources: Arc<Sources>,
        into: Arc<SharedTable>,
        lease: Option<Arc<SharedTable>>,
        settings: Settings,
    ) -> Self {
        let elements = Element::all(from.declaration(), &settings.combine);
        let mut rules: Vec<_> =
            elements.iter().map(|element| (element.from, element.rule, element.into)).collect();
        rules.dedup();
        let source_name = from.declaration().name.clone();
        let (section, from) = (section.into(), from.declaration().local_name());
        let key = lease_key(&into.declaration().name);
        let source_key = lease_key(&source_name);
        let status = AggregateStatus {
            section: section.clone(),
            from: from.clone(),
            into: into.declaration().local_name(),
            rules,
            ..AggregateStatus::default()
        };
        Self {
            section,
            from,
            sources,
            into,
            lease: lease.zip(key),
            source_key,
            settings,
            elements,
            readers: Vec::new(),
            phase: Phase::Idle,
            begun_at: Tick(0),
            begun_seq: 0,
            complete: false,
            may_complete: false,
            renewed_at: None,
            hold_until: None,
            refresh: None,
            refresh_at: Tick(0),
            status,
            keys: Vec::with_capacity(BATCH),
            sums: Vec::new(),
        }
    }

    /// Returns the section.
    #[must_use]
    pub fn section(&self) -> &str {
        &self.section
    }

    /// Returns the name of the sources' table.
    #[must_use]
    pub fn from(&self) -> &str {
        &self.from
    }

    /// Returns the sources.
    #[must_use]
    pub const fn sources(&self) -> &Arc<Sources> {
        &self.sources
    }

    /// Returns the least time between two passes.
    #[must_use]
    pub const fn every_ms(&self) -> u32 {
        self.settings.every_ms
    }

    /// Returns how it is.
    #[must_use]
    pub const fn status(&self) -> &AggregateStatus {
        &self.status
    }

    /// Does a step of a pass, and begins one if none is under way. Returns whether there is more of it; false says that the pass is over.
    pub fn step(&mut self, now: Tick) -> bool {
        // Rates keep even dates only: so what was written is what is compared.
        let now = Tick(now.0 & !1);
        self.check_sources(now);
        match self.phase {
            Phase::Idle => {
                if self.hold_until.is_none_or(|until| until <= now) {
                    self.hold_until = None;
                    self.begin(now);
                }
                if self.hold_until.is_some() {
                    self.note(now);
                    self.renew(now);
                    return false;
                }
                self.phase = Phase::Changed(0);
            }
            Phase::Changed(at) => {
                let Some(reader) = self.readers.get_mut(at) else {
                    self.phase = Phase::Gone(0);
                    return true;
                };
                if !reader.changed(BATCH, &mut self.keys) {
                    self.phase = Phase::Changed(at + 1);
                }
                self.skip_combined(now);
                self.combine(false, now);
            }
            Phase::Gone(at) => {
                let Some(reader) = self.readers.get_mut(at) else {
                    self.phase = Phase::Refresh;
                    return true;
                };
                if !reader.remove_gone(BATCH, now, &mut self.keys) {
                    self.phase = Phase::Gone(at + 1);
                }
                self.combine(false, now);
            }
            Phase::Refresh => {
                self.refresh(now);
                self.phase = Phase::Trim(0);
            }
            Phase::Trim(at) => match self.readers.get(at) {
                Some(reader) if reader.trim(256) => {}
                Some(_) => self.phase = Phase::Trim(at + 1),
                None => {
                    self.end(now);
                    self.phase = Phase::Idle;
                    return false;
                }
            },
        }
        self.renew(now);
        true
    }

    /// Returns when the next pass is due though no source says anything: then the lease is renewed, or a source stops to count.
    #[must_use]
    pub fn next_due(&self) -> Tick {
        let renew = self.renewed_at.map_or(Tick(0), |at| at + LEASE_RENEW_MS);
        if let Some(until) = self.hold_until {
            return renew.min(until);
        }
        let timeout = self.settings.source_timeout_ms;
        self.readers.iter().filter_map(|reader| reader.over_at(timeout)).fold(renew, Tick::min)
    }

    /// Asks the sources for a signal when they have something new. Returns whether they have already.
    #[must_use]
    pub fn arm(&self) -> bool {
        // Whoever need not sleep need not be woken by the others.
        self.readers.iter().any(Reader::arm)
    }

    /// Says that sources are missing as soon as they are, in the middle of a pass too.
    fn check_sources(&mut self, now: Tick) {
        if (self.complete || self.may_complete)
            && !self.readers.iter().all(|reader| reader.is_in(self.source_key.as_ref(), now))
        {
            self.may_complete = false;
            if std::mem::take(&mut self.complete) {
                self.renewed_at = None;
                let makes_sums = |reader: &Reader| {
                    reader.source.lease().is_some() && !reader.is_in(self.source_key.as_ref(), now)
                };
                if self.readers.iter().any(makes_sums) {
                    self.hold_until = Some(now + LEASE_MS);
                }
            }
        }
    }

    fn begin(&mut self, now: Tick) {
        self.begun_at = now;
        self.begun_seq = self.into.mark_updates();
        let sources = self.sources.all();
        let is_source =
            |reader: &Reader| sources.iter().any(|source| Arc::ptr_eq(source, &reader.source));
        for reader in &mut self.readers {
            reader.removed = !is_source(reader);
        }
        self.readers.retain(|reader| !reader.removed || reader.counts || reader.has_gone());
        for source in sources.iter() {
            if !self.readers.iter().any(|reader| Arc::ptr_eq(&reader.source, source)) {
                self.readers.push(Reader::new(Arc::clone(source)));
            }
        }
        let timeout = self.settings.source_timeout_ms;
        let key = self.source_key.as_ref();
        self.readers.iter_mut().for_each(|reader| reader.begin(timeout, key, now));
        self.may_complete = self.readers.iter().all(|reader| reader.has_told || reader.removed);
        self.check_sources(now);
        if !self.may_complete && std::mem::take(&mut self.complete) {
            self.renewed_at = None;
        }
    }

    fn end(&mut self, now: Tick) {
        self.check_sources(now);
        let took = now.since(self.begun_at);
        let is_through = !self.readers.iter().any(Reader::has_gone);
        let before = self.complete;
        self.complete =
            self.may_complete && is_through && took <= FRESH_MS && !self.readers.is_empty();
        self.may_complete = false;
        if self.complete != before {
            self.renewed_at = None;
        }
        self.status.passes += 1;
        self.status.pass_ms = took;
        self.note(now);
        self.renew(now);
    }

    /// Notes how it is, for whoever asks.
    fn note(&mut self, now: Tick) {
        self.status.complete = self.complete;
        let source = |reader: &Reader| SourceStatus {
            peer: reader.source.peer(),
            up: reader.source.is_up(),
            told: reader.source.has_told(),
            whole: reader.is_in(self.source_key.as_ref(), now),
            counts: reader.counts,
            lost_ms: reader.lost_at.map(|at| now.since(at)),
            keys: reader.table().used(),
            behind: reader.behind(),
        };
        self.status.sources = self.readers.iter().map(source).collect();
    }

    /// Writes the lease when it is time.
    fn renew(&mut self, now: Tick) {
        if self.renewed_at.is_some_and(|at| now.since(at) < LEASE_RENEW_MS.into()) {
            return;
        }
        // In the midst of a long pass it says what was so before, for a while.
        let is_stale = self.phase != Phase::Idle && now.since(self.begun_at) > FRESH_MS;
        if self.complete && is_stale {
            return;
        }
        self.renewed_at = Some(now);
        let Some((lease, key)) = &self.lease else { return };
        let Ok(entry) = lease.get_or_create(key, now) else { return };
        let sources_in = self.readers.iter().filter(|reader| reader.has_told).count();
        let expected = self.sources.all().len();
        for (data_type, value) in [
            (DataType::Gpt0, usize::from(self.complete)),
            (DataType::Gpc0, sources_in),
            (DataType::Gpc1, expected),
        ] {
            let set = entry.set(data_type, 0, i64::try_from(value).unwrap_or(i64::MAX), now);
            debug_assert!(set.is_ok(), "a lease table stores it");
        }
        entry.touch(now);
    }

    /// Tells a part of the table again, so that all of it is told in half of its time to live.
    fn refresh(&mut self, now: Tick) {
        let half = self.into.declaration().expire_ms / 2;
        if half == 0 {
            return;
        }
        if self.refresh.is_none() {
            if now < self.refresh_at {
                return;
            }
            self.refresh_at = now + half;
            self.refresh = Some(Walk::new());
        }
        // There is a pass with each lease at least.
        let passes = half / LEASE_RENEW_MS + 1;
        let mut left = self.into.used() / passes + 64;
        while left > 0
            && let Some(walk) = &mut self.refresh
        {
            let room = left.min(256);
            let mut seen = 0;
            let keys = &mut self.keys;
            let more = walk.visit(&self.into, now, |entry| {
                keys.push(entry.key());
                seen += 1;
                if seen < room { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
            if !more {
                self.refresh = None;
            }
            left -= room;
            self.combine(true, now);
        }
    }

    /// Passes over keys that were combined in this pass already, because another source told them too: how far it reads was noted
    /// for all sources before, so what each says up to there was seen then.
    fn skip_combined(&mut self, now: Tick) {
        let mut skips = Vec::with_capacity(self.keys.len());
        self.into.get_many_with(&self.keys, now, |_, entry| {
            skips.push(entry.is_some_and(|entry| entry.update_seq() > self.begun_seq));
        });
        let mut skips = skips.into_iter();
        self.keys.retain(|_| skips.next() != Some(true));
    }

    /// Combines the keys that were collected, and writes what differs; with `again` also what does not, if a source has it.
    fn combine(&mut self, again: bool, now: Tick) {
        if self.keys.is_empty() {
            return;
        }
        let mut keys = std::mem::take(&mut self.keys);
        let width = self.elements.len();
        self.sums.clear();
        self.sums.resize(keys.len() * width, Sum::default());
        let mut known = vec![false; keys.len()];
        let has_names = self.elements.iter().any(|element| element.from.storage() == Storage::Dict);
        let mut names: Vec<Option<(u32, String)>> = Vec::new();
        if has_names {
            names.resize(keys.len(), None);
        }
        for reader in self.readers.iter().filter(|reader| reader.counts) {
            let mut at = 0;
            reader.table().get_many_with(&keys, now, |_, entry| {
                let key = at;
                at += 1;
                let Some(entry) = entry else { return };
                if let Some(known) = known.get_mut(key) {
                    *known = true;
                }
                let idle = entry.idle(now);
                let sums = self.sums.iter_mut().skip(key * width);
                for (element, sum) in self.elements.iter().zip(sums) {
                    if let Some(value) = entry.value(element.from, element.index, now) {
                        sum.add(*element, value, idle);
                    }
                }
                if let Some(name) = names.get_mut(key)
                    && name.as_ref().is_none_or(|(of, _)| idle < *of)
                    && let Some(text) = entry.server_key()
                {
                    *name = Some((idle, text));
                }
            });
        }
        self.status.combined += keys.len() as u64;
        for (at, key) in keys.iter().enumerate() {
            let known = known.get(at).copied().unwrap_or_default();
            let name = names.get_mut(at).and_then(Option::take).map(|(_, text)| text);
            self.publish(key, at * width, known, name.as_deref(), again, now);
        }
        keys.clear();
        self.keys = keys;
    }

    /// Writes the sums of a key, which stand from `first` on, where they differ from what was told.
    fn publish(
        &mut self,
        key: &Key,
        first: usize,
        known: bool,
        name: Option<&str>,
        again: bool,
        now: Tick,
    ) {
        let there = self.into.get(key, now);
        let entry = match there {
            Some(entry) => entry,
            // Nobody was told of it.
            None if !known => return,
            None => match self.into.get_or_create(key, now) {
                Ok(entry) => entry,
                Err(_) => {
                    self.status.refused += 1;
                    return;
                }
            },
        };
        let is_new = entry.update_seq() == 0;
        let mut differs = is_new;
        let sums = self.sums.get(first..).unwrap_or_default();
        for (element, sum) in self.elements.iter().zip(sums) {
            let (into, index) = (element.into, element.index);
            if into.storage() == Storage::Dict {
                if name.is_some() && entry.server_key().as_deref() != name {
                    // A name for which there is no room stays as it was.
                    differs |= entry.set_server_key(name).is_ok();
                }
                continue;
            }
            let (value, is_cut) = sum.value(*element);
            let before = entry.value(into, index, now);
            if before.is_none_or(|before| !same(before, value, element.period_ms)) {
                differs = true;
                self.status.saturated += u64::from(is_cut);
                let set = entry.set_value(into, index, value, now);
                debug_assert!(set.is_ok(), "{into} is stored");
            }
        }
        if differs {
            entry.touch(now);
            self.status.published += 1;
        } else if again && known {
            entry.touch(now);
            self.status.refreshed += 1;
        }
    }
}
