//! Before a process ends, it teaches its successor everything: the process that has the same name, and listens where it listened
//! (peers protocol, section 13.4).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::hub::Hub;
use super::wire::Wire;
use crate::peers::codec::{Status, StatusLine};
use crate::peers::session::{Event, OUT_MAX, PeerMemory, Reason, Session};

/// How long to wait for a connection, and for any progress after that.
const PATIENCE: Duration = Duration::from_secs(5);
const CONNECT_MAX: Duration = Duration::from_secs(1);
/// How long after a failed attempt the next one is made, and how many there are.
const AGAIN: Duration = Duration::from_millis(500);
const ATTEMPTS: u32 = 10;

/// Why an attempt failed.
enum Failure {
    /// Nobody listens, or it is somebody else.
    Final(String),
    /// It may do better next time.
    Again(String),
}

/// Teaches the successor that listens at this address, which is where we did. Returns what came of it, for the log.
pub(super) async fn run(hub: &Hub, address: SocketAddr) -> Result<(), String> {
    let mut last = String::new();
    for _ in 0..ATTEMPTS {
        match attempt(hub, reachable(address)).await {
            Ok(()) => return Ok(()),
            Err(Failure::Final(why)) => return Err(why),
            Err(Failure::Again(why)) => last = why,
        }
        sleep(AGAIN).await;
    }
    Err(last)
}

/// Returns where an address is called that may stand for all of this host.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

async fn attempt(hub: &Hub, address: SocketAddr) -> Result<(), Failure> {
    let stream = match timeout(CONNECT_MAX, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => stream,
        // No successor: the usual end.
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            return Err(Failure::Final(format!("nobody listens on {address}")));
        }
        Ok(Err(error)) => return Err(Failure::Again(error.to_string())),
        Err(elapsed) => return Err(Failure::Again(elapsed.to_string())),
    };
    let broken = |error: io::Error| Failure::Again(error.to_string());
    let mut wire = Wire::connect(stream, None).await.map_err(broken)?;
    let memory = PeerMemory::new(&hub.roster, hub.roster.local_peer());
    let (now, roster) = (hub.clock.now(), Arc::clone(&hub.roster));
    let mut session = Session::caller(now, roster, memory, std::process::id());
    let (mut input, mut output) = (Vec::new(), Vec::new());
    loop {
        tokio::task::consume_budget().await;
        while let Some(event) = session.poll_event() {
            match event {
                // Unasked.
                Event::Up => session.teach(),
                Event::LessonTaught => return Ok(()),
                Event::Closed(reason) => return Err(failure(&reason)),
                _ => {}
            }
        }
        let now = hub.clock.now();
        let mut busy = output.len() < OUT_MAX && session.poll_transmit(now, &mut output);
        if !output.is_empty() {
            match wire.try_write(&output) {
                Ok(taken) => {
                    output.drain(..taken);
                    busy |= taken > 0;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(broken(error)),
            }
        }
        match wire.try_read(&mut input) {
            Ok(0) => session.handle_end(),
            Ok(_) => {
                // An error is an event too.
                let used = session.handle_input(now, &input).unwrap_or(input.len());
                input.drain(..used);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if !busy {
                    let ready = timeout(PATIENCE, wire.ready(!output.is_empty())).await;
                    ready.map_err(io::Error::from).flatten().map_err(broken)?;
                }
            }
            Err(error) => return Err(broken(error)),
        }
    }
}

/// What the end of a session means for the next attempt.
fn failure(reason: &Reason) -> Failure {
    match reason {
        Reason::Disconnected | Reason::RefusedBy(StatusLine::Known(Status::TryAgain)) => {
            Failure::Again(reason.to_string())
        }
        reason => Failure::Final(reason.to_string()),
    }
}
