//! What the log says of a peer, and not more often than anybody reads.

use stktable::Tick;

use crate::peers::session::{Event, Reason, Role, Roster};

/// Lines of one peer in a window, and how long that is.
const LINES: u32 = 30;
const WINDOW_MS: u64 = 10_000;

/// How much was said lately.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Talk {
    since: Option<Tick>,
    lines: u32,
    unsaid: u64,
}

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// It is said, after so many that were not.
    Said(u64),
    /// It is the last for a while.
    Last,
    /// It is left out.
    Unsaid,
}

impl Talk {
    /// Takes note of a line.
    pub(super) fn line(&mut self, now: Tick) -> Line {
        if self.since.is_none_or(|since| now.since(since) >= WINDOW_MS) {
            let unsaid = self.unsaid;
            *self = Self { since: Some(now), lines: 1, unsaid: 0 };
            return Line::Said(unsaid);
        }
        self.lines = self.lines.saturating_add(1);
        match self.lines {
            ..LINES => Line::Said(0),
            LINES => Line::Last,
            _ => {
                self.unsaid += 1;
                Line::Unsaid
            }
        }
    }

    /// Returns whether a line is to be logged, and says what was left out.
    pub(super) fn admits(&mut self, section: &str, peer: &str, now: Tick) -> bool {
        match self.line(now) {
            Line::Said(0) => true,
            Line::Said(lines) => {
                tracing::warn!(section, peer, lines, "lines were left out");
                true
            }
            Line::Last => {
                tracing::warn!(section, peer, "too many lines: others are left out for a while");
                true
            }
            Line::Unsaid => false,
        }
    }
}

/// Logs an event of a session.
pub(super) fn say(roster: &Roster, peer: &str, role: Role, event: &Event) {
    let section = roster.section();
    let table = |at: usize| roster.tables().get(at).map(|table| table.local_name());
    match event {
        Event::Hello { .. } | Event::Proved => {}
        Event::Up => tracing::info!(section, peer, ?role, "session up"),
        Event::LessonRequested => tracing::info!(section, peer, "peer asks to be taught"),
        Event::LessonTaught => tracing::info!(section, peer, "peer has been taught"),
        Event::LessonEnded { finished, .. } => {
            tracing::info!(section, peer, finished, "peer has taught us");
        }
        Event::TableFull { table: at, skipped } => {
            tracing::warn!(section, peer, table = table(*at), skipped, "table full: not learned");
        }
        Event::TableIgnored { table: at, why } => {
            tracing::warn!(section, peer, table = table(*at), why, "table of the peer not used");
        }
        Event::TableLearned { table: at } => {
            tracing::info!(section, peer, table = table(*at), "table learned");
        }
        Event::TableNotLearned { name, why } => {
            tracing::warn!(section, peer, table = name, why, "table of the peer not learned");
        }
        Event::PeerError(error) => {
            tracing::warn!(section, peer, ?error, "peer reports an error of ours");
        }
        Event::Closed(reason) => match reason {
            Reason::Error(error) => tracing::warn!(section, peer, %error, "session ended"),
            Reason::Denied(why) => tracing::error!(section, peer, why, "caller refused"),
            Reason::Tls(why) => tracing::warn!(section, peer, why, "session ended by TLS"),
            reason => tracing::info!(section, peer, %reason, "session ended"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_and_counted() {
        let mut talk = Talk::default();
        let at = |ms: u32| Tick(1_000 + u64::from(ms));
        for line in 1..LINES {
            assert_eq!(talk.line(at(line)), Line::Said(0), "{line}");
        }
        assert_eq!(talk.line(at(100)), Line::Last);
        for _ in 0..500 {
            assert_eq!(talk.line(at(9_000)), Line::Unsaid);
        }
        assert_eq!(talk.line(at(10_001)), Line::Said(500));
        assert_eq!(talk.line(at(10_001)), Line::Said(0));
        assert_eq!(talk.line(at(60_000)), Line::Said(0));
    }
}
