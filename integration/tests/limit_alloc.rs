//! Nothing is allocated for a request that is let in, once its client has an entry: neither for counting nor for looking at limits.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderName, Request, Response};
use http_body::Body as _;
use http_body_util::Full;
use stktable::declare::{Declaration, Scope};
use stktable::{DataType, Tick};
use stktable_integration::SharedTable;
use stktable_integration::limit::{
    Builder, Client, KeyOf as _, Limit, LimitLayer, LimitService, Limiter, Limits, PeerAddr, Tier,
    client, header, path,
};
use tower::{Layer as _, Service};

thread_local! {
    static TAKEN: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, which counts what each thread takes.
struct Counting;

fn note() {
    // A thread that ends allocates after its count is gone.
    let _ = TAKEN.try_with(|taken| taken.set(taken.get() + 1));
}

// SAFETY: everything is the system's; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the same contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the same contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note();
        // SAFETY: the same contract.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the same contract.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocations(run: impl FnOnce()) -> usize {
    let before = TAKEN.get();
    run();
    TAKEN.get() - before
}

/// Answers with what it was made with.
#[derive(Clone)]
struct Inner;

impl<B> Service<Request<B>> for Inner {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        ready(Ok(Response::new(Full::new(Bytes::from_static(b"served")))))
    }
}

fn table(line: &str) -> Arc<SharedTable> {
    SharedTable::new(Declaration::parse(line, Scope::Peers("mesh")).into_result().unwrap())
}

/// Every kind of limit, in four tiers, behind two proxies.
fn limits() -> Builder {
    let hosts = table(
        "table hosts type ipv6 size 1k expire 1m store conn_cur,conn_cnt,gpc0,http_req_cnt,http_req_rate(10s)",
    );
    let sites = table("table sites type ipv6 size 1k expire 1m store gpc(4),gpc_rate(4,10s)");
    let tokens =
        table("table tokens type string len 31 size 1k expire 1m store bytes_in_rate(10s)");
    let marks = table("table marks type ip size 1k expire 1m store gpt0");
    let many = 1 << 30;
    let proxies = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap());
    Limits::builder()
        .client(Client::forwarded(proxies))
        .allow("203.0.113.0/24".parse().unwrap())
        .tier(
            Tier::of(&hosts)
                .limit(Limit::new(DataType::ConnCur, 10))
                .limit(Limit::new(DataType::HttpReqRate, many))
                .limit(Limit::new(DataType::Gpc0, many).cost(3)),
        )
        .tier(
            Tier::of(&sites)
                .ipv4_prefix(24)
                .ipv6_prefix(48)
                .limit(Limit::new(DataType::GpcRate, many).element(2)),
        )
        .tier(
            Tier::of(&tokens)
                .key(header(HeaderName::from_static("x-api-key")).or(client()).and(path()))
                .limit(
                    Limit::new(DataType::BytesInRate, many)
                        .cost_by(|head| u32::try_from(head.uri.path().len()).unwrap_or(u32::MAX)),
                ),
        )
        .tier(Tier::of(&marks).limit(Limit::new(DataType::Gpt0, 0)))
}

fn service(limits: Builder) -> LimitService<Inner> {
    let time = AtomicU64::new(1_000_000);
    // Periods pass too.
    let limiter = Limiter::with_time(limits.build().unwrap(), move || {
        Tick(time.fetch_add(7, Ordering::Relaxed))
    });
    LimitLayer::new(limiter).layer(Inner)
}

fn requests(count: usize) -> Vec<Request<()>> {
    let one = |at: usize| {
        let mut request = Request::builder()
            .uri("/some/path?and=more")
            .header("forwarded", "for=127.0.0.1")
            .header(
                "forwarded",
                format!("for=\"[2001:db8:{}::7]:80\", for=10.0.0.2;proto=https", at % 8),
            );
        if at.is_multiple_of(2) {
            request = request.header("x-api-key", format!("key-{}", at % 3));
        }
        request.extension(PeerAddr("[fd00::1]:4711".parse().unwrap())).body(()).unwrap()
    };
    (0..count).map(one).collect()
}

/// Sends them all, and reads each response to its end.
fn serve(service: &mut LimitService<Inner>, requests: Vec<Request<()>>) -> usize {
    let context = &mut Context::from_waker(Waker::noop());
    let mut served = 0;
    for request in requests {
        let Poll::Ready(Ok(response)) = pin!(service.call(request)).poll(context) else {
            unreachable!("it is ready, and never fails")
        };
        served += usize::from(response.status() == 200);
        let mut body = pin!(response.into_body());
        while let Poll::Ready(Some(Ok(_))) = body.as_mut().poll_frame(context) {}
    }
    served
}

const COUNT: usize = 5_000;

#[test]
fn a_request_that_is_let_in_costs_no_allocation() {
    let mut service = service(limits());
    assert_eq!(serve(&mut service, requests(COUNT)), COUNT, "warm");
    let all = requests(COUNT);
    let mut served = 0;
    let taken = allocations(|| served = serve(&mut service, all));
    assert_eq!((served, taken), (COUNT, 0));
}

#[test]
fn the_count_sees_what_is_allocated() {
    assert!(allocations(|| drop(black_box(Box::new(7)))) > 0);
    // Header fields are what costs.
    let mut service = service(limits().ratelimit_fields());
    assert_eq!(serve(&mut service, requests(COUNT)), COUNT);
    let all = requests(COUNT);
    let taken = allocations(|| assert_eq!(serve(&mut service, all), COUNT));
    assert!(taken >= COUNT, "{taken}");
}
