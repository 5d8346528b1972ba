//! Sticky counters, as a proxy keeps them: `sc0`, `sc1` and so on, of each connection and of each request in it.
//!
//! A proxy of your own counts with these what HAProxy counts, when HAProxy counts it, in tables that both share.
//!
//! ```text
//! accept --> Connection --track(0, ..), accepted()--> Arc<Connection> --request()--> Request --track(1, ..), response(404)--> ended by its drop
//!                                                          └── stream(socket) counts bytes both ways
//! ```
//!
//! | HAProxy | here | what it counts, in which counters |
//! | --- | --- | --- |
//! | `tcp-request connection`, `tcp-request session` `track-scN` | [`Connection::track`] | `conn_cnt`, `conn_rate`, `conn_cur` of that one; `conn_cur` until the connection ends |
//! | the connection is accepted | [`Connection::accepted`] | `sess_cnt`, `sess_rate` of those of the connection |
//! | a request comes | [`Connection::request`] | `http_req_cnt`, `http_req_rate` of those of the connection |
//! | `http-request track-scN` | [`Request::track`] | `conn_cnt`, `conn_rate`, `conn_cur`, `http_req_cnt`, `http_req_rate` of that one; `conn_cur` until the request ends |
//! | a response of a server, or the 502 or 504 of the proxy for one that was reached and did not answer | [`Request::response`] | with a status of 400 to 499 `http_err_cnt`, `http_err_rate`, of 500 to 599 but for 501 and 505 `http_fail_cnt`, `http_fail_rate`: of those of the request and of the connection |
//! | no server can be reached | nothing is to be called | none |
//! | `http-request deny`, `tarpit` | [`Request::denied`] | `http_err_cnt`, `http_err_rate` of the same |
//! | a request that is malformed, or that the client gives up before it is whole | [`Connection::failed`] | `http_req_cnt`, `http_err_cnt` and their rates of those of the connection |
//! | a request that is not whole in time | [`Connection::failed`] | `http_req_cnt` and `http_req_rate` alone |
//! | bytes | [`Connection::stream`]; [`Request::bytes_in`], [`Request::bytes_out`] | `bytes_in_cnt`, `bytes_in_rate`, `bytes_out_cnt`, `bytes_out_rate` |
//! | `sc_X(n)`, `sc-X(n)` | [`Connection::entry`], [`Request::entry`], then what [`stktable::table::fetch`] lists | |
//!
//! As observed of HAProxy 2.6 and compared with it in a test, except:
//!
//! - A connection that ends before any byte of a request is no error here. HAProxy counts a request and an error for it, unless it has
//!   `option http-ignore-probes`.
//! - Bytes are those of the stream that is wrapped. HAProxy counts its own form of messages, of which a head differs by some bytes from what
//!   was sent, and counts them when the request is over.
//! - What is counted is told to peers, `sess_cnt` too.
//!
//! As there, the first that tracks in a counter wins, and where the table has no room nothing is tracked: it is no error, and the table's
//! [`metrics`](stktable::StickTable::metrics) say so.
//!
//! Nothing here takes a lock. A count is one atomic addition for each column, and a look at the clock.
//!
//! # Examples
//! ```
//! use std::net::Ipv4Addr;
//! use std::sync::Arc;
//!
//! use stktable::{DataType, Declaration, Key, KeySpec};
//! use stktable_integration::sticky::Connection;
//! use stktable_integration::{Clock, SharedTable};
//!
//! let declaration = Declaration::builder("clients", KeySpec::IP)
//!     .size(1000)
//!     .expire_ms(60_000)
//!     .store(DataType::ConnCur)
//!     .store(DataType::HttpErrCnt)
//!     .store_rate(DataType::HttpReqRate, 10_000)
//!     .build()?;
//! let (table, clock) = (SharedTable::new(declaration), Clock::start());
//!
//! let mut connection = Connection::<3>::new(clock);
//! connection.track(0, &table, &Key::from(Ipv4Addr::new(192, 0, 2, 7)));
//! connection.accepted();
//! let connection = Arc::new(connection);
//! let request = connection.request();
//! assert_eq!(request.fetch(0, DataType::HttpReqRate, 0), Some(1));
//! request.response(404);
//! drop(request);
//! assert_eq!(connection.fetch(0, DataType::HttpErrCnt, 0), Some(1));
//! assert_eq!(connection.fetch(0, DataType::ConnCur, 0), Some(1));
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod connection;
mod counters;
mod request;
mod stream;

pub use connection::{Connection, Failed};
pub use request::Request;
pub use stream::TrackedStream;
