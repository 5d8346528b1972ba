//! Lines that make sums over peers: of an `aggregations` section, or in a `peers` section as lines of our own.

use stktable::DataType;
use stktable::declare::Word;

use super::diagnostic::{Diagnostic, Location};
use super::own::time_ms;
use super::reader::Reader;
use super::resolve::{SetupSection, SetupTable};
use super::{Named, PeersSection};
use crate::aggregate::{self, Combine, Rule, SOURCE_TIMEOUT_MIN_MS, Settings};

/// The words of these lines.
pub(super) const WORDS: [&str; 5] = ["from", "combine", "publish-every", "source-timeout", "lease"];

/// The name of the lease table where none is given.
const LEASE: &str = "lease";

/// What a section says of sums over its peers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Aggregations {
    /// Which tables become which.
    pub from_to: Vec<FromTo>,
    /// How types are combined otherwise than usual, and where that is said.
    pub combine: Vec<(Combine, Location)>,
    /// `publish-every`, in milliseconds.
    pub every_ms: u32,
    /// `source-timeout`, in milliseconds.
    pub source_timeout_ms: u32,
    /// The name of the lease table.
    pub lease: Named,
}

/// A `from FROM to TO` line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FromTo {
    /// How the names of the sources' tables end; `None` for `any`.
    pub from: Option<String>,
    /// What stands there instead in the name of what is made of them.
    pub to: String,
    /// Where the line begins.
    pub at: Location,
}

/// What a peer is to an aggregator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tier {
    /// Ourselves, whatever `-L` says.
    Local,
    /// It is a source.
    Down,
    /// It is none.
    Up,
}

impl Tier {
    /// Returns what a word behind the address of a peer says.
    pub(super) fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "local" => Self::Local,
            "down" => Self::Down,
            "up" => Self::Up,
            _ => return None,
        })
    }
}

/// A table that is made of what the peers say of another one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SetupAggregate {
    /// The position in [`Setup::tables`](super::Setup::tables) of the sources' table.
    pub from: usize,
    /// That of the table that is told.
    pub into: usize,
    /// How.
    pub settings: Settings,
}

impl Reader<'_> {
    /// Reads a line that one of [`WORDS`] begins.
    pub(super) fn aggregate_line(&mut self, words: &[Word<'_>]) {
        let Some(first) = words.first().copied() else { return };
        let at = self.at(first);
        let mut found = self.config.peers.last().and_then(|section| section.aggregations.clone());
        let aggregations = found.get_or_insert_with(|| {
            let Settings { every_ms, source_timeout_ms, .. } = Settings::default();
            Aggregations {
                from_to: Vec::new(),
                combine: Vec::new(),
                every_ms,
                source_timeout_ms,
                lease: Named { text: LEASE.to_owned(), at: at.clone() },
            }
        });
        match (first.text, words) {
            ("from", [_, from, to_word, to]) if to_word.text == "to" => {
                let from = (from.text != "any").then(|| from.text.to_owned());
                if to.text.is_empty() || from.as_deref() == Some(to.text) {
                    self.error(
                        *to,
                        "the names would be the same; expected another end of the name",
                    );
                }
                aggregations.from_to.push(FromTo { from, to: to.text.to_owned(), at });
            }
            ("from", _) => {
                self.error(*words.last().unwrap_or(&first), "expected `from .SUFFIX to .SUFFIX`");
            }
            ("combine", _) => {
                if let Some(combine) = self.combine(words) {
                    aggregations.combine.push((combine, at));
                }
            }
            _ => self.aggregate_setting(words, aggregations),
        }
        if let Some(section) = self.config.peers.last_mut() {
            section.aggregations = found;
        }
    }

    fn combine(&mut self, words: &[Word<'_>]) -> Option<Combine> {
        let usage = "expected `combine TYPE by sum|max|min|last|any [as TYPE]`";
        let (from, rule, into) = match words {
            [_, from, by, rule] if by.text == "by" => (*from, *rule, None),
            [_, from, by, rule, word, into] if by.text == "by" && word.text == "as" => {
                (*from, *rule, Some(*into))
            }
            _ => {
                self.error(*words.last()?, usage);
                return None;
            }
        };
        let mut data_type = |word: Word<'_>| {
            let found = DataType::from_name(word.text);
            if found.is_none() {
                self.error(word, "no data type; expected one that tables store");
            }
            found
        };
        let from_type = data_type(from)?;
        let into_type = match into {
            Some(into) => Some(data_type(into)?),
            None => None,
        };
        let Ok(by) = rule.text.parse::<Rule>() else {
            self.error(rule, "expected sum, max, min, last or any");
            return None;
        };
        Some(Combine { from: from_type, rule: by, into: into_type })
    }

    fn aggregate_setting(&mut self, words: &[Word<'_>], aggregations: &mut Aggregations) {
        let (first, value) = match words {
            [first, value] => (*first, *value),
            [first] => {
                self.error(*first, "has no value; expected it to follow");
                return;
            }
            [_, _, more, ..] => {
                self.error(*more, "one value is enough; expected the end of the line");
                return;
            }
            [] => return,
        };
        match (first.text, time_ms(value.text)) {
            ("lease", _) => {
                let allowed =
                    |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '-');
                if value.text.is_empty() || !value.text.chars().all(allowed) {
                    self.error(
                        value,
                        "no name of a table; expected letters, digits, `_`, `.`, `:` and `-`",
                    );
                    return;
                }
                aggregations.lease = Named { text: value.text.to_owned(), at: self.at(value) };
            }
            ("publish-every", Some(ms @ 10..=60_000)) => aggregations.every_ms = ms,
            ("publish-every", _) => {
                self.error(value, "expected a time from 10ms to 1m, such as `100ms`");
            }
            (_, Some(ms)) if (SOURCE_TIMEOUT_MIN_MS..=86_400_000).contains(&ms) => {
                aggregations.source_timeout_ms = ms;
            }
            _ => self.error(
                value,
                "expected a time from 2500ms, which a lease outlives at most, to 1d, such as `10s`",
            ),
        }
    }
}

/// Adds the tables that a section makes of others, and finds what is wrong with that.
pub(super) fn resolve(
    declared: &PeersSection,
    section: &mut SetupSection,
    at: usize,
    tables: &mut Vec<SetupTable>,
    errors: &mut Vec<Diagnostic>,
    warnings: &mut Vec<Diagnostic>,
) {
    let Some(aggregations) = &declared.aggregations else { return };
    let mut told = Vec::new();
    let mut used = vec![false; aggregations.combine.len()];
    for line in &aggregations.from_to {
        let from = line.from.as_deref().unwrap_or_default();
        let matches = |of: &usize| {
            let name = &tables[*of].declaration.name;
            name.ends_with(from) && name.len() > from.len() && !name.ends_with(&line.to)
        };
        let sources: Vec<_> = section.tables.iter().copied().filter(matches).collect();
        if sources.is_empty() {
            let message = format!(
                "no table of section `{}` has a name that ends so; expected one to be declared",
                declared.name
            );
            errors.push(Diagnostic::error(
                line.at.clone(),
                line.from.as_deref().unwrap_or("any"),
                message,
            ));
        }
        for source in sources {
            let declaration = tables[source].declaration.clone();
            let stem = declaration.name.strip_suffix(from).unwrap_or(&declaration.name);
            let name = format!("{stem}{}", line.to);
            let mut settings = Settings {
                combine: Vec::new(),
                every_ms: aggregations.every_ms,
                source_timeout_ms: aggregations.source_timeout_ms,
            };
            for ((combine, _), used) in aggregations.combine.iter().zip(&mut used) {
                if declaration.column(combine.from).is_some() {
                    *used = true;
                    settings.combine.push(*combine);
                }
            }
            let is_told = settings.combine.iter().any(|combine| combine.from == DataType::ConnCur);
            if declaration.column(DataType::ConnCur).is_some() && !is_told {
                let message = "HAProxy does not learn conn_cur from peers, unless it is 3.2 or later and the table is \
                               recv-only; expected `combine conn_cur by sum as gpc1`, or another counter that is free";
                warnings.push(Diagnostic::warning(line.at.clone(), "conn_cur", message));
            }
            match aggregate::declaration(&declaration, &name, &settings) {
                Ok(declaration) => {
                    section.aggregates.push(SetupAggregate {
                        from: source,
                        into: tables.len(),
                        settings,
                    });
                    told.push(tables.len());
                    let at = Some(at);
                    let place = line.at.clone();
                    tables.push(SetupTable {
                        declaration,
                        at: place,
                        section: at,
                        write_to: None,
                        ordered: false,
                    });
                }
                Err(message) => errors.push(Diagnostic::error(line.at.clone(), &name, message)),
            }
        }
    }
    for ((combine, at), used) in aggregations.combine.iter().zip(used) {
        if !used {
            let message = "no table that is combined stores it; expected a type that one does";
            errors.push(Diagnostic::error(at.clone(), combine.from.name(), message));
        }
    }
    if aggregations.from_to.is_empty() {
        let message = "nothing is made of any table; expected a line `from .SUFFIX to .SUFFIX`";
        errors.push(Diagnostic::error(declared.at.clone(), &declared.name, message));
        return;
    }
    section.tables.extend(told);
    // Behind all tables that it speaks of.
    section.tables.push(tables.len());
    section.lease = Some(tables.len());
    tables.push(SetupTable {
        declaration: aggregate::lease_declaration(&declared.name, &aggregations.lease.text),
        at: aggregations.lease.at.clone(),
        section: Some(at),
        write_to: None,
        ordered: false,
    });
    let tier = |name: &str| {
        declared.peers.iter().find(|peer| peer.name == name).and_then(|peer| peer.tier)
    };
    let any_down = section.remotes.iter().any(|remote| tier(&remote.name) == Some(Tier::Down));
    let is_source = |name: &str| match tier(name) {
        Some(Tier::Down) => true,
        Some(_) => false,
        None => !any_down,
    };
    section.sources = section
        .remotes
        .iter()
        .map(|remote| remote.name.clone())
        .filter(|name| is_source(name))
        .collect();
    let makes_sums =
        |name: &String| declared.peers.iter().any(|peer| peer.name == *name && peer.aggregator);
    section.aggregators = section.sources.iter().filter(|name| makes_sums(name)).cloned().collect();
    if section.sources.is_empty() && errors.is_empty() {
        let message =
            "no peer of this section is a source; expected another peer, or one without `up`";
        errors.push(Diagnostic::error(declared.at.clone(), &declared.name, message));
    }
}
