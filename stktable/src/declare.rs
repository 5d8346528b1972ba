//! The declaration of a table: the `stick-table` line of a proxy, the `table` line of a `peers` section.
//!
//! A [`Declaration`] is made from words ([`Declaration::from_words`], for whoever has tokenised a
//! configuration), from a line ([`Declaration::parse`]) or by calls ([`Declaration::builder`]). All
//! three make the same checks, so a table never meets a size of 0, a period that cannot be
//! counted, or an array beside the scalar it replaces.
//!
//! ```text
//! stick-table  type ip size 1m expire 30m  store gpc0,conn_rate(10s)  peers mesh
//! table NAME   type string len 64 size 10k  store gpc(4),gpc_rate(4,1m)
//!              '-- arguments in any order; `store` adds up, of the others the last one wins
//! ```
//!
//! Every error of a line is found at once. After a word that is not understood, the words up to the next
//! argument are passed over, so that one slip is reported once.
//!
//! # Where HAProxy differs
//!
//! It stops at the first error of a line. It also takes what is refused here, because it cannot mean what it
//! says: characters after a closing parenthesis, a third value in `gpc_rate(2,10s,4)`, `gpc(2x)`, a
//! negative or enormous `len`, a period of 0 or 1 ms (which its counters cannot work with). What it
//! learned after 2.6 is taken here: `recv-only`, `write-to`, `brates-factor`, `type ipv4`, data types
//! 25 and 26.

use core::fmt;

mod argument;
mod builder;
mod check;
mod display;
mod error;
mod number;
mod store;

use crate::data::{Column, DataType};
use crate::key::KeySpec;

pub use builder::Builder;
pub use error::{DeclareError, DeclareErrorKind, DeclareWarning, DeclareWarningKind};

/// The largest `brates-factor`.
pub const BRATES_FACTOR_MAX: u32 = 1024;

/// The shortest period of a rate, in milliseconds: the low bit of a counter's date is its lock.
pub const PERIOD_MIN_MS: u32 = 2;

/// A word of a configuration line, and where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word<'a> {
    /// The word without its quotes and escapes.
    pub text: &'a str,
    /// The line, from 1.
    pub line: u32,
    /// The column of the first character, from 1.
    pub column: u32,
}

/// Splits a line at white space; the words stand on line 1. Quotes, escapes and comments mean nothing here.
pub fn split(line: &str) -> impl Iterator<Item = Word<'_>> {
    let mut rest = line;
    let mut column = 1;
    core::iter::from_fn(move || {
        let word = rest.trim_start();
        let skipped = rest.len() - word.len();
        column = advance(column, &rest[..skipped]);
        let end = word.find(char::is_whitespace).unwrap_or(word.len());
        let (text, after) = word.split_at(end);
        let found = Word { text, line: 1, column };
        column = advance(column, text);
        rest = after;
        (!text.is_empty()).then_some(found)
    })
}

/// Returns the column after `text`, which begins at `column`.
fn advance(column: u32, text: &str) -> u32 {
    let width = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
    column.saturating_add(width)
}

/// Where a declaration stands, which decides on its form and its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    /// In the proxy (`frontend`, `listen`, `backend`) of this name: a `stick-table` line, which takes
    /// the proxy's name.
    Proxy(&'a str),
    /// In the `peers` section of this name: a `table` line, which has its own.
    Peers(&'a str),
}

/// What the column `server_key` holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SrvKey {
    /// The name of a server.
    #[default]
    Name,
    /// The address and port of a server.
    Addr,
}

impl SrvKey {
    /// Returns the word in configurations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Addr => "addr",
        }
    }
}

impl fmt::Display for SrvKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A table as declared: its names, its keys, its bounds and its columns.
///
/// [`Display`](fmt::Display) writes it as the line that declares it; parsing that line in the same
/// [`Scope`] gives the same value. The fields are open to read; whoever changes one by hand
/// passes by the checks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Declaration {
    /// The name of the proxy, or the one that a `table` line gives.
    pub name: String,
    /// The `peers` section that declares the table; `None` for the table of a proxy.
    pub section: Option<String>,
    /// The type and the stored size of the keys.
    pub key: KeySpec,
    /// The most entries, at least 1.
    pub size: u32,
    /// How long an entry stays after it was last touched, in milliseconds; 0 is for ever.
    pub expire_ms: u32,
    /// Whether a full table refuses a new entry rather than purging an old one.
    pub nopurge: bool,
    /// Whether this process promises to update nothing, and so learns local columns too.
    pub recv_only: bool,
    /// The local name of the table which is also given what this one learns from peers.
    pub write_to: Option<String>,
    /// What the column `server_key` holds.
    pub srvkey: SrvKey,
    /// How many bytes count as one in `bytes_in_rate` and `bytes_out_rate`, 1 to [`BRATES_FACTOR_MAX`].
    pub brates_factor: u32,
    /// What is stored, ascending by data type number, each type at most once.
    pub columns: Vec<Column>,
    /// The `peers` section with which a proxy's table is shared.
    pub peers: Option<String>,
}

impl Declaration {
    /// Returns a builder of a proxy's table, which [`Builder::section`] makes a `peers` section's.
    pub fn builder(name: impl Into<String>, key: KeySpec) -> Builder {
        Builder::new(name.into(), key)
    }

    /// Returns the declaration in these words, the first of which is `stick-table` or `table`.
    ///
    /// Where a word had quotes or escapes, the columns of errors inside it are as if it had none.
    #[must_use]
    pub fn from_words(words: &[Word<'_>], scope: Scope<'_>) -> Parsed {
        argument::parse(words, scope)
    }

    /// Returns the declaration in this line, which is split at white space.
    ///
    /// # Examples
    /// ```
    /// use stktable::declare::{Declaration, Scope};
    ///
    /// let line = "table t type ip size 1k expire 10m store gpc0,conn_rate(10s)";
    /// let table = Declaration::parse(line, Scope::Peers("mesh")).into_result().unwrap();
    /// assert_eq!(table.size, 1024);
    /// assert_eq!(table.wire_name(), "/t");
    /// assert_eq!(table.local_name(), "mesh/t");
    /// assert_eq!(table.to_string(), line);
    /// ```
    #[must_use]
    pub fn parse(line: &str, scope: Scope<'_>) -> Parsed {
        let words: Vec<_> = split(line).collect();
        Self::from_words(&words, scope)
    }

    /// Returns the name that travels to peers: the proxy's, or a slash and the table's own.
    #[must_use]
    pub fn wire_name(&self) -> String {
        match self.section {
            None => self.name.clone(),
            Some(_) => format!("/{}", self.name),
        }
    }

    /// Returns the name in commands and in `write-to`: the proxy's, or `SECTION/NAME`.
    #[must_use]
    pub fn local_name(&self) -> String {
        match &self.section {
            None => self.name.clone(),
            Some(section) => format!("{section}/{}", self.name),
        }
    }

    /// Returns the column of this type, `None` where it is not stored.
    #[must_use]
    pub fn column(&self, data_type: DataType) -> Option<Column> {
        self.columns.iter().copied().find(|column| column.data_type == data_type)
    }

    /// Returns where the declaration stands.
    #[must_use]
    pub fn scope(&self) -> Scope<'_> {
        match &self.section {
            None => Scope::Proxy(&self.name),
            Some(section) => Scope::Peers(section),
        }
    }
}

/// What was found in the words of a declaration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// The declaration, if nothing was wrong.
    pub declaration: Option<Declaration>,
    /// Every error, in the order of the words; what is missing comes last.
    pub errors: Vec<DeclareError>,
    /// What was read differently from how it was perhaps meant.
    pub warnings: Vec<DeclareWarning>,
}

impl Parsed {
    /// Returns the declaration and drops the warnings.
    ///
    /// # Errors
    /// When anything was wrong: all of it, at least one error.
    pub fn into_result(self) -> Result<Declaration, Vec<DeclareError>> {
        self.declaration.ok_or(self.errors)
    }
}
