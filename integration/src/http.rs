//! What is served over HTTP: numbers for Prometheus, whether the process is well, and the tables.
//!
//! | path | |
//! | --- | --- |
//! | `/metrics` | [`crate::metrics`] |
//! | `/healthz` | 200 as long as the process answers |
//! | `/readyz` | 200 once every `peers` section has been taught, or nobody could teach it; 503 before, with what is waited for |
//! | `/v1/..` | tables and entries as JSON, see [`openapi`] |
//! | `/` | a page that shows them |
//!
//! The first three can be served alone: there is nothing to change in them, and no key to be seen unless the largest are asked for. The others
//! are for those whom an [`Access`] lets pass.

mod access;
mod api;
mod observe;
mod page;
mod problem;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use stktable::Tick;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::clock::Clock;
use crate::metrics::Top;
use crate::node::Peers;
use crate::shared::TableSet;
pub use access::{Access, Right, TokensError};
pub use api::openapi;

/// Connections at once. Others wait to be accepted.
const CONNECTIONS_MAX: usize = 256;
/// How long a request may take to come, and the body of one.
const REQUEST_MAX: Duration = Duration::from_secs(5);
/// How long a connection is served: for numbers, and where events are watched.
const CONNECTION_MAX: Duration = Duration::from_secs(60);
const WATCH_MAX: Duration = Duration::from_secs(3600);
/// Watchers at once.
const WATCHERS_MAX: usize = 64;

/// What is served.
#[derive(Debug)]
struct Served {
    tables: Arc<TableSet>,
    peers: Peers,
    clock: Clock,
    started: Tick,
    tops: Vec<Top>,
    access: ArcSwap<Access>,
    /// Who looks for the largest values: one at a time, however many ask.
    looks: Semaphore,
    watchers: Arc<Semaphore>,
}

/// What an [`HttpServer`] serves.
#[derive(Debug)]
pub struct Settings {
    /// The tables.
    pub tables: Arc<TableSet>,
    /// Who knows the peers.
    pub peers: Peers,
    /// What time it is.
    pub clock: Clock,
    /// Of which data types `/metrics` shows the keys with the largest values.
    pub tops: Vec<Top>,
    /// Whom it serves the tables and the page, too. Without it, only numbers and health are served.
    pub access: Option<Access>,
}

/// Serves until it is dropped.
#[derive(Debug)]
pub struct HttpServer {
    local: SocketAddr,
    served: Arc<Served>,
    #[expect(dead_code, reason = "for its end")]
    tasks: JoinSet<Infallible>,
}

impl HttpServer {
    /// Listens on an address, on the runtime that it is called on.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn start(address: SocketAddr, settings: Settings) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let local = listener.local_addr()?;
        let Settings { tables, peers, clock, tops, access } = settings;
        let shows_tables = access.is_some();
        let served = Arc::new(Served {
            tables,
            peers,
            clock,
            started: clock.now(),
            tops,
            access: ArcSwap::from_pointee(access.unwrap_or_default()),
            looks: Semaphore::new(1),
            watchers: Arc::new(Semaphore::new(WATCHERS_MAX)),
        });
        let router = observe::router();
        let router = match shows_tables {
            true => router.merge(api::router(&served)).merge(page::router()),
            false => router,
        };
        let longest = if shows_tables { WATCH_MAX } else { CONNECTION_MAX };
        let mut tasks = JoinSet::new();
        let router = router.with_state(Arc::clone(&served));
        tasks.spawn(serve(listener, router, Arc::clone(&served), longest));
        Ok(Self { local, served, tasks })
    }

    /// Returns where it listens.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Sets whom it serves, for requests from now on.
    pub fn set_access(&self, access: Access) {
        self.served.access.store(Arc::new(access));
    }
}

async fn serve(
    listener: TcpListener,
    router: Router,
    served: Arc<Served>,
    longest: Duration,
) -> Infallible {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        // Never closed.
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { continue };
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((_, from)) if !served.access.load().may_connect(from) => {
                tracing::debug!(%from, "HTTP: from where nobody may connect");
            }
            Ok((stream, from)) => {
                let router = router.clone().layer(Extension(api::Client(from)));
                connections.spawn(async move {
                    // What it ends with is the client's affair.
                    let _ = timeout(longest, connection(stream, router)).await;
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
    // An event is small, and nothing follows it. Without, it is only later.
    let _ = stream.set_nodelay(true);
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await
}
