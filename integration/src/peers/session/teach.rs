//! Teaching: what changed here, in the order in which it changed, and how far the peer has it (peers protocol,
//! section 12).
//!
//! Each table has a cursor: the last change that the peer was sent. A session begins where the last one was
//! acknowledged. Updates are made when there is room to write them, so nothing queues: an entry that changes
//! ten times while the peer is slow is sent once.
//!
//! Ids are written in full, always: they wrap with the low 32 bits of the sequence, and HAProxy from 3.3 on
//! acknowledges nothing else rightly.

use stktable::table::{Glance, Value as TableValue};
use stktable::{StickTable, Tick};

use super::lesson::Lesson;
use super::roster::{PeerMemory, Roster, RosterTable};
use super::status::Counters;
use super::{OUT_MAX, TURN_UPDATES};
use crate::peers::codec::{
    Ack, DecodeError, Definition, EncodeError, Rate, RawAck, SendCache, UpdateHeader, Value,
};
use crate::shared::Part;

/// What a session has told the peer.
#[derive(Debug)]
pub(super) struct Teach {
    tables: Vec<Outgoing>,
    /// The table that the peer takes updates for: the one defined last.
    pub(super) defined: Option<usize>,
    strings: SendCache,
    pub(super) lesson: Option<Lesson>,
}

#[derive(Clone, Debug)]
struct Outgoing {
    cursor: u64,
    acked: u64,
    /// The last change that was sent to be acknowledged.
    sent: u64,
    /// How far the reading that is under way goes.
    upto: Option<u64>,
}

/// What is at hand while messages are written.
pub(super) struct Pen<'a> {
    pub(super) now: Tick,
    pub(super) roster: &'a Roster,
    pub(super) counters: &'a mut Counters,
    pub(super) out: &'a mut Vec<u8>,
}

impl Pen<'_> {
    /// Whether there is room for another message.
    pub(super) fn has_room(&self) -> bool {
        self.out.len() < OUT_MAX
    }
}

impl Teach {
    /// Goes on after what the peer acknowledged last.
    pub(super) fn new(roster: &Roster, memory: &PeerMemory) -> Self {
        let outgoing = |at| {
            let acked = memory.acked(at);
            Outgoing { cursor: acked, acked, sent: acked, upto: None }
        };
        Self {
            tables: (0..roster.tables().max()).map(outgoing).collect(),
            defined: None,
            strings: SendCache::new(),
            lesson: None,
        }
    }

    /// Goes on after what another session has had acknowledged meanwhile.
    pub(super) fn resume(&mut self, memory: &PeerMemory) {
        for (at, table) in self.tables.iter_mut().enumerate() {
            let acked = memory.acked(at);
            if acked > table.acked {
                table.acked = acked;
            }
            if acked > table.cursor {
                table.cursor = acked;
                table.upto = None;
            }
        }
    }

    /// Returns the cursor of a table and what was acknowledged.
    pub(super) fn table(&self, at: usize) -> (u64, u64) {
        self.tables.get(at).map_or((0, 0), |table| (table.cursor, table.acked))
    }

    /// Sets a cursor after a lesson that the peer has confirmed: it has everything up to `upto`. `None` goes back
    /// to what was acknowledged before.
    pub(super) fn after_lesson(&mut self, at: usize, upto: Option<u64>, memory: &PeerMemory) {
        let Some(table) = self.tables.get_mut(at) else { return };
        table.upto = None;
        match upto {
            Some(upto) => {
                table.cursor = table.cursor.max(upto);
                table.acked = table.cursor;
                memory.set_acked(at, table.acked);
            }
            None => (table.cursor, table.sent) = (table.acked, table.acked),
        }
    }

    /// Takes an ack, unless it is of what was never sent or acknowledged before. In a lesson it is not even
    /// parsed.
    pub(super) fn ack(
        &mut self,
        ack: RawAck<'_>,
        memory: &PeerMemory,
        counters: &mut Counters,
    ) -> Result<(), DecodeError> {
        if self.lesson.is_some() {
            counters.acks_ignored += 1;
            return Ok(());
        }
        let Ack { table_id, update_id } = ack.decode()?;
        let at = usize::try_from(table_id).ok().and_then(|id| id.checked_sub(1));
        if let Some(at) = at
            && let Some(table) = self.tables.get_mut(at)
        {
            let seq = nearest(table.cursor, update_id);
            if seq > table.acked && seq <= table.cursor {
                table.acked = seq;
                memory.set_acked(at, seq);
                counters.acks_received += 1;
                return Ok(());
            }
        }
        counters.acks_ignored += 1;
        Ok(())
    }

    /// Notes that there is nothing to wait for: the peer has acknowledged all that it was sent, and what came after needed not be
    /// sent, since its entries are gone or were taught.
    pub(super) fn settle(&mut self, memory: &PeerMemory) {
        for (at, table) in self.tables.iter_mut().enumerate() {
            if table.acked >= table.sent && table.acked < table.cursor {
                table.acked = table.cursor;
                memory.set_acked(at, table.acked);
            }
        }
    }

    /// Writes changes of every table, some of each, beginning after the one that was written last.
    pub(super) fn push(&mut self, pen: &mut Pen<'_>) {
        let count = self.tables.len();
        let first = self.defined.map_or(0, |at| at + 1);
        let mut last = None;
        for step in 0..count {
            let at = (first + step) % count;
            match pen.roster.tables().get(at).map(|table| table.shared().part()) {
                Some(Part::ToldLast) => last = Some(at),
                _ if pen.has_room() => self.push_table(at, pen),
                _ => {}
            }
        }
        if let Some(at) = last.filter(|_| pen.has_room()) {
            self.push_last(at, pen);
        }
    }

    /// Writes changes of a table that says something of the others, so that the peer reads it after what it speaks of.
    fn push_last(&mut self, at: usize, pen: &mut Pen<'_>) {
        let Some(before) = self.tables.get(at).cloned() else { return };
        let (defined, size, sent) = (self.defined, pen.out.len(), pen.counters.updates_sent);
        self.push_table(at, pen);
        // Looked at after the values were read: what the others had by then is written, or this is taken back.
        let others = pen.roster.tables().iter().zip(&self.tables).enumerate();
        let is_behind = others.filter(|(other, _)| *other != at).any(|(_, (table, outgoing))| {
            outgoing.upto.is_some() || table.table().last_update() > outgoing.cursor
        });
        if is_behind && let Some(outgoing) = self.tables.get_mut(at) {
            *outgoing = before;
            self.defined = defined;
            pen.out.truncate(size);
            pen.counters.updates_sent = sent;
        }
    }

    fn push_table(&mut self, at: usize, pen: &mut Pen<'_>) {
        let Some(ours) = pen.roster.tables().get(at) else { return };
        let Some(outgoing) = self.tables.get(at) else { return };
        let (table, mut cursor, mut sent) = (ours.table(), outgoing.cursor, outgoing.sent);
        let Some(upto) = outgoing.upto.or_else(|| table.begin_updates(cursor)) else { return };
        let mut left = TURN_UPDATES;
        let is_over = loop {
            if left == 0 || !pen.has_room() {
                break false;
            }
            let Some(taught) = table.next_update(cursor, upto) else { break true };
            left -= 1;
            cursor = taught.seq;
            let entry = taught.entry.glance();
            if !is_dying(table, entry, pen.now) {
                self.write(at, ours, entry, low32(taught.seq), None, pen);
                sent = cursor;
            }
        };
        if let Some(outgoing) = self.tables.get_mut(at) {
            outgoing.sent = sent;
            outgoing.cursor = if is_over { upto } else { cursor };
            outgoing.upto = (!is_over).then_some(upto);
        }
    }

    /// Writes one entry, after the definition of its table if the peer does not expect that table.
    pub(super) fn write(
        &mut self,
        at: usize,
        table: &RosterTable,
        entry: Glance<'_>,
        id: u32,
        expire_ms: Option<u32>,
        pen: &mut Pen<'_>,
    ) {
        self.define(at, table, pen);
        let header = UpdateHeader { id: Some(id), expire_ms };
        let announced = table.announced();
        let written = header.encode_short(entry.key_bytes(), announced, pen.out, |short| {
            entry.numbers(announced.list(), pen.now, |number| short.number(number));
        });
        if written {
            pen.counters.updates_sent += 1;
            return;
        }
        let name = entry.server_key();
        let value = |data_type, index| match entry.value(data_type, index, pen.now) {
            Some(TableValue::Sint(value)) => Value::Sint(value),
            Some(TableValue::Uint(value)) => Value::Uint(value),
            Some(TableValue::Ull(value)) => Value::Ull(value),
            Some(TableValue::Rate { age_ms, current, previous }) => {
                Value::Rate(Rate { elapsed_ms: age_ms, current, previous })
            }
            None => Value::Dict(name.as_deref().map(str::as_bytes)),
        };
        let (key, strings) = (entry.key_bytes(), &mut self.strings);
        let written: Result<(), EncodeError> =
            header.encode_bytes(key, table.announced(), strings, pen.out, value);
        debug_assert!(written.is_ok(), "{:?}: what is announced is what is stored", entry.key());
        pen.counters.updates_sent += u64::from(written.is_ok());
    }

    /// Announces the next table again, whichever it is.
    pub(super) fn forget_definition(&mut self) {
        self.defined = None;
    }

    /// Announces a table, unless it is the one announced last.
    pub(super) fn define(&mut self, at: usize, table: &RosterTable, pen: &mut Pen<'_>) {
        if self.defined == Some(at) {
            return;
        }
        let written = Definition::encode(id_of(at), table.wire_name(), table.announced(), pen.out);
        debug_assert!(written.is_ok(), "the names of tables are checked");
        self.defined = Some(at);
    }
}

/// Returns our number for the table at this position.
pub(super) const fn id_of(at: usize) -> u64 {
    at as u64 + 1
}

/// Whether an entry is over, and only has not been taken yet: telling it would bring it to life elsewhere.
pub(super) fn is_dying(table: &StickTable, entry: Glance<'_>, now: Tick) -> bool {
    table.declaration().expire_ms != 0 && entry.expires_in(now) == 0
}

/// Returns the sequence with these low bits that is nearest to `near`; 0 where that lies before the first.
const fn nearest(near: u64, low: u32) -> u64 {
    let distance = low.wrapping_sub(low32(near)).cast_signed();
    near.saturating_add_signed(distance as i64)
}

#[expect(clippy::cast_possible_truncation, reason = "the low bits are what travels")]
const fn low32(seq: u64) -> u32 {
    seq as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acks_are_mapped_across_the_wrap() {
        let near = (1 << 32) + 5;
        assert_eq!(nearest(near, 5), near);
        assert_eq!(nearest(near, 0xffff_ffff), (1 << 32) - 1);
        assert_eq!(nearest(near, 6), near + 1, "of the future, which the caller refuses");
        assert_eq!(nearest(3, 0xffff_fff0), 0, "before the first");
        assert_eq!(nearest(u64::from(u32::MAX), 1), (1 << 32) + 1);
    }
}
