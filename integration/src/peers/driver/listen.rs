//! Accepts connections: from whom it may be, and not too many.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use stktable::Tick;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::connection;
use super::hub::Hub;
use super::wire::Wire;
use crate::tls::{Acceptor, Certificate, Verify};

/// How long to wait when there are no descriptors left.
const PAUSE: Duration = Duration::from_millis(100);
/// How often it is told that callers were turned away.
const TOLD_MS: u64 = 10_000;

/// Where to listen, and to whom.
///
/// A caller is turned away without a word if its address is in none of `networks`, and refused as unknown (504) if the name
/// that it calls itself is not to be used here: not among `peers`, or not in its certificate.
///
/// A name is bound to a certificate when callers are verified (`verify required`, or `optional` and there is one) and
/// `bind_names` is set, as it is by default: one of the certificate's subject alternative names has to be the name of the
/// peer, or the `verify_host` of that peer's [`Connector`](crate::tls::Connector). Wildcards count as they do for hosts.
#[derive(Clone, Debug)]
pub struct Listen {
    /// The address; port 0 is any free one.
    pub address: SocketAddr,
    /// TLS; plain text without it.
    pub tls: Option<Arc<Acceptor>>,
    /// Whether the name of a verified caller has to be in its certificate.
    pub bind_names: bool,
    /// Where callers may come from; anywhere if there is none.
    pub networks: Vec<IpNet>,
    /// Who may call, by name; every peer of the section if `None`.
    pub peers: Option<Vec<String>>,
}

impl From<SocketAddr> for Listen {
    /// Listens to every peer, from anywhere, in plain text.
    fn from(address: SocketAddr) -> Self {
        Self { address, tls: None, bind_names: true, networks: Vec::new(), peers: None }
    }
}

impl Listen {
    /// Whether callers from this address are heard.
    fn admits(&self, from: IpAddr) -> bool {
        let from = from.to_canonical();
        self.networks.is_empty() || self.networks.iter().any(|network| network.contains(&from))
    }
}

/// Why a caller may not use the name that it gave.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub(super) enum Denial {
    /// The name is not to be used with this listener.
    NotListed,
    /// The certificate is of somebody else.
    Certificate(String),
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotListed => f.write_str("the listener does not accept this peer"),
            Self::Certificate(why) => {
                write!(f, "the peer's name is not bound to the certificate of the caller: {why}")
            }
        }
    }
}

/// How many connections wait to be accepted.
const BACKLOG: u32 = 1024;

/// Listens. Nobody else may listen there, unless it is a successor, and we let it.
pub(super) fn bind(address: SocketAddr, successor: bool) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(successor)?;
    socket.bind(address)?;
    // From now on: only now is it known that there is no other process, but the one that we follow.
    socket.set_reuseport(true)?;
    socket.listen(BACKLOG)
}

/// How a connection came to be, if it was accepted.
#[derive(Debug)]
pub(super) struct Origin {
    listen: Arc<Listen>,
    from: SocketAddr,
    certificate: Option<Certificate>,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.from.fmt(f)
    }
}

impl Origin {
    /// Judges the name that a caller gave; `expected` is what its certificate has to say.
    pub(super) fn judge(&self, caller: &str, expected: &str) -> Result<(), Denial> {
        if self.listen.peers.as_ref().is_some_and(|peers| !peers.iter().any(|name| name == caller))
        {
            return Err(Denial::NotListed);
        }
        match &self.certificate {
            Some(certificate) if self.listen.bind_names => {
                certificate.check_name(expected).map_err(Denial::Certificate)
            }
            _ => Ok(()),
        }
    }
}

/// Tells of something now and then.
#[derive(Debug, Default)]
struct Told {
    last: Option<Tick>,
}

impl Told {
    fn is_due(&mut self, now: Tick) -> bool {
        let due = self.last.is_none_or(|last| now.since(last) >= TOLD_MS);
        if due {
            self.last = Some(now);
        }
        due
    }
}

/// Accepts connections until the section stops. Strangers, and those above the limit, are closed at once.
pub(super) async fn run(hub: Arc<Hub>, listener: TcpListener, listen: Arc<Listen>) {
    let stopped = hub.stopped();
    tokio::pin!(stopped);
    let (mut strangers, mut crowd) = (Told::default(), Told::default());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stopped => return,
        };
        let section = hub.roster.section();
        match accepted {
            Ok((_, address)) if !listen.admits(address.ip()) => {
                hub.connection_refused();
                if strangers.is_due(hub.clock.now()) {
                    tracing::warn!(section, %address, "not from a network that may call");
                }
            }
            Ok((stream, address)) => match Arc::clone(&hub.permits).try_acquire_owned() {
                Ok(permit) => {
                    tracing::debug!(section, %address, "called");
                    let (hub_too, listen) = (Arc::clone(&hub), Arc::clone(&listen));
                    hub.spawn(serve(hub_too, listen, stream, address, permit));
                }
                Err(_) => {
                    hub.connection_refused();
                    if crowd.is_due(hub.clock.now()) {
                        tracing::warn!(section, %address, "too many connections");
                    }
                }
            },
            Err(error) => {
                tracing::warn!(section, %error, "cannot accept");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Serves a connection that was accepted.
async fn serve(
    hub: Arc<Hub>,
    listen: Arc<Listen>,
    stream: TcpStream,
    from: SocketAddr,
    permit: OwnedSemaphorePermit,
) {
    let time = hub.roster.limits().handshake();
    let accepted = tokio::select! {
        accepted = timeout(time, Wire::accept(stream, listen.tls.as_deref())) => accepted,
        () = hub.stopped() => return,
    };
    match accepted.map_err(std::io::Error::from).flatten() {
        Ok(wire) => {
            let verified =
                listen.tls.as_ref().is_some_and(|tls| tls.settings().verify != Verify::None);
            let certificate = verified.then(|| wire.certificate()).flatten();
            let seat = hub.accepted(Origin { listen, from, certificate });
            connection::run(hub, seat, wire, Some(permit)).await;
        }
        Err(error) => hub.handshake_failed(from, &error),
    }
}
