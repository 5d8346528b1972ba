//! Learning: what the peer announces and updates, and what it is owed for that (peers protocol, sections 6, 7
//! and 11).
//!
//! Which of our tables an update is for was said by the last definition or switch. A table is ours when its name,
//! key type and key length are; every other one is skipped without a word, as is every update while no table is
//! selected. An update is decoded whole before anything of it is stored.

use std::collections::VecDeque;
use std::sync::Arc;

use stktable::Tick;
use stktable::table::{Learned, Learning, TableFull, Value as TableValue};

use super::Event;
use super::roster::{Roster, text};
use super::sources::Present;
use super::status::Counters;
use crate::peers::codec::{
    Ack, DecodeError, Decoder, Definition, Dict, Element, RawUpdate, ReceiveCache, SenderTable,
    Update, Value,
};
use crate::shared::Part;

/// How often a full table is reported.
const TABLE_FULL_MS: u64 = 10_000;

/// So many updates in a row are decoded before the first is stored, so that their entries are looked up side by side.
const BATCH: usize = 32;

/// What a session has learned of the peer's tables. Begins with nothing: ids and strings of another session mean
/// nothing in this one.
#[derive(Debug)]
pub(super) struct Learn {
    pub(super) tables: Vec<Incoming>,
    pub(super) selected: Option<usize>,
    pub(super) strings: ReceiveCache,
    /// It was told that a table was not learned.
    refusal_told: bool,
}

/// One of our tables as the peer sends it. All that is kept is kept by our table, so a peer cannot make
/// it grow.
#[derive(Clone, Debug, Default)]
pub(super) struct Incoming {
    /// The peer's number and announcement.
    pub(super) announced: Option<(u64, SenderTable)>,
    pub(super) last_get: u32,
    last_acked: u32,
    /// Updates refused since it was last told.
    refused: u64,
    refused_told: Option<Tick>,
    ignored_told: bool,
    /// The peer defined it, perhaps under a number that another table has now.
    was_defined: bool,
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
    pub(super) present: Option<&'a Present>,
    pub(super) counters: &'a mut Counters,
    pub(super) events: &'a mut VecDeque<Event>,
}

/// Updates of one table that were decoded, and not stored yet.
struct Row<'u, 's> {
    theirs: &'u SenderTable,
    last_get: &'s mut u32,
    strings: &'s mut ReceiveCache,
    updates: Vec<Decoded<'u>>,
}

/// An update with the name that it means.
struct Decoded<'u> {
    update: Update<'u>,
    name: Option<Arc<[u8]>>,
}

impl Decoded<'_> {
    /// What it is looked up by, and what is left to live.
    fn sought(&self) -> (&[u8], Option<u32>) {
        (self.update.key_bytes(), self.update.expire_ms())
    }
}

impl<'u> Row<'u, '_> {
    fn push(&mut self, update: &RawUpdate<'u>) -> Result<(), DecodeError> {
        let update = update.decode(self.theirs)?;
        *self.last_get = update.effective_id(*self.last_get);
        // Whether or not the entry is stored: later updates name the string by its number.
        let name = self.strings.receive(update.dict()).cloned();
        self.updates.push(Decoded { update, name });
        Ok(())
    }
}

/// Stores what an update says; with `tells` so that whoever reads the updates of the table is told. Returns false if there was no room
/// for its entry.
fn store(
    decoded: &Decoded<'_>,
    learned: Result<Learned<'_>, TableFull>,
    tells: Option<Tick>,
    counters: &mut Counters,
) -> bool {
    let entry = match learned {
        Ok(Learned::Entry(entry)) => entry,
        Ok(Learned::Over) => {
            counters.updates_over += 1;
            return true;
        }
        Err(_) => return false,
    };
    decoded.update.values().for_each(|Element { data_type, index, value }| match number(value) {
        Some(value) => entry.store(data_type, index, value),
        None => {
            let is_stored = store_name(&entry, decoded.name.as_deref());
            counters.names_refused += u64::from(!is_stored);
        }
    });
    if let Some(now) = tells {
        let entry = entry.entry();
        entry.touch_for(entry.expires_in(now), now);
    }
    counters.updates_learned += 1;
    true
}

/// Writes what an update says to the table that is written to beside the one it is of. What has no room there is not: its own
/// table has it.
fn store_as_is(decoded: &Decoded<'_>, learned: Result<Learned<'_>, TableFull>) {
    let Ok(Learned::Entry(entry)) = learned else { return };
    decoded.update.values().for_each(|Element { data_type, index, value }| match number(value) {
        Some(value) => entry.store_as_is(data_type, index, value),
        None => {
            // Counted where it was refused first.
            let _ = store_name(&entry, decoded.name.as_deref());
        }
    });
}

/// Returns a value as tables keep it; `None` for a name.
#[inline]
fn number(value: Value<Dict<'_>>) -> Option<TableValue> {
    Some(match value {
        Value::Sint(value) => TableValue::Sint(value),
        Value::Uint(value) => TableValue::Uint(value),
        Value::Ull(value) => TableValue::Ull(value),
        Value::Rate(rate) => TableValue::Rate {
            age_ms: rate.elapsed_ms,
            current: rate.current,
            previous: rate.previous,
        },
        Value::Dict(_) => return None,
    })
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
            tables: vec![Incoming::default(); roster.tables().max()],
            selected: None,
            strings: ReceiveCache::with_ids_max(roster.limits().names),
            refusal_told: false,
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
        let known = self.tables.iter().filter(|table| table.was_defined).count();
        let has_room = known < desk.roster.limits().tables;
        let found = match desk.roster.find(definition.name()) {
            None if has_room && desk.roster.learn().is_some() => {
                self.learn_table(definition, desk)?
            }
            found => found,
        };
        let Some((at, ours)) = found.and_then(|at| Some((at, desk.roster.tables().get(at)?)))
        else {
            desk.counters.definitions_ignored += 1;
            return Ok(());
        };
        let Some(incoming) = self.tables.get_mut(at) else { return Ok(()) };
        if !incoming.was_defined && !has_room {
            desk.counters.definitions_ignored += 1;
            if !std::mem::replace(&mut incoming.ignored_told, true) {
                let why = format!("the peer may define {known} tables, and has");
                desk.events.push_back(Event::TableIgnored { table: at, why });
            }
            return Ok(());
        }
        incoming.was_defined = true;
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

    /// Creates a table of an unknown name, if it can be. Returns its position.
    fn learn_table(
        &mut self,
        definition: &Definition<'_>,
        desk: &mut Desk<'_>,
    ) -> Result<Option<usize>, DecodeError> {
        let why = match definition.table()? {
            Ok(theirs) => match desk.roster.learn_table(definition.name(), &theirs) {
                Ok((at, is_new)) => {
                    if is_new {
                        desk.events.push_back(Event::TableLearned { table: at });
                    }
                    return Ok(Some(at));
                }
                Err(why) => why,
            },
            Err(ignored) => ignored.to_string(),
        };
        // HAProxy defines a table again and again.
        if !std::mem::replace(&mut self.refusal_told, true) {
            let name = text(definition.name());
            desk.events.push_back(Event::TableNotLearned { name, why });
        }
        Ok(None)
    }

    /// Selects the table of this number; 0 and an unknown one select none.
    pub(super) fn switch(&mut self, id: u64) {
        self.selected =
            (id != 0).then(|| self.tables.iter().position(|table| table.has_id(id))).flatten();
    }

    /// Applies an update that may be one of no table of ours. Returns whether it was one of ours.
    pub(super) fn update<'u>(
        &'u mut self,
        update: &RawUpdate<'u>,
        desk: &mut Desk<'_>,
    ) -> Result<bool, DecodeError> {
        let row = self.row(|row| row.push(update), desk);
        let Some(row) = row else {
            desk.counters.updates_skipped += 1;
            return Ok(false);
        };
        row.map(|()| true)
    }

    /// Applies the updates of a table of ours that `bytes` begin with, the first few of many. Returns how many there were,
    /// the one at fault included, and how many bytes the others had.
    pub(super) fn updates<'u>(
        &'u mut self,
        decoder: Decoder,
        bytes: &'u [u8],
        desk: &mut Desk<'_>,
    ) -> (u64, usize, Result<(), DecodeError>) {
        let (mut count, mut used) = (0, 0);
        let read = |row: &mut Row<'u, '_>| {
            while row.updates.len() < BATCH {
                let rest = bytes.get(used..).unwrap_or_default();
                let Some((update, size)) = decoder.decode_update(rest) else { break };
                count += 1;
                row.push(&update)?;
                used += size;
            }
            Ok(())
        };
        let result = self.row(read, desk).unwrap_or(Ok(()));
        (count, used, result)
    }

    /// Lets `read` decode a row of updates of the selected table, and applies those that were decoded, before an error too.
    /// `None` if no table is selected.
    fn row<'u>(
        &'u mut self,
        read: impl FnOnce(&mut Row<'u, '_>) -> Result<(), DecodeError>,
        desk: &mut Desk<'_>,
    ) -> Option<Result<(), DecodeError>> {
        let at = self.selected?;
        let ours = desk.roster.tables().get(at)?;
        let Incoming { announced, last_get, refused, refused_told, .. } =
            self.tables.get_mut(at)?;
        let (_, theirs) = announced.as_ref()?;
        let mut row = Row {
            theirs,
            last_get,
            strings: &mut self.strings,
            updates: Vec::with_capacity(BATCH),
        };
        let read = read(&mut row);
        let mut full = 0;
        let (now, counters) = (desk.now, &mut *desk.counters);
        let present = desk.present;
        let (table, is_apart) = match ours.shared().part() {
            Part::Shared => (Some(ours.shared()), false),
            Part::Apart(_) => (present.and_then(|present| present.table(at)), true),
            Part::ToldLast => {
                // A few keys, once for each table that it is a source of.
                for lease in present.into_iter().flat_map(Present::leases) {
                    lease.learn_many(&row.updates, Decoded::sought, now, |decoded, learned| {
                        store(decoded, learned, None, counters);
                    });
                }
                (None, false)
            }
            Part::Told | Part::OfOne => (None, false),
        };
        let Some(table) = table else {
            counters.updates_skipped += row.updates.len() as u64;
            return Some(read);
        };
        table.learn_many(&row.updates, Decoded::sought, now, |decoded, learned| {
            full += u64::from(!store(decoded, learned, is_apart.then_some(now), counters));
        });
        if let Some(target) = ours.shared().target() {
            target.learn_many(&row.updates, Decoded::sought, now, store_as_is);
        }
        if full > 0 {
            counters.updates_refused += full;
            *refused += full;
            if refused_told.is_none_or(|told| now.since(told) >= TABLE_FULL_MS) {
                let skipped = std::mem::take(refused);
                *refused_told = Some(now);
                desk.events.push_back(Event::TableFull { table: at, skipped });
            }
        }
        Some(read)
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
