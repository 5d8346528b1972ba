//! Sections and their lines.

use std::collections::HashMap;
use std::sync::Arc;

use stktable::declare::{Declaration, Scope, Word};

use super::conditional::{Blocks, conditional};
use super::diagnostic::{ConfigError, Diagnostic, Location, Severity};
use super::line::{self, Line, LineError, Start};
use super::own::{MARK, Own};
use super::tls::TlsWords;
use super::{Config, Context, PeersSection, ProxyKind, StatsSocket, Table, check};
use crate::runtime_api::server::Socket;

/// The most errors that are reported; past it the rest of the files is not read.
const ERRORS_MAX: usize = 1000;

/// The most warnings that are kept.
const WARNINGS_MAX: usize = 1000;

/// Every word that begins a section, of HAProxy 2.6, of what came later, and of its enterprise edition what is read here.
const SECTIONS: [&str; 23] = [
    "acme",
    "aggregations",
    "backend",
    "cache",
    "crt-store",
    "defaults",
    "fcgi-app",
    "frontend",
    "global",
    "healthcheck",
    "http-errors",
    "listen",
    "log-forward",
    "log-profile",
    "mailers",
    "peers",
    "program",
    "resolvers",
    "ring",
    "traces",
    "userlist",
    "namespace_list",
    "dynamic-update",
];

/// The section we are in.
#[derive(Clone, Debug)]
pub(super) enum Section {
    /// None yet.
    None,
    /// `global`.
    Global,
    /// `defaults`.
    Defaults,
    /// A proxy, with its name.
    Proxy(ProxyKind, String),
    /// The last of [`Config::peers`].
    Peers,
    /// One that is not read.
    Skipped,
    /// One of several, depending on the condition that stands there.
    Conditional(Location),
}

/// Reads files into a [`Config`].
pub(super) struct Reader<'c> {
    context: &'c Context<'c>,
    pub(super) config: Config,
    errors: usize,
    warnings: usize,
    found: Vec<Diagnostic>,
    pub(super) section: Section,
    pub(super) blocks: Blocks,
    /// Where the sections and tables of each name are, those with errors too.
    sections: HashMap<String, Location>,
    tables: HashMap<String, Location>,
    peers: HashMap<String, Location>,
    /// Where the `bind` line, and the first `peer` line, of this section is.
    pub(super) bind_at: Option<Location>,
    pub(super) peer_at: Option<Location>,
    /// What the `default-server` lines of this section say.
    pub(super) server_tls: TlsWords,
    file: Arc<str>,
    order: usize,
}

impl<'c> Reader<'c> {
    pub(super) fn new(context: &'c Context<'c>) -> Self {
        Self {
            context,
            config: Config::default(),
            errors: 0,
            warnings: 0,
            found: Vec::new(),
            section: Section::None,
            blocks: Blocks::default(),
            sections: HashMap::new(),
            tables: HashMap::new(),
            peers: HashMap::new(),
            bind_at: None,
            peer_at: None,
            server_tls: TlsWords::default(),
            file: "".into(),
            order: 0,
        }
    }

    /// Reads one file. No section goes on from one file into the next.
    pub(super) fn file(&mut self, name: &str, contents: &[u8]) {
        self.file = name.into();
        self.section = Section::None;
        let mut start = Start { offset: 0, line: 1, column: 1 };
        while start.offset < contents.len() && self.errors <= ERRORS_MAX {
            start = self.line(contents, start);
        }
        if let Some(open) = self.blocks.end() {
            self.report(open);
        }
    }

    /// Returns what was read.
    pub(super) fn finish(mut self) -> Result<Config, ConfigError> {
        for wrong in check::names(&self.config, &self.tables) {
            self.report(wrong);
        }
        if self.errors == 0 {
            self.config.warnings = self.found;
            return Ok(self.config);
        }
        if self.errors > ERRORS_MAX {
            let at = Location::of_file(&self.file);
            self.found.push(Diagnostic::error(at, "", "too many errors; the rest is not read"));
        }
        Err(ConfigError { diagnostics: self.found })
    }

    /// Takes note of something to tell.
    pub(super) fn report(&mut self, diagnostic: Diagnostic) {
        let (count, max) = match diagnostic.severity {
            Severity::Error => {
                self.errors += 1;
                (self.errors, ERRORS_MAX)
            }
            Severity::Warning => {
                self.warnings += 1;
                (self.warnings, WARNINGS_MAX)
            }
        };
        if count <= max {
            self.found.push(diagnostic);
        }
    }

    pub(super) fn error(&mut self, word: Word<'_>, message: impl Into<String>) {
        let diagnostic = Diagnostic::error(self.at(word), word.text, message);
        self.report(diagnostic);
    }

    /// Reports a line that cannot be taken to words.
    pub(super) fn line_error(&mut self, begin: &Location, error: LineError) {
        let at = begin.beside(error.line, error.column);
        self.report(Diagnostic::error(at, &error.word, error.message));
    }

    pub(super) fn warning(&mut self, word: Word<'_>, message: impl Into<String>) {
        let diagnostic = Diagnostic::warning(self.at(word), word.text, message);
        self.report(diagnostic);
    }

    pub(super) fn at(&self, word: Word<'_>) -> Location {
        Location { file: Arc::clone(&self.file), line: word.line, column: word.column }
    }

    /// Reads the line that starts there; returns where the next one does.
    fn line(&mut self, contents: &[u8], start: Start) -> Start {
        let context = self.context;
        let localpeer = self.config.localpeer.clone();
        let variable = |name: &str| line::variable(context, localpeer.as_deref(), name);
        if let Some(own) = own(contents, start) {
            return self.own(&Line::read(contents, own, false, &variable), own);
        }
        let mut line = Line::read(contents, start, false, &variable);
        if line.is_blank() {
            return line.next;
        }
        let keyword = String::from_utf8_lossy(line.keyword()).into_owned();
        let begin = Location { file: Arc::clone(&self.file), line: start.line, column: 1 };
        if keyword.starts_with('.') {
            self.directive(&line, &keyword, &begin, &variable);
            return line.next;
        }
        let counts = self.blocks.counts();
        if counts == Some(false) {
            self.config.ignored_lines += 1;
            return line.next;
        }
        let header = SECTIONS.contains(&keyword.as_str());
        if !header && !self.reads(&keyword) {
            self.config.ignored_lines += 1;
            return line.next;
        }
        if line.backslash {
            line = Line::read(contents, start, true, &variable);
        }
        if counts.is_none() && (!header || matches!(keyword.as_str(), "peers" | "aggregations")) {
            self.config.ignored_lines += 1;
            if header {
                self.blocks.section();
                self.section = Section::Skipped;
            }
            // Only where it is served is it ours; the file is HAProxy's.
            if keyword == "stats" {
                if let Ok(words) = line.words()
                    && let Some(first) = words.first()
                {
                    self.warning(
                        *first,
                        "is not read: only HAProxy knows whether the condition around it is true",
                    );
                }
                return line.next;
            }
            if let Some(error) = self.blocks.read(&keyword, start.line) {
                self.report(error);
            }
            return line.next;
        }
        match line.words() {
            Err(error) => {
                self.line_error(&begin, error);
                if header {
                    self.section = Section::Skipped;
                }
            }
            Ok(words) => {
                let Some(first) = words.first().copied() else { return line.next };
                if line.joined {
                    self.warning(
                        first,
                        "the line goes on after `\\`, which HAProxy would refuse; expected one line",
                    );
                }
                if !line.terminated {
                    self.warning(
                        first,
                        "the last line has no end, the file may have been cut; expected a line feed",
                    );
                }
                if header {
                    self.blocks.section();
                    self.header(&words);
                } else {
                    self.words(&words);
                }
            }
        }
        line.next
    }

    /// Reads a line of our own, of which the mark is taken off.
    fn own(&mut self, line: &Line, start: Start) -> Start {
        if self.blocks.counts() == Some(false) {
            self.config.ignored_lines += 1;
            return line.next;
        }
        let begin =
            Location { file: Arc::clone(&self.file), line: start.line, column: start.column };
        match line.words() {
            Err(error) => self.line_error(&begin, error),
            Ok(words) => {
                let is_open = self.blocks.counts().is_none();
                match (words.first(), &self.section) {
                    (None, _) => self.report(Diagnostic::error(
                        begin,
                        MARK,
                        "nothing follows; expected a word such as `accept-from`",
                    )),
                    (Some(first), _) if is_open => self.error(
                        *first,
                        "a line of stktabled's own cannot depend on what only HAProxy knows; expected it outside the block",
                    ),
                    (Some(_), Section::Peers) => self.own_line(&words),
                    (Some(first), _) => self.error(
                        *first,
                        "a line of stktabled's own is for a peers section; expected it there",
                    ),
                }
            }
        }
        line.next
    }

    /// Returns whether a line with this first word is read here.
    fn reads(&self, keyword: &str) -> bool {
        match self.section {
            Section::None | Section::Peers => true,
            Section::Global => {
                matches!(
                    keyword,
                    "localpeer" | "crt-base" | "ca-base" | "ssl-server-verify" | "stats"
                )
            }
            Section::Defaults | Section::Proxy(..) => keyword == "stick-table",
            Section::Skipped => false,
            Section::Conditional(_) => {
                matches!(keyword, "stick-table" | "table" | "peer" | "localpeer")
            }
        }
    }

    fn header(&mut self, words: &[Word<'_>]) {
        let first = words[0];
        self.section = match first.text {
            "global" => Section::Global,
            "defaults" => Section::Defaults,
            "frontend" => self.proxy(ProxyKind::Frontend, words),
            "listen" => self.proxy(ProxyKind::Listen, words),
            "backend" => self.proxy(ProxyKind::Backend, words),
            "peers" | "aggregations" => self.peers_section(words),
            _ => Section::Skipped,
        };
        if matches!(self.section, Section::Skipped) {
            self.config.ignored_lines += 1;
        }
    }

    fn proxy(&mut self, kind: ProxyKind, words: &[Word<'_>]) -> Section {
        let name = self.name(words, "a proxy");
        Section::Proxy(kind, name.unwrap_or_default().to_owned())
    }

    fn peers_section(&mut self, words: &[Word<'_>]) -> Section {
        let name = self.name(words, "a section").unwrap_or_default();
        if let Some(more) = words.get(2) {
            self.error(*more, "one name is enough; expected the end of the line");
        }
        let at = self.at(words[0]);
        if !name.is_empty() {
            if let Some(other) = self.sections.get(name) {
                let message = format!(
                    "a peers section has this name already at {other}; expected another name"
                );
                self.error(words[1], message);
            } else {
                self.sections.insert(name.to_owned(), at.clone());
            }
        }
        self.peers.clear();
        (self.bind_at, self.peer_at) = (None, None);
        self.server_tls = TlsWords::default();
        self.config.peers.push(PeersSection {
            name: name.to_owned(),
            at,
            disabled: false,
            peers: Vec::new(),
            bind: Vec::new(),
            bind_tls: TlsWords::default(),
            own: Own::default(),
            is_aggregations: words[0].text == "aggregations",
            aggregations: None,
            tables: Vec::new(),
        });
        Section::Peers
    }

    /// Returns the second word if it is the name of a section or a peer; reports it otherwise.
    pub(super) fn name<'w>(&mut self, words: &[Word<'w>], of: &str) -> Option<&'w str> {
        let Some(name) = words.get(1).filter(|name| !name.text.is_empty()) else {
            self.error(words[0], format!("{of} needs a name; expected it to follow"));
            return None;
        };
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '-');
        if let Some(odd) = name.text.chars().find(|c| !allowed(*c)) {
            let message = format!(
                "the name of {of} cannot have {odd:?}; expected letters, digits, `_`, `.`, `:` and `-`"
            );
            self.error(*name, message);
            return None;
        }
        Some(name.text)
    }

    fn words(&mut self, words: &[Word<'_>]) {
        let first = words[0];
        match self.section.clone() {
            Section::None => {
                self.error(first, "no section has begun; expected `peers`, `global` or the like")
            }
            Section::Global => self.global(words),
            Section::Defaults => {
                self.error(first, "a table cannot stand in `defaults`; expected it in a proxy");
            }
            Section::Proxy(kind, name) => self.table(words, Some((kind, &name))),
            Section::Peers => self.peers_line(words),
            Section::Skipped => {}
            Section::Conditional(at) => {
                self.section = Section::Skipped;
                self.report(conditional(at, first.text, first.line));
            }
        }
    }

    fn global(&mut self, words: &[Word<'_>]) {
        let first = words[0];
        if first.text == "localpeer" {
            if let Some(name) = self.name(words, "the local peer") {
                self.config.localpeer = Some(name.to_owned());
            }
            return;
        }
        let Some(value) = words.get(1).copied() else {
            self.error(first, "has no value; expected it to follow");
            return;
        };
        if first.text == "stats" {
            self.stats(value, words);
            return;
        }
        let tls = &mut self.config.tls;
        match (first.text, value.text) {
            ("crt-base", base) => tls.crt_base = Some(base.to_owned()),
            ("ca-base", base) => tls.ca_base = Some(base.to_owned()),
            (_, "none") => tls.verify_none = true,
            (_, "required") => tls.verify_none = false,
            _ => self.error(value, "expected `none` or `required`"),
        }
    }

    /// Reads a `stats` line of `global`.
    fn stats(&mut self, value: Word<'_>, words: &[Word<'_>]) {
        if value.text != "socket" {
            self.config.ignored_lines += 1;
            return;
        }
        let mut texts: Vec<_> = words.iter().skip(2).map(|word| word.text).collect();
        // To HAProxy a word without a port is a path, also without a `/`.
        let relative = texts
            .first()
            .filter(|first| !first.contains([':', '/', '@']))
            .map(|first| format!("./{first}"));
        if let (Some(first), Some(path)) = (texts.first_mut(), &relative) {
            *first = path;
        }
        match Socket::parse(&texts) {
            Ok(socket) => {
                let at = self.at(words[0]);
                self.config.stats_sockets.push(StatsSocket { socket, at });
            }
            Err(error) => {
                // HAProxy knows more of them than we serve.
                let word = words.get(2 + error.at).or(words.last()).copied().unwrap_or(value);
                self.warning(word, format!("this socket is not served: {}", error.message));
            }
        }
    }

    /// Reads a `stick-table` line of a proxy, or a `table` line of the last peers section.
    pub(super) fn table(&mut self, words: &[Word<'_>], proxy: Option<(ProxyKind, &str)>) {
        let section =
            self.config.peers.last().map(|section| section.name.clone()).unwrap_or_default();
        let own = words.get(1).map_or("", |name| name.text);
        let (scope, name, named) = match proxy {
            // What is wrong with the name of a proxy was reported with it.
            Some((_, "")) => (Scope::Proxy("?"), String::new(), false),
            Some((_, name)) => (Scope::Proxy(name), name.to_owned(), true),
            None => (Scope::Peers(&section), format!("{section}/{own}"), !own.is_empty()),
        };
        let parsed = Declaration::from_words(words, scope);
        for warning in parsed.warnings {
            let at = self.at(words[0]).beside(warning.line, warning.column);
            self.report(Diagnostic::warning(at, &warning.word, warning.kind.to_string()));
        }
        for error in parsed.errors {
            let at = self.at(words[0]).beside(error.line, error.column);
            self.report(Diagnostic::error(at, &error.word, error.kind.to_string()));
        }
        let at = self.at(words[0]);
        if let Some(other) = self.tables.get(&name) {
            let word = if proxy.is_some() { words[0] } else { words[1] };
            let message =
                format!("table `{name}` is declared already at {other}; expected it once");
            self.error(word, message);
        } else if named {
            self.tables.insert(name, at.clone());
        }
        let value_at = |keyword, value: Option<&str>| {
            let pair = words
                .windows(2)
                .rev()
                .find(|pair| pair[0].text == keyword && Some(pair[1].text) == value);
            self.at(pair.map_or(words[0], |pair| pair[1]))
        };
        let Some(declaration) = parsed.declaration else { return };
        let table = Table {
            peers_at: value_at("peers", declaration.peers.as_deref()),
            write_to_at: value_at("write-to", declaration.write_to.as_deref()),
            declaration,
            at,
            proxy: proxy.map(|(kind, _)| kind),
            order: self.order,
        };
        self.order += 1;
        match (proxy, self.config.peers.last_mut()) {
            (None, Some(section)) => section.tables.push(table),
            _ => self.config.proxy_tables.push(table),
        }
    }

    /// Takes note of a peer of this section; returns where the other one of its name is.
    pub(super) fn first_peer(&mut self, name: &str, at: &Location) -> Option<Location> {
        if let Some(other) = self.peers.get(name) {
            return Some(other.clone());
        }
        self.peers.insert(name.to_owned(), at.clone());
        None
    }
}

/// Returns where a line of our own goes on behind its mark; `None` if it is none.
fn own(contents: &[u8], start: Start) -> Option<Start> {
    let line = contents.get(start.offset..)?;
    let blanks = line.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let marked = line.get(blanks..)?.starts_with(MARK.as_bytes());
    let taken = blanks + MARK.len();
    let column = start.column.saturating_add(u32::try_from(taken).unwrap_or(u32::MAX));
    marked.then_some(Start { offset: start.offset + taken, column, ..start })
}
