//! What peers lack: asked of those that can say it, and of the others reckoned from what they have acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use stktable::{StickTable, Tick};

use super::hub::Hub;
use super::peer::Peer;
use crate::peers::session::{Difference, PeerMemory};

/// Entries that are counted before other tasks of the runtime get their turn.
const COUNTED: u32 = 256;

/// What is known of the keys of a table that a peer has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableDifference {
    /// The local name of the table.
    pub table: String,
    /// What was found.
    pub difference: Difference,
    /// The peer was asked. Otherwise it is one that cannot say, and `lacks` counts the entries whose last change made here it has not
    /// acknowledged, whether or not it has an older value of them.
    pub is_asked: bool,
    /// How many milliseconds ago that was.
    pub age_ms: u64,
}

/// What a peer has not acknowledged, as it was counted last.
#[derive(Debug, Default)]
pub(super) struct Unacked {
    is_counting: AtomicBool,
    /// By table.
    pub(super) counted: ArcSwap<Vec<(u64, Tick)>>,
}

/// Counts what a peer has not acknowledged, unless that is being done.
pub(super) fn count(hub: &Arc<Hub>, peer: &Arc<Peer>, memory: Arc<PeerMemory>) {
    if peer.unacked.is_counting.swap(true, Ordering::Relaxed) {
        return;
    }
    let (task_hub, peer) = (Arc::clone(hub), Arc::clone(peer));
    hub.spawn(async move {
        let hub = task_hub;
        let mut counted = Vec::new();
        for (at, table) in hub.roster.tables().iter().enumerate() {
            let now = hub.clock.now();
            counted.push((unacked(table.table(), memory.acked(at)).await, now));
        }
        peer.unacked.counted.store(Arc::new(counted));
        peer.unacked.is_counting.store(false, Ordering::Relaxed);
    });
}

/// Returns how many entries were changed after this sequence, up to now.
async fn unacked(table: &StickTable, acked: u64) -> u64 {
    let Some(upto) = table.begin_updates(acked) else { return 0 };
    let (mut cursor, mut count) = (acked, 0);
    loop {
        for _ in 0..COUNTED {
            let Some(taught) = table.next_update(cursor, upto) else { return count };
            cursor = taught.seq;
            count += 1;
        }
        tokio::task::yield_now().await;
    }
}
