//! A server with hyper and nothing above it, whose clients may ask five times in ten seconds.
//!
//! ```sh
//! cargo run -p stktable-integration --features tower --example hyper -- 127.0.0.1:8080
//! ```

use std::convert::Infallible;
use std::error::Error;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use stktable::{DataType, Declaration, KeySpec};
use stktable_integration::limit::{Limit, LimitLayer, Limiter, Limits, PeerAddrLayer, Tier};
use stktable_integration::{Clock, SharedTable, expiry};
use tower::{ServiceBuilder, service_fn};

async fn hello(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(b"hello\n"))))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let declaration = Declaration::builder("clients", KeySpec::IPV6)
        .size(100_000)
        .expire_ms(60_000)
        .store_rate(DataType::HttpReqRate, 10_000)
        .build()?;
    let table = SharedTable::new(declaration);
    let clock = Clock::start();
    tokio::spawn(expiry::run(table.clone(), clock));
    let limits = Limits::builder()
        .tier(Tier::of(&table).limit(Limit::new(DataType::HttpReqRate, 5)))
        .build()?;
    let layer = LimitLayer::new(Limiter::new(limits, clock));

    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, peer) = listener.accept().await?;
        let service = ServiceBuilder::new()
            // Who accepts the connection says who is at its other end.
            .layer(PeerAddrLayer(peer))
            .layer(layer.clone())
            .service(service_fn(hello));
        tokio::spawn(async move {
            let service = TowerToHyperService::new(service);
            let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            if let Err(error) = served.await {
                eprintln!("{peer}: {error}");
            }
        });
    }
}
