//! What systemd, or whoever started us, is told: that we are ready, alive, reloading, stopping.
//!
//! Without its socket in the environment nothing is said.

use sd_notify::NotifyState;
use stktable_integration::Node;

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
