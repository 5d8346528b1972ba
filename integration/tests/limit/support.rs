//! A service behind the layer, a client, and a clock that is set.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use stktable::declare::{Declaration, Scope};
use stktable::{DataType, Key, Tick};
use stktable_integration::SharedTable;
use stktable_integration::limit::{Builder, LimitLayer, Limiter, PeerAddr, Refusal};
use tower::{Service as _, ServiceBuilder, service_fn};

/// Time, which the tests move.
#[derive(Clone, Debug)]
pub(crate) struct Time(Arc<AtomicU64>);

impl Time {
    /// Shortly before the low 32 bits of a tick wrap.
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU64::new((1 << 32) - 1_000)))
    }

    pub(crate) fn now(&self) -> Tick {
        Tick(self.0.load(Ordering::Relaxed))
    }

    pub(crate) fn pass(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }
}

/// Makes the table that a line of a `peers` section declares.
pub(crate) fn table(line: &str) -> Arc<SharedTable> {
    let declaration = Declaration::parse(line, Scope::Peers("mesh")).into_result();
    SharedTable::new(declaration.unwrap_or_else(|errors| panic!("{line}: {errors:?}")))
}

pub(crate) fn limiter(limits: Builder, time: &Time) -> Limiter {
    let time = time.clone();
    Limiter::with_time(limits.build().unwrap(), move || time.now())
}

/// A request that came from this address.
pub(crate) fn from(address: &str) -> Request<()> {
    let mut request = Request::new(());
    let address: IpAddr = address.parse().unwrap();
    request.extensions_mut().insert(PeerAddr((address, 4711).into()));
    request
}

pub(crate) fn with(mut request: Request<()>, fields: &[(&'static str, &str)]) -> Request<()> {
    for (name, value) in fields {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    request
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Whole seconds to wait.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        self.field("retry-after").map(|text| text.parse().unwrap())
    }
}

/// Polls a future which does not wait for anything.
pub(crate) fn now_or_never<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}

/// Sends a request through the layer to a service that answers `served`, or `marked` if the request was to be refused.
pub(crate) fn send(limiter: &Limiter, request: Request<()>) -> Answer {
    let service = service_fn(async |request: Request<()>| {
        let marked = request.extensions().get::<Refusal>().is_some();
        let text = if marked { "marked" } else { "served" };
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(text.as_bytes()))))
    });
    let mut service =
        ServiceBuilder::new().layer(LimitLayer::new(limiter.clone())).service(service);
    let response = now_or_never(service.call(request)).unwrap_or_else(|never| match never {});
    let (parts, body) = response.into_parts();
    let body = now_or_never(body.collect()).unwrap_or_else(|never| match never {}).to_bytes();
    Answer { status: parts.status, headers: parts.headers, body }
}

/// Sends a request, and returns whether it was let in.
pub(crate) fn is_let_in(limiter: &Limiter, request: Request<()>) -> bool {
    let answer = send(limiter, request);
    match answer.status {
        StatusCode::OK => assert!(!answer.body.is_empty()),
        StatusCode::TOO_MANY_REQUESTS => {}
        status => panic!("{status}"),
    }
    answer.status == StatusCode::OK
}

/// Sends so many, and returns how many were let in.
pub(crate) fn let_in(limiter: &Limiter, count: usize, request: impl Fn() -> Request<()>) -> usize {
    (0..count).filter(|_| is_let_in(limiter, request())).count()
}

/// What a table has for the address.
pub(crate) fn stands(table: &SharedTable, key: &str, data_type: DataType, now: Tick) -> i64 {
    let key: Key = table.declaration().key.parse(key).unwrap();
    table.fetch(&key, data_type, 0, now).unwrap()
}
