//! What a limit costs a service: axum with and without one, over the network and without, beside `tower_governor` and Redis.
//!
//! Each has a limit that nobody reaches, on the requests of each of ten thousand clients. They take turns.

use std::convert::Infallible;
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use redis::aio::MultiplexedConnection;
use rustix::time::{ClockId, clock_gettime};
use stktable::{DataType, Declaration, KeySpec};
use stktable_integration::limit::{Limit, LimitLayer, Limiter, Limits, PeerAddr, Tier};
use stktable_integration::{Clock, SharedTable};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tower::ServiceExt as _;
use tower_governor::GovernorLayer;
use tower_governor::governor::GovernorConfigBuilder;

const CLIENTS: u32 = 10_000;
const CONNECTIONS: u32 = 16;
const ROUNDS: usize = 5;
/// Requests of a turn without a network; of Redis, which needs one.
const CALLS: u32 = 50_000;
const CALLS_REDIS: u32 = 2_000;

/// One of those that are compared.
struct Contender {
    name: &'static str,
    router: Router,
    calls: u32,
    /// Nanoseconds of processor time of a request without a network, of each round.
    decision: Vec<f64>,
    /// Requests per second over the network, of each round.
    served: Vec<f64>,
}

/// Takes the client from a header, as if it had connected itself.
async fn client(mut request: Request, next: Next) -> Response {
    let client =
        request.headers().get("x-client").and_then(|client| client.to_str().ok()?.parse().ok());
    let address = SocketAddr::new(client.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)), 1);
    request.extensions_mut().insert(PeerAddr(address));
    request.extensions_mut().insert(ConnectInfo(address));
    next.run(request).await
}

/// Counts the requests of a minute, as a recipe of Redis does: INCR and EXPIRE in one round trip.
async fn redis_limit(
    State(redis): State<MultiplexedConnection>,
    request: Request,
    next: Next,
) -> Response {
    let client = request
        .extensions()
        .get::<PeerAddr>()
        .map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |peer| peer.0.ip());
    let key = format!("limit:{client}");
    let mut pipe = redis::pipe();
    pipe.atomic().incr(&key, 1).expire(&key, 60).ignore();
    let counted: redis::RedisResult<(u64,)> = pipe.query_async(&mut redis.clone()).await;
    match counted {
        Ok((count,)) if count < u64::from(u32::MAX) => next.run(request).await,
        _ => StatusCode::TOO_MANY_REQUESTS.into_response(),
    }
}

fn service() -> Router {
    Router::new().route("/", get(async || "hello"))
}

/// Redis in a process of its own, which ends with this.
struct Redis(Child);

impl Drop for Redis {
    fn drop(&mut self) {
        // Over already, or to be ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Redis {
    async fn start() -> Option<(Self, MultiplexedConnection)> {
        let port = StdListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?.port().to_string();
        let child = Command::new("redis-server")
            .args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let server = Self(child);
        let client = redis::Client::open(format!("redis://127.0.0.1:{port}/")).ok()?;
        for _ in 0..100 {
            if let Ok(connection) = client.get_multiplexed_async_connection().await {
                return Some((server, connection));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        None
    }

    /// Processor time of the server.
    fn cpu(&self) -> Duration {
        let stat =
            std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap_or_default();
        let fields: Vec<_> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
        let ticks =
            |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
        Duration::from_millis(10 * (ticks(11) + ticks(12)))
    }
}

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x0a00_0000 + number.wrapping_mul(2_654_435_761) % CLIENTS)
}

/// Calls a service without a network. Returns the nanoseconds of processor time of a call.
async fn decide(router: &Router, calls: u32, redis: Option<&Redis>) -> f64 {
    let theirs = || redis.map_or(Duration::ZERO, Redis::cpu);
    let (began, began_theirs) = (cpu(), theirs());
    for number in 0..calls {
        let request = Request::builder().uri("/").header("x-client", address(number).to_string());
        let request = request.body(Body::empty()).expect("a request");
        let Ok(response) = router.clone().oneshot(request).await;
        assert_eq!(response.status(), StatusCode::OK);
    }
    let spent = (cpu() - began) + (theirs() - began_theirs);
    spent.as_secs_f64() * 1e9 / f64::from(calls)
}

/// Asks a service over the network, by connections that are kept. Returns requests per second.
async fn ask(router: &Router, slice: Duration) -> io::Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let at = listener.local_addr()?;
    let router = router.clone();
    let server = tokio::spawn(async move {
        let served: Result<(), Infallible> =
            axum::serve(listener, router).await.map_err(|_| unreachable!("it serves for ever"));
        served
    });
    let (over, total) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|id| {
            let (over, total) = (Arc::clone(&over), Arc::clone(&total));
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(at).await?;
                stream.set_nodelay(true)?;
                let mut answer = vec![0; 4096];
                let mut request = Vec::new();
                for step in 0_u32.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    request.clear();
                    write!(
                        request,
                        "GET / HTTP/1.1\r\nhost: x\r\nx-client: {}\r\n\r\n",
                        address(step * CONNECTIONS + id)
                    )?;
                    stream.write_all(&request).await?;
                    // The head and five bytes, which come as one.
                    let mut read = 0;
                    while !answer[..read].ends_with(b"hello") {
                        match stream.read(&mut answer[read..]).await? {
                            0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
                            more => read += more,
                        }
                    }
                    total.fetch_add(1, Ordering::Relaxed);
                }
                Ok::<(), io::Error>(())
            })
        })
        .collect();
    tokio::time::sleep(slice).await;
    over.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.map_err(io::Error::other)??;
    }
    server.abort();
    Ok(total.load(Ordering::Relaxed) as f64 / slice.as_secs_f64())
}

fn contenders(redis: Option<MultiplexedConnection>) -> Vec<Contender> {
    let declaration = Declaration::builder("clients", KeySpec::IP)
        .size(100_000)
        .expire_ms(60_000)
        .store_rate(DataType::HttpReqRate, 10_000)
        .build()
        .expect("a declaration");
    let table = SharedTable::new(declaration);
    let limits = |fields: bool| {
        let tier = Tier::of(&table).limit(Limit::new(DataType::HttpReqRate, u32::MAX.into()));
        let limits = Limits::builder().tier(tier);
        let limits = if fields { limits.ratelimit_fields() } else { limits };
        LimitLayer::new(Limiter::new(limits.build().expect("limits"), Clock::start()))
    };
    let governor = GovernorConfigBuilder::default().per_nanosecond(1).burst_size(u32::MAX).finish();
    let governor = GovernorLayer::new(governor.expect("a configuration"));
    let mut all = vec![
        ("none", service()),
        ("ours", service().layer(limits(false))),
        ("ours, with RateLimit fields", service().layer(limits(true))),
        ("tower_governor", service().layer(governor)),
    ];
    if let Some(redis) = redis {
        all.push(("Redis", service().layer(middleware::from_fn_with_state(redis, redis_limit))));
    }
    let contender = |(name, router): (&'static str, Router)| Contender {
        name,
        router: router.layer(middleware::from_fn(client)),
        calls: if name == "Redis" { CALLS_REDIS } else { CALLS },
        decision: Vec::new(),
        served: Vec::new(),
    };
    all.into_iter().map(contender).collect()
}

fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Prints a Markdown table.
#[must_use]
pub fn report(slice_ms: u64) -> ExitCode {
    let measured = Runtime::new()
        .and_then(|runtime| runtime.block_on(measure(Duration::from_millis(slice_ms))));
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(slice: Duration) -> io::Result<()> {
    let (redis, connection) = Redis::start().await.unzip();
    if redis.is_none() {
        eprintln!("no redis-server in the path: it is left out");
    }
    let mut all = contenders(connection);
    for _ in 0..ROUNDS {
        for one in &mut all {
            let server = redis.as_ref().filter(|_| one.name == "Redis");
            one.decision.push(decide(&one.router, one.calls, server).await);
            one.served.push(ask(&one.router, slice).await?);
        }
    }
    println!(
        "| limit | requests/s over loopback | to none | CPU ns a request, without a network | a decision |"
    );
    println!("| --- | --- | --- | --- | --- |");
    let (mut none, mut none_served) = (0.0, 0.0);
    for one in &mut all {
        let (decision, served) = (median(&mut one.decision), median(&mut one.served));
        if one.name == "none" {
            (none, none_served) = (decision, served);
        }
        println!(
            "| {} | {served:.0} | {:.2} | {decision:.0} | {:.0} |",
            one.name,
            served / none_served,
            decision - none
        );
    }
    Ok(())
}
