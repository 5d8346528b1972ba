//! The tables of a section: those it was made of, and those that came later: learned from what peers define, or added.
//!
//! ```text
//! positions   0 .. n-1            n .. n+cap-1
//!             made of these       learned or added, one slot each, filled in order and never emptied
//! ```
//!
//! Sessions name tables by their position, and keep something for each position there may be. A slot is written once, so that
//! it is read without a lock.

use std::sync::{Arc, OnceLock};

use stktable::declare::Builder;
use stktable::{DataType, Declaration};

use super::roster::{Roster, RosterError, RosterTable};
use crate::peers::codec::SenderTable;
use crate::shared::{SharedTable, TableSet};

/// The longest name of a table that is learned.
const NAME_MAX: usize = 128;

/// Tables that peers define and that are unknown here are created as they are defined.
#[derive(Clone, Debug)]
pub struct LearnTables {
    /// How many, from all peers together.
    pub tables: usize,
    /// The size of each: what a peer keeps is not said by its definition.
    pub size: u32,
    /// Where they are put. A table whose name is there already is not learned.
    pub into: Arc<TableSet>,
}

/// The tables of a section that are there now.
#[derive(Clone, Copy, Debug)]
pub struct Tables<'a> {
    fixed: &'a [RosterTable],
    learned: &'a [OnceLock<RosterTable>],
}

impl<'a> Tables<'a> {
    pub(super) const fn new(
        fixed: &'a [RosterTable],
        learned: &'a [OnceLock<RosterTable>],
    ) -> Self {
        Self { fixed, learned }
    }

    /// Returns the table at this position.
    #[must_use]
    pub fn get(self, at: usize) -> Option<&'a RosterTable> {
        match self.fixed.get(at) {
            Some(table) => Some(table),
            None => self.learned.get(at.checked_sub(self.fixed.len())?)?.get(),
        }
    }

    /// Returns the tables, by position.
    pub fn iter(self) -> impl Iterator<Item = &'a RosterTable> {
        self.fixed.iter().chain(self.learned.iter().map_while(OnceLock::get))
    }

    /// Returns how many there are.
    #[must_use]
    pub fn len(self) -> usize {
        self.iter().count()
    }

    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Returns how many there may ever be.
    pub(super) const fn max(self) -> usize {
        self.fixed.len() + self.learned.len()
    }
}

impl Roster {
    /// Creates a table as a peer defines it, unless another session has done so meanwhile. Returns its position, and whether it
    /// is new.
    ///
    /// # Errors
    /// Why it cannot be.
    pub(super) fn learn_table(
        &self,
        name: &[u8],
        theirs: &SenderTable,
    ) -> Result<(usize, bool), String> {
        let Some(learn) = self.learn() else { return Err("tables are not learned".to_owned()) };
        let declaration = declaration(self.section(), name, theirs, learn.size)?;
        let local_name = declaration.local_name();
        let fixed = self.fixed_tables();
        let mut made = None;
        for (at, slot) in self.later_tables().iter().enumerate() {
            if slot.get().is_none() {
                if self.tables().iter().filter(|table| table.is_learned()).count() >= learn.tables {
                    break;
                }
                if learn.into.find(&local_name).is_some() {
                    return Err(format!("there is another table {local_name} here"));
                }
                let table = made
                    .take()
                    .unwrap_or_else(|| RosterTable::learned(SharedTable::new(declaration.clone())));
                match slot.set(table) {
                    Ok(()) => return Ok((fixed + at, true)),
                    Err(table) => made = Some(table),
                }
            }
            // Ours, or that of a session which was faster.
            if slot.get().is_some_and(|table| *table.wire_name() == *name) {
                return Ok((fixed + at, false));
            }
        }
        Err(format!("{} tables have been learned, and no more may be", learn.tables))
    }

    /// Adds a table. One caller at a time. Returns its position. Sessions tell of it from now on.
    ///
    /// # Errors
    /// When there is one of its name on the network, or too many were added.
    pub fn add_table(&self, table: &Arc<SharedTable>) -> Result<usize, RosterError> {
        let mut made = RosterTable::new(Arc::clone(table));
        if self.find(made.wire_name()).is_some() {
            let table = String::from_utf8_lossy(made.wire_name()).into_owned();
            return Err(RosterError::SameTable { table });
        }
        for (at, slot) in self.later_tables().iter().enumerate() {
            // Else a session has learned one there.
            match slot.set(made) {
                Ok(()) => return Ok(self.fixed_tables() + at),
                Err(back) => made = back,
            }
        }
        Err(RosterError::TooManyTables)
    }
}

/// Returns the declaration of a table with this name on the network.
fn declaration(
    section: &str,
    name: &[u8],
    theirs: &SenderTable,
    size: u32,
) -> Result<Declaration, String> {
    let wrong =
        || format!("{:?} is no name that a table can have here", String::from_utf8_lossy(name));
    let name = std::str::from_utf8(name).map_err(|_| wrong())?;
    let (own, name) = match name.strip_prefix('/') {
        Some(name) => (true, name),
        None => (false, name),
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '-');
    if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(allowed) {
        return Err(wrong());
    }
    let builder = Declaration::builder(name, theirs.key()).size(size);
    let builder = if own { builder.section(section) } else { builder.peers(section) };
    let narrow = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    let expire_ms = narrow(theirs.expire_ms().unwrap_or(0));
    let store = |builder: Builder, data_type: DataType| {
        let (elements, period_ms) =
            (narrow(theirs.elements(data_type)), narrow(theirs.period_ms(data_type)));
        match (data_type.is_array(), data_type.is_rate()) {
            (false, false) => builder.store(data_type),
            (false, true) => builder.store_rate(data_type, period_ms),
            (true, false) => builder.store_array(data_type, elements),
            (true, true) => builder.store_rate_array(data_type, elements, period_ms),
        }
    };
    let builder = theirs.data_types().fold(builder.expire_ms(expire_ms), store);
    builder.build().map_err(|error| error.to_string())
}
