//! Waiting for what happens in tasks, but not for ever.
#![allow(dead_code, reason = "each test file uses a part")]

use std::future::Future;
use std::time::Duration;

/// Beyond this something hangs.
pub(crate) const LONG: Duration = Duration::from_secs(120);
const STEP: Duration = Duration::from_millis(2);

pub(crate) async fn bounded<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(LONG, future).await {
        Ok(value) => value,
        Err(_) => panic!("not within {LONG:?}: {what}"),
    }
}

pub(crate) async fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    let wait = async {
        while !is_true() {
            tokio::time::sleep(STEP).await;
        }
    };
    bounded(what, wait).await;
}
