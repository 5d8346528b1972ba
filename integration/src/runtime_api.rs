//! The runtime API: the part of HAProxy's command line that concerns tables and peers.
//!
//! ```text
//! line --parse--> commands --Api::execute--> Reply --next, next, ...--> bytes
//!                                            (a place in the table, nothing held)
//! ```
//!
//! There is no socket and no clock in it but in [`server`]: a command is bytes, a [`Reply`] gives its bytes in pieces, and the
//! time comes in with each of them. Between two pieces a reply holds no entry, so a slow client keeps nothing from
//! expiring, and a dump of any size needs the memory of one piece.
//!
//! | command | what it does |
//! | --- | --- |
//! | `show table` | a line for each table, the one declared last first |
//! | `show table NAME` | the same line, and a line for each entry |
//! | `show table NAME key KEY` | the same for one entry; nothing at all if it is not there |
//! | `show table NAME ptr 0xID` | the same by the number at the beginning of its line; so do `set` and `clear` |
//! | `show table NAME data.TYPE OP VALUE ...` | the entries that pass all filters, at most four |
//! | `show table NAME ... prefix NETWORK` | those of a network, or whose keys begin so; with filters too |
//! | `show table NAME ... limit N [after KEY]` | as many; those behind a key, for the next page |
//! | `show table NAME ... top N by data.TYPE` | the largest first; also `sort by data.TYPE limit N`; N up to 10,000 |
//! | `show table NAME ... json` | the same as a JSON object in each line |
//! | `set table NAME key KEY [data.TYPE VALUE]...` | creates the entry if it is not there, sets values, tells peers |
//! | `save state` | writes the state file now, and says what was written; for level `admin` |
//! | `clear table NAME [key KEY \| data.TYPE OP VALUE ...]` | removes entries; peers are not told |
//! | `show peers [SECTION]` | the peers and what they were told |
//! | `show aggregate [SECTION]` | the sums over peers: which sources are in, what is missing, how far behind they are |
//! | `show cli level`, `operator`, `user` | what this session may do; to do no more than that from now on |
//! | `show peers digest [SECTION]` | how many keys each peer lacks, as found last; finds it anew |
//! | `show info` | name, version, process id, time since the start |
//! | `help`, `prompt`, `quit` | the commands; a session of several; its end |
//!
//! OP is one of `eq ne le ge lt gt`, VALUE a signed decimal number of 64 bits. Element 2 of an array is
//! `data.gpc[2]`; without the brackets it is element 0.
//!
//! Every line of `show table` is byte for byte what HAProxy 2.6 writes, and so are its messages. The order of entries is not: it is
//! that of a hash. The number at the start of a line is no address, it only tells entries apart.
//!
//! # Where HAProxy differs
//!
//! - `set table` looks at every column and value before it creates or changes anything. HAProxy writes up to
//!   the first that is wrong, and keeps the entry.
//! - A client of level `user` is refused `set` and `clear` before any table is looked up.
//! - Words after `key KEY` of `show` and `clear` are refused: in `clear table t key k data.gpc0 gt 5` HAProxy passes over
//!   the condition.
//! - Keys are refused where HAProxy 2.6 takes a part of them, or something else: `12abc` for 12, any word for
//!   an address.
//! - `-` alone is no number; HAProxy takes it for 0.
//! - Array elements have an index, as in HAProxy 3.2.

pub mod server;

mod clear;
mod dump;
mod line;
mod parse;
mod query;
mod set;
mod show;
mod trace;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use stktable::Tick;
use tokio::sync::oneshot;

use crate::peers::trace::Trace;
use crate::shared::{SharedTable, TableSet};

pub use parse::commands;

/// Bytes of a piece of a reply beyond which it ends.
pub const PIECE_BYTES: usize = 16 * 1024;

/// What a client may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Sees what tables there are, and not what is in them.
    User,
    /// Sees and changes everything.
    Operator,
    /// Writes files, too.
    Admin,
}

impl Level {
    /// Returns the word in configurations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that is none of `user`, `operator` and `admin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownLevel(pub String);

impl fmt::Display for UnknownLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: expected user, operator or admin", self.0.escape_debug())
    }
}

impl std::error::Error for UnknownLevel {}

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(word: &str) -> Result<Self, UnknownLevel> {
        [Self::User, Self::Operator, Self::Admin]
            .into_iter()
            .find(|level| level.name() == word)
            .ok_or_else(|| UnknownLevel(word.to_owned()))
    }
}

/// Knows the peers, for `show peers`.
pub trait PeersStatus: Send + Sync {
    /// Writes lines on every `peers` section, or on the one of this name. Returns whether there is one of it.
    fn show_peers(&self, section: Option<&str>, out: &mut String) -> bool;

    /// Writes lines on every table that is made of what peers say of another, or on those of the section of this name. Returns whether
    /// there is such a section.
    fn show_aggregates(&self, section: Option<&str>, out: &mut String) -> bool {
        let _ = out;
        section.is_none()
    }

    /// Writes how the tables of those peers differ from ours, as it was found last, and begins to find it anew. Returns as
    /// [`show_peers`](Self::show_peers) does.
    fn compare_peers(&self, section: Option<&str>, out: &mut String) -> bool {
        let _ = out;
        section.is_none()
    }
}

/// There are no peers.
impl PeersStatus for () {
    fn show_peers(&self, section: Option<&str>, _: &mut String) -> bool {
        section.is_none()
    }
}

/// Writes the state file, for `save state`.
pub trait SaveState: Send + Sync {
    /// Begins to, and returns where it is told what was written, or why nothing was.
    fn save(&self) -> oneshot::Receiver<Result<String, String>>;
}

/// What commands are about.
pub struct Api {
    tables: Arc<TableSet>,
    peers: Box<dyn PeersStatus>,
    state: Option<Box<dyn SaveState>>,
    trace: Arc<Trace>,
    started: Tick,
}

impl Api {
    /// Returns the API of these tables, in the order in which they were declared. `started` is what
    /// `show info` counts from.
    #[must_use]
    pub fn new(tables: Vec<Arc<SharedTable>>, started: Tick) -> Self {
        Self::over(TableSet::new(tables), started)
    }

    /// Returns the API of a set of tables, to which more may be added.
    #[must_use]
    pub fn over(tables: Arc<TableSet>, started: Tick) -> Self {
        Self { tables, peers: Box::new(()), state: None, trace: Arc::default(), started }
    }

    /// Sets who knows the peers.
    #[must_use]
    pub fn peers(mut self, peers: impl PeersStatus + 'static) -> Self {
        self.peers = Box::new(peers);
        self
    }

    /// Sets who writes the state file.
    #[must_use]
    pub fn state(mut self, state: impl SaveState + 'static) -> Self {
        self.state = Some(Box::new(state));
        self
    }

    /// Sets what `trace` sets and `show events` shows.
    #[must_use]
    pub fn trace(mut self, trace: Arc<Trace>) -> Self {
        self.trace = trace;
        self
    }

    /// Begins one command, without its end of line. Of a line with several, [`commands`] gives each.
    ///
    /// What does not depend on the number of entries is done at once; the rest as the reply is read. A reply
    /// that is dropped early leaves the rest undone.
    #[must_use]
    pub fn execute(&self, command: &[u8], level: Level, now: Tick) -> Reply {
        let words = parse::words(command);
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let done = match words.as_slice() {
            [b"show", b"table", rest @ ..] => self.show_table(rest, level, now),
            [b"set", b"table", rest @ ..] => self.set_table(rest, level, now),
            [b"clear", b"table", rest @ ..] => self.clear_table(rest, level, now),
            [b"show", b"peers", rest @ ..] => Ok(self.show_peers(rest)),
            [b"show", b"aggregate" | b"aggregates", rest @ ..] => Ok(self.show_aggregates(rest)),
            [b"save", b"state"] => self.save_state(level),
            [b"trace", ..] | [b"show", b"trace" | b"events", ..] if level < Level::Operator => {
                Err(parse::Refusal::PermissionDenied)
            }
            [b"trace", rest @ ..] => Ok(Reply::text(trace::command(&self.trace, rest))),
            [b"show", b"trace", rest @ ..] => Ok(Reply::text(trace::show(&self.trace, rest))),
            [b"show", b"events", rest @ ..] => Ok(match trace::events(&self.trace, rest) {
                Ok(events) => Reply::work(Work::Events(events)),
                Err(text) => Reply::text(text),
            }),
            [b"show", b"info", ..] => Ok(Reply::text(show::info(self.started, now))),
            [b"help", ..] => Ok(Reply::text(show::HELP)),
            [b"user"] => Ok(Reply { then: Then::Level(Level::User), ..Reply::text("") }),
            [b"operator"] if level >= Level::Operator => {
                Ok(Reply { then: Then::Level(Level::Operator), ..Reply::text("") })
            }
            [b"operator"] => Err(parse::Refusal::PermissionDenied),
            [b"show", b"cli", b"level"] => Ok(Reply::text(format!("{level}\n"))),
            [b"prompt"] => Ok(Reply { then: Then::Prompt, ..Reply::text("") }),
            [b"quit"] => Ok(Reply { then: Then::Quit, head: Vec::new(), ..Reply::text("") }),
            _ => {
                let text = format!("Unknown command. {}", show::HELP);
                Ok(Reply { then: Then::Unknown, ..Reply::text(text) })
            }
        };
        done.unwrap_or_else(|refusal: parse::Refusal| Reply::text(format!("{refusal}\n")))
    }

    /// Returns the table of this local name.
    fn table(&self, name: &[u8]) -> Result<Arc<SharedTable>, parse::Refusal> {
        let name = str::from_utf8(name).map_err(|_| parse::Refusal::NoSuchTable)?;
        self.tables.find(name).ok_or(parse::Refusal::NoSuchTable)
    }

    /// The same, unless what is in it is for peers to say.
    fn table_to_change(&self, name: &[u8]) -> Result<Arc<SharedTable>, parse::Refusal> {
        let table = self.table(name)?;
        if table.part().is_set_by_hand() { Ok(table) } else { Err(parse::Refusal::NotByHand) }
    }

    fn save_state(&self, level: Level) -> Result<Reply, parse::Refusal> {
        if level < Level::Admin {
            return Err(parse::Refusal::PermissionDenied);
        }
        Ok(match &self.state {
            Some(state) => Reply::work(Work::Wait(state.save())),
            None => Reply::text("There is no state file; expected --state FILE at the start\n"),
        })
    }

    fn show_aggregates(&self, words: &[&[u8]]) -> Reply {
        let section = words.first().map(|name| String::from_utf8_lossy(name).into_owned());
        let mut out = String::new();
        let found = self.peers.show_aggregates(section.as_deref(), &mut out);
        Reply::text(if found { out } else { "No such section\n".to_owned() })
    }

    fn show_peers(&self, words: &[&[u8]]) -> Reply {
        let (words, compare) = match words {
            [b"digest", rest @ ..] => (rest, true),
            [b"dict" | b"-", rest @ ..] => (rest, false),
            all => (all, false),
        };
        let section = words.first().map(|name| String::from_utf8_lossy(name));
        let mut out = String::new();
        let found = match compare {
            true => self.peers.compare_peers(section.as_deref(), &mut out),
            false => self.peers.show_peers(section.as_deref(), &mut out),
        };
        Reply::text(if found { out } else { "No such peers\n".to_owned() })
    }
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("tables", &self.tables).finish_non_exhaustive()
    }
}

/// What a session does after a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It goes on.
    Next,
    /// It may do no more than this from now on.
    Level(Level),
    /// It becomes interactive, or ends if it was.
    Prompt,
    /// It ends.
    Quit,
    /// The command was not known: who speaks is perhaps no client of ours.
    Unknown,
}

/// The reply to one command, in pieces.
#[derive(Debug)]
pub struct Reply {
    head: Vec<u8>,
    work: Work,
    then: Then,
}

/// What is left to do.
#[derive(Debug)]
enum Work {
    /// Nothing, once the head is written.
    Head,
    Dump(dump::Dump),
    Clear(clear::Clear),
    Events(trace::Events),
    /// Somebody else does it.
    Wait(oneshot::Receiver<Result<String, String>>),
    Done,
}

impl Reply {
    /// Lines, each with its end, and the empty line that ends a reply.
    fn text(lines: impl Into<String>) -> Self {
        let mut head = lines.into().into_bytes();
        head.push(b'\n');
        Self { head, work: Work::Head, then: Then::Next }
    }

    fn work(work: Work) -> Self {
        Self { head: Vec::new(), work, then: Then::Next }
    }

    /// Waits for what somebody else does for this reply, if that is so. Without it, [`next`](Self::next) appends nothing until that is done.
    pub async fn ready(&mut self) {
        if let Work::Wait(done) = &mut self.work {
            let said = done.await;
            self.said(said.ok());
        } else if let Work::Events(events) = &self.work
            && events.waits
        {
            events.ready().await;
        }
    }

    /// Whether it ends only when the client says so, by anything that it sends.
    #[must_use]
    pub const fn is_endless(&self) -> bool {
        matches!(&self.work, Work::Events(events) if events.waits)
    }

    /// Takes what somebody else said, if they did.
    fn said(&mut self, said: Option<Result<String, String>>) {
        let said = match said {
            Some(Ok(said) | Err(said)) => said,
            None => "Not done: this process is stopping".to_owned(),
        };
        self.head = format!("{said}\n\n").into_bytes();
        self.work = Work::Head;
    }

    /// Appends the next piece: at most [`PIECE_BYTES`] and a line, after looking at no more than
    /// some hundred entries. Returns whether there is more; a piece in the middle may be empty. Holds no entry
    /// when it returns.
    pub fn next(&mut self, now: Tick, out: &mut Vec<u8>) -> bool {
        if let Work::Wait(done) = &mut self.work {
            match done.try_recv() {
                Err(oneshot::error::TryRecvError::Empty) => return true,
                said => self.said(said.ok()),
            }
        }
        let more = match &mut self.work {
            Work::Done => return false,
            Work::Head => {
                out.append(&mut self.head);
                false
            }
            Work::Dump(dump) => dump.next(now, out),
            Work::Clear(clear) => clear.next(now),
            Work::Events(events) => events.next(out),
            // Another state by now.
            Work::Wait(_) => true,
        };
        if !more {
            if !matches!(self.work, Work::Head) {
                out.push(b'\n');
            }
            self.work = Work::Done;
        }
        more
    }

    /// Returns all of it, at one time; for tests and small tables.
    #[must_use]
    pub fn read(mut self, now: Tick) -> Vec<u8> {
        let mut all = Vec::new();
        while self.next(now, &mut all) {}
        all
    }

    /// Returns what the session does afterwards.
    #[must_use]
    pub const fn then(&self) -> Then {
        self.then
    }
}
