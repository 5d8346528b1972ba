//! What to run, once it is known which of the peers we are.

use std::collections::HashMap;

use stktable::Declaration;

use super::aggregate::{self, SetupAggregate, Tier};
use super::check::listed;
use super::diagnostic::{ConfigError, Diagnostic, Location};
use super::own::Own;
use super::tls::{Side, Tls, TlsGlobals};
use super::{Address, Config, PeersSection, StatsSocket};

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Setup {
    /// The name of the local peer.
    pub local_peer: String,
    /// The enabled `peers` sections, in order.
    pub sections: Vec<SetupSection>,
    /// Every table, in the order of the files.
    pub tables: Vec<SetupTable>,
    /// The `stats socket` lines, in order.
    pub stats_sockets: Vec<StatsSocket>,
    /// What was resolved, but perhaps not as it was meant.
    pub warnings: Vec<Diagnostic>,
}

/// A `peers` section to run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SetupSection {
    /// Its name.
    pub name: String,
    /// Where it begins.
    pub at: Location,
    /// Our own name in it.
    pub local_peer: String,
    /// Where we listen: the addresses of `bind`, or the local peer's own; at least one.
    pub listen: Vec<Address>,
    /// How we listen, where that is in TLS.
    pub tls: Option<Tls>,
    /// What its lines of our own say.
    pub own: Own,
    /// The other peers, in order.
    pub remotes: Vec<Remote>,
    /// The positions in [`Setup::tables`] of what is shared with them: the section's own tables, and those of
    /// the proxies that name it.
    pub tables: Vec<usize>,
    /// Those that are made of what the sources say of others.
    pub aggregates: Vec<SetupAggregate>,
    /// The position of the table that says whether they are whole.
    pub lease: Option<usize>,
    /// The peers they are made of.
    pub sources: Vec<String>,
    /// Those of them that make sums themselves.
    pub aggregators: Vec<String>,
}

/// A peer to call, and to be called by.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Remote {
    /// Its name.
    pub name: String,
    /// Where it is called.
    pub address: Address,
    /// How it is called, where that is in TLS.
    pub tls: Option<Tls>,
    /// Where its name stands.
    pub at: Location,
}

/// A table to run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SetupTable {
    /// What was declared.
    pub declaration: Declaration,
    /// Where its line begins.
    pub at: Location,
    /// The position in [`Setup::sections`] of the section it is shared in; `None` where it is shared with
    /// nobody.
    pub section: Option<usize>,
    /// The position in [`Setup::tables`] of the table which is also given what this one learns.
    pub write_to: Option<usize>,
    /// Whether it keeps an index in the order of its keys.
    pub ordered: bool,
}

impl Config {
    /// Returns what to run as the peer of this name, which is one of each enabled section. Which name it is,
    /// [`Context::local_peer_name`](super::Context::local_peer_name) says.
    ///
    /// # Errors
    /// When a section has no such peer, no address to listen on or to call, or shares two tables under
    /// one name: all that is wrong.
    pub fn resolve(&self, local_peer: &str) -> Result<Setup, ConfigError> {
        let mut errors = Vec::new();
        let mut warnings = Vec::new();
        let mut sections = Vec::new();
        for section in self.peers.iter().filter(|section| !section.disabled) {
            sections.push(run(section, local_peer, &self.tls, &mut errors, &mut warnings));
        }
        let declared = self.tables();
        let names: Vec<_> = declared.iter().map(|table| table.declaration.local_name()).collect();
        let position: HashMap<&str, usize> =
            names.iter().enumerate().map(|(at, name)| (name.as_str(), at)).collect();
        let enabled: HashMap<String, usize> =
            sections.iter().enumerate().map(|(at, section)| (section.name.clone(), at)).collect();
        let mut tables = Vec::with_capacity(declared.len());
        for (at, table) in declared.iter().enumerate() {
            let declaration = table.declaration.clone();
            let shared = declaration.section.as_ref().or(declaration.peers.as_ref());
            let section = shared.and_then(|shared| enabled.get(shared).copied());
            if let Some(section) = section {
                sections[section].tables.push(at);
            }
            let write_to = declaration.write_to.as_deref();
            let write_to = write_to.and_then(|name| position.get(name).copied());
            let (at, ordered) = (table.at.clone(), false);
            tables.push(SetupTable { declaration, at, section, write_to, ordered });
        }
        let named = |name: &str| self.section(name);
        for (at, section) in sections.iter_mut().enumerate() {
            if let Some(declared) = named(&section.name) {
                aggregate::resolve(declared, section, at, &mut tables, &mut errors, &mut warnings);
            }
        }
        for section in &sections {
            order(section, &mut tables, &mut errors);
            wire_names(section, &tables, &mut errors);
        }
        if !errors.is_empty() {
            return Err(ConfigError { diagnostics: warnings.into_iter().chain(errors).collect() });
        }
        let stats_sockets = self.stats_sockets.clone();
        Ok(Setup { local_peer: local_peer.to_owned(), sections, tables, stats_sockets, warnings })
    }
}

fn run(
    section: &PeersSection,
    local_peer: &str,
    globals: &TlsGlobals,
    errors: &mut Vec<Diagnostic>,
    warnings: &mut Vec<Diagnostic>,
) -> SetupSection {
    let mut listen: Vec<_> = section.bind.iter().map(|bind| bind.address.clone()).collect();
    let mut remotes = Vec::new();
    let marked = section.peers.iter().find(|peer| peer.tier == Some(Tier::Local));
    let local_peer = marked.map_or(local_peer, |peer| peer.name.as_str());
    let local = section.peers.iter().find(|peer| peer.name == local_peer);
    match local {
        None => {
            let expected = match section.peers.as_slice() {
                [] => "a `peer` line of this name".to_owned(),
                some => format!(
                    "-L, or `localpeer` in global, to name one of {}",
                    listed(some.iter().map(|peer| peer.name.as_str()))
                ),
            };
            let message = format!(
                "the local peer is no peer of section `{}`; expected {expected}",
                section.name
            );
            errors.push(Diagnostic::error(section.at.clone(), local_peer, message));
        }
        Some(local) => match &local.address {
            None if listen.is_empty() => {
                let message = "the local peer has no address, and the section no `bind`; expected one of them";
                errors.push(Diagnostic::error(local.at.clone(), &local.name, message));
            }
            None => {}
            Some(address) if listen.is_empty() => listen.push(address.clone()),
            Some(_) => {
                let message = "the section has a `bind` line, so the address of the local peer is not used; \
                               HAProxy expects none here";
                warnings.push(Diagnostic::warning(local.at.clone(), &local.name, message));
            }
        },
    }
    // Without a local peer it is unknown who the remote ones are.
    for peer in section.peers.iter().filter(|peer| local.is_some() && peer.name != local_peer) {
        let wrong = match &peer.address {
            None => Some(format!(
                "this peer has no address and is not the local one, which is `{local_peer}`; expected \
                 ADDRESS:PORT to call it at, or -L {}",
                peer.name
            )),
            Some(address) if address.port == 0 => {
                Some("a peer cannot be called at port 0; expected its port".to_owned())
            }
            Some(_) => None,
        };
        if let Some(message) = wrong {
            errors.push(Diagnostic::error(peer.at.clone(), &peer.name, message));
        }
        let Some(address) = peer.address.clone() else { continue };
        if address.is_unspecified() {
            let message = "this peer is called at an address that means this very machine; expected that of its host";
            warnings.push(Diagnostic::warning(peer.at.clone(), &peer.name, message));
        }
        let tls = Tls::new(&peer.tls, globals, Side::Server, errors);
        remotes.push(Remote { name: peer.name.clone(), address, tls, at: peer.at.clone() });
    }
    let tls = Tls::new(&section.bind_tls, globals, Side::Bind, errors);
    for named in &section.own.peers {
        if !section.peers.iter().any(|peer| peer.name == named.text) {
            let names = listed(section.peers.iter().map(|peer| peer.name.as_str()));
            let message = format!("no peer of this section; expected {names}");
            errors.push(Diagnostic::error(named.at.clone(), &named.text, message));
        }
    }
    SetupSection {
        name: section.name.clone(),
        at: section.at.clone(),
        local_peer: local_peer.to_owned(),
        listen,
        tls,
        own: section.own.clone(),
        remotes,
        tables: Vec::new(),
        aggregates: Vec::new(),
        lease: None,
        sources: Vec::new(),
        aggregators: Vec::new(),
    }
}

/// Marks the tables that are to be ordered, by the names that they have in their section or in the runtime API.
fn order(section: &SetupSection, tables: &mut [SetupTable], errors: &mut Vec<Diagnostic>) {
    for named in &section.own.ordered {
        let is_named = |at: &&usize| {
            let declaration = &tables[**at].declaration;
            declaration.name == named.text || declaration.local_name() == named.text
        };
        if let Some(at) = section.tables.iter().find(is_named).copied() {
            tables[at].ordered = true;
            continue;
        }
        let names = section.tables.iter().map(|at| tables[*at].declaration.name.as_str());
        let message = format!("no table of this section; expected {}", listed(names));
        errors.push(Diagnostic::error(named.at.clone(), &named.text, message));
    }
}

/// Finds tables of a section that peers could not tell apart.
fn wire_names(section: &SetupSection, tables: &[SetupTable], errors: &mut Vec<Diagnostic>) {
    let mut seen: HashMap<String, &Location> = HashMap::new();
    for table in section.tables.iter().map(|at| &tables[*at]) {
        let name = table.declaration.wire_name();
        if let Some(other) = seen.get(&name) {
            let message = format!(
                "peers of section `{}` know another table by this name, at {other}; expected another name",
                section.name
            );
            errors.push(Diagnostic::error(table.at.clone(), &name, message));
        } else {
            seen.insert(name, &table.at);
        }
    }
}
