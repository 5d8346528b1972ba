//! The addresses of peers that are given by name, looked up again and again.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::config::{Address, Host};

/// How long a call waits for the first address of a name.
const FIRST_MAX: Duration = Duration::from_secs(5);

/// The most addresses of one name that are called.
const ADDRESSES_MAX: usize = 16;

/// What a look-up comes to, at some time.
pub type Lookup = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Finds the addresses of names.
///
/// One look-up of a name is under way at a time, and it is not given up: however slow it is, it costs no more than that.
pub trait Resolve: fmt::Debug + Send + Sync {
    /// Looks up the addresses of a name, the best first.
    fn resolve(&self, host: &str, port: u16) -> Lookup;
}

/// Asks the system, on a thread for things that block: A and AAAA, `/etc/hosts`, and whatever else it is set up to ask.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, host: &str, port: u16) -> Lookup {
        let host = host.to_owned();
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }
}

/// How names are looked up.
#[derive(Clone, Debug)]
pub struct Names {
    /// Who is asked.
    pub resolver: Arc<dyn Resolve>,
    /// How long after an answer a name is looked up again. The system does not say for how long an answer is good.
    pub every: Duration,
}

impl Default for Names {
    /// Asks the system every ten seconds.
    fn default() -> Self {
        Self { resolver: Arc::new(SystemResolver), every: Duration::from_secs(10) }
    }
}

/// What is known of a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// The last addresses that were found.
    pub(super) addresses: Vec<SocketAddr>,
    /// Why the last look-up failed, if it did.
    pub(super) error: Option<String>,
    /// Whether there was an answer of any kind.
    answered: bool,
}

/// Where a peer is called.
#[derive(Debug)]
pub(super) struct Whereabouts {
    pub(super) address: Address,
    known: watch::Sender<Known>,
    /// A call has failed: the name is looked up at once.
    again: Notify,
}

impl Whereabouts {
    pub(super) fn new(address: Address) -> Self {
        let known = Known {
            addresses: address.socket_addr().into_iter().collect(),
            answered: !matches!(address.host, Host::Name(_)),
            ..Known::default()
        };
        Self { address, known: watch::Sender::new(known), again: Notify::new() }
    }

    /// Returns what is known now.
    pub(super) fn known(&self) -> Known {
        self.known.borrow().clone()
    }

    /// Asks for a look-up without delay.
    pub(super) fn look_again(&self) {
        self.again.notify_one();
    }

    /// Returns where to call, once that is known.
    pub(super) async fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let mut known = self.known.subscribe();
        let first = known.wait_for(|known| known.answered);
        let known = match tokio::time::timeout(FIRST_MAX, first).await {
            Ok(Ok(known)) => known.clone(),
            Ok(Err(_)) | Err(_) => {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the name is not resolved yet",
                ));
            }
        };
        match (known.addresses.is_empty(), known.error) {
            (false, _) => Ok(known.addresses),
            (true, Some(error)) => Err(io::Error::other(error)),
            (true, None) => Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address")),
        }
    }

    /// Keeps the addresses of a name as they are, for ever; returns at once if there is no name. A look-up that fails changes
    /// nothing: what was found before is still called.
    pub(super) async fn follow(&self, names: &Names, section: &str, peer: &str) {
        let Host::Name(host) = &self.address.host else { return };
        loop {
            let found = names.resolver.resolve(host, self.address.port).await;
            let (before, now) = (self.known(), found.map_err(|error| error.to_string()));
            let mut known = Known { answered: true, ..before.clone() };
            match now {
                Ok(mut addresses) if !addresses.is_empty() => {
                    // One peer is one host: more addresses than these are a mistake, or worse.
                    addresses.truncate(ADDRESSES_MAX);
                    known.addresses = addresses;
                    known.error = None;
                }
                Ok(_) => known.error = Some("the name has no address".to_owned()),
                Err(error) => known.error = Some(error),
            }
            if let Some(error) = known.error.as_ref().filter(|_| known.error != before.error) {
                tracing::warn!(section, peer, host, error, kept = ?known.addresses, "name not resolved");
            } else if known.addresses != before.addresses {
                tracing::info!(section, peer, host, addresses = ?known.addresses, "name resolved");
            }
            self.known.send_replace(known);
            tokio::select! {
                () = tokio::time::sleep(names.every) => {}
                // Not in a loop, whatever calls do.
                () = async { self.again.notified().await; tokio::time::sleep(names.every / 10).await } => {}
            }
        }
    }
}
