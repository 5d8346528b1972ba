//! A server of gRPC with tonic, whose clients may call five times in ten seconds. The sixth call has the status `RESOURCE_EXHAUSTED`.
//!
//! What `protoc` would generate of this stands here by hand, so that it is built without:
//!
//! ```proto
//! package greeting;
//! service Greeter { rpc Hello (Name) returns (Greeting); }
//! message Name { string name = 1; }
//! message Greeting { string text = 1; }
//! ```

use std::convert::Infallible;
use std::error::Error;
use std::future::{Future, Ready, ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use stktable::{DataType, Declaration, KeySpec};
use stktable_integration::limit::{Client, Limit, LimitLayer, Limiter, Limits, Tier};
use stktable_integration::{Clock, SharedTable, expiry};
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::Server;
use tonic::transport::server::{TcpConnectInfo, TcpIncoming};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tower::Service;

#[derive(Clone, PartialEq, prost::Message)]
struct Name {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Greeting {
    #[prost(string, tag = "1")]
    text: String,
}

/// The call `Hello`.
struct Hello;

impl UnaryService<Name> for Hello {
    type Response = Greeting;
    type Future = Ready<Result<Response<Greeting>, Status>>;

    fn call(&mut self, request: Request<Name>) -> Self::Future {
        let text = format!("hello {}", request.into_inner().name);
        ready(Ok(Response::new(Greeting { text })))
    }
}

/// The service, which finds the call by its path.
#[derive(Clone)]
struct Greeter;

impl NamedService for Greeter {
    const NAME: &'static str = "greeting.Greeter";
}

impl Service<http::Request<Body>> for Greeter {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            Ok(match request.uri().path() {
                "/greeting.Greeter/Hello" => {
                    let codec = ProstCodec::<Greeting, Name>::default();
                    Grpc::new(codec).unary(Hello, request).await
                }
                _ => Status::unimplemented("no such call").into_http(),
            })
        })
    }
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
    // tonic says who is at the other end in an extension of its own.
    let peer = |info: &TcpConnectInfo| info.remote_addr().map(|address| address.ip());
    let limits = Limits::builder()
        .client(Client::peer().from_extension(peer))
        .tier(Tier::of(&table).limit(Limit::new(DataType::HttpReqRate, 5).named("calls")))
        .build()?;
    let layer = LimitLayer::new(Limiter::new(limits, clock));

    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let incoming = TcpIncoming::bind(address.parse::<SocketAddr>()?)?;
    println!("listening on {}", incoming.local_addr()?);
    Server::builder().layer(layer).add_service(Greeter).serve_with_incoming(incoming).await?;
    Ok(())
}
