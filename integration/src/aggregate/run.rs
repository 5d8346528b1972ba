//! Runs an aggregate on tokio.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::task::{AbortHandle, JoinSet};

use super::Source;
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
    let mut expires: Vec<(Arc<Source>, AbortHandle)> = Vec::new();
    loop {
        let known = sources.all();
        // By identity: a peer that is a source otherwise now is another one of the same name.
        expires.retain(|(source, task)| {
            let stays = known.iter().any(|known| Arc::ptr_eq(known, source));
            if !stays {
                task.abort();
            }
            stays
        });
        for source in known.iter() {
            if !expires.iter().any(|(known, _)| Arc::ptr_eq(known, source)) {
                expires.push((Arc::clone(source), expiry.spawn(expire(source, clock))));
            }
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

/// Lets what is kept of a source expire.
fn expire(source: &Source, clock: Clock) -> impl Future<Output = ()> + use<> {
    let (table, lease) = (Arc::clone(source.table()), source.lease().cloned());
    async move {
        let lease = async {
            match lease {
                Some(lease) => expiry::run(lease, clock).await,
                None => std::future::pending().await,
            }
        };
        tokio::join!(expiry::run(table, clock), lease);
    }
}
