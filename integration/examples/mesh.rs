//! A service that is a peer of HAProxy: who is over a limit at one of them is over it at all.
//!
//! The file is HAProxy's: a `peers` section with the peers and the tables. Each process of this example is one of the peers, as HAProxy is
//! with `-L`:
//!
//! ```text
//! peers mesh
//!     peer web1 10.0.0.1:10000        # HAProxy
//!     peer app1 10.0.0.2:10000        # mesh mesh.cfg app1 10.0.0.2:8080
//!     peer app2 10.0.0.3:10000        # mesh mesh.cfg app2 10.0.0.3:8080
//!     table clients type ip size 100k expire 10m store http_req_rate(5m)
//!     table marks type ip size 100k expire 10m store gpc0
//! ```
//!
//! Peers overwrite what they learn and never add to it. So a client that has asked often enough at one node is refused by the others as
//! soon as they have learned that; what two nodes count at the same moment is not summed. The mark has a table of its own, which is only
//! read here: counting in it would tell peers its old value.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use stktable::{DataType, Key};
use stktable_integration::config::{self, Context};
use stktable_integration::limit::{Client, Limit, LimitLayer, Limiter, Limits, Tier};
use stktable_integration::node::Peers;
use stktable_integration::peers::resync::ResyncState;
use stktable_integration::{Clock, Node, SharedTable};

/// Requests of a client in the period that the table declares.
const REQUESTS_MAX: u64 = 5;

/// What this node knows.
struct Known {
    clients: Arc<SharedTable>,
    marks: Arc<SharedTable>,
    peers: Peers,
    clock: Clock,
}

/// What it knows of a client, who is not counted by that.
async fn seen(State(known): State<Arc<Known>>, Path(client): Path<Ipv4Addr>) -> String {
    let (key, now) = (Key::from(client), known.clock.now());
    let rate = known.clients.fetch(&key, DataType::HttpReqRate, 0, now).unwrap_or(0);
    let mark = known.marks.fetch(&key, DataType::Gpc0, 0, now).unwrap_or(0);
    format!("http_req_rate={rate} gpc0={mark}\n")
}

/// Whether it has been taught what its peers know. A lesson replaces what is counted while it lasts, so requests had better come later:
/// that is what whoever sends them asks for here.
async fn ready(State(known): State<Arc<Known>>) -> StatusCode {
    let mut sections = known.peers.status().into_iter();
    match sections.all(|section| section.resync == ResyncState::Finished) {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, name, address] = arguments.as_slice() else {
        return Err("mesh FILE PEER ADDRESS:PORT".into());
    };
    let text = std::fs::read(file)?;
    let config = config::parse(&[(file.as_str(), &text)], &Context::EMPTY)?;
    let clock = Clock::start();
    let node = Node::start(&config, name, clock).await?;
    let table = |name: &str| node.table(name).ok_or(format!("{file} has no table {name}"));
    let (clients, marks) = (table("mesh/clients")?, table("mesh/marks")?);

    let peer = |ConnectInfo(address): &ConnectInfo<SocketAddr>| -> IpAddr { address.ip() };
    let limits = Limits::builder()
        // HAProxy stands before it, on this host.
        .client(Client::x_forwarded_for(["127.0.0.0/8".parse()?]).from_extension(peer))
        .tier(Tier::of(clients).limit(Limit::new(DataType::HttpReqRate, REQUESTS_MAX)))
        .tier(Tier::of(marks).limit(Limit::new(DataType::Gpc0, 0).observed()))
        .build()?;
    let app = Router::new()
        .route("/", get(async || "hello\n"))
        .layer(LimitLayer::new(Limiter::new(limits, clock)))
        .route("/seen/{client}", get(seen))
        .route("/ready", get(ready))
        .with_state(Arc::new(Known {
            clients: Arc::clone(clients),
            marks: Arc::clone(marks),
            peers: node.peers(),
            clock,
        }));

    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::select! {
        served = axum::serve(listener, service) => served?,
        stop = tokio::signal::ctrl_c() => stop?,
    }
    // Closes the connections to peers.
    node.stop().await;
    Ok(())
}
