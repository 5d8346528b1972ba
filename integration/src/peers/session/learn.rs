//! Learning: what the peer announces and updates, and what it is owed for that (peers protocol, sections 6, 7
//! and 11).
//!
//! Which of our tables an update is for was said by the last definition or switch. A table is ours when its name,
//! key type and key length are; every other one is skipped without a word, as is every update while no table is
//! selected. An update is decoded whole before anything of it is stored.

use std::collections::VecDeque;

use stktable::Tick;
use stktable::table::{Learned, Learning, Value as TableValue};

use super::Event;
use super::roster::Roster;
use super::status::Counters;
use crate::peers::codec::{
    Ack, DecodeError, Definition, RawUpdate, ReceiveCache, SenderTable, Value,
};

/// How often a full table is reported.
const TABLE_FULL_MS: u64 = 10_000;

/// What a session has learned of the peer's tables. Begins with nothing: ids and strings of another session mean
/// nothing in this one.
#[derive(Debug)]
pub(super) struct Learn {
    tables: Vec<Incoming>,
    selected: Option<usize>,
    strings: ReceiveCache,
}

/// One of our tables as the peer sends it. All that is kept is kept by our table, so a peer cannot make
/// it grow.
#[derive(Clone, Debug, Default)]
struct Incoming {
    /// The peer's number and announcement.
    announced: Option<(u64, SenderTable)>,
    last_get: u32,
    last_acked: u32,
    /// Updates refused since it was last told.
    refused: u64,
    refused_told: Option<Tick>,
    ignored_told: bool,
}

impl Incoming {
    fn has_id(&self, id: u64) -> bool {
        self.announced.as_ref().is_some_and(|(announced, _)| *announced == id)
    }
}

/// What is at hand while a message is handled.
pub(super) struct Desk<'a> {
    pub(super) now: Tick,
    pub(super) roster: &'a Roster,
    pub(super) counters: &'a mut Counters,
    pub(super) events: &'a mut VecDeque<Event>,
}

/// Stores the name that an update carries, if it does. Returns whether there is nothing to complain of: a table does not keep
/// names without end, nor what is no text.
fn store_name(entry: &Learning<'_>, name: Option<&[u8]>) -> bool {
    // No value: what the entry has stays.
    let Some(name) = name else { return true };
    std::str::from_utf8(name).is_ok_and(|name| entry.store_server_key(Some(name)).is_ok())
}

impl Learn {
    pub(super) fn new(roster: &Roster) -> Self {
        Self {
            tables: vec![Incoming::default(); roster.tables().len()],
            selected: None,
            strings: ReceiveCache::new(),
        }
    }

    /// Returns the position of the selected table.
    pub(super) const fn selected(&self) -> Option<usize> {
        self.selected
    }

    /// Returns the peer's number of a table, the last update received and the last acknowledged.
    pub(super) fn table(&self, at: usize) -> (Option<u64>, u32, u32) {
        let Some(table) = self.tables.get(at) else { return (None, 0, 0) };
        (table.announced.as_ref().map(|(id, _)| *id), table.last_get, table.last_acked)
    }

    pub(super) fn define(
        &mut self,
        definition: &Definition<'_>,
        desk: &mut Desk<'_>,
    ) -> Result<(), DecodeError> {
        self.selected = None;
        for table in &mut self.tables {
            if table.has_id(definition.id()) {
                table.announced = None;
            }
        }
        let found = desk.roster.find(definition.name());
        let Some((at, ours)) = found.and_then(|at| Some((at, desk.roster.tables().get(at)?)))
        else {
            desk.counters.definitions_ignored += 1;
            return Ok(());
        };
        let Some(incoming) = self.tables.get_mut(at) else { return Ok(()) };
        let (wanted, found) = (ours.announced().key(), definition.table()?);
        let why = match found {
            Ok(theirs) if theirs.key() == wanted => {
                incoming.announced = Some((definition.id(), theirs));
                self.selected = Some(at);
                return Ok(());
            }
            Ok(theirs) => format!(
                "its keys are of type {} and length {}, ours of type {} and length {}",
                theirs.key().ty(),
                theirs.key().size(),
                wanted.ty(),
                wanted.size()
            ),
            Err(ignored) => ignored.to_string(),
        };
        desk.counters.definitions_ignored += 1;
        if !std::mem::replace(&mut incoming.ignored_told, true) {
            desk.events.push_back(Event::TableIgnored { table: at, why });
        }
        Ok(())
    }

    /// Selects the table of this number; 0 and an unknown one select none.
    pub(super) fn switch(&mut self, id: u64) {
        self.selected =
            (id != 0).then(|| self.tables.iter().position(|table| table.has_id(id))).flatten();
    }

    /// Applies an update. Returns whether it was one of a table of ours.
    pub(super) fn update(
        &mut self,
        update: &RawUpdate<'_>,
        desk: &mut Desk<'_>,
    ) -> Result<bool, DecodeError> {
        let selected = self.selected.and_then(|at| {
            let incoming = self.tables.get_mut(at)?;
            Some((at, desk.roster.tables().get(at)?, incoming))
        });
        let Some((
            at,
            ours,
            Incoming { announced: Some((_, theirs)), last_get, refused, refused_told, .. },
        )) = selected
        else {
            desk.counters.updates_skipped += 1;
            return Ok(false);
        };
        let update = update.decode(theirs)?;
        *last_get = update.effective_id(*last_get);
        // Whether or not the entry is stored: later updates name the string by its number.
        let name = self.strings.receive(update.dict()).cloned();
        match ours.table().learn(update.key(), update.expire_ms(), desk.now) {
            Ok(Learned::Over) => desk.counters.updates_over += 1,
            Ok(Learned::Entry(entry)) => {
                for element in update.values() {
                    let value = match element.value {
                        Value::Sint(value) => TableValue::Sint(value),
                        Value::Uint(value) => TableValue::Uint(value),
                        Value::Ull(value) => TableValue::Ull(value),
                        Value::Rate(rate) => TableValue::Rate {
                            age_ms: rate.elapsed_ms,
                            current: rate.current,
                            previous: rate.previous,
                        },
                        Value::Dict(_) => {
                            desk.counters.names_refused +=
                                u64::from(!store_name(&entry, name.as_deref()));
                            continue;
                        }
                    };
                    entry.store(element.data_type, element.index, value);
                }
                desk.counters.updates_learned += 1;
            }
            Err(_) => {
                desk.counters.updates_refused += 1;
                *refused += 1;
                if refused_told.is_none_or(|told| desk.now.since(told) >= TABLE_FULL_MS) {
                    let skipped = std::mem::take(refused);
                    *refused_told = Some(desk.now);
                    desk.events.push_back(Event::TableFull { table: at, skipped });
                }
            }
        }
        Ok(true)
    }

    /// Writes the acks that are due: one for each table whose last update is not acknowledged. Both
    /// numbers begin at 0, so a first update with id 0 is not.
    pub(super) fn acks(&mut self, counters: &mut Counters, out: &mut Vec<u8>) {
        for table in &mut self.tables {
            if table.last_get == table.last_acked {
                continue;
            }
            let Some((table_id, _)) = table.announced else { continue };
            Ack { table_id, update_id: table.last_get }.encode(out);
            table.last_acked = table.last_get;
            counters.acks_sent += 1;
        }
    }
}
