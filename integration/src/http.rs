//! Metrics and health over HTTP, for Prometheus and for whoever starts and stops processes.
//!
//! | path | |
//! | --- | --- |
//! | `/metrics` | [`crate::metrics`] |
//! | `/healthz` | 200 as long as the process answers |
//! | `/readyz` | 200 once every `peers` section has been taught, or nobody could teach it; 503 before, with what is waited for |
//!
//! There is nothing to change here, and no key to be seen unless the largest are asked for.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::clock::Clock;
use crate::metrics::{self, Top};
use crate::node::Peers;
use crate::peers::resync::ResyncState;
use crate::shared::TableSet;

/// Connections at once. Others wait to be accepted.
const CONNECTIONS_MAX: usize = 64;
/// How long a request may take to come.
const REQUEST_MAX: Duration = Duration::from_secs(5);
/// How long a connection is served.
const CONNECTION_MAX: Duration = Duration::from_secs(60);

/// What is looked at.
#[derive(Debug)]
struct Observed {
    tables: Arc<TableSet>,
    peers: Peers,
    clock: Clock,
    tops: Vec<Top>,
    /// Who looks for the largest values: one at a time, however many ask.
    looks: Semaphore,
}

/// Serves until it is dropped.
#[derive(Debug)]
pub struct HttpServer {
    local: SocketAddr,
    #[expect(dead_code, reason = "for its end")]
    tasks: JoinSet<Infallible>,
}

impl HttpServer {
    /// Listens on an address, and serves these tables and peers on the runtime that it is called on; with `tops` also the keys
    /// of the largest values.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn start(
        address: SocketAddr,
        tables: Arc<TableSet>,
        peers: Peers,
        clock: Clock,
        tops: Vec<Top>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let local = listener.local_addr()?;
        let router =
            router(Arc::new(Observed { tables, peers, clock, tops, looks: Semaphore::new(1) }));
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, router));
        Ok(Self { local, tasks })
    }

    /// Returns where it listens.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

async fn serve(listener: TcpListener, router: Router) -> Infallible {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        // Never closed.
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { continue };
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let router = router.clone();
                connections.spawn(async move {
                    // What it ends with is the client's affair.
                    let _ = timeout(CONNECTION_MAX, connection(stream, router)).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "HTTP: cannot accept");
                // Out of descriptors, say: the next try would fail too.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, router: Router) -> hyper::Result<()> {
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await
}

fn router(observed: Arc<Observed>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .with_state(observed)
}

async fn metrics(State(observed): State<Arc<Observed>>) -> impl IntoResponse {
    let tables = observed.tables.all();
    let largest = if observed.tops.is_empty() {
        Vec::new()
    } else {
        // It looks at every entry, which takes a while. Never closed.
        let _look = observed.looks.acquire().await;
        let (tables, tops) = (tables.clone(), observed.tops.clone());
        let now = observed.clock.now();
        let found = tokio::task::spawn_blocking(move || metrics::largest(&tables, &tops, now));
        found.await.unwrap_or_default()
    };
    let (peers, aggregates) = (observed.peers.status(), observed.peers.aggregates());
    let text = metrics::render(&tables, peers, aggregates, largest);
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text)
}

async fn ready(State(observed): State<Arc<Observed>>) -> (StatusCode, String) {
    let mut waiting = String::new();
    for section in observed.peers.status() {
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
