//! What is shown, and what keys do to it.

use std::collections::{HashMap, VecDeque};

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::model::{Entry, Sample, Table};
use super::sampler::Looked;

/// Samples of which a line is drawn.
const HISTORY: usize = 120;
/// Characters of a prefix.
const PREFIX_MAX: usize = 256;

/// What the sampler is to look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The table; the first without.
    pub(super) table: Option<String>,
    pub(super) by: Option<String>,
    pub(super) prefix: Option<String>,
}

/// Which of the lists is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Shown {
    #[default]
    Talkers,
    Entry,
    Peers,
    Sums,
    Help,
}

/// All that is shown.
#[derive(Debug)]
pub(super) struct State {
    pub(super) to: String,
    pub(super) sample: Option<Sample>,
    /// Why the sample is an old one.
    pub(super) stale: Option<String>,
    pub(super) shown: Shown,
    /// The entry that is chosen.
    pub(super) row: usize,
    /// A prefix that is being written.
    pub(super) input: Option<String>,
    wanted: Wanted,
    paused: bool,
    /// By table: when, and how many entries it had.
    history: HashMap<String, VecDeque<(u64, u64)>>,
}

impl State {
    pub(super) fn new(to: String, wanted: Wanted) -> Self {
        Self {
            to,
            sample: None,
            stale: None,
            shown: Shown::default(),
            row: 0,
            input: None,
            wanted,
            paused: false,
            history: HashMap::new(),
        }
    }

    pub(super) const fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    pub(super) const fn is_paused(&self) -> bool {
        self.paused
    }

    /// Takes what was found.
    pub(super) fn take(&mut self, looked: Looked) {
        let sample = match looked {
            // That it is gone is told all the same.
            Ok(_) if self.paused => return,
            Ok(sample) => sample,
            Err(error) => {
                self.stale = Some(error.to_string());
                return;
            }
        };
        self.stale = None;
        self.history.retain(|name, _| sample.tables.iter().any(|table| table.name == *name));
        for table in &sample.tables {
            let numbers = self.history.entry(table.name.clone()).or_default();
            if numbers.len() == HISTORY {
                numbers.pop_front();
            }
            numbers.push_back((sample.at_ms, table.used));
        }
        self.row = self.row.min(sample.talkers.entries.len().saturating_sub(1));
        self.sample = Some(sample);
    }

    /// How many entries a table had, until now.
    pub(super) fn history(&self, table: &Table) -> impl Iterator<Item = u64> {
        self.history.get(&table.name).into_iter().flatten().map(|(_, used)| *used)
    }

    /// By how many entries a table grew, or shrank, in a second, as of the last two samples.
    pub(super) fn change(&self, table: &Table) -> Option<i64> {
        let mut last = self.history.get(&table.name)?.iter().rev();
        let ((now, used), (before, used_before)) = (last.next()?, last.next()?);
        let ms = i64::try_from(now.checked_sub(*before)?).ok().filter(|ms| *ms > 0)?;
        let grown = i64::try_from(*used).ok()?.checked_sub(i64::try_from(*used_before).ok()?)?;
        Some(grown.saturating_mul(1_000) / ms)
    }

    /// The table that is looked at.
    pub(super) fn table(&self) -> Option<&str> {
        let sample = self.sample.as_ref();
        let shown =
            sample.map(|sample| sample.talkers.table.as_str()).filter(|name| !name.is_empty());
        self.wanted.table.as_deref().or(shown)
    }

    /// The entry that is chosen.
    pub(super) fn entry(&self) -> Option<&Entry> {
        self.sample.as_ref()?.talkers.entries.get(self.row)
    }

    /// Takes a key. Returns whether that was the last.
    pub(super) fn press(&mut self, key: KeyEvent) -> bool {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return matches!(key.code, KeyCode::Char('c' | 'd'));
        }
        if self.input.is_some() {
            self.write(key.code);
            return false;
        }
        match key.code {
            KeyCode::Char('q') => return true,
            KeyCode::Esc if self.shown != Shown::Talkers => self.shown = Shown::Talkers,
            KeyCode::Esc => self.wanted.prefix = None,
            KeyCode::Char('p') => self.toggle(Shown::Peers),
            KeyCode::Char('a') => self.toggle(Shown::Sums),
            KeyCode::Char('?' | 'h') => self.toggle(Shown::Help),
            KeyCode::Enter => self.toggle(Shown::Entry),
            KeyCode::Char(' ') => self.paused = !self.paused,
            KeyCode::Char('/') => {
                self.shown = Shown::Talkers;
                self.input = Some(self.wanted.prefix.clone().unwrap_or_default());
            }
            KeyCode::Up | KeyCode::Char('k') => self.row = self.row.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.down(1),
            KeyCode::PageUp => self.row = self.row.saturating_sub(10),
            KeyCode::PageDown => self.down(10),
            KeyCode::Home => self.row = 0,
            KeyCode::Tab => self.next_table(1),
            KeyCode::BackTab => self.next_table(-1),
            KeyCode::Right | KeyCode::Char('>' | 'l') => self.next_field(1),
            KeyCode::Left | KeyCode::Char('<') => self.next_field(-1),
            _ => {}
        }
        false
    }

    fn toggle(&mut self, shown: Shown) {
        self.shown = if self.shown == shown { Shown::Talkers } else { shown };
    }

    fn down(&mut self, by: usize) {
        let entries = self.sample.as_ref().map_or(0, |sample| sample.talkers.entries.len());
        self.row = (self.row + by).min(entries.saturating_sub(1));
    }

    /// Writes a prefix.
    fn write(&mut self, key: KeyCode) {
        let Some(input) = &mut self.input else { return };
        match key {
            KeyCode::Esc => self.input = None,
            KeyCode::Enter => {
                self.wanted.prefix = self.input.take().filter(|prefix| !prefix.is_empty());
                self.row = 0;
            }
            KeyCode::Backspace => drop(input.pop()),
            KeyCode::Char(character) if input.len() < PREFIX_MAX => input.push(character),
            _ => {}
        }
    }

    fn next_table(&mut self, by: isize) {
        let Some(sample) = &self.sample else { return };
        let names = sample.tables.iter().map(|table| table.name.as_str());
        let next = after(names, self.table(), by).map(str::to_owned);
        if next.is_some() {
            // Another table has other keys and other types.
            self.wanted = Wanted { table: next, ..Wanted::default() };
            self.row = 0;
            self.shown = Shown::Talkers;
        }
    }

    fn next_field(&mut self, by: isize) {
        let Some(sample) = &self.sample else { return };
        let now = self.wanted.by.as_deref().unwrap_or(&sample.talkers.by);
        let fields = sample.talkers.fields.iter().map(String::as_str);
        if let Some(next) = after(fields, Some(now), by).map(str::to_owned) {
            self.wanted.by = Some(next);
            self.row = 0;
        }
    }
}

/// The name so many places behind another, around the end.
fn after<'n>(
    names: impl Iterator<Item = &'n str>,
    now: Option<&str>,
    by: isize,
) -> Option<&'n str> {
    let names: Vec<_> = names.collect();
    let count = isize::try_from(names.len()).ok().filter(|count| *count > 0)?;
    let at = names.iter().position(|name| Some(*name) == now);
    let next =
        at.and_then(|at| isize::try_from(at).ok()).map_or(0, |at| (at + by).rem_euclid(count));
    names.get(usize::try_from(next).ok()?).copied()
}

#[cfg(test)]
mod tests {
    use super::super::model::Talkers;
    use super::*;

    fn state() -> State {
        let table =
            |name: &str| Table { name: name.to_owned(), ty: "ip".to_owned(), size: 9, used: 1 };
        let talkers = Talkers {
            table: "a".to_owned(),
            by: "gpc0".to_owned(),
            fields: vec!["gpc0".to_owned(), "http_req_rate".to_owned()],
            entries: vec![Entry::default(), Entry::default()],
            ..Talkers::default()
        };
        let sample = Sample { tables: vec![table("a"), table("b")], talkers, ..Sample::default() };
        let mut state = State::new("x".to_owned(), Wanted::default());
        state.take(Ok(sample));
        state
    }

    fn press(state: &mut State, keys: &[KeyCode]) {
        for key in keys {
            assert!(!state.press((*key).into()));
        }
    }

    #[test]
    fn keys_change_what_is_wanted() {
        let mut state = state();
        press(&mut state, &[KeyCode::Right]);
        assert_eq!(state.wanted().by.as_deref(), Some("http_req_rate"));
        press(&mut state, &[KeyCode::Right]);
        assert_eq!(state.wanted().by.as_deref(), Some("gpc0"));
        press(
            &mut state,
            &[KeyCode::Char('/'), KeyCode::Char('1'), KeyCode::Char('q'), KeyCode::Backspace],
        );
        assert_eq!(state.input.as_deref(), Some("1"));
        press(&mut state, &[KeyCode::Enter]);
        assert_eq!((state.wanted().prefix.as_deref(), &state.input), (Some("1"), &None));
        press(&mut state, &[KeyCode::Esc]);
        assert_eq!(state.wanted().prefix, None);
        press(&mut state, &[KeyCode::BackTab]);
        assert_eq!(*state.wanted(), Wanted { table: Some("b".to_owned()), ..Wanted::default() });
        press(&mut state, &[KeyCode::Tab]);
        assert_eq!(state.table(), Some("a"));
        assert!(state.press(KeyCode::Char('q').into()));
        assert!(state.press(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)));
    }

    #[test]
    fn rows_and_lists_are_chosen() {
        let mut state = state();
        press(&mut state, &[KeyCode::Down, KeyCode::Down, KeyCode::PageDown]);
        assert_eq!(state.row, 1);
        press(&mut state, &[KeyCode::Char('p')]);
        assert_eq!(state.shown, Shown::Peers);
        press(&mut state, &[KeyCode::Char('p'), KeyCode::Enter]);
        assert_eq!(state.shown, Shown::Entry);
        press(&mut state, &[KeyCode::Esc, KeyCode::Char(' ')]);
        assert_eq!(state.shown, Shown::Talkers);
        // What is found while it rests is not shown.
        state.take(Ok(Sample::default()));
        assert_eq!(state.sample.as_ref().unwrap().tables.len(), 2);
        press(&mut state, &[KeyCode::Char(' ')]);
        state.take(Ok(Sample::default()));
        assert_eq!((state.row, state.entry()), (0, None));
        press(&mut state, &[KeyCode::Tab, KeyCode::Right, KeyCode::Down, KeyCode::Enter]);
    }
}
