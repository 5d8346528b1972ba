//! Runs an aggregate on tokio.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::task::{AbortHandle, JoinSet};

use super::pass::Aggregate;
use super::status::AggregateStatus;
use crate::clock::Clock;
use crate::expiry;

/// Runs an aggregate for as long as the future is polled, and shows how it is.
///
/// It sleeps while no source says anything, but for the renewal of the lease.
pub async fn run(mut aggregate: Aggregate, status: Arc<ArcSwap<AggregateStatus>>, clock: Clock) {
    let sources = Arc::clone(aggregate.sources());
    let every = Duration::from_millis(aggregate.every_ms().into());
    let mut expiry = JoinSet::new();
    let mut expires: HashMap<String, AbortHandle> = HashMap::new();
    loop {
        let known = sources.all();
        expires.retain(|peer, task| {
            let stays = known.iter().any(|source| source.peer() == *peer);
            if !stays {
                task.abort();
            }
            stays
        });
        for source in known.iter() {
            expires
                .entry(source.peer())
                .or_insert_with(|| expiry.spawn(expiry::run(Arc::clone(source.table()), clock)));
        }
        while expiry.try_join_next().is_some() {}
        while aggregate.step(clock.now()) {
            tokio::task::yield_now().await;
        }
        status.store(Arc::new(aggregate.status().clone()));
        // Armed before the look: what comes behind it signals.
        let pause = tokio::time::sleep(every);
        if !aggregate.arm() {
            let due = tokio::time::Instant::from_std(clock.instant(aggregate.next_due()));
            tokio::select! {
                () = tokio::time::sleep_until(due) => continue,
                () = sources.news().wait() => {}
            }
        }
        pause.await;
    }
}
