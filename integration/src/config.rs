//! HAProxy configuration files, of which the `peers` sections and the tables are read.
//!
//! ```text
//! files --Line--> words --Reader--> Config --resolve(local peer)--> Setup
//!                                   what is written                 what to run
//! ```
//!
//! The files are taken as they are: [`load`] reads what HAProxy 2.6 would be started with, [`parse`] reads
//! text. Whatever is wrong is reported at once, over all files, each time with its place, its word and what
//! was expected. What is not read is counted ([`Config::ignored_lines`]).
//!
//! | section | read | the rest |
//! | --- | --- | --- |
//! | `peers` | `peer`, `server`, `bind`, `table`, `disabled`, `enabled` | see below |
//! | `aggregations` | the same, and `from .local to .agg`, `combine`, `publish-every`, `source-timeout`, `lease` | see below |
//! | `frontend`, `listen`, `backend` | `stick-table` | counted |
//! | `global` | `localpeer`, `stats socket`, `crt-base`, `ca-base`, `ssl-server-verify` | counted |
//! | `defaults` | `stick-table`, to refuse it | counted |
//! | any other | | counted |
//!
//! Of `default-bind` and `default-server` lines TLS is read, and the line counted. In a `peers` section, `log` is counted too; any other word is
//! refused, as HAProxy does, so that a mistyped `tabel` is not lost.
//!
//! Words of our own stand in comments, `#stktabled: WORD ..`, so that one file serves HAProxy and us ([`Own`]). A word that is not
//! known there is an error, too, and so is such a line outside of a `peers` section.
//!
//! An `aggregations` section is a `peers` section which makes sums of its tables ([`Aggregations`]); HAProxy's enterprise edition has one of
//! that name. Its peers may be marked `local` (ourselves), `down` (a source; the others are none then) or `up` (no source), and `aggregator` (it makes
//! sums itself, and is in only while they are whole). As lines of our
//! own its words stand in a `peers` section too.
//!
//! # Decisions
//!
//! - A name of the local peer that is no peer of an enabled section is an error. HAProxy warns and drops the
//!   section, and its tables are shared with nobody.
//! - With `bind`, the local peer needs no address of its own, and if it has one it is not used (a warning).
//!   So one file serves all hosts; HAProxy 2.6 refuses an address there. A *remote* peer without an
//!   address is an error on the host that would have to call it; HAProxy 2.6 takes the file.
//! - `localpeer` counts wherever it stands; HAProxy 2.6 heeds it in the sections after it.
//! - Two `table` lines of one name in one section, and two remote peers of one name, are errors; HAProxy 2.6
//!   takes both. So is a remote peer without a port, or with port 0.
//! - A `\` at the end of a line that is read continues it, with a warning: HAProxy refuses such a line.
//! - A last line without its end is read, with a warning: HAProxy refuses the file, as it may have been cut.
//! - A line of more than 64 words is read; HAProxy refuses it.
//! - Conditional blocks (`.if` to `.endif`) are evaluated. What a condition asks of HAProxy itself, its version or how it
//!   was built, is not known here: a line that is read must not depend on that alone. `feature(…) || defined(…)` is known as
//!   soon as one of them is true.
//! - The PROXY protocol and shards are refused rather than ignored: without them the bytes between the
//!   peers, or the entries they hold, would be others. So are words of TLS beyond `ssl`, `crt`, `ca-file`, `verify`,
//!   `verifyhost`, `sni str(NAME)`, `ssl-min-ver` and `ssl-max-ver`. Other options of `bind`, `peer` and `server`
//!   are not used, with a warning.
//! - `key FILE` says where the key of a `crt` is. HAProxy has no such word; for both, the key stands in the file of the
//!   certificate, or in one beside it of the same name and `.key`.
//! - `default-bind` counts wherever it stands in its section, `default-server` for the lines after it.
//! - Unix sockets and inherited descriptors are refused for now.

mod address;
mod aggregate;
mod check;
mod condition;
mod conditional;
mod diagnostic;
mod directive;
mod line;
mod load;
mod own;
mod peers;
mod reader;
mod resolve;
mod tls;

use std::fmt;
use std::sync::Arc;

use stktable::Declaration;

use crate::runtime_api::server::Socket;

pub use address::{Address, AddressError, Host};
pub use aggregate::{Aggregations, FromTo, SetupAggregate, Tier};
pub use diagnostic::{ConfigError, Diagnostic, Location, Severity};
pub use load::{FILE_MAX, files, load};
pub use own::Own;
pub use resolve::{Remote, Setup, SetupSection, SetupTable};
pub use tls::{Named, Tls, TlsGlobals, TlsWords};

/// The configuration that is used when no file is given: one table for each key type, shared with nobody
/// until a second peer is added.
pub const DEFAULT: &str = include_str!("config/default.cfg");

/// The name under which [`DEFAULT`] is reported.
pub const DEFAULT_NAME: &str = "(default)";

/// What the files do not say.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The environment.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    /// The name of the local peer as given when started (`-L`).
    pub argument: Option<&'a str>,
    /// The name of the host, which is the local peer's where nothing else is said.
    pub host_name: Option<&'a str>,
}

impl Context<'_> {
    /// An empty environment, and no names.
    pub const EMPTY: Self = Self { environment: &|_| None, argument: None, host_name: None };

    /// Returns the name of the local peer: as given when started, or else as `localpeer` says, or else the
    /// host's.
    #[must_use]
    pub fn local_peer_name<'a>(&'a self, localpeer: Option<&'a str>) -> Option<&'a str> {
        self.argument.or(localpeer).or(self.host_name)
    }
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("argument", &self.argument)
            .field("host_name", &self.host_name)
            .finish_non_exhaustive()
    }
}

/// What the files say. Names are checked: every section and table that is named exists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The name in `localpeer`.
    pub localpeer: Option<String>,
    /// What `global` says of TLS.
    pub tls: TlsGlobals,
    /// The `peers` sections, in order.
    pub peers: Vec<PeersSection>,
    /// The `stats socket` lines of `global`, in order.
    pub stats_sockets: Vec<StatsSocket>,
    /// The tables of proxies, in order.
    pub proxy_tables: Vec<Table>,
    /// How many lines were passed over, blank ones and comments aside.
    pub ignored_lines: usize,
    /// What was read, but perhaps not as it was meant.
    pub warnings: Vec<Diagnostic>,
}

/// A `stats socket` line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StatsSocket {
    /// Where to serve the runtime API, and to whom.
    pub socket: Socket,
    /// Where the line begins.
    pub at: Location,
}

/// A `peers` section.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeersSection {
    /// Its name.
    pub name: String,
    /// Where it begins.
    pub at: Location,
    /// Whether it is `disabled`: nobody listens, nobody is called, its tables are local.
    pub disabled: bool,
    /// Its peers, in order; the local one is known once the name of the local peer is.
    pub peers: Vec<Peer>,
    /// The addresses of its `bind` line.
    pub bind: Vec<Bind>,
    /// What its `bind` and `default-bind` lines say of TLS.
    pub bind_tls: TlsWords,
    /// What its lines of our own say.
    pub own: Own,
    /// Whether it is called `aggregations`.
    pub is_aggregations: bool,
    /// What it says of sums over its peers, if it says anything.
    pub aggregations: Option<Aggregations>,
    /// Its own tables, in order.
    pub tables: Vec<Table>,
}

/// A peer, on a `peer` or `server` line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Peer {
    /// Its name.
    pub name: String,
    /// Its address; the local peer needs none where there is a `bind` line.
    pub address: Option<Address>,
    /// What its line and the `default-server` lines before it say of TLS.
    pub tls: TlsWords,
    /// What it is to an aggregator, if its line in an `aggregations` section says so.
    pub tier: Option<Tier>,
    /// Whether it is an aggregator itself, whose tables count as a source's only while its lease says that they are whole.
    pub aggregator: bool,
    /// Where its name stands.
    pub at: Location,
}

/// An address of a `bind` line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bind {
    /// The address.
    pub address: Address,
    /// Where it stands.
    pub at: Location,
}

/// A table as declared.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Table {
    /// What was declared.
    pub declaration: Declaration,
    /// Where the line begins.
    pub at: Location,
    /// The kind of the proxy; `None` in a `peers` section.
    pub proxy: Option<ProxyKind>,
    /// Where the name after `peers` stands.
    peers_at: Location,
    /// Where the name after `write-to` stands.
    write_to_at: Location,
    /// The number of the declaration in all files.
    order: usize,
}

/// The kind of a section that may hold a `stick-table`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProxyKind {
    /// A `frontend`.
    Frontend,
    /// A `listen`.
    Listen,
    /// A `backend`.
    Backend,
}

impl ProxyKind {
    /// Returns the keyword.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Frontend => "frontend",
            Self::Listen => "listen",
            Self::Backend => "backend",
        }
    }
}

impl fmt::Display for ProxyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Returns what these files, names and contents, say. Their order counts only in messages and for `localpeer`.
///
/// # Errors
/// When anything is wrong: all of it.
///
/// # Examples
/// ```
/// use stktable_integration::config::{self, Context};
///
/// let text = b"peers mesh\n peer a 127.0.0.1:1\n peer b 127.0.0.1:2\n table t type ip size 1k\n";
/// let config = config::parse(&[("x.cfg", text)], &Context::EMPTY).unwrap();
/// let setup = config.resolve("a").unwrap();
/// assert_eq!(setup.sections[0].remotes[0].name, "b");
/// assert_eq!(setup.tables[0].declaration.wire_name(), "/t");
///
/// let errors = config::parse(&[("x.cfg", b"peers mesh\n peer a 127.0.0.1\n")], &Context::EMPTY).unwrap_err();
/// assert_eq!(errors.to_string(), "x.cfg:2:9: error: `127.0.0.1`: no port; expected ADDRESS:PORT");
/// ```
pub fn parse(files: &[(&str, &[u8])], context: &Context<'_>) -> Result<Config, ConfigError> {
    let mut reader = reader::Reader::new(context);
    for (name, contents) in files {
        reader.file(name, contents);
    }
    reader.finish()
}

impl Config {
    /// Returns [`DEFAULT`], read.
    ///
    /// # Panics
    /// Never: a test reads it.
    #[must_use]
    pub fn default_tables() -> Self {
        parse(&[(DEFAULT_NAME, DEFAULT.as_bytes())], &Context::EMPTY)
            .expect("the default configuration is covered by a test")
    }

    /// Returns the section of this name.
    #[must_use]
    pub fn section(&self, name: &str) -> Option<&PeersSection> {
        self.peers.iter().find(|section| section.name == name)
    }

    /// Returns every table in the order of the files.
    #[must_use]
    pub fn tables(&self) -> Vec<&Table> {
        let own = self.peers.iter().flat_map(|section| &section.tables);
        let mut tables: Vec<_> = own.chain(&self.proxy_tables).collect();
        tables.sort_by_key(|table| table.order);
        tables
    }
}

impl Location {
    /// Returns another place in the same file.
    fn beside(&self, line: u32, column: u32) -> Self {
        Self { file: Arc::clone(&self.file), line, column }
    }
}
