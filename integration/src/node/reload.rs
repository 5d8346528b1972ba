//! A configuration that is read again while a node runs.
//!
//! Peers come and go, and tables come; the sessions of those that stay as they were go on. Whatever else has changed is told, and waits for a
//! restart: a table keeps its declaration as long as it has entries, and a section where it listens.

use std::sync::Arc;

use super::Node;
use crate::config::{ConfigError, Diagnostic, Remote, Setup, SetupSection, SetupTable};
use crate::expiry;
use crate::node::tls::{self, SectionTls};
use crate::peers::driver::RemotePeer;

/// What reading a configuration again has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reloaded {
    /// Peers that were added, as `SECTION/PEER`.
    pub added: Vec<String>,
    /// Peers that were removed.
    pub removed: Vec<String>,
    /// Peers whose address or TLS is another one, or that are sources otherwise: their sessions begin anew.
    pub changed: Vec<String>,
    /// Tables that were added, by their local names.
    pub tables_added: Vec<String>,
    /// Peers that stay as they were.
    pub kept: usize,
    /// What takes a restart.
    pub restart: Vec<Diagnostic>,
}

/// Whether a peer is called in the same way; where it stands in a file does not matter.
fn is_same(old: &Remote, new: &Remote) -> bool {
    let settings = |remote: &Remote| remote.tls.as_ref().map(|tls| tls.settings.clone());
    old.address == new.address && settings(old) == settings(new)
}

impl Node {
    /// Does what a configuration says now, as far as that is possible without a restart, and reads certificates and keys again.
    ///
    /// # Errors
    /// When a certificate or a key cannot be used. Nothing has changed then.
    pub fn reload(&mut self, setup: &Setup) -> Result<Reloaded, ConfigError> {
        let loaded = tls::load(setup)?;
        let mut reloaded = Reloaded::default();
        self.add_tables(setup, &mut reloaded);
        self.compare(setup, &mut reloaded.restart);
        for (new, tls) in setup.sections.iter().zip(loaded) {
            let Some(at) = self.setup.sections.iter().position(|old| old.name == new.name) else {
                continue;
            };
            // A source is known before its session comes up.
            self.aggregates.iter().for_each(|running| running.reload(new, &self.set));
            self.reload_section(at, new, tls, &mut reloaded);
        }
        // Those of sessions and listeners that stay. What cannot be used was told above.
        if let Err(errors) = self.reload_certificates() {
            errors.iter().for_each(|error| tracing::error!(%error, "the old certificate stays"));
        }
        Ok(reloaded)
    }

    /// Takes up tables that are new: those of nobody, and those of sections that run and make no sums.
    fn add_tables(&mut self, new: &Setup, reloaded: &mut Reloaded) {
        for table in &new.tables {
            let name = table.declaration.local_name();
            if self.table(&name).is_some() {
                continue;
            }
            let section = match table.section {
                None => None,
                Some(at) => {
                    let named =
                        new.sections.get(at).map(|section| (&section.name, &section.aggregates));
                    let running =
                        named.filter(|(_, sums)| sums.is_empty()).and_then(|(name, _)| {
                            self.setup.sections.iter().position(|old| old.name == *name)
                        });
                    // `compare` says that it takes a restart.
                    let Some(running) = running else { continue };
                    Some(running)
                }
            };
            let made = super::make(table);
            let target = table.write_to.and_then(|at| new.tables.get(at));
            if let Some(target) = target.and_then(|to| self.table(&to.declaration.local_name())) {
                let written = made.write_to(target);
                debug_assert!(written.is_ok(), "the configuration was checked");
            }
            let added = match section.and_then(|at| self.sections.get(at)) {
                Some(section) => section.add_table(&made),
                None => {
                    self.tasks.spawn(expiry::run(Arc::clone(&made), self.clock));
                    Ok(())
                }
            };
            if let Err(error) = added {
                let message = format!("{error}, so it is not added");
                reloaded.restart.push(Diagnostic::warning(table.at.clone(), &name, &message));
                continue;
            }
            self.set.add(&made);
            self.tables.push(made);
            let write_to = None;
            self.setup.tables.push(SetupTable { section, write_to, ..table.clone() });
            reloaded.tables_added.push(name);
        }
    }

    fn reload_section(
        &mut self,
        at: usize,
        new: &SetupSection,
        tls: SectionTls,
        reloaded: &mut Reloaded,
    ) {
        let (Some(old), Some(section)) = (self.setup.sections.get_mut(at), self.sections.get(at))
        else {
            return;
        };
        let name = |peer: &Remote| format!("{}/{}", new.name, peer.name);
        // What is kept of a source belongs to its session.
        let (sources, aggregators) = (old.sources.clone(), old.aggregators.clone());
        let is_same = |old: &Remote, found: &Remote| {
            let peer = &old.name;
            is_same(old, found)
                && sources.contains(peer) == new.sources.contains(peer)
                && aggregators.contains(peer) == new.aggregators.contains(peer)
        };
        old.remotes.retain(|old| {
            let found = new.remotes.iter().find(|new| new.name == old.name);
            match found {
                Some(found) if is_same(old, found) => reloaded.kept += 1,
                Some(_) => reloaded.changed.push(name(old)),
                None => reloaded.removed.push(name(old)),
            }
            let stays = found.is_some_and(|found| is_same(old, found));
            if !stays {
                section.remove_peer(&old.name);
            }
            stays
        });
        (old.sources, old.aggregators) = (new.sources.clone(), new.aggregators.clone());
        for (remote, tls) in new.remotes.iter().zip(tls.calls) {
            if old.remotes.iter().any(|old| old.name == remote.name) {
                continue;
            }
            let peer =
                RemotePeer { name: remote.name.clone(), address: remote.address.clone(), tls };
            match section.add_peer(peer) {
                Ok(()) => {
                    if !reloaded.changed.contains(&name(remote)) {
                        reloaded.added.push(name(remote));
                    }
                    old.remotes.push(remote.clone());
                }
                Err(error) => {
                    let message = format!("{error}, so it is not added");
                    let at = remote.at.clone();
                    reloaded.restart.push(Diagnostic::warning(at, &remote.name, &message));
                }
            }
        }
    }

    /// Finds what cannot be changed while we run.
    fn compare(&self, new: &Setup, restart: &mut Vec<Diagnostic>) {
        let old = &self.setup;
        let mut tell = |at: &crate::config::Location, word: &str, what: &str| {
            let message = format!("{what}; this takes a restart");
            restart.push(Diagnostic::warning(at.clone(), word, &message));
        };
        for section in &new.sections {
            match old.sections.iter().find(|old| old.name == section.name) {
                None => tell(&section.at, &section.name, "the section is new"),
                Some(old) => {
                    let tls = |section: &SetupSection| {
                        section.tls.as_ref().map(|tls| tls.settings.clone())
                    };
                    if old.listen != section.listen || tls(old) != tls(section) {
                        tell(&section.at, &section.name, "it listens elsewhere, or otherwise");
                    }
                    let named = |section: &SetupSection| {
                        let names = section.own.peers.iter().map(|named| named.text.clone());
                        (names.collect::<Vec<_>>(), section.own.networks.clone())
                    };
                    let own = |section: &SetupSection| {
                        let own = &section.own;
                        (own.bind_names, own.limits, own.learn, own.resolve_ms)
                    };
                    let combined = |section: &SetupSection, setup: &Setup| {
                        let name = |at: usize| {
                            setup.tables.get(at).map(|table| table.declaration.local_name())
                        };
                        let each = section.aggregates.iter();
                        each.map(|each| (name(each.from), name(each.into), each.settings.clone()))
                            .collect::<Vec<_>>()
                    };
                    if combined(old, &self.setup) != combined(section, new) {
                        tell(&section.at, &section.name, "what is made of its tables has changed");
                    }
                    if named(old) != named(section) || own(old) != own(section) {
                        tell(&section.at, &section.name, "its limits or who may call have changed");
                    }
                }
            }
        }
        for section in &old.sections {
            if !new.sections.iter().any(|new| new.name == section.name) {
                tell(&section.at, &section.name, "the section is gone");
            }
        }
        for table in &new.tables {
            let name = table.declaration.local_name();
            let found = old.tables.iter().find(|old| old.declaration.local_name() == name);
            match found {
                None => tell(&table.at, &name, "the table is new"),
                Some(old) if old.declaration != table.declaration => {
                    tell(&table.at, &name, "the table is declared otherwise");
                }
                Some(old) if old.ordered != table.ordered => {
                    tell(&table.at, &name, "whether the table is ordered has changed");
                }
                Some(_) => {}
            }
        }
        for table in &old.tables {
            let name = table.declaration.local_name();
            if !new.tables.iter().any(|new| new.declaration.local_name() == name) {
                tell(&table.at, &name, "the table is gone");
            }
        }
        if new.local_peer != old.local_peer {
            restart.push(Diagnostic::warning(
                crate::config::Location::of_file("-L"),
                &new.local_peer,
                "is another local peer; this takes a restart",
            ));
        }
    }
}
