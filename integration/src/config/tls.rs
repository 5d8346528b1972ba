//! The words of TLS on `bind`, `peer` and `server` lines, and on the `default-` lines before them.

use std::path::{Path, PathBuf};

use stktable::declare::Word;

use super::diagnostic::{Diagnostic, Location};
use super::reader::Reader;
use crate::tls::{Settings, Verify, Versions};

/// A word that names something, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Named {
    /// The word.
    pub text: String,
    /// Where it stands.
    pub at: Location,
}

/// What TLS words say, of one line or of several together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsWords {
    /// `ssl`, or `no-ssl` with `false`.
    pub ssl: Option<(bool, Location)>,
    /// `crt`.
    pub crt: Option<Named>,
    /// `key`, which is ours.
    pub key: Option<Named>,
    /// `ca-file`.
    pub ca_file: Option<Named>,
    /// `verify`.
    pub verify: Option<Verify>,
    /// `verifyhost`; `no-verifyhost` takes one of `default-server` back, as `None` inside.
    pub verify_host: Option<Option<Named>>,
    /// `sni str(NAME)`.
    pub sni: Option<Named>,
    /// `ssl-min-ver TLSv1.3`, or not.
    pub no_tls12: Option<bool>,
    /// `ssl-max-ver TLSv1.2`, or not.
    pub no_tls13: Option<bool>,
}

impl TlsWords {
    /// Returns these words, and those of a `default-` line where these say nothing.
    #[must_use]
    pub fn over(&self, default: &Self) -> Self {
        Self {
            ssl: self.ssl.clone().or_else(|| default.ssl.clone()),
            crt: self.crt.clone().or_else(|| default.crt.clone()),
            key: self.key.clone().or_else(|| {
                // The key of another certificate is of no use.
                default.key.clone().filter(|_| self.crt.is_none())
            }),
            ca_file: self.ca_file.clone().or_else(|| default.ca_file.clone()),
            verify: self.verify.or(default.verify),
            verify_host: self.verify_host.clone().or_else(|| default.verify_host.clone()),
            sni: self.sni.clone().or_else(|| default.sni.clone()),
            no_tls12: self.no_tls12.or(default.no_tls12),
            no_tls13: self.no_tls13.or(default.no_tls13),
        }
    }

    /// Returns whether TLS is spoken.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        matches!(self.ssl, Some((true, _)))
    }
}

/// What a listener or a peer does about TLS, ready to be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tls {
    /// What is loaded.
    pub settings: Settings,
    /// Where `ssl` stands.
    pub at: Location,
    /// Where the words stand, by what they are.
    pub words: Vec<(&'static str, Named)>,
}

/// What `global` says of TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsGlobals {
    /// `crt-base`: where the file of a `crt` is looked for.
    pub crt_base: Option<String>,
    /// `ca-base`: where a `ca-file` is.
    pub ca_base: Option<String>,
    /// `ssl-server-verify none`.
    pub verify_none: bool,
}

/// Which side a line is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Bind,
    Server,
}

impl Tls {
    /// Returns what a listener (`Side::Bind`) or a peer does; `None` if it speaks in plain text.
    pub(super) fn new(
        words: &TlsWords,
        globals: &TlsGlobals,
        side: Side,
        errors: &mut Vec<Diagnostic>,
    ) -> Option<Self> {
        let Some((true, at)) = &words.ssl else { return None };
        let default = match side {
            Side::Bind => Verify::None,
            Side::Server if globals.verify_none => Verify::None,
            Side::Server => Verify::Required,
        };
        let path = |base: &Option<String>, named: &Named| -> PathBuf {
            base.as_ref().map_or_else(PathBuf::new, PathBuf::from).join(Path::new(&named.text))
        };
        let verify_host = words.verify_host.clone().flatten();
        let verify = words.verify.unwrap_or(default);
        let settings = Settings {
            crt: words.crt.as_ref().map(|crt| path(&globals.crt_base, crt)),
            key: words.key.as_ref().map(|key| path(&globals.crt_base, key)),
            ca_file: words.ca_file.as_ref().map(|file| path(&globals.ca_base, file)),
            verify,
            verify_host: verify_host.as_ref().map(|name| name.text.clone()),
            sni: words.sni.as_ref().map(|name| name.text.clone()),
            versions: match (words.no_tls12, words.no_tls13) {
                (Some(true), Some(true)) => {
                    let message = "no version of TLS is left; expected TLSv1.2 or TLSv1.3 between `ssl-min-ver` and \
                                   `ssl-max-ver`";
                    errors.push(Diagnostic::error(at.clone(), "ssl", message));
                    Versions::Both
                }
                (Some(true), _) => Versions::Tls13,
                (_, Some(true)) => Versions::Tls12,
                _ => Versions::Both,
            },
        };
        if side == Side::Bind && words.crt.is_none() {
            let message = "a listener needs a certificate; expected `crt FILE`";
            errors.push(Diagnostic::error(at.clone(), "ssl", message));
        }
        if verify != Verify::None && words.ca_file.is_none() {
            let message = match (side, words.verify) {
                (Side::Server, None) => {
                    "the certificate of a peer is verified unless something else is said, and nothing vouches for it; \
                     expected `ca-file FILE`, or `verify none`"
                }
                _ => "nothing vouches for the other side; expected `ca-file FILE` beside `verify`",
            };
            errors.push(Diagnostic::error(at.clone(), "ssl", message));
        }
        let named = [
            ("crt", &words.crt),
            ("key", &words.key),
            ("ca-file", &words.ca_file),
            ("verifyhost", &verify_host),
            ("sni", &words.sni),
        ];
        let words = named.into_iter().filter_map(|(word, named)| Some((word, named.clone()?)));
        Some(Self { settings, at: at.clone(), words: words.collect() })
    }

    /// Returns what is wrong with the files, at the word which names them.
    #[must_use]
    pub fn diagnostic(&self, error: &crate::tls::TlsError) -> Diagnostic {
        let named = self.words.iter().find(|(word, _)| *word == error.word);
        let (at, text) = named.map_or((&self.at, "ssl"), |(_, named)| (&named.at, &named.text));
        Diagnostic::error(at.clone(), text, format!("{}: {error}", error.word))
    }
}

impl Reader<'_> {
    /// Reads the TLS words of a line into `found`. Returns how many words that took, 0 when the first one is none.
    pub(super) fn tls_word(
        &mut self,
        words: &[Word<'_>],
        side: Side,
        found: &mut TlsWords,
    ) -> usize {
        let Some(first) = words.first().copied() else { return 0 };
        let wants = match first.text {
            "ssl" | "no-ssl" | "no-verifyhost" | "no-sslv3" | "no-tlsv10" | "no-tlsv11"
            | "no-tlsv12" | "no-tlsv13" | "no-tls-tickets" => 0,
            "crt" | "key" | "ca-file" | "verify" | "verifyhost" | "sni" | "ssl-min-ver"
            | "ssl-max-ver" => 1,
            _ => return 0,
        };
        let only = match first.text {
            "no-ssl" | "no-verifyhost" | "verifyhost" | "sni" => Some(Side::Server),
            _ => None,
        };
        if only.is_some_and(|only| only != side) {
            self.error(first, "is for `server` and `peer` lines; expected it there");
            return 1 + wants;
        }
        let value = words.get(1).copied().filter(|value| !value.text.is_empty());
        let value = match (wants, value) {
            (0, _) => first,
            (_, Some(value)) => value,
            (_, None) => {
                self.error(first, "has no value; expected it to follow");
                return 1 + wants;
            }
        };
        let named = Named { text: value.text.to_owned(), at: self.at(value) };
        match first.text {
            "ssl" => found.ssl = Some((true, self.at(first))),
            "no-ssl" => found.ssl = Some((false, self.at(first))),
            "no-tlsv12" => found.no_tls12 = Some(true),
            "no-tlsv13" => found.no_tls13 = Some(true),
            // What is older is never spoken, and nothing is resumed.
            "no-sslv3" | "no-tlsv10" | "no-tlsv11" | "no-tls-tickets" => {}
            "no-verifyhost" => found.verify_host = Some(None),
            "crt" if found.crt.is_some() => {
                self.error(first, "a line has one certificate; expected `crt` once");
            }
            "crt" => found.crt = Some(named),
            "key" => found.key = Some(named),
            "ca-file" if value.text.starts_with('@') => {
                self.error(
                    value,
                    "the certificates of the system are not used here; expected a file",
                );
            }
            "ca-file" => found.ca_file = Some(named),
            "verify" => match (value.text, side) {
                ("none", _) => found.verify = Some(Verify::None),
                ("required", _) => found.verify = Some(Verify::Required),
                ("optional", Side::Bind) => found.verify = Some(Verify::Optional),
                (_, Side::Bind) => self.error(value, "expected `none`, `optional` or `required`"),
                (_, Side::Server) => self.error(value, "expected `none` or `required`"),
            },
            "verifyhost" => found.verify_host = Some(Some(named)),
            "sni" => {
                match value.text.strip_prefix("str(").and_then(|name| name.strip_suffix(')')) {
                    Some(name) if !name.is_empty() => {
                        found.sni = Some(Named { text: name.to_owned(), ..named });
                    }
                    _ => self
                        .error(value, "there is nothing to be fetched here; expected `str(NAME)`"),
                }
            }
            "ssl-min-ver" => match value.text {
                "SSLv3" | "TLSv1.0" | "TLSv1.1" | "TLSv1.2" => found.no_tls12 = Some(false),
                "TLSv1.3" => found.no_tls12 = Some(true),
                _ => self.error(value, "expected `TLSv1.2` or `TLSv1.3`"),
            },
            _ => match value.text {
                "TLSv1.2" => found.no_tls13 = Some(true),
                "TLSv1.3" => found.no_tls13 = Some(false),
                _ => self.error(
                    value,
                    "only TLS 1.2 and 1.3 are spoken; expected `TLSv1.2` or `TLSv1.3`",
                ),
            },
        }
        1 + wants
    }
}
