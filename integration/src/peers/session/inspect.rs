//! Who looks at a session in its midst is told what was announced before.

use super::teach::id_of;
use super::{Learn, Phase, Session, Teach, text};
use crate::peers::inspect::Inspector;
use crate::peers::session::roster::Roster;

impl Session {
    /// Returns the peer, once it is known.
    #[must_use]
    pub fn peer(&self) -> Option<&str> {
        self.peer.as_deref()
    }

    /// Returns what reads the bytes that are used from now on, and those that are made. `None` in the midst of a handshake.
    #[must_use]
    pub fn inspectors(&self) -> Option<(Inspector, Inspector)> {
        match self.phase {
            Phase::Up if self.ready.is_empty() => {
                Some((self.learn.inspector(&self.roster), self.teach.inspector(&self.roster)))
            }
            Phase::Hello(_) | Phase::Status(_) if self.offset == 0 => {
                Some((Inspector::new(), Inspector::new()))
            }
            _ => None,
        }
    }
}

impl Learn {
    fn inspector(&self, roster: &Roster) -> Inspector {
        let mut inspector = Inspector::amid(self.strings.clone());
        for (at, (table, ours)) in self.tables.iter().zip(roster.tables().iter()).enumerate() {
            if let Some((id, columns)) = &table.announced {
                let name = text(ours.wire_name());
                let selected = self.selected == Some(at);
                inspector.announce(*id, name, Some(columns.clone()), table.last_get, selected);
            }
        }
        inspector
    }
}

impl Teach {
    fn inspector(&self, roster: &Roster) -> Inspector {
        let mut inspector = Inspector::amid(crate::peers::codec::ReceiveCache::new());
        for (at, table) in roster.tables().iter().enumerate() {
            let selected = self.defined == Some(at);
            let name = text(table.wire_name());
            // Every update of ours says its number.
            inspector.announce(id_of(at), name, Some(table.announced().clone()), 0, selected);
        }
        inspector
    }
}
