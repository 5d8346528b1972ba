//! Runs the expiry of a table: sleeps until something is due, takes it in slices, returns what memory is left over, sleeps again.
//!
//! An idle table costs nothing: the next wake-up is computed, never polled.

use std::sync::Arc;

use crate::clock::Clock;
use crate::shared::SharedTable;

/// Entries looked at before other tasks of the runtime get their turn.
const SLICE: u32 = 256;

/// Expires the entries of a table, for as long as the future is polled.
pub async fn run(table: Arc<SharedTable>, clock: Clock) {
    loop {
        match table.arm_expiry() {
            None => table.expiry_signal().wait().await,
            Some(due) => {
                let due = tokio::time::Instant::from_std(clock.instant(due));
                tokio::select! {
                    () = tokio::time::sleep_until(due) => {}
                    () = table.expiry_signal().wait() => {}
                }
            }
        }
        while table.expire(clock.now(), SLICE).more {
            tokio::task::yield_now().await;
        }
        while stktable::return_memory(SLICE as usize) {
            tokio::task::yield_now().await;
        }
    }
}
