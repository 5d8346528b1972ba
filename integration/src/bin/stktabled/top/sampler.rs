//! Asks the runtime API, again and again, beside the thread that draws.

use std::cmp::Reverse;
use std::net::IpAddr;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use ipnet::IpNet;
use stktable_integration::Clock;
use stktable_integration::runtime_api::server::Endpoint;

use super::client::{self, Answer, AskError};
use super::model::{self, Entry, Sample, Talkers};
use super::state::Wanted;

/// Entries of a table that are shown at most.
const TALKERS_MAX: usize = 100;

/// What was found, or why nothing was.
pub(super) type Looked = Result<Sample, AskError>;

/// The thread, which ends when this is dropped and it has nothing to wait for.
#[derive(Debug)]
pub(super) struct Sampler {
    wanted: Sender<Wanted>,
    samples: Receiver<Looked>,
}

impl Sampler {
    /// Begins to look.
    pub(super) fn start(to: Endpoint, mut wanted: Wanted, every: Duration) -> Self {
        let (send_wanted, receive_wanted) = mpsc::channel();
        let (send, samples) = mpsc::channel();
        thread::spawn(move || {
            let clock = Clock::start();
            while send.send(look(&to, &wanted, clock)).is_ok() {
                match receive_wanted.recv_timeout(every) {
                    // At once, and the last of them.
                    Ok(newer) => wanted = receive_wanted.try_iter().last().unwrap_or(newer),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
        });
        Self { wanted: send_wanted, samples }
    }

    /// Says what to look at from now on.
    pub(super) fn want(&self, wanted: Wanted) {
        // The thread ends after us.
        let _ = self.wanted.send(wanted);
    }

    /// Returns what was found since the last call.
    pub(super) fn samples(&self) -> impl Iterator<Item = Looked> {
        self.samples.try_iter()
    }
}

/// Looks once.
pub(super) fn look(to: &Endpoint, wanted: &Wanted, clock: Clock) -> Looked {
    let at_ms = clock.now().0;
    let ask = |command: &str| client::ask(to, command, clock);
    let (process, up_seconds) = model::info(&ask("show info")?.text);
    let mut tables = model::tables(&ask("show table")?.text);
    // As they were declared, which is from the end.
    tables.reverse();
    let chosen = match &wanted.table {
        Some(name) => Some(name.clone()),
        None => tables.first().map(|table| table.name.clone()),
    };
    let talkers = match chosen {
        Some(table) => talkers(&ask, &table, wanted)?,
        None => Talkers::default(),
    };
    let peers = model::peers(&ask("show peers")?.text);
    let sums = ask("show aggregate")?.text;
    let aggregates = match sums.starts_with("id=") {
        true => sums.lines().filter(|line| !line.is_empty()).map(model::printable).collect(),
        // None, or a process that has no such thing.
        false => Vec::new(),
    };
    Ok(Sample { at_ms, process, up_seconds, tables, talkers, peers, aggregates })
}

/// A word of a command, as it is.
fn quoted(word: &str) -> String {
    let mut quoted = String::with_capacity(word.len());
    for character in word.chars().filter(|character| !matches!(character, '\n' | '\r')) {
        if matches!(character, ' ' | '\t' | '\\' | ';') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted
}

/// Asks one question.
type Ask<'a> = dyn Fn(&str) -> Result<Answer, AskError> + 'a;

fn talkers(ask: &Ask<'_>, table: &str, wanted: &Wanted) -> Result<Talkers, AskError> {
    let name = quoted(table);
    let one = ask(&format!("show table {name} limit 1 json"))?.text;
    if !one.starts_with('{') && one.contains("Optional argument only supports") {
        return other(ask, table, wanted);
    }
    let mut found = Talkers { table: table.to_owned(), ..Talkers::default() };
    if !one.starts_with('{') {
        found.wrong = Some(model::printable(one.trim()));
        return Ok(found);
    }
    found.fields = fields(one.lines().filter_map(model::entry_json));
    let Some(by) = choose(&found.fields, wanted.by.as_deref()) else { return Ok(found) };
    let prefix = wanted.prefix.as_ref().map(|prefix| format!(" prefix {}", quoted(prefix)));
    let asked = format!(
        "show table {name} top {TALKERS_MAX} by data.{by}{} json",
        prefix.unwrap_or_default()
    );
    let answer = ask(&asked)?;
    match answer.text.starts_with('{') {
        true => found.entries = answer.text.lines().filter_map(model::entry_json).collect(),
        false => found.wrong = Some(model::printable(answer.text.trim())),
    }
    found.by = by;
    Ok(found)
}

/// HAProxy prints entries in no order, so they are sorted here, as many as fit into an answer.
fn other(ask: &Ask<'_>, table: &str, wanted: &Wanted) -> Result<Talkers, AskError> {
    let answer = ask(&format!("show table {}", quoted(table)))?;
    let mut entries: Vec<Entry> = answer.text.lines().filter_map(model::entry_line).collect();
    let looked = entries.len();
    let fields = fields(entries.iter().take(1).cloned());
    let by = choose(&fields, wanted.by.as_deref()).unwrap_or_default();
    if let Some(prefix) = &wanted.prefix {
        // A network, or else what keys begin with.
        let network: Option<IpNet> = prefix.parse().ok();
        entries.retain(|entry| match (network, entry.key.parse::<IpAddr>()) {
            (Some(network), Ok(address)) => network.contains(&address),
            _ => entry.key.starts_with(prefix),
        });
    }
    entries.sort_by_key(|entry| Reverse(entry.number(&by)));
    entries.truncate(TALKERS_MAX);
    let more = if answer.is_cut { ", there are more" } else { "" };
    let note = format!("this process does not sort: {looked} entries looked at{more}");
    Ok(Talkers { table: table.to_owned(), by, fields, entries, note: Some(note), wrong: None })
}

/// What can be sorted by.
fn fields(mut entries: impl Iterator<Item = Entry>) -> Vec<String> {
    let values = entries.next().map(|entry| entry.values).unwrap_or_default();
    values.into_keys().filter(|name| name != "server_key").collect()
}

/// The one that is wanted, if there is such a one; a rate otherwise.
fn choose(fields: &[String], wanted: Option<&str>) -> Option<String> {
    let wanted = fields.iter().find(|field| Some(field.as_str()) == wanted);
    let rate = || fields.iter().find(|field| field.ends_with("_rate"));
    wanted.or_else(rate).or_else(|| fields.first()).cloned()
}
