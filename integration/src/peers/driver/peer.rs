//! A remote peer as the driver has it: where it is called, how, and what was counted.

use std::sync::Arc;

use tokio::sync::watch;

use super::RemotePeer;
use super::compare::Unacked;
use super::names::Whereabouts;
use super::talk::Talk;
use crate::tls::Connector;

/// A remote peer, until it is removed.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) name: String,
    pub(super) at: Whereabouts,
    pub(super) tls: Option<Arc<Connector>>,
    pub(super) unacked: Unacked,
    removed: watch::Sender<bool>,
}

/// What is counted of a peer across sessions.
#[derive(Clone, Debug, Default)]
pub(super) struct Totals {
    pub(super) sessions: u64,
    pub(super) protocol_errors: u64,
    pub(super) calls_failed: u64,
    pub(super) last_end: Option<String>,
    pub(super) talk: Talk,
}

impl Peer {
    pub(super) fn new(remote: RemotePeer) -> Arc<Self> {
        let RemotePeer { name, address, tls } = remote;
        Arc::new(Self {
            name,
            at: Whereabouts::new(address),
            tls,
            unacked: Unacked::default(),
            removed: watch::Sender::new(false),
        })
    }

    /// Ends what is done for it.
    pub(super) fn remove(&self) {
        self.removed.send_replace(true);
    }

    /// Waits until it is removed.
    pub(super) async fn removed(&self) {
        let mut removed = self.removed.subscribe();
        let _ = removed.wait_for(|removed| *removed).await;
    }

    /// Returns the name that the certificate of this peer has to have when it calls.
    pub(super) fn certified_name(&self) -> &str {
        let tls = self.tls.as_ref();
        tls.and_then(|tls| tls.settings().verify_host.as_deref()).unwrap_or(&self.name)
    }
}
