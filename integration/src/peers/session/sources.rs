//! What each peer says of a table, kept apart: for sums over peers, where one must not overwrite another.
//!
//! A peer whose tables are kept so is a *source*. When its session comes up it is asked for everything it has. Once it has told that
//! to the end, what it did not mention is what it has no more: it had restarted, or the entry was over there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use stktable::table::Options;
use stktable::{Declaration, Tick};

use super::roster::Roster;
use crate::aggregate::lease_declaration;
use crate::shared::{Part, SharedTable, Signal};

/// How long to wait before a source that has not everything yet itself is asked again.
pub(super) const ASK_AGAIN_MS: u32 = 1000;

/// A session in the count of those that are up.
const SESSION: u64 = 1 << 32;

/// One table as each of the sources has it.
#[derive(Debug)]
pub struct Sources {
    declaration: Declaration,
    news: Arc<Signal>,
    all: ArcSwap<Vec<Arc<Source>>>,
}

/// One table as one peer has it.
#[derive(Debug)]
pub struct Source {
    peer: Box<[u8]>,
    table: Arc<SharedTable>,
    lease: Option<Arc<SharedTable>>,
    news: Arc<Signal>,
    /// `sessions that are up: 32 | those of them in which it has told everything: 32`. Two are up for a moment when one takes the
    /// place of another, or is not wanted.
    sessions: AtomicU64,
    /// What was learned up to this update, and not since, it has no more; 0 if nothing.
    gone_upto: AtomicU64,
}

impl Sources {
    /// Makes the tables of these peers, each like `declaration`.
    #[must_use]
    pub fn new<'p>(
        declaration: &Declaration,
        peers: impl IntoIterator<Item = &'p str>,
    ) -> Arc<Self> {
        let sources = Self {
            declaration: declaration.clone(),
            news: Arc::default(),
            all: ArcSwap::default(),
        };
        peers.into_iter().for_each(|peer| sources.add(peer, false));
        Arc::new(sources)
    }

    /// Returns the sources that are there now.
    #[must_use]
    pub fn all(&self) -> Arc<Vec<Arc<Source>>> {
        self.all.load_full()
    }

    /// Returns what is raised when a source has told something, or came or went.
    #[must_use]
    pub fn news(&self) -> &Signal {
        &self.news
    }

    /// Adds a source, unless it is there. With `makes_sums` it says by a lease of its own whether what it tells is the whole.
    pub fn add(&self, peer: &str, makes_sums: bool) {
        let mut declaration = self.declaration.clone();
        // Also what travels for others to see only: the connections of the moment.
        declaration.recv_only = true;
        // What the source has purged it does not say: room for that, lest something be purged here that it still has.
        declaration.size = declaration.size.saturating_mul(2);
        declaration.write_to = None;
        declaration.name = format!("{}@{peer}", declaration.name);
        let table = SharedTable::telling(declaration, Options::new(), Arc::clone(&self.news));
        let lease = makes_sums.then(|| SharedTable::new(lease_declaration("leases", peer)));
        for table in [&table].into_iter().chain(&lease) {
            table.set_part(Part::OfOne);
        }
        let source = Arc::new(Source {
            peer: peer.as_bytes().into(),
            table,
            lease,
            news: Arc::clone(&self.news),
            sessions: AtomicU64::new(0),
            gone_upto: AtomicU64::new(0),
        });
        self.all.rcu(|all| {
            let mut all = Vec::clone(all);
            if !all.iter().any(|other| other.peer == source.peer) {
                all.push(Arc::clone(&source));
            }
            all
        });
        self.news.raise();
    }

    /// Removes a source. What it said is no part of a sum any more.
    pub fn remove(&self, peer: &str) {
        self.all.rcu(|all| {
            let mut all = Vec::clone(all);
            all.retain(|source| *source.peer != *peer.as_bytes());
            all
        });
        self.news.raise();
    }

    fn find(&self, peer: &[u8]) -> Option<Arc<Source>> {
        self.all.load().iter().find(|source| *source.peer == *peer).cloned()
    }
}

impl Source {
    /// Returns the name of the peer.
    #[must_use]
    pub fn peer(&self) -> String {
        super::roster::text(&self.peer)
    }

    /// Returns what it says.
    #[must_use]
    pub const fn table(&self) -> &Arc<SharedTable> {
        &self.table
    }

    /// Returns whether a session with it is up.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.sessions.load(Ordering::Relaxed) >= SESSION
    }

    /// Returns whether it has told everything since its session came up, and the session is up. What it told was learned by then.
    #[must_use]
    pub fn has_told(&self) -> bool {
        // Acquire: what was learned before it was counted.
        let sessions = self.sessions.load(Ordering::Acquire);
        sessions >= SESSION && sessions / SESSION == sessions % SESSION
    }

    /// Returns what the peer says of whether its own sums are whole, if it makes some.
    #[must_use]
    pub const fn lease(&self) -> Option<&Arc<SharedTable>> {
        self.lease.as_ref()
    }

    /// Returns up to which update of its table what was not learned again since is what it has no more, and 0 from then on. What to
    /// remove has no later [`update_seq`](stktable::EntryRef::update_seq).
    #[must_use]
    pub fn take_gone(&self) -> u64 {
        self.gone_upto.swap(0, Ordering::Acquire)
    }
}

/// That a session with a source is up, for as long as this lives.
#[derive(Debug)]
pub(super) struct Present {
    sources: Vec<(usize, Arc<Source>)>,
    /// Where it is kept what it says of its own sums.
    leases: Vec<Arc<SharedTable>>,
    /// By source: how far its table was when it was asked.
    asked_at: Vec<u64>,
    told: bool,
    /// When to ask again.
    pub(super) again: Option<Tick>,
}

impl Present {
    /// Notes that a session with this peer is up; `None` if it is no source.
    pub(super) fn begin(roster: &Roster, peer: &[u8]) -> Option<Self> {
        let of = |(at, table): (usize, &super::RosterTable)| match table.shared().part() {
            Part::Apart(sources) => Some((at, sources.find(peer)?)),
            _ => None,
        };
        let sources: Vec<_> = roster.tables().iter().enumerate().filter_map(of).collect();
        if sources.is_empty() {
            return None;
        }
        for (_, source) in &sources {
            // It may have restarted since: what it told before is told anew.
            source.sessions.fetch_add(SESSION, Ordering::Relaxed);
            source.news.raise();
        }
        let asked_at = vec![0; sources.len()];
        let leases = sources.iter().filter_map(|(_, source)| source.lease.clone()).collect();
        Some(Self { sources, leases, asked_at, told: false, again: None })
    }

    /// Returns what the peer says of the table at this position.
    pub(super) fn table(&self, at: usize) -> Option<&Arc<SharedTable>> {
        self.sources.iter().find(|(of, _)| *of == at).map(|(_, source)| &source.table)
    }

    /// Returns where it is kept what the peer says of its own sums.
    pub(super) fn leases(&self) -> &[Arc<SharedTable>] {
        &self.leases
    }

    /// The peer is being asked for everything.
    pub(super) fn asked(&mut self) {
        self.again = None;
        for ((_, source), asked_at) in self.sources.iter().zip(&mut self.asked_at) {
            // What is learned from here on has a later sequence, even if nobody has read the one before.
            *asked_at = source.table.mark_updates();
        }
    }

    /// The peer has told what it has: everything, or what it has so far.
    pub(super) fn told(&mut self, everything: bool, now: Tick) {
        if !everything {
            self.again = Some(now + ASK_AGAIN_MS);
            return;
        }
        for ((_, source), asked_at) in self.sources.iter().zip(&self.asked_at) {
            source.gone_upto.fetch_max(*asked_at, Ordering::Release);
            // Release: what was learned, and the line above.
            source.sessions.fetch_add(u64::from(!self.told), Ordering::Release);
            source.news.raise();
        }
        self.told = true;
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        for (_, source) in &self.sources {
            source.sessions.fetch_sub(SESSION + u64::from(self.told), Ordering::Relaxed);
            source.news.raise();
        }
    }
}
