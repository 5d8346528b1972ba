//! The tasks of a section that serve no single connection.

use std::sync::Arc;
use std::time::Duration;

use super::hub::Hub;
use super::lag::MARK_MS;

/// Makes the calls and keeps the dates of the coordinator.
pub(super) async fn coordinate(hub: Arc<Hub>) {
    let stopped = hub.stopped();
    tokio::pin!(stopped);
    loop {
        let next = hub.tick();
        let due = async {
            match next {
                Some(at) => tokio::time::sleep_until(hub.clock.instant(at).into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => {}
            () = hub.changed.notified() => {}
            () = &mut stopped => return,
        }
    }
}

/// Updates that are trimmed before other tasks of the runtime get their turn.
const TRIMMED: u32 = 256;
/// How often a table is looked at again without having been signalled, and without anything having been acknowledged meanwhile.
const LOOKS: u32 = 20;

/// Wakes the connections whenever the table at this position signals, notes how far it was when, and lets it forget the place of
/// what every peer has acknowledged.
pub(super) async fn dispatch(hub: Arc<Hub>, at: usize) {
    let Some(table) = hub.roster.tables().get(at).map(|table| Arc::clone(table.shared())) else {
        return;
    };
    let stopped = hub.stopped();
    tokio::pin!(stopped);
    let step = Duration::from_millis(MARK_MS.into());
    // Without a session nobody else asks the table for a signal.
    let mut armed = false;
    let mut marked = hub.clock.now();
    let mut acked = 0;
    let mut looks = 0;
    loop {
        tokio::select! {
            () = table.updates_signal().wait() => {
                hub.news.send_replace(());
                armed = false;
                // The first after a pause at once; then now and then.
                if hub.clock.now().since(marked) < MARK_MS.into() {
                    continue;
                }
            }
            () = tokio::time::sleep(step), if !armed || looks > 0 => {
                // First: what comes behind it signals, what came before is noted.
                if !armed {
                    table.arm_updates();
                    armed = true;
                    looks = LOOKS;
                }
            }
            () = &mut stopped => return,
        };
        let before = std::mem::replace(&mut acked, hub.mark(at, &table));
        marked = hub.clock.now();
        // What is sent now is acknowledged a little later; a peer that does not answer is not waited for.
        looks = match () {
            () if acked >= table.last_update() => 0,
            () if acked > before => LOOKS,
            () => looks.saturating_sub(1),
        };
        while table.trim_updates(acked, TRIMMED) {
            tokio::task::yield_now().await;
        }
    }
}
