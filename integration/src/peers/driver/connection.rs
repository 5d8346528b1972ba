//! One connection: a session, its socket and its timer.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

use super::hub::Hub;
use super::listen::Origin;
use super::names::Whereabouts;
use super::peer::Peer;
use super::tap::Tap;
use super::wire::Wire;
use crate::peers::resync::SessionId;
use crate::peers::session::{Event, OUT_MAX, PeerMemory, Reason, Session, SessionStatus};
use crate::peers::trace;

/// How long to wait for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(1);
/// How long a session that is over may take to write its last bytes and see the other side close.
const LINGER: Duration = Duration::from_millis(500);
/// Turns without sleep after which a session says how it is.
const TURNS_UNPUBLISHED: u32 = 64;
/// Bytes read and made after which others get their turn: some half a millisecond.
const MOVED_MAX: usize = 32 << 10;
/// Bytes that are read at once.
const IN_MAX: usize = 64 << 10;

/// A connection as others reach it: to give it orders, and to look at it. Its session belongs to its task alone, so that
/// nobody who looks can hold up what is learned and taught.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) id: SessionId,
    /// Of one that was accepted.
    pub(super) origin: Option<Origin>,
    orders: UnboundedSender<Order>,
    status: ArcSwap<SessionStatus>,
    /// Bytes that the socket has not taken.
    queued: AtomicUsize,
}

/// What the task of a connection is told to do. There are few: the coordinator gives one when it changes its mind.
#[derive(Debug)]
pub(super) enum Order {
    /// Close the session.
    Close(Reason),
    /// Ask the peer to teach us.
    Request,
    /// Wait beside another session.
    Hold,
    /// Be the live session.
    Promote,
    /// Compare the tables with the peer's.
    Compare,
}

impl Slot {
    /// Gives an order. One that comes too late is dropped with the connection.
    pub(super) fn order(&self, order: Order) {
        let _ = self.orders.send(order);
    }

    /// Returns what the session last said of itself: before it slept, or a few turns ago.
    pub(super) fn status(&self) -> Arc<SessionStatus> {
        self.status.load_full()
    }

    /// Returns how many bytes the socket had not taken then.
    pub(super) fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }
}

/// A session with its place among the others.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) slot: Arc<Slot>,
    orders: UnboundedReceiver<Order>,
    session: Session,
}

impl Seat {
    pub(super) fn called(hub: &Hub, id: SessionId, origin: Origin) -> Self {
        Self::new(id, Some(origin), Session::called(hub.clock.now(), Arc::clone(&hub.roster)))
    }

    pub(super) fn caller(hub: &Hub, id: SessionId, memory: Arc<PeerMemory>) -> Self {
        let (now, roster) = (hub.clock.now(), Arc::clone(&hub.roster));
        Self::new(id, None, Session::caller(now, roster, memory, std::process::id()))
    }

    fn new(id: SessionId, origin: Option<Origin>, session: Session) -> Self {
        let (sender, orders) = unbounded_channel();
        let status = ArcSwap::from_pointee(session.status());
        let queued = AtomicUsize::new(0);
        Self {
            slot: Arc::new(Slot { id, origin, orders: sender, status, queued }),
            orders,
            session,
        }
    }
}

/// Tells the hub that a connection is gone, also when its task is ended by force.
struct Presence {
    hub: Arc<Hub>,
    id: SessionId,
    /// Of a connection that was accepted.
    permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Presence {
    fn drop(&mut self) {
        // First: who sees that it is gone finds room for another one.
        self.permit = None;
        self.hub.gone(self.id);
    }
}

/// Calls a peer, and serves the connection if there is one.
pub(super) async fn call(hub: Arc<Hub>, peer: Arc<Peer>, id: SessionId) {
    let time = hub.roster.limits().handshake();
    let call = async {
        let stream = connect(&peer.at).await.map_err(CallError::Connect)?;
        let connected = timeout(time, Wire::connect(stream, peer.tls.as_deref())).await;
        connected.map_err(io::Error::from).flatten().map_err(CallError::Tls)
    };
    let connected = tokio::select! {
        connected = call => connected,
        () = hub.stopped() => return,
        () = peer.removed() => return,
    };
    let address = &peer.at.address;
    match connected {
        Err(CallError::Connect(error)) => {
            peer.at.look_again();
            hub.call_failed(&peer, id, format!("cannot connect to {address}: {error}"));
        }
        Err(CallError::Tls(error)) => {
            peer.at.look_again();
            hub.call_failed(&peer, id, format!("no TLS with {address}: {error}"));
        }
        Ok(wire) => {
            // Not wanted any more when the peer has called meanwhile.
            if let Some(seat) = hub.connected(id) {
                run(Arc::clone(&hub), seat, wire, None).await;
            }
        }
    }
}

/// Why there is no connection.
enum CallError {
    Connect(io::Error),
    Tls(io::Error),
}

async fn connect(at: &Whereabouts) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in at.addresses().await? {
        match timeout(CONNECT_MAX, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(elapsed) => last = elapsed.into(),
        }
    }
    Err(last)
}

/// Serves a connection until its session is over.
pub(super) async fn run(
    hub: Arc<Hub>,
    seat: Seat,
    wire: Wire,
    permit: Option<OwnedSemaphorePermit>,
) {
    let _presence = Presence { hub: Arc::clone(&hub), id: seat.slot.id, permit };
    let mut connection = Connection {
        hub: &hub,
        seat,
        wire,
        input: Vec::with_capacity(IN_MAX),
        output: Vec::new(),
        turns: 0,
        tap: Tap::new(&hub.trace, hub.roster.section()),
        moved: 0,
    };
    let last = connection.serve().await;
    let Connection { wire, output, tap, seat, .. } = connection;
    if let Some(reason) = &last {
        let event = match reason {
            Reason::Error(_) => trace::Event::SessErr,
            _ => trace::Event::SessEnd,
        };
        tap.event(event, &seat.session, &format!("session ended: {reason}"));
    }
    if let Some(Reason::Error(_) | Reason::TryAgain | Reason::Denied(_)) = last {
        // Closing with input unread would make the other side lose what we said last.
        let _ = timeout(LINGER, wire.linger(&output)).await;
    }
}

struct Connection<'a> {
    hub: &'a Arc<Hub>,
    seat: Seat,
    wire: Wire,
    /// What the session has not used.
    input: Vec<u8>,
    /// What the socket has not taken.
    output: Vec<u8>,
    /// Turns since the session last said how it is.
    turns: u32,
    tap: Tap,
    /// Bytes that were used and made since others had their turn.
    moved: usize,
}

impl Connection<'_> {
    /// Serves until the session is over, and returns why it is.
    async fn serve(&mut self) -> Option<Reason> {
        let clock = self.hub.clock;
        self.tap.begin(&self.seat.session);
        self.tap.event(trace::Event::SessNew, &self.seat.session, "connected");
        let mut news = self.hub.news.subscribe();
        let sleep = tokio::time::sleep_until(clock.instant(clock.now()).into());
        tokio::pin!(sleep);
        loop {
            // Others get their turn, and the runtime looks who has something to read: after each piece of work, since the budget of a task
            // lasts for a hundred of them.
            if std::mem::take(&mut self.moved) >= MOVED_MAX {
                tokio::task::yield_now().await;
            } else {
                tokio::task::consume_budget().await;
            }
            while let Ok(order) = self.seat.orders.try_recv() {
                self.obey(order);
            }
            let mut busy = self.read();
            if let Some(reason) = self.events() {
                // What is left to say, the error or the status, is said as far as the socket takes it.
                self.transmit();
                self.write();
                self.publish();
                return Some(reason);
            }
            busy |= self.transmit();
            busy |= self.write();
            self.turns += 1;
            if busy {
                if self.turns >= TURNS_UNPUBLISHED {
                    self.publish();
                }
                continue;
            }
            // In this order: what happens after the mark wakes us, what happens before is seen now.
            news.mark_unchanged();
            self.seat.session.arm_updates();
            if self.transmit() {
                continue;
            }
            self.publish();
            let Some(due) = self.seat.session.poll_timeout() else { continue };
            sleep.as_mut().reset(clock.instant(due).into());
            let is_blocked = !self.output.is_empty() || self.wire.wants_write();
            tokio::select! {
                biased;
                ready = self.wire.ready(is_blocked), if !self.is_full() => {
                    if ready.is_err() {
                        self.seat.session.handle_end();
                    }
                }
                Some(order) = self.seat.orders.recv() => self.obey(order),
                changed = news.changed() => {
                    if changed.is_err() {
                        self.seat.session.close(Reason::Stopped);
                    }
                }
                () = &mut sleep => {
                    // Only if there is nothing to read: then it is the peer that is silent, and not we who were slow.
                    if !self.read() {
                        self.seat.session.handle_timeout(clock.now());
                    }
                }
            }
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Close(reason) => self.seat.session.close(reason),
            Order::Request => self.seat.session.request_resync(),
            Order::Hold => self.seat.session.hold(),
            Order::Promote => self.seat.session.promote(),
            Order::Compare => self.seat.session.compare(),
        }
    }

    /// Says how the session is, for whoever looks.
    fn publish(&mut self) {
        self.turns = 0;
        self.seat.slot.status.store(Arc::new(self.seat.session.status()));
        self.seat.slot.queued.store(self.output.len(), Ordering::Relaxed);
    }

    /// Reads once, and gives it to the session. Returns whether there was anything.
    fn read(&mut self) -> bool {
        let now = self.hub.clock.now();
        let before = self.input.len();
        if self.is_full() {
            self.tap.event(trace::Event::RxBlocked, &self.seat.session, "another session is heard");
            // Perhaps it is heard now.
            self.digest(now);
            return self.input.len() < before;
        }
        self.input.reserve(IN_MAX.saturating_sub(before));
        match self.wire.try_read(&mut self.input) {
            Ok(0) => {
                self.seat.session.handle_end();
                return true;
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if self.seat.session.is_deaf() && before > 0 {
                    self.digest(now);
                }
                return self.input.len() < before;
            }
            Err(error) => {
                self.broken(&error);
                return true;
            }
        }
        self.digest(now);
        true
    }

    /// Whether there is no room for more: what is there waits until another session with the peer has ended.
    fn is_full(&self) -> bool {
        self.seat.session.is_deaf() && self.input.len() >= IN_MAX
    }

    /// The connection broke. What TLS has to say of it is kept: a certificate of ours that is not taken is told only here.
    fn broken(&mut self, error: &io::Error) {
        match (&self.wire, error.kind()) {
            (Wire::Tls(_), io::ErrorKind::Other) => {
                self.seat.session.close(Reason::Tls(error.to_string()));
            }
            _ => self.seat.session.handle_end(),
        }
    }

    fn digest(&mut self, now: stktable::Tick) {
        self.tap.begin(&self.seat.session);
        // An error is an event too.
        let used = self.seat.session.handle_input(now, &self.input).unwrap_or(self.input.len());
        self.tap.received(&self.seat.session, self.input.get(..used).unwrap_or_default());
        self.moved += used;
        self.input.drain(..used);
    }

    /// Reports the events of the session. Returns why it is over, if it is.
    fn events(&mut self) -> Option<Reason> {
        loop {
            let event = self.seat.session.poll_event()?;
            let ended = match &event {
                Event::Closed(reason) => Some(reason.clone()),
                _ => None,
            };
            let decided = matches!(event, Event::Hello { .. });
            self.trace(&event);
            self.hub.report(&self.seat.slot, &mut self.seat.session, event);
            if ended.is_some() {
                return ended;
            }
            if decided {
                // What came behind the hello.
                self.digest(self.hub.clock.now());
            }
        }
    }

    fn trace(&self, event: &Event) {
        let text = match event {
            Event::Up => "up",
            Event::LessonRequested => "the peer asks to be taught",
            Event::LessonTaught => "the peer has been taught",
            Event::LessonEnded { finished: true, .. } => "the peer has taught us",
            Event::LessonEnded { finished: false, .. } => "the peer has taught us a part",
            _ => return,
        };
        self.tap.event(trace::Event::SessResync, &self.seat.session, text);
    }

    fn transmit(&mut self) -> bool {
        let before = self.output.len();
        if before >= OUT_MAX {
            return false;
        }
        self.tap.begin(&self.seat.session);
        let worked = self.seat.session.poll_transmit(self.hub.clock.now(), &mut self.output);
        self.moved += self.output.len().saturating_sub(before);
        self.tap.sent(&self.seat.session, self.output.get(before..).unwrap_or_default());
        worked
    }

    /// Writes once. Returns whether anything was taken.
    fn write(&mut self) -> bool {
        if self.output.is_empty() && !self.wire.wants_write() {
            return false;
        }
        match self.wire.try_write(&self.output) {
            Ok(taken) => {
                self.output.drain(..taken);
                taken > 0
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.tap.event(trace::Event::TxBlocked, &self.seat.session, "the socket is full");
                false
            }
            Err(error) => {
                self.broken(&error);
                true
            }
        }
    }
}
