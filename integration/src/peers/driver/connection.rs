//! One connection: a session, its socket and its timer.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::hub::{Hub, lock};
use crate::config::Address;
use crate::peers::resync::SessionId;
use crate::peers::session::{Event, OUT_MAX, PeerMemory, Reason, Session};

/// How long to wait for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(1);
/// How long to wait for the address of a name.
const RESOLVE_MAX: Duration = Duration::from_secs(5);
/// How long a session that is over may take to write its last bytes and see the other side close.
const LINGER: Duration = Duration::from_millis(500);
/// Bytes that are read at once.
const IN_MAX: usize = 64 << 10;

/// A session that others reach too: to close it, and to look at it.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) id: SessionId,
    /// Wakes the connection after the session was changed by others.
    pub(super) wake: Notify,
    session: Mutex<Session>,
}

impl Slot {
    pub(super) fn called(hub: &Hub, id: SessionId) -> Arc<Self> {
        Self::new(id, Session::called(hub.clock.now(), Arc::clone(&hub.roster)))
    }

    pub(super) fn caller(hub: &Hub, id: SessionId, memory: Arc<PeerMemory>) -> Arc<Self> {
        let (now, roster) = (hub.clock.now(), Arc::clone(&hub.roster));
        Self::new(id, Session::caller(now, roster, memory, std::process::id()))
    }

    fn new(id: SessionId, session: Session) -> Arc<Self> {
        Arc::new(Self { id, wake: Notify::new(), session: Mutex::new(session) })
    }

    pub(super) fn session(&self) -> MutexGuard<'_, Session> {
        lock(&self.session)
    }

    pub(super) fn close(&self, reason: Reason) {
        self.session().close(reason);
        self.wake.notify_one();
    }
}

/// Tells the hub that a connection is gone, also when its task is ended by force.
struct Presence {
    hub: Arc<Hub>,
    id: SessionId,
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.hub.gone(self.id);
    }
}

/// Calls a peer, and serves the connection if there is one.
pub(super) async fn call(hub: Arc<Hub>, peer: usize, id: SessionId) {
    let Some(address) = hub.addresses.get(peer) else { return };
    let connected = tokio::select! {
        connected = connect(address) => connected,
        () = hub.stopped() => return,
    };
    match connected {
        Err(error) => hub.call_failed(peer, id, format!("cannot connect to {address}: {error}")),
        Ok(stream) => {
            // Not wanted any more when the peer has called meanwhile.
            if let Some(slot) = hub.connected(id) {
                run(Arc::clone(&hub), slot, stream).await;
            }
        }
    }
}

async fn connect(address: &Address) -> io::Result<TcpStream> {
    let addresses = match address.socket_addr() {
        Some(address) => vec![address],
        None => timeout(RESOLVE_MAX, resolve(address)).await??,
    };
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match timeout(CONNECT_MAX, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(elapsed) => last = elapsed.into(),
        }
    }
    Err(last)
}

async fn resolve(address: &Address) -> io::Result<Vec<SocketAddr>> {
    Ok(tokio::net::lookup_host(address.to_string()).await?.collect())
}

/// Serves a connection until its session is over.
pub(super) async fn run(hub: Arc<Hub>, slot: Arc<Slot>, mut stream: TcpStream) {
    let presence = Presence { hub: Arc::clone(&hub), id: slot.id };
    // Only costs delay where it fails.
    let _ = stream.set_nodelay(true);
    let mut connection = Connection {
        hub: &hub,
        slot: &slot,
        input: Vec::with_capacity(IN_MAX),
        output: Vec::new(),
    };
    let last = connection.serve(&stream).await;
    let output = std::mem::take(&mut connection.output);
    drop(presence);
    if let Some(Reason::Error(_) | Reason::TryAgain) = last {
        // Closing with input unread would make the other side lose what we said last.
        let _ = timeout(LINGER, linger(&mut stream, &output)).await;
    }
}

async fn linger(stream: &mut TcpStream, output: &[u8]) -> io::Result<()> {
    stream.write_all(output).await?;
    stream.shutdown().await?;
    let mut dropped = [0; 4096];
    while stream.read(&mut dropped).await? > 0 {}
    Ok(())
}

struct Connection<'a> {
    hub: &'a Arc<Hub>,
    slot: &'a Slot,
    /// What the session has not used.
    input: Vec<u8>,
    /// What the socket has not taken.
    output: Vec<u8>,
}

impl Connection<'_> {
    /// Serves until the session is over, and returns why it is.
    async fn serve(&mut self, stream: &TcpStream) -> Option<Reason> {
        let clock = self.hub.clock;
        let mut news = self.hub.news.subscribe();
        let sleep = tokio::time::sleep_until(clock.instant(clock.now()).into());
        tokio::pin!(sleep);
        loop {
            // Others get their turn.
            tokio::task::consume_budget().await;
            let mut busy = self.read(stream);
            if let Some(reason) = self.events() {
                // What is left to say, the error or the status, is said as far as the socket takes it.
                self.slot.session().poll_transmit(clock.now(), &mut self.output);
                self.write(stream);
                return Some(reason);
            }
            busy |= self.transmit();
            busy |= self.write(stream);
            if busy {
                continue;
            }
            // In this order: what happens after the mark wakes us, what happens before is seen now.
            news.mark_unchanged();
            self.slot.session().arm_updates();
            if self.transmit() {
                continue;
            }
            let Some(due) = self.slot.session().poll_timeout() else { continue };
            sleep.as_mut().reset(clock.instant(due).into());
            let interest = if self.output.is_empty() {
                Interest::READABLE
            } else {
                Interest::READABLE | Interest::WRITABLE
            };
            tokio::select! {
                biased;
                ready = stream.ready(interest) => {
                    if ready.is_err() {
                        self.slot.session().handle_end();
                    }
                }
                () = self.slot.wake.notified() => {}
                changed = news.changed() => {
                    if changed.is_err() {
                        self.slot.session().close(Reason::Stopped);
                    }
                }
                () = &mut sleep => {
                    // Only if there is nothing to read: then it is the peer that is silent, and not we who were slow.
                    if !self.read(stream) {
                        self.slot.session().handle_timeout(clock.now());
                    }
                }
            }
        }
    }

    /// Reads once, and gives it to the session. Returns whether there was anything.
    fn read(&mut self, stream: &TcpStream) -> bool {
        let now = self.hub.clock.now();
        let before = self.input.len();
        self.input.reserve(IN_MAX.saturating_sub(before));
        match stream.try_read_buf(&mut self.input) {
            Ok(0) => {
                self.slot.session().handle_end();
                return true;
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(_) => {
                self.slot.session().handle_end();
                return true;
            }
        }
        self.digest(now);
        true
    }

    fn digest(&mut self, now: stktable::Tick) {
        // An error is an event too.
        let used = self.slot.session().handle_input(now, &self.input).unwrap_or(self.input.len());
        self.input.drain(..used);
    }

    /// Reports the events of the session. Returns why it is over, if it is.
    fn events(&mut self) -> Option<Reason> {
        loop {
            // Let go before the hub is told.
            let event = self.slot.session().poll_event()?;
            let ended = match &event {
                Event::Closed(reason) => Some(reason.clone()),
                _ => None,
            };
            let decided = matches!(event, Event::Hello { .. });
            self.hub.report(self.slot, event);
            if ended.is_some() {
                return ended;
            }
            if decided {
                // What came behind the hello.
                self.digest(self.hub.clock.now());
            }
        }
    }

    fn transmit(&mut self) -> bool {
        let room = self.output.len() < OUT_MAX;
        room && self.slot.session().poll_transmit(self.hub.clock.now(), &mut self.output)
    }

    /// Writes once. Returns whether the socket took anything.
    fn write(&mut self, stream: &TcpStream) -> bool {
        if self.output.is_empty() {
            return false;
        }
        match stream.try_write(&self.output) {
            Ok(taken) => {
                self.output.drain(..taken);
                taken > 0
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(_) => {
                self.slot.session().handle_end();
                true
            }
        }
    }
}
