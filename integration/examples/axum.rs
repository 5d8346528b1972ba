//! A server with axum whose clients may ask five times in ten seconds, and have three requests open.
//!
//! ```sh
//! cargo run -p stktable-integration --features tower --example axum -- 127.0.0.1:8080
//! curl -i http://127.0.0.1:8080/    # again and again
//! ```

use std::error::Error;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::get;
use stktable::{DataType, Declaration, KeySpec};
use stktable_integration::limit::{Client, Limit, LimitLayer, Limiter, Limits, Tier};
use stktable_integration::{Clock, SharedTable, expiry};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // IPv4 and IPv6 in one table: a /64 of IPv6 is one client.
    let declaration = Declaration::builder("clients", KeySpec::IPV6)
        .size(100_000)
        .expire_ms(60_000)
        .store(DataType::ConnCur)
        .store_rate(DataType::HttpReqRate, 10_000)
        .build()?;
    let table = SharedTable::new(declaration);
    let clock = Clock::start();
    tokio::spawn(expiry::run(table.clone(), clock));

    // Behind a proxy it would be `Client::x_forwarded_for` with the proxy's network.
    let peer = |ConnectInfo(address): &ConnectInfo<SocketAddr>| address.ip();
    let limits = Limits::builder()
        .client(Client::peer().from_extension(peer))
        .tier(
            Tier::of(&table)
                .limit(Limit::new(DataType::HttpReqRate, 5).named("requests"))
                .limit(Limit::new(DataType::ConnCur, 3).named("open")),
        )
        .ratelimit_fields()
        .build()?;
    // A clone of the limiter, kept elsewhere, changes the limits while the server runs: `set_limits`.
    let limiter = Limiter::new(limits, clock);

    let app = Router::new()
        .route("/", get(async || "hello\n"))
        .layer(LimitLayer::new(limiter))
        // Not limited: it stands below the layer.
        .route("/health", get(async || "well\n"));

    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}
