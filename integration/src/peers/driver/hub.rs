//! What the tasks of a section share.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stktable::Tick;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;

use super::RemotePeer;
use super::compare::{self, TableDifference};
use super::connection::{self, Order, Seat, Slot};
use super::lag::Marks;
use super::listen::Origin;
use super::names::Names;
use super::peer::{Peer, Totals};
use super::status::{PeerStatus, SectionStatus, TableLag};
use super::talk::{self, Talk};
use super::tasks;
use crate::clock::Clock;
use crate::expiry;
use crate::peers::resync::{Action, Coordinator, ResyncState, SessionId, Verdict};
use crate::peers::session::{
    Difference, Event, Reason, Role, Roster, RosterError, RosterTable, Session, SessionStatus,
};
use crate::peers::trace::Trace;
use crate::shared::SharedTable;
use crate::tls::Connector;

/// Connections that a section accepts, for each peer and itself.
const CONNECTIONS_PER_PEER: usize = 3;
/// The most that a section accepts whatever it is set to: what a semaphore can count.
const SESSIONS_MAX: usize = 1 << 20;

/// What the tasks of a section share.
///
/// `state` is locked when a session begins or ends, or asks something, and by whoever looks at the section; never by what
/// learns and teaches. Sessions belong to the tasks of their connections.
#[derive(Debug)]
pub(super) struct Hub {
    pub(super) roster: Arc<Roster>,
    pub(super) clock: Clock,
    pub(super) trace: Arc<Trace>,
    names: Names,
    state: Mutex<State>,
    /// Wakes [`coordinate`](tasks::coordinate): a date may have changed.
    pub(super) changed: Notify,
    /// Wakes the connections: a table has changed.
    pub(super) news: watch::Sender<()>,
    pub(super) stopping: watch::Sender<bool>,
    pub(super) resync: watch::Sender<ResyncState>,
    /// Connections that may still be accepted.
    pub(super) permits: Arc<Semaphore>,
    tasks: Mutex<JoinSet<()>>,
}

#[derive(Debug)]
struct State {
    coordinator: Coordinator,
    slots: HashMap<SessionId, Arc<Slot>>,
    /// In the order of the roster.
    peers: Vec<(Arc<Peer>, Totals)>,
    /// What was logged of callers that are none of them.
    strangers: Talk,
    connections_refused: u64,
    handshakes_failed: u64,
    /// By table.
    marks: Vec<Marks>,
}

impl Hub {
    pub(super) fn new(
        roster: Arc<Roster>,
        clock: Clock,
        names: Names,
        successor: bool,
        trace: Arc<Trace>,
    ) -> Arc<Self> {
        let (now, seed) = (clock.now(), rand::random());
        let coordinator = Coordinator::new(now, Arc::clone(&roster), successor, seed);
        let resync = coordinator.resync_state();
        let most = CONNECTIONS_PER_PEER * (roster.remote_peers().len() + 1);
        let permits = roster.limits().sessions.map_or(most, |sessions| sessions.min(SESSIONS_MAX));
        Arc::new(Self {
            roster,
            clock,
            trace,
            names,
            state: Mutex::new(State {
                coordinator,
                slots: HashMap::new(),
                peers: Vec::new(),
                strangers: Talk::default(),
                connections_refused: 0,
                handshakes_failed: 0,
                marks: Vec::new(),
            }),
            changed: Notify::new(),
            news: watch::Sender::new(()),
            stopping: watch::Sender::new(false),
            resync: watch::Sender::new(resync),
            permits: Arc::new(Semaphore::new(permits)),
            tasks: Mutex::new(JoinSet::new()),
        })
    }

    /// Takes a peer of the roster up, and follows its name. The coordinator calls it.
    pub(super) fn serve_peer(self: &Arc<Self>, remote: RemotePeer) {
        let peer = Peer::new(remote);
        let mut state = lock(&self.state);
        state.peers.push((Arc::clone(&peer), Totals::default()));
        state.coordinator.add_peer(self.clock.now(), peer.name.as_bytes());
        self.act(&mut state);
        drop(state);
        let hub = Arc::clone(self);
        self.spawn(async move {
            tokio::select! {
                () = peer.at.follow(&hub.names, hub.roster.section(), &peer.name) => {}
                () = peer.removed() => {}
                () = hub.stopped() => {}
            }
        });
    }

    /// Adds a peer while the section runs.
    pub(super) fn add_peer(self: &Arc<Self>, remote: RemotePeer) -> Result<(), RosterError> {
        // One at a time: the roster is read without a lock, and written under this one.
        let state = lock(&self.state);
        self.roster.add_peer(&remote.name)?;
        drop(state);
        if self.roster.limits().sessions.is_none() {
            self.permits.add_permits(CONNECTIONS_PER_PEER);
        }
        self.serve_peer(remote);
        Ok(())
    }

    /// Removes a peer while the section runs. Returns whether it was there.
    pub(super) fn remove_peer(self: &Arc<Self>, name: &str) -> bool {
        let mut state = lock(&self.state);
        if !self.roster.remove_peer(name) {
            return false;
        }
        if self.roster.limits().sessions.is_none() {
            // Those in use are over soon; what they leave is one peer's worth too many at most.
            self.permits.forget_permits(CONNECTIONS_PER_PEER);
        }
        for (peer, _) in state.peers.extract_if(.., |(peer, _)| peer.name == name) {
            peer.remove();
        }
        state.coordinator.remove_peer(self.clock.now(), name.as_bytes());
        self.act(&mut state);
        true
    }

    /// Returns the TLS of the calls.
    pub(super) fn connectors(&self) -> Vec<Arc<Connector>> {
        lock(&self.state).peers.iter().filter_map(|(peer, _)| peer.tls.clone()).collect()
    }

    /// Runs a task until the section stops.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = lock(&self.tasks);
        while tasks.try_join_next().is_some() {}
        if !*self.stopping.borrow() {
            tasks.spawn(task);
        }
    }

    pub(super) fn take_tasks(&self) -> JoinSet<()> {
        std::mem::take(&mut *lock(&self.tasks))
    }

    /// Tells every task to end.
    pub(super) fn stop(&self) {
        self.stopping.send_replace(true);
        let state = lock(&self.state);
        for slot in state.slots.values() {
            slot.order(Order::Close(Reason::Stopped));
        }
    }

    /// Waits until the section stops.
    pub(super) async fn stopped(&self) {
        let mut stopping = self.stopping.subscribe();
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }

    /// Registers a connection that was accepted.
    pub(super) fn accepted(self: &Arc<Self>, origin: Origin) -> Seat {
        let mut state = lock(&self.state);
        let id = state.coordinator.accepted();
        let seat = Seat::called(self, id, origin);
        state.slots.insert(id, Arc::clone(&seat.slot));
        seat
    }

    pub(super) fn connection_refused(&self) {
        lock(&self.state).connections_refused += 1;
    }

    pub(super) fn handshake_failed(&self, from: SocketAddr, error: &io::Error) {
        let mut state = lock(&self.state);
        state.handshakes_failed += 1;
        let section = self.roster.section();
        if state.strangers.admits(section, "?", self.clock.now()) {
            tracing::warn!(section, address = %from, %error, "no TLS with a caller");
        }
    }

    /// Returns what is wrong with the name that a caller gave, if something is.
    fn denial(state: &State, slot: &Slot, caller: &str) -> Option<String> {
        let origin = slot.origin.as_ref()?;
        let peer = state.peers.iter().find(|(peer, _)| peer.name == caller);
        let expected = peer.map_or(caller, |(peer, _)| peer.certified_name());
        let denial = origin.judge(caller, expected).err()?;
        Some(format!("{denial} (called from {origin})"))
    }

    /// Registers a call that has a connection, if it is still wanted.
    pub(super) fn connected(self: &Arc<Self>, id: SessionId) -> Option<Seat> {
        let mut state = lock(&self.state);
        let memory = state.coordinator.connected(id)?;
        let seat = Seat::caller(self, id, memory);
        state.slots.insert(id, Arc::clone(&seat.slot));
        Some(seat)
    }

    /// A call came to nothing.
    pub(super) fn call_failed(self: &Arc<Self>, peer: &Peer, id: SessionId, why: String) {
        let mut state = lock(&self.state);
        if let Some(totals) = Self::totals(&mut state, &peer.name) {
            totals.calls_failed += 1;
            // Said once, not every five seconds.
            if totals.last_end.as_ref() != Some(&why) {
                tracing::info!(
                    section = self.roster.section(),
                    peer = peer.name,
                    why,
                    "call failed"
                );
                totals.last_end = Some(why);
            }
        }
        state.coordinator.ended(self.clock.now(), id, None);
        self.act(&mut state);
    }

    /// A connection is gone, whatever it has reported.
    pub(super) fn gone(self: &Arc<Self>, id: SessionId) {
        let mut state = lock(&self.state);
        state.slots.remove(&id);
        self.news.send_replace(());
        state.coordinator.ended(self.clock.now(), id, None);
        self.act(&mut state);
    }

    /// Takes an event of a session.
    pub(super) fn report(self: &Arc<Self>, slot: &Slot, session: &mut Session, event: Event) {
        let status = session.status();
        let mut state = lock(&self.state);
        let now = self.clock.now();
        let peer = status.peer.as_deref().unwrap_or("?");
        let event_said = event.clone();
        // A call that is not wanted any more is none.
        let mut said = !matches!(event, Event::Hello { .. } | Event::Proved | Event::Up);
        match event {
            Event::Hello { caller, .. } => match Self::denial(&state, slot, peer) {
                Some(why) => session.deny(why),
                None => match state.coordinator.called(slot.id, &caller) {
                    Verdict::Accept { memory, beside } => session.accept(now, memory, beside),
                    Verdict::Unknown => session.deny("the peer was removed".to_owned()),
                    Verdict::TryAgain => session.refuse(),
                },
            },
            Event::Proved => state.coordinator.proved(slot.id),
            Event::Up => {
                let wanted = match status.role {
                    Role::Called => Some(false),
                    Role::Caller => state.coordinator.answered(slot.id),
                };
                match wanted {
                    None => session.close(Reason::Replaced),
                    Some(_) => {
                        if status.role == Role::Caller {
                            session.ask_heartbeat();
                        }
                        if let Some(totals) = Self::totals(&mut state, peer) {
                            totals.sessions += 1;
                            totals.last_end = None;
                        }
                        said = true;
                    }
                }
            }
            Event::LessonEnded { finished, .. } => {
                state.coordinator.lesson_ended(now, slot.id, finished);
            }
            Event::TableLearned { table: at } => {
                if let Some(table) = self.roster.tables().get(at) {
                    self.look_after(at, table.shared());
                }
            }
            Event::LessonRequested
            | Event::LessonTaught
            | Event::TableFull { .. }
            | Event::TableIgnored { .. }
            | Event::TableNotLearned { .. }
            | Event::PeerError(_) => {}
            Event::Closed(reason) => {
                if let Some(totals) = Self::totals(&mut state, peer) {
                    totals.protocol_errors += u64::from(matches!(reason, Reason::Error(_)));
                    totals.last_end = Some(reason.to_string());
                }
                state.coordinator.ended(now, slot.id, Some(&reason));
                // Another session with this peer may be waiting to be heard.
                self.news.send_replace(());
            }
        }
        if said {
            let State { peers, strangers, .. } = &mut *state;
            let known = peers.iter_mut().find(|(known, _)| known.name == peer);
            let talk = known.map_or(strangers, |(_, totals)| &mut totals.talk);
            if talk.admits(self.roster.section(), peer, now) {
                talk::say(&self.roster, peer, status.role, &event_said);
            }
        }
        self.act(&mut state);
    }

    /// Adds a table while the section runs.
    pub(super) fn add_table(self: &Arc<Self>, table: &Arc<SharedTable>) -> Result<(), RosterError> {
        // One at a time.
        let state = lock(&self.state);
        let at = self.roster.add_table(table)?;
        // Who has told of it before it was known here does so again.
        for slot in state.slots.values() {
            slot.order(Order::Request);
        }
        drop(state);
        self.run_table(at, table);
        Ok(())
    }

    /// Takes up a table that was learned.
    fn look_after(self: &Arc<Self>, at: usize, table: &Arc<SharedTable>) {
        self.run_table(at, table);
        if let Some(learn) = self.roster.learn() {
            learn.into.add(table);
        }
    }

    /// Lets a table expire, and tells its changes.
    fn run_table(self: &Arc<Self>, at: usize, table: &Arc<SharedTable>) {
        self.spawn(tasks::dispatch(Arc::clone(self), at));
        let (hub, expires) = (Arc::clone(self), Arc::clone(table));
        self.spawn(async move {
            tokio::select! {
                () = expiry::run(expires, hub.clock) => {}
                () = hub.stopped() => {}
            }
        });
    }

    fn totals<'s>(state: &'s mut State, peer: &str) -> Option<&'s mut Totals> {
        state.peers.iter_mut().find(|(known, _)| known.name == peer).map(|(_, totals)| totals)
    }

    /// Does what the coordinator asks for.
    fn act(self: &Arc<Self>, state: &mut State) {
        while let Some(action) = state.coordinator.poll_action() {
            match action {
                Action::Call { peer, session } => {
                    let named = |(known, _): &&(Arc<Peer>, Totals)| *known.name.as_bytes() == *peer;
                    if let Some((peer, _)) = state.peers.iter().find(named) {
                        let peer = Arc::clone(peer);
                        self.spawn(connection::call(Arc::clone(self), peer, session));
                    }
                }
                Action::Close { session, reason } => order(state, session, Order::Close(reason)),
                Action::Request { session } => order(state, session, Order::Request),
                Action::Hold { session } => order(state, session, Order::Hold),
                Action::Promote { session } => order(state, session, Order::Promote),
            }
        }
        let now = state.coordinator.resync_state();
        let changed = |state: &mut ResyncState| std::mem::replace(state, now) != now;
        if self.resync.send_if_modified(changed) {
            tracing::info!(section = self.roster.section(), state = %now, "resync");
        }
        self.changed.notify_one();
    }

    /// Does what is due of the coordinator's dates. Returns the next one.
    pub(super) fn tick(self: &Arc<Self>) -> Option<Tick> {
        let mut state = lock(&self.state);
        let now = self.clock.now();
        if state.coordinator.poll_timeout().is_some_and(|at| at <= now) {
            state.coordinator.handle_timeout(now);
            self.act(&mut state);
        }
        state.coordinator.poll_timeout()
    }

    /// Notes how far a table is. Returns up to where every peer has acknowledged its updates.
    pub(super) fn mark(&self, at: usize, table: &SharedTable) -> u64 {
        let mut state = lock(&self.state);
        let peers = 0..state.peers.len();
        let memories = peers.filter_map(|peer| state.coordinator.memory(peer));
        let last_update = table.last_update();
        let acked = memories.map(|memory| memory.acked(at)).min();
        // Nobody will ever read them.
        let acked = acked.unwrap_or_else(|| table.begin_updates(0).unwrap_or(last_update));
        if state.marks.len() <= at {
            state.marks.resize_with(at + 1, Marks::default);
        }
        if let Some(marks) = state.marks.get_mut(at) {
            marks.note(last_update, acked, self.clock.now());
        }
        acked
    }

    /// Begins to compare the tables with every peer's.
    pub(super) fn compare(self: &Arc<Self>) {
        let state = lock(&self.state);
        for (at, (peer, _)) in state.peers.iter().enumerate() {
            let live = state.coordinator.peer(at).and_then(|peer| peer.live);
            let slot = live.and_then(|live| state.slots.get(&live));
            match (slot, state.coordinator.memory(at)) {
                (Some(slot), _) if slot.status().compares => slot.order(Order::Compare),
                (_, Some(memory)) => compare::count(self, peer, Arc::clone(memory)),
                (_, None) => {}
            }
        }
    }

    /// Returns how a peer's tables differed when they were last compared.
    fn differences(
        &self,
        peer: &Peer,
        session: Option<&SessionStatus>,
        now: Tick,
    ) -> Vec<TableDifference> {
        let found = |table: String, difference, is_asked, at| {
            let age_ms = now.since(at);
            TableDifference { table, difference, is_asked, age_ms }
        };
        if let Some(session) = session.filter(|session| session.compares) {
            let tables = session.tables.iter();
            let asked = tables.filter_map(|table| {
                let (difference, at) = table.found?;
                Some(found(table.name.clone(), difference, true, at))
            });
            return asked.collect();
        }
        let counted = peer.unacked.counted.load();
        let tables = self.roster.tables().iter().zip(counted.iter());
        let counted = tables.map(|(table, (lacks, at))| {
            let difference = Difference { lacks: *lacks, exceeds: 0, is_exact: true };
            found(table.local_name().to_owned(), difference, false, *at)
        });
        counted.collect()
    }

    pub(super) fn status(&self) -> SectionStatus {
        let state = lock(&self.state);
        let now = self.clock.now();
        let session = |id: SessionId| -> Option<SessionStatus> {
            Some(SessionStatus::clone(&state.slots.get(&id)?.status()))
        };
        let peer = |(at, (peer, totals)): (usize, &(Arc<Peer>, Totals))| {
            let coordinated = state.coordinator.peer(at)?;
            let call_in = coordinated.call_at.map(|call_at| call_at.since(now));
            let live = coordinated.live.and_then(|live| state.slots.get(&live));
            let session = coordinated.live.and_then(session);
            Some(PeerStatus {
                differences: self.differences(peer, session.as_ref(), now),
                name: peer.name.clone(),
                address: peer.at.address.to_string(),
                resolved: peer.at.known().addresses,
                session,
                queued_bytes: live.map_or(0, |slot| slot.queued()),
                calling: coordinated.calling,
                call_in_ms: call_in,
                lag: state.lag(&self.roster, at, now),
                teaches_us: coordinated.assigned,
                not_up_to_date: coordinated.not_up_to_date,
                sessions: totals.sessions,
                protocol_errors: totals.protocol_errors,
                calls_failed: totals.calls_failed,
                last_end: totals.last_end.clone(),
            })
        };
        SectionStatus {
            name: self.roster.section().to_owned(),
            local_peer: text(self.roster.local_peer()),
            resync: state.coordinator.resync_state(),
            peers: state.peers.iter().enumerate().filter_map(peer).collect(),
            predecessor: state.coordinator.local().and_then(session),
            connections: state.slots.len(),
            connections_refused: state.connections_refused,
            handshakes_failed: state.handshakes_failed,
        }
    }
}

impl State {
    /// Returns how far the peer at this position is behind.
    fn lag(&self, roster: &Roster, peer: usize, now: Tick) -> Vec<TableLag> {
        let Some(memory) = self.coordinator.memory(peer) else { return Vec::new() };
        let lag = |(at, table): (usize, &RosterTable)| {
            let acked = memory.acked(at);
            let unacked = table.table().last_update().saturating_sub(acked);
            let waited = self.marks.get(at).map_or(0, |marks| marks.waited_ms(acked, now));
            let waited_ms = if unacked == 0 { 0 } else { waited };
            TableLag { table: table.local_name().to_owned(), unacked, waited_ms }
        };
        roster.tables().iter().enumerate().map(lag).collect()
    }
}

/// Gives an order to a session that may be gone.
fn order(state: &State, session: SessionId, order: Order) {
    if let Some(slot) = state.slots.get(&session) {
        slot.order(order);
    }
}

/// Nothing is left half done by a panic: a session is then dropped with its connection.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}
