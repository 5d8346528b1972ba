//! A small reverse proxy, whose rules read tables that it shares with HAProxy.
//!
//! ```text
//! proxy -f haproxy.cfg -L edge --listen 127.0.0.1:8080 --upstream 127.0.0.1:8081 --track mesh/clients \
//!     --deny 'mesh/clients http_req_rate gt 100' --tarpit 'mesh/marked gpc0 gt 0' --tarpit-delay 5s
//! ```
//!
//! Each connection tracks its address in `--track` (`sc0`) for as long as it lives, and its bytes and requests are counted there. A rule reads the
//! entry of the address in any table, before a request is passed on: `deny` answers 403, `tarpit` lets the client wait, and then answers 500.
//! `peers` sections of the configuration run as in `stktabled`: what HAProxy says of an address is known here, and what is counted here there.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1 as client;
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use stktable::table::Comparison;
use stktable::{DataType, Key, KeyType};
use stktable_integration::config::{self, Context};
use stktable_integration::peers::resync::ResyncState;
use stktable_integration::sticky::{self, Connection, Failed};
use stktable_integration::{Clock, Node, SharedTable};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

/// How long a client may take to send the head of a request.
const HEAD_MAX: Duration = Duration::from_secs(10);
/// How long a server may take to be reached, and to begin its answer.
const SERVER_MAX: Duration = Duration::from_secs(30);

#[derive(Parser)]
#[command(about = "A reverse proxy whose rules read stick tables that it shares with HAProxy")]
struct Args {
    /// The configuration with the tables and the peers.
    #[arg(short = 'f', value_name = "FILE")]
    file: PathBuf,
    /// Which of the peers we are.
    #[arg(short = 'L', value_name = "NAME")]
    local_peer: String,
    /// Where clients connect.
    #[arg(long, value_name = "ADDR:PORT")]
    listen: SocketAddr,
    /// Where requests go.
    #[arg(long, value_name = "ADDR:PORT")]
    upstream: SocketAddr,
    /// The table in which each client is tracked.
    #[arg(long, value_name = "TABLE")]
    track: String,
    /// Clients of whom this is true are answered 403: `TABLE TYPE OP NUMBER`; may be repeated.
    #[arg(long, value_name = "RULE")]
    deny: Vec<Rule>,
    /// Clients of whom this is true wait, and are answered 500; may be repeated.
    #[arg(long, value_name = "RULE")]
    tarpit: Vec<Rule>,
    /// How long they wait, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 5_000)]
    tarpit_delay: u64,
}

/// A condition on what a table knows of a client.
#[derive(Clone, Debug)]
struct Rule {
    table: String,
    data_type: DataType,
    comparison: Comparison,
    number: i64,
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<_> = text.split_whitespace().collect();
        let [table, data_type, comparison, number] = words.as_slice() else {
            return Err(
                "expected TABLE TYPE OP NUMBER, such as `mesh/clients http_req_rate gt 100`"
                    .to_owned(),
            );
        };
        Ok(Self {
            table: (*table).to_owned(),
            data_type: DataType::from_name(data_type)
                .ok_or_else(|| format!("`{data_type}`: no such data type"))?,
            comparison: Comparison::from_name(comparison)
                .ok_or_else(|| format!("`{comparison}`: expected one of eq ne le ge lt gt"))?,
            number: number.parse().map_err(|_| format!("`{number}`: expected a number"))?,
        })
    }
}

/// A rule with its table.
struct Ready {
    table: Arc<SharedTable>,
    rule: Rule,
}

impl Ready {
    /// Whether it is true of a client, of whom nothing may be known.
    fn holds(&self, client: IpAddr, clock: Clock) -> bool {
        let Some(key) = key(&self.table, client) else { return false };
        let found = self.table.fetch(&key, self.rule.data_type, 0, clock.now());
        found.is_some_and(|found| self.rule.comparison.holds(found, self.rule.number))
    }
}

struct Proxy {
    clock: Clock,
    upstream: SocketAddr,
    track: Arc<SharedTable>,
    deny: Vec<Ready>,
    tarpit: Vec<Ready>,
    tarpit_delay: Duration,
}

type Answer = Response<BoxBody<Bytes, hyper::Error>>;

fn find(node: &Node, name: &str) -> Result<Arc<SharedTable>, String> {
    node.table(name).cloned().ok_or_else(|| format!("`{name}`: no such table in the configuration"))
}

fn ready(node: &Node, rules: Vec<Rule>) -> Result<Vec<Ready>, String> {
    let ready = rules.into_iter().map(|rule| {
        let table = find(node, &rule.table)?;
        match table.declaration().column(rule.data_type) {
            Some(_) => Ok(Ready { table, rule }),
            None => Err(format!("`{}` does not store {}", rule.table, rule.data_type)),
        }
    });
    ready.collect()
}

/// Returns the key of a client, if the table is one of addresses.
fn key(table: &SharedTable, client: IpAddr) -> Option<Key> {
    match (table.declaration().key.ty(), client.to_canonical()) {
        (KeyType::Ip, IpAddr::V4(address)) => Some(Key::from(address)),
        (KeyType::Ipv6, IpAddr::V4(address)) => Some(Key::from(address.to_ipv6_mapped())),
        (KeyType::Ipv6, IpAddr::V6(address)) => Some(Key::from(address)),
        _ => None,
    }
}

fn answer(status: StatusCode, text: &'static str) -> Answer {
    let body = Full::new(Bytes::from_static(text.as_bytes())).map_err(|never| match never {});
    let mut answer = Response::new(body.boxed());
    *answer.status_mut() = status;
    answer
}

impl Proxy {
    /// Serves one client.
    async fn connection(self: Arc<Self>, stream: TcpStream, client: IpAddr) {
        let mut connection = Connection::<1>::new(self.clock);
        if let Some(key) = key(&self.track, client) {
            connection.track(0, &self.track, &key);
        }
        connection.accepted();
        let connection = Arc::new(connection);
        let service = service_fn(|request| {
            let (proxy, sticky) = (Arc::clone(&self), connection.request());
            async move { Ok::<_, hyper::Error>(proxy.request(&sticky, request, client).await) }
        });
        let served = server::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_MAX)
            .serve_connection(TokioIo::new(connection.stream(stream)), service)
            .await;
        match served {
            Err(error) if error.is_parse() => connection.failed(Failed::Malformed),
            Err(error) if error.is_timeout() => connection.failed(Failed::TimedOut),
            Err(error) if error.is_incomplete_message() => connection.failed(Failed::Aborted),
            _ => {}
        }
    }

    /// Answers one request.
    async fn request(
        &self,
        sticky: &sticky::Request<1>,
        request: Request<Incoming>,
        client: IpAddr,
    ) -> Answer {
        if self.deny.iter().any(|rule| rule.holds(client, self.clock)) {
            sticky.denied();
            return answer(StatusCode::FORBIDDEN, "denied\n");
        }
        if self.tarpit.iter().any(|rule| rule.holds(client, self.clock)) {
            sleep(self.tarpit_delay).await;
            sticky.denied();
            return answer(StatusCode::INTERNAL_SERVER_ERROR, "tarpitted\n");
        }
        let Ok(Ok(server)) = timeout(SERVER_MAX, TcpStream::connect(self.upstream)).await else {
            // Nobody failed who was asked.
            return answer(StatusCode::SERVICE_UNAVAILABLE, "no server\n");
        };
        match timeout(SERVER_MAX, forward(server, request)).await {
            Ok(Ok(response)) => {
                sticky.response(response.status().as_u16());
                response.map(BodyExt::boxed)
            }
            failed => {
                let status = match failed {
                    Err(_) => StatusCode::GATEWAY_TIMEOUT,
                    _ => StatusCode::BAD_GATEWAY,
                };
                sticky.response(status.as_u16());
                answer(status, "no answer\n")
            }
        }
    }
}

/// Asks the server. A connection for each request keeps the example small.
async fn forward(
    server: TcpStream,
    request: Request<Incoming>,
) -> Result<Response<Incoming>, Box<dyn Error + Send + Sync>> {
    server.set_nodelay(true)?;
    let (mut sender, connection) = client::handshake(TokioIo::new(server)).await?;
    // It ends with the answer.
    tokio::spawn(connection);
    Ok(sender.send_request(request).await?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let text = std::fs::read(&args.file)?;
    let name = args.file.display().to_string();
    let config = config::parse(&[(&name, &text)], &Context::EMPTY)?;
    let clock = Clock::start();
    let node = Node::start(&config, &args.local_peer, clock).await?;
    let proxy = Arc::new(Proxy {
        clock,
        upstream: args.upstream,
        track: find(&node, &args.track)?,
        deny: ready(&node, args.deny)?,
        tarpit: ready(&node, args.tarpit)?,
        tarpit_delay: Duration::from_millis(args.tarpit_delay),
    });
    // What peers teach at the start replaces what is counted meanwhile. It is over after some seconds, be there a peer or not.
    while node.sections().any(|section| section.status().resync != ResyncState::Finished) {
        sleep(Duration::from_millis(20)).await;
    }
    let listener = TcpListener::bind(args.listen).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, from) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(Arc::clone(&proxy).connection(stream, from.ip()));
    }
}
