//! What systemd, or whoever started us, is told: that we are ready, alive, reloading, stopping.
//!
//! Without its socket in the environment nothing is said.

use listenfd::ListenFd;
use sd_notify::NotifyState;
use stktable_integration::Node;
use stktable_integration::inherited::{self, Inherited};

/// Says one thing.
pub(crate) fn say(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the supervisor cannot be told");
    }
}

/// Says that we are ready once every section has been taught, or nobody could teach it; then that we are alive, as often as it
/// wants to hear that.
pub(crate) async fn keep_told(node: &Node) {
    let alive = async {
        let Some(within) = sd_notify::watchdog_enabled() else { return };
        let mut turns = tokio::time::interval(within / 2);
        loop {
            turns.tick().await;
            say(&[NotifyState::Watchdog]);
        }
    };
    let ready = async {
        for section in node.sections() {
            section.synced().await;
        }
        say(&[NotifyState::Ready, NotifyState::Status("tables are in step")]);
    };
    tokio::join!(ready, alive);
}

/// Takes the sockets that a service manager listens on for us.
pub(crate) fn adopt_sockets() {
    let mut passed = ListenFd::from_env();
    for at in 0..passed.len() {
        let socket = match passed.take_tcp_listener(at) {
            Ok(Some(listener)) => Inherited::Tcp(listener),
            _ => match passed.take_unix_listener(at) {
                Ok(Some(listener)) => Inherited::Unix(listener),
                _ => {
                    tracing::warn!(number = at, "a descriptor was passed that is no listener");
                    continue;
                }
            },
        };
        if let Err(error) = inherited::adopt(socket) {
            tracing::warn!(number = at, %error, "a socket that was passed cannot be used");
        }
    }
}

/// Tells of sockets that were passed, and that nothing is to listen on.
pub(crate) fn tell_left() {
    for place in inherited::left() {
        tracing::warn!(
            place,
            "a socket was passed that nothing of the configuration listens on; expected the same address there"
        );
    }
}
