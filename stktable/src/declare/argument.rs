//! The words of a declaration, one argument after the other.

use super::{
    BRATES_FACTOR_MAX, Declaration, DeclareError, DeclareErrorKind as Kind, DeclareWarning,
    DeclareWarningKind, Parsed, Scope, SrvKey, Word, check, number, store,
};
use crate::data::Column;
use crate::key::{KEY_SIZE_MAX, KeySpec, KeyType};

/// Whether `word` begins an argument, in either form of declaration.
fn is_argument(word: &str) -> bool {
    matches!(
        word,
        "type"
            | "size"
            | "expire"
            | "nopurge"
            | "recv-only"
            | "write-to"
            | "srvkey"
            | "store"
            | "brates-factor"
            | "peers"
    )
}

/// Reads a whole declaration.
pub(super) fn parse(words: &[Word<'_>], scope: Scope<'_>) -> Parsed {
    let first = words.first().copied().unwrap_or(Word { text: "", line: 1, column: 1 });
    let mut reader = Reader {
        words,
        next: 1,
        scope,
        draft: Draft::default(),
        errors: Vec::new(),
        warnings: Vec::new(),
    };
    let declaration = reader.declaration(first);
    Parsed {
        declaration: declaration.filter(|_| reader.errors.is_empty()),
        errors: reader.errors,
        warnings: reader.warnings,
    }
}

/// What the arguments said so far. `type` and `size` are kept apart from whether they were given,
/// so that a wrong one is not reported as missing too.
#[derive(Default)]
struct Draft<'a> {
    type_given: bool,
    key: Option<KeySpec>,
    size_given: bool,
    size: Option<u32>,
    expire_ms: u32,
    nopurge: bool,
    recv_only: bool,
    write_to: Option<String>,
    srvkey: SrvKey,
    brates_factor: u32,
    columns: Vec<(Column, Word<'a>)>,
    peers: Option<String>,
}

struct Reader<'w, 'a> {
    words: &'w [Word<'a>],
    next: usize,
    scope: Scope<'w>,
    draft: Draft<'a>,
    errors: Vec<DeclareError>,
    warnings: Vec<DeclareWarning>,
}

impl<'a> Reader<'_, 'a> {
    fn declaration(&mut self, first: Word<'a>) -> Option<Declaration> {
        let (name, section) = match self.scope {
            Scope::Proxy(proxy) => {
                self.keyword(first, "stick-table");
                if let Err(kind) = check::name(proxy) {
                    self.error(Word { text: proxy, ..first }, kind);
                }
                (proxy, None)
            }
            Scope::Peers(section) => {
                self.keyword(first, "table");
                // A name may be any word, even that of an argument.
                let name = self.take();
                if let Err(kind) = check::name(name.map_or("", |name| name.text)) {
                    self.error(name.filter(|name| !name.text.is_empty()).unwrap_or(first), kind);
                }
                (name.map_or("", |name| name.text), Some(section))
            }
        };
        let (name, section) = (name.to_owned(), section.map(str::to_owned));
        self.draft.brates_factor = 1;
        while let Some(word) = self.take() {
            if self.argument(word).is_none() {
                self.error(word, Kind::UnknownArgument);
                self.recover();
            }
        }
        self.conflicts();
        if !self.draft.type_given {
            self.error(first, Kind::MissingType);
        }
        if !self.draft.size_given {
            self.error(first, Kind::MissingSize);
        }
        let draft = core::mem::take(&mut self.draft);
        let mut columns: Vec<_> = draft.columns.into_iter().map(|(column, _)| column).collect();
        columns.sort_by_key(|column| column.data_type);
        Some(Declaration {
            name,
            section,
            key: draft.key?,
            size: draft.size?,
            expire_ms: draft.expire_ms,
            nopurge: draft.nopurge,
            recv_only: draft.recv_only,
            write_to: draft.write_to,
            srvkey: draft.srvkey,
            brates_factor: draft.brates_factor,
            columns,
            peers: draft.peers,
        })
    }

    /// Reads one argument with its value; `None` if the word is none.
    fn argument(&mut self, word: Word<'a>) -> Option<()> {
        match word.text {
            "type" => self.key_type(word),
            "size" => self.size(word),
            "expire" => {
                let expire_ms =
                    self.value(word, "expire", |text| number::time_ms("expire", text, 1));
                self.draft.expire_ms = expire_ms.unwrap_or_default();
            }
            "nopurge" => self.draft.nopurge = true,
            "recv-only" => self.draft.recv_only = true,
            "write-to" => self.draft.write_to = self.name(word, "write-to"),
            "peers" if matches!(self.scope, Scope::Proxy(_)) => {
                self.draft.peers = self.name(word, "peers");
            }
            "srvkey" => {
                let srvkey = self.value(word, "srvkey", |text| match text {
                    "name" => Ok(SrvKey::Name),
                    "addr" => Ok(SrvKey::Addr),
                    _ => Err(Kind::SrvKey),
                });
                self.draft.srvkey = srvkey.unwrap_or_default();
            }
            "brates-factor" => {
                let factor = self.value(word, "brates-factor", |text| {
                    match number::size("brates-factor", text) {
                        Ok(factor @ 1..=BRATES_FACTOR_MAX) => Ok(factor),
                        Ok(_) | Err(Kind::Overflow { .. }) => Err(Kind::BratesFactor),
                        Err(kind) => Err(kind),
                    }
                });
                self.draft.brates_factor = factor.unwrap_or(1);
            }
            "store" => self.store(word),
            _ => return None,
        }
        Some(())
    }

    fn key_type(&mut self, word: Word<'a>) {
        self.draft.type_given = true;
        let ty = self.value(word, "type", |text| KeyType::from_name(text).ok_or(Kind::UnknownType));
        let len = |ty| matches!(ty, Some(KeyType::String | KeyType::Binary) | None);
        let len = self.peek().filter(|next| next.text == "len" && len(ty));
        self.draft.key = match (ty, len) {
            (None, None) => None,
            (None, Some(_)) => {
                // The type was reported; its length says nothing more.
                self.recover();
                None
            }
            (Some(ty), Some(len)) => {
                self.next += 1;
                self.value(len, "len", |text| key_length(ty, text))
            }
            (Some(KeyType::Integer), None) => Some(KeySpec::INTEGER),
            (Some(KeyType::Ip), None) => Some(KeySpec::IP),
            (Some(KeyType::Ipv6), None) => Some(KeySpec::IPV6),
            (Some(KeyType::String), None) => Some(KeySpec::STRING),
            (Some(KeyType::Binary), None) => Some(KeySpec::BINARY),
        };
    }

    fn size(&mut self, word: Word<'a>) {
        self.draft.size_given = true;
        self.draft.size = self.value(word, "size", |text| match number::size("size", text)? {
            0 => Err(Kind::MissingSize),
            size => Ok(size),
        });
    }

    fn store(&mut self, word: Word<'a>) {
        let Some(list) = self.take().filter(|list| !list.text.is_empty()) else {
            self.warn(word, DeclareWarningKind::NothingStored);
            return;
        };
        for item in store::items(list) {
            match item.column {
                Err(kind) => {
                    // White space inside the parentheses has cut the value in two.
                    let cut = matches!(kind, Kind::MissingParenthesis { .. });
                    self.error(item.word, kind);
                    if cut {
                        self.recover();
                    }
                }
                Ok(column) => {
                    let data_type = column.data_type;
                    if self.draft.columns.iter().any(|(other, _)| other.data_type == data_type) {
                        self.warn(item.word, DeclareWarningKind::Repeated { data_type });
                    } else {
                        self.draft.columns.push((column, item.word));
                    }
                }
            }
        }
    }

    /// Reports every pair of columns that exclude each other, at the later one.
    fn conflicts(&mut self) {
        let columns: Vec<_> = self.draft.columns.iter().map(|(column, _)| *column).collect();
        for (array, scalar, kind) in check::conflicts(&columns) {
            let (_, word) = self.draft.columns[array.max(scalar)];
            self.error(word, kind);
        }
    }

    /// Returns the value of an argument that cannot be mistaken for the next argument.
    fn value<T>(
        &mut self,
        word: Word<'a>,
        argument: &'static str,
        read: impl FnOnce(&str) -> Result<T, Kind>,
    ) -> Option<T> {
        let value = self.peek().filter(|next| !next.text.is_empty() && !is_argument(next.text));
        let Some(value) = value else {
            // An empty pair of quotes is no value either, but it is read.
            self.next += usize::from(self.peek().is_some_and(|next| next.text.is_empty()));
            self.error(word, Kind::MissingArgument { argument });
            return None;
        };
        self.next += 1;
        read(value.text).map_err(|kind| self.error(value, kind)).ok()
    }

    /// Returns the value of an argument that is a name, which may be any word.
    fn name(&mut self, word: Word<'a>, argument: &'static str) -> Option<String> {
        match self.take() {
            None => self.error(word, Kind::MissingArgument { argument }),
            Some(name) => match check::name(name.text) {
                Ok(()) => return Some(name.text.to_owned()),
                Err(Kind::MissingName) => self.error(word, Kind::MissingArgument { argument }),
                Err(kind) => self.error(name, kind),
            },
        }
        None
    }

    fn keyword(&mut self, first: Word<'a>, expected: &'static str) {
        if first.text != expected {
            self.error(first, Kind::Keyword { expected });
        }
    }

    fn peek(&self) -> Option<Word<'a>> {
        self.words.get(self.next).copied()
    }

    fn take(&mut self) -> Option<Word<'a>> {
        let word = self.peek()?;
        self.next += 1;
        Some(word)
    }

    /// Passes over what follows a word that was not understood.
    fn recover(&mut self) {
        while self.peek().is_some_and(|word| !is_argument(word.text)) {
            self.next += 1;
        }
    }

    fn error(&mut self, word: Word<'_>, kind: Kind) {
        let Word { text, line, column } = word;
        self.errors.push(DeclareError { line, column, word: text.to_owned(), kind });
    }

    fn warn(&mut self, word: Word<'_>, kind: DeclareWarningKind) {
        let Word { text, line, column } = word;
        self.warnings.push(DeclareWarning { line, column, word: text.to_owned(), kind });
    }
}

fn key_length(ty: KeyType, text: &str) -> Result<KeySpec, Kind> {
    let decimal = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let len = if decimal { text.parse().unwrap_or(u32::MAX) } else { 0 };
    let (spec, max) = match ty {
        KeyType::String => (KeySpec::string(len), KEY_SIZE_MAX - 1),
        _ => (KeySpec::binary(len), KEY_SIZE_MAX),
    };
    spec.map_err(|_| Kind::KeyLength { ty, max })
}
