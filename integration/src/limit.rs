//! Limits what clients ask of a service, by tables that are shared with HAProxy: a layer for tower, and so for axum, hyper and tonic.
//!
//! The feature `tower` brings this module, and nothing else of what is optional. Each request is counted in the entries of its client, and
//! refused where that makes a value larger than a [`Limit`]. The tables are those of a [`Node`](crate::Node), which shares them with HAProxy
//! peers, or of nobody else.
//!
//! ```
//! use std::convert::Infallible;
//!
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use stktable::{DataType, Declaration, KeySpec};
//! use stktable_integration::limit::{Limit, LimitLayer, Limiter, Limits, PeerAddrLayer, Tier};
//! use stktable_integration::{Clock, SharedTable};
//! use tower::{Service as _, ServiceBuilder, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let declaration = Declaration::builder("clients", KeySpec::IPV6)
//!     .size(100_000)
//!     .expire_ms(600_000)
//!     .store(DataType::ConnCur)
//!     .store_rate(DataType::HttpReqRate, 10_000)
//!     .build()?;
//! let table = SharedTable::new(declaration);
//! let limits = Limits::builder()
//!     .tier(
//!         Tier::of(&table)
//!             .limit(Limit::new(DataType::HttpReqRate, 2))
//!             .limit(Limit::new(DataType::ConnCur, 10)),
//!     )
//!     .allow("10.0.0.0/8".parse()?)
//!     .build()?;
//! let limiter = Limiter::new(limits, Clock::start());
//!
//! let mut service = ServiceBuilder::new()
//!     .layer(PeerAddrLayer("192.0.2.7:4711".parse()?)) // whoever accepted the connection knows
//!     .layer(LimitLayer::new(limiter.clone()))
//!     .service(service_fn(async |_: Request<()>| {
//!         Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("hello"))))
//!     }));
//! for expected in [200, 200, 429] {
//!     let response = service.call(Request::new(())).await?;
//!     assert_eq!(response.status(), expected);
//! }
//! // For the next request, and what was counted stays.
//! limiter.set_limits(Limits::builder().build()?);
//! assert_eq!(service.call(Request::new(())).await?.status(), 200);
//! # Ok(())
//! # }
//! ```
//!
//! `integration/examples` has servers with axum, hyper and tonic, and one that is a peer of HAProxy.
//!
//! # What happens to a request
//!
//! 1. [`Client`] says who it is. A client of an [allowed](Builder::allow) network passes, and is counted nowhere.
//! 2. In each [`Tier`], in order, its key is looked up, its entry created if there is none, and it is counted: 1 for each event that is
//!    limited, or its [cost](Limit::cost). `conn_cur` is raised as HAProxy does when it tracks, and `conn_cnt` and `conn_rate` count that.
//!    Tiers whose limits are all [observed](Limit::observed) only read.
//! 3. Every limit is compared with its value. Of those that are exceeded the one speaks that is so for longest. One in
//!    [shadow](Limit::shadow) mode is told of and marked, and that is all.
//!
//! So a limit of 100 lets exactly 100 in, however many threads ask, and a request that is refused was counted, in each tier:
//! HAProxy's `http-request track-sc0` before `http-request deny` does the same. With [`refused_uncounted`](Builder::refused_uncounted)
//! every tier is looked at first, and a request that would be refused is counted nowhere.
//!
//! A request that cannot be counted goes on by default ([`Failing`]), and [`Statistics`] say how many did: where a table is full of entries
//! in use (others are purged to make room, unless it says `nopurge`), and where no key was found, be it that nobody put a [`PeerAddr`] among
//! the extensions. An address of a family that the tier does not take is no fault.
//!
//! # When to come back
//!
//! `Retry-After` is when the same request is let in if nothing else is asked meanwhile, in seconds, rounded up. Rates are sliding, so it is
//! computed from the counter: when what it holds will have faded so far. A counter that no rate is has an end when its entry has one.
//! Nothing is said of requests that are under way, nor of those that cost more than the limit.
//!
//! # What is shared
//!
//! HAProxy's peers overwrite each other's values, they never add. A client that is over a limit at one node is so at every other that has
//! learned it, as soon as it has; but what two nodes count of one client at the same moment is not summed. So:
//!
//! - A limit on what this service counts holds for each node by itself, and for those that learn from it. For a limit on the sum, observe a
//!   table of [sums](crate::aggregate).
//! - A lesson replaces what is counted while it lasts: a service had better take requests once it has been taught
//!   ([`ResyncState::Finished`](crate::peers::resync::ResyncState::Finished)), as the example says by `/ready`.
//! - A mark (`gpc0`, `gpt0`) that others set belongs in a table of its own that is observed here: who counts in the entry tells peers all its
//!   values, and so the mark as it was before.
//!
//! # What it costs
//!
//! A request that is let in allocates nothing once its client has an entry (`tests/limit_alloc.rs`), with keys up to 38 bytes. What allocates:
//! keys beyond that, [header fields](Builder::ratelimit_fields) (a buffer for each value, and the map that takes them), marks of shadow mode,
//! and refusals. No lock is taken: the limits are read as a whole by `arc-swap`, and counted by the table's atomics.
//!
//! pingora's proxies are no tower services: their filters call a [`StickTable`](stktable::StickTable) directly. There is no example of it, since
//! it brings some 170 crates, half of which nothing else here needs, and a C library that is built with CMake.
#![forbid(unsafe_code)]

mod client;
mod compile;
mod forwarded;
mod headers;
mod key;
mod limiter;
mod refusal;
mod rules;
mod service;
mod wait;

pub use client::{Client, Networks, PeerAddr, PeerAddrLayer, PeerAddrService};
pub use key::{
    And, Head, KeyOf, KeyWriter, Or, WRITTEN_MAX, client, header, literal, method, path,
};
pub use limiter::{Limiter, Statistics};
pub use refusal::{Exceeded, Reason, Refusal};
pub use rules::{
    Builder, Failing, LIMITS_MAX, Limit, LimitError, Limits, TIERS_MAX, TRACKED_MAX, Tier,
};
pub use service::{LimitBody, LimitLayer, LimitService, ResponseFuture};
