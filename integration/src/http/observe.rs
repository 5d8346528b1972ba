//! Metrics and health, for Prometheus and for whoever starts and stops processes.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use super::Served;
use crate::metrics;
use crate::peers::resync::ResyncState;

pub(super) fn router() -> Router<Arc<Served>> {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
}

async fn metrics(State(served): State<Arc<Served>>) -> impl IntoResponse {
    let tables = served.tables.all();
    let largest = if served.tops.is_empty() {
        Vec::new()
    } else {
        // It looks at every entry, which takes a while. Never closed.
        let _look = served.looks.acquire().await;
        let (tables, tops) = (tables.clone(), served.tops.clone());
        let now = served.clock.now();
        let found = tokio::task::spawn_blocking(move || metrics::largest(&tables, &tops, now));
        found.await.unwrap_or_default()
    };
    let (peers, aggregates) = (served.peers.status(), served.peers.aggregates());
    let text = metrics::render(&tables, peers, aggregates, largest);
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text)
}

async fn ready(State(served): State<Arc<Served>>) -> (StatusCode, String) {
    let mut waiting = String::new();
    for section in served.peers.status() {
        if section.resync != ResyncState::Finished {
            waiting += &format!("peers section {}: resync {}\n", section.name, section.resync);
        }
    }
    if waiting.is_empty() {
        (StatusCode::OK, "ready\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, waiting)
    }
}
