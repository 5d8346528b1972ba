//! The names that one declaration says of another.

use std::collections::{HashMap, HashSet};

use super::diagnostic::{Diagnostic, Location};
use super::{Config, Table};

/// Returns what is wrong with the names after `peers` and `write-to`. `declared` has every table, those with
/// errors too.
pub(super) fn names(config: &Config, declared: &HashMap<String, Location>) -> Vec<Diagnostic> {
    let tables = config.tables();
    let by_name: HashMap<String, &Table> =
        tables.iter().map(|table| (table.declaration.local_name(), *table)).collect();
    let sections: HashSet<&str> =
        config.peers.iter().map(|section| section.name.as_str()).collect();
    let mut found = Vec::new();
    for table in tables {
        let declaration = &table.declaration;
        if let Some(section) = &declaration.peers
            && !sections.contains(section.as_str())
        {
            let message = match config.peers.as_slice() {
                [] => "no such peers section, there is none at all; expected one to be declared"
                    .to_owned(),
                some => {
                    let names = listed(some.iter().map(|section| section.name.as_str()));
                    format!("no such peers section; expected {names}")
                }
            };
            found.push(Diagnostic::error(table.peers_at.clone(), section, message));
        }
        if let Some(name) = &declaration.write_to {
            let target = by_name.get(name).copied();
            if target.is_none() && declared.contains_key(name) {
                // The table was refused for something else.
                continue;
            }
            found.extend(
                write_to(table, target, &by_name)
                    .map(|message| Diagnostic::error(table.write_to_at.clone(), name, message)),
            );
        }
    }
    found
}

/// Returns everything that is wrong with the target of a `write-to`.
fn write_to(
    table: &Table,
    target: Option<&Table>,
    by_name: &HashMap<String, &Table>,
) -> impl Iterator<Item = String> {
    let declaration = &table.declaration;
    let mut wrong = Vec::new();
    match target.map(|target| (&target.declaration, &target.at)) {
        None => {
            let named = declaration.write_to.as_deref().unwrap_or_default();
            let full = declaration.section.as_ref().map(|section| format!("{section}/{named}"));
            match full.filter(|full| by_name.contains_key(full)) {
                Some(full) => {
                    wrong.push(format!("no such table; expected `{full}`, with its section"))
                }
                None => wrong.push(
                    "no such table; expected the name of a proxy with a table, or SECTION/TABLE"
                        .to_owned(),
                ),
            }
        }
        Some((target, _)) if target.local_name() == declaration.local_name() => {
            wrong.push("a table cannot be written to itself; expected another table".to_owned());
        }
        Some((target, at)) => {
            if let Some(next) = &target.write_to {
                wrong.push(format!(
                    "that table, at {at}, is written to `{next}` in turn; expected a table without `write-to`"
                ));
            }
            let (own, other) = (declaration.key, target.key);
            if own.ty() != other.ty() {
                wrong.push(format!(
                    "that table, at {at}, has keys of type {}; expected {}",
                    other.ty(),
                    own.ty()
                ));
            } else if own.size() != other.size() {
                wrong.push(format!(
                    "that table, at {at}, has keys of {} bytes; expected {}",
                    other.size(),
                    own.size()
                ));
            }
        }
    }
    wrong.into_iter()
}

/// Returns names in backquotes, between commas.
pub(super) fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const SHOWN_MAX: usize = 20;

    let mut names = names;
    let mut shown: Vec<_> =
        names.by_ref().take(SHOWN_MAX).map(|name| format!("`{name}`")).collect();
    if names.next().is_some() {
        shown.push("...".to_owned());
    }
    shown.join(", ")
}
