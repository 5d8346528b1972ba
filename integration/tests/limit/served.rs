//! Over a socket: what is under way is over when a client hangs up.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use stktable::DataType as D;
use stktable_integration::SharedTable;
use stktable_integration::limit::{Limit, LimitLayer, Limits, PeerAddrLayer, Tier};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tower::{ServiceBuilder, service_fn};

use crate::support::*;

/// Beyond this something hangs.
const LONG: Duration = Duration::from_secs(60);

/// One frame, and then nothing for ever.
struct Endless(bool);

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Pending;
        }
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"first")))))
    }
}

async fn serve(listener: TcpListener, layer: LimitLayer) {
    loop {
        let (stream, peer) = listener.accept().await.unwrap();
        let service = ServiceBuilder::new()
            .layer(PeerAddrLayer(peer))
            .layer(layer.clone())
            .service(service_fn(async |_| Ok::<_, Infallible>(Response::new(Endless(false)))));
        let service = TowerToHyperService::new(service);
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

/// Asks, and returns the connection and the status line.
async fn ask(address: SocketAddr) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(stream.read_u8().await.unwrap());
    }
    (stream, String::from_utf8(line).unwrap())
}

async fn until_open(table: &Arc<SharedTable>, time: &Time, expected: i64) {
    let wait = async {
        while stands(table, "127.0.0.1", D::ConnCur, time.now()) != expected {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(LONG, wait).await.unwrap_or_else(|_| panic!("not {expected}"));
}

#[tokio::test]
async fn a_client_that_hangs_up_is_under_way_no_more() {
    let (time, table) = (Time::new(), table("table t type ip size 10 expire 1m store conn_cur"));
    let limits = Limits::builder().tier(Tier::of(&table).limit(Limit::new(D::ConnCur, 2)));
    let layer = LimitLayer::new(limiter(limits, &time));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(serve(listener, layer));

    let ask = async || tokio::time::timeout(LONG, ask(address)).await.expect("an answer");
    let (first, status) = ask().await;
    assert_eq!(status, "HTTP/1.1 200 OK\r\n");
    let (second, status) = ask().await;
    assert_eq!(status, "HTTP/1.1 200 OK\r\n");
    let (_refused, status) = ask().await;
    assert_eq!(status, "HTTP/1.1 429 Too Many Requests\r\n");
    assert_eq!(stands(&table, "127.0.0.1", D::ConnCur, time.now()), 2);
    drop(first);
    until_open(&table, &time, 1).await;
    let (third, status) = ask().await;
    assert_eq!(status, "HTTP/1.1 200 OK\r\n");
    drop((second, third));
    until_open(&table, &time, 0).await;
    server.abort();
}
