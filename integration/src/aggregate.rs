//! Sums over peers: what several HAProxies count of one client, as one table that each of them reads.
//!
//! Peers overwrite each other's entries, they never add. Here each *source* keeps a table of its own ([`Sources`]), whose entries
//! are replaced as it tells them; a second table, which all are told, holds what they make together.
//!
//! ```text
//!  HAProxy a ── its "st.local" ──►  a's table ──.
//!  HAProxy b ── its "st.local" ──►  b's table ──+── keys that changed ──► combined at one instant ──► "st.agg" ──► a, b, c
//!  HAProxy c ── its "st.local" ──►  c's table ──'                                                     "lease"  ──► a, b, c
//! ```
//!
//! What can be relied on:
//!
//! - **Nothing is counted twice.** A value replaces the one its source told before; a replay, a reconnection or a full resync changes no
//!   sum. A counter that went down is what its source says now: it restarted. When a source's session comes up it is asked for
//!   everything, and what it does not mention any more is dropped.
//! - **A source counts** from its first session until it has been without one for [`Settings::source_timeout_ms`], or is removed from
//!   the section.
//! - **A part is not shown as the whole.** Each table has one key, its name, in the *lease* table: `gpt0` is 1 only while every
//!   expected source is connected, has told everything, and all of that is in the sums; `gpc0` says how many are in, `gpc1` how many are
//!   expected. The key is renewed every [`LEASE_RENEW_MS`] and lives for [`LEASE_MS`]. A peer is sent it only after what it
//!   speaks of ([`Part::ToldLast`](crate::shared::Part::ToldLast)); and a source that is lost is named missing longer than
//!   a lease lives before anything of it leaves a sum.
//! - **Two aggregators do not meet.** Each publishes tables of its own name; who reads them takes the first whose lease is good. There
//!   is nothing to elect, so nothing to disagree about.
//!
//! The table of each source here is twice as large as its own, and a published one as large: where the sources have more keys together, the
//! oldest sums make room (`stktable_purged_total`).
//!
//! Work is in proportion to what changed: the keys that a source has told anew are looked up in every source's table, in batches side by
//! side, and are written, and told, only where a value differs. Half a table's time to live after an entry was told it is told again, while
//! a source has it; an entry that no source has is told as 0 and left to expire.

mod combine;
mod pass;
mod reader;
mod run;
mod status;

use stktable::{DataType, Declaration, KeySpec};

pub use combine::{Combine, Element, Rule, Sum, same};
pub use pass::Aggregate;
pub use run::run;
pub use status::{AggregateStatus, SourceStatus};

pub use crate::peers::session::{Source, Sources};

/// How long the key of a table in the lease table lives.
pub const LEASE_MS: u32 = 2000;
/// How often it is renewed.
pub const LEASE_RENEW_MS: u32 = 500;
/// The least [`Settings::source_timeout_ms`]: by then no peer has a lease that says that the source is in.
pub const SOURCE_TIMEOUT_MIN_MS: u32 = LEASE_MS + LEASE_RENEW_MS;
/// The length of the keys of a lease table.
pub const LEASE_KEY_LEN: u32 = 64;
/// The most keys of a lease table.
pub const LEASE_SIZE: u32 = 100;

/// How a table is aggregated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What is combined otherwise than by [`Rule::of`].
    pub combine: Vec<Combine>,
    /// The least time between two publications.
    pub every_ms: u32,
    /// How long a source without a session counts.
    pub source_timeout_ms: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { combine: Vec::new(), every_ms: 100, source_timeout_ms: 10_000 }
    }
}

/// Returns the declaration of the table that is made of another one, under this name.
///
/// # Errors
/// When a type that another one becomes is stored already, or cannot hold it: what is wrong.
pub fn declaration(
    source: &Declaration,
    name: &str,
    settings: &Settings,
) -> Result<Declaration, String> {
    let mut declaration = source.clone();
    declaration.name = name.to_owned();
    declaration.write_to = None;
    declaration.recv_only = false;
    for Combine { from, rule, into } in &settings.combine {
        let Some(column) = source.column(*from) else {
            return Err(format!("`{from}` is not stored in table `{}`", source.name));
        };
        if !rule.fits(*from) {
            return Err(format!("a name has no {rule}; expected last or any"));
        }
        let Some(into) = into.filter(|into| into != from) else { continue };
        if declaration.column(into).is_some() {
            return Err(format!("`{into}` is stored already in table `{}`", source.name));
        }
        if into.storage() != from.storage() || into.is_array() != from.is_array() {
            return Err(format!("`{into}` cannot hold what `{from}` does"));
        }
        declaration.columns.retain(|kept| kept.data_type != *from);
        declaration.columns.push(stktable::Column { data_type: into, ..column });
        declaration.columns.sort_by_key(|column| column.data_type.number());
    }
    // As HAProxy would have it declared: some types stand in each other's place.
    let parsed = Declaration::parse(&declaration.to_string(), declaration.scope());
    match parsed.errors.first() {
        None => Ok(declaration),
        Some(error) => Err(format!("`{}`: {}", error.word, error.kind)),
    }
}

/// Returns the declaration of a lease table.
///
/// # Panics
/// Never, for a name and a section that were checked.
#[must_use]
pub fn lease_declaration(section: &str, name: &str) -> Declaration {
    Declaration::builder(name, KeySpec::string(LEASE_KEY_LEN).expect("a length that keys may have"))
        .section(section)
        .size(LEASE_SIZE)
        .expire_ms(LEASE_MS)
        .store(DataType::Gpt0)
        .store(DataType::Gpc0)
        .store(DataType::Gpc1)
        .build()
        .expect("the names were checked")
}
