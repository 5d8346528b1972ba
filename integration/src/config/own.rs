//! Lines of our own in a `peers` section, which HAProxy takes for comments.
//!
//! | `#stktabled:` and | means | without it |
//! | --- | --- | --- |
//! | `accept-from NET[,NET..] ..` | callers are heard from these networks or addresses only | from anywhere |
//! | `accept-peers NAME ..` | these peers may call | every peer of the section |
//! | `verify-peer-names on\|off` | a caller that `verify` applies to has its name in its certificate | `on` |
//! | `max-sessions N` | connections accepted at a time | 3 for each peer |
//! | `hello-timeout TIME` | for a handshake, and as long again for TLS | 5s |
//! | `max-message SIZE` | the body of a message, 256 to 60k | 16379 |
//! | `max-tables N` | tables that one peer may define in a session | no limit |
//! | `learn-tables N size SIZE` | up to N tables that peers define and that are not declared here are created, of this size | none |
//! | `ordered-tables NAME ..` | these tables of the section keep an index in the order of their keys: `show table` lists them so, and `prefix` and
//!   `after` look at nothing else; some 40 bytes an entry | no index |
//! | `resolve-every TIME` | names of peers are looked up again, 100ms to 1d | 10s |
//! | `max-names N` | names in `server_key` kept for one session, 0 to 128 | 128 |
//!
//! A section listens in one way, whatever the number of its addresses: these lines are for all of them.

use ipnet::IpNet;
use stktable::declare::Word;

use super::aggregate;
use super::reader::Reader;
use super::tls::Named;
use crate::peers::session::Limits;

/// What begins a line of ours.
pub(super) const MARK: &str = "#stktabled:";

/// The longest time of a handshake: ten minutes.
const HELLO_MAX_MS: u32 = 600_000;
/// The least body of a message: what a definition of every data type has room in.
const MESSAGE_MIN: u32 = 256;
/// The most tables that are learned.
const LEARNED_MAX: u32 = 1000;
/// The most sessions.
const SESSIONS_MAX: u32 = 100_000;

/// What our own lines of a section say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Own {
    /// `accept-from`; empty for anywhere.
    pub networks: Vec<IpNet>,
    /// `accept-peers`; empty for everybody.
    pub peers: Vec<Named>,
    /// `verify-peer-names`.
    pub bind_names: bool,
    /// `max-sessions`, `hello-timeout`, `max-message`, `max-tables`, `max-names`.
    pub limits: Limits,
    /// `ordered-tables`.
    pub ordered: Vec<Named>,
    /// `learn-tables`: how many, and how large.
    pub learn: Option<(usize, u32)>,
    /// `resolve-every`, in milliseconds.
    pub resolve_ms: u32,
}

impl Default for Own {
    fn default() -> Self {
        Self {
            networks: Vec::new(),
            peers: Vec::new(),
            bind_names: true,
            limits: Limits::default(),
            ordered: Vec::new(),
            learn: None,
            resolve_ms: 10_000,
        }
    }
}

impl Reader<'_> {
    /// Reads a line of ours in the last section, without its mark.
    pub(super) fn own_line(&mut self, words: &[Word<'_>]) {
        let Some(first) = words.first().copied() else { return };
        let Some(mut own) = self.config.peers.last().map(|section| section.own.clone()) else {
            return;
        };
        if aggregate::WORDS.contains(&first.text) {
            self.aggregate_line(words);
            return;
        }
        match first.text {
            "accept-from" => self.networks(words, &mut own.networks),
            "learn-tables" => self.learn_tables(words, &mut own.learn),
            "accept-peers" | "ordered-tables" => {
                if words.len() < 2 {
                    self.error(first, "no name; expected names to follow");
                }
                let named =
                    |word: &Word<'_>| Named { text: word.text.to_owned(), at: self.at(*word) };
                let names = words.iter().skip(1).map(named);
                match first.text {
                    "accept-peers" => own.peers.extend(names),
                    _ => own.ordered.extend(names),
                }
            }
            _ => {
                let Some(value) = self.value(words) else { return };
                self.setting(first, value, &mut own);
            }
        }
        if let Some(section) = self.config.peers.last_mut() {
            section.own = own;
        }
    }

    fn setting(&mut self, first: Word<'_>, value: Word<'_>, own: &mut Own) {
        let limits = &mut own.limits;
        let wrong = match first.text {
            "verify-peer-names" => match value.text {
                "on" => set(&mut own.bind_names, true),
                "off" => set(&mut own.bind_names, false),
                _ => Some("expected `on` or `off`"),
            },
            "max-sessions" => match number(value.text, &[]) {
                Some(count @ 1..=SESSIONS_MAX) => set(&mut limits.sessions, Some(count as usize)),
                _ => Some("expected a number from 1 to 100000"),
            },
            "hello-timeout" => match time_ms(value.text) {
                Some(ms @ 1..=HELLO_MAX_MS) => set(&mut limits.handshake_ms, ms),
                _ => Some("expected a time from 1ms to 10m, such as `5s`"),
            },
            "max-message" => match number(value.text, &SIZES) {
                Some(bytes @ MESSAGE_MIN..=Limits::MESSAGE_MAX) => {
                    set(&mut limits.message_bytes, bytes)
                }
                _ => Some("expected a size from 256 to 60k"),
            },
            "max-tables" => match number(value.text, &[]) {
                Some(count @ 1..) => set(&mut limits.tables, count as usize),
                _ => Some("expected a number from 1 on"),
            },
            "max-names" => match number(value.text, &[]).and_then(|names| u8::try_from(names).ok())
            {
                Some(names @ ..=128) => set(&mut limits.names, names),
                _ => Some("expected a number from 0 to 128"),
            },
            "resolve-every" => match time_ms(value.text) {
                Some(ms @ 100..=86_400_000) => set(&mut own.resolve_ms, ms),
                _ => Some("expected a time from 100ms to 1d, such as `10s`"),
            },
            _ => {
                self.error(
                    first,
                    "not known in a line of stktabled's own; expected accept-from, accept-peers, verify-peer-names, \
                     max-sessions, hello-timeout, max-message, max-tables, max-names, learn-tables, ordered-tables, resolve-every, or of sums \
                     from, combine, publish-every, source-timeout or lease",
                );
                None
            }
        };
        if let Some(message) = wrong {
            self.error(value, message);
        }
    }

    fn learn_tables(&mut self, words: &[Word<'_>], learn: &mut Option<(usize, u32)>) {
        let (count, size) = match words {
            [_, count, word, size] if word.text == "size" => (*count, *size),
            [.., last] => {
                self.error(*last, "expected `learn-tables N size SIZE`, and nothing else");
                return;
            }
            [] => return,
        };
        match (number(count.text, &[]), number(size.text, &SIZES)) {
            (Some(tables @ 1..=LEARNED_MAX), Some(size @ 1..)) => {
                *learn = Some((tables as usize, size));
            }
            (Some(1..=LEARNED_MAX), _) => {
                self.error(size, "expected a number of entries, such as `100k`");
            }
            _ => self.error(count, "expected a number from 1 to 1000"),
        }
    }

    /// Returns the one value of a line; reports it otherwise.
    fn value<'w>(&mut self, words: &[Word<'w>]) -> Option<Word<'w>> {
        match words {
            [_, value] => Some(*value),
            [first] => {
                self.error(*first, "has no value; expected it to follow");
                None
            }
            [_, _, more, ..] => {
                self.error(*more, "one value is enough; expected the end of the line");
                None
            }
            [] => None,
        }
    }

    fn networks(&mut self, words: &[Word<'_>], found: &mut Vec<IpNet>) {
        if let [first] = words {
            self.error(*first, "no network; expected such as `192.0.2.0/24` to follow");
        }
        for word in words.iter().skip(1) {
            for text in word.text.split(',') {
                let network = text
                    .parse()
                    .ok()
                    .or_else(|| Some(IpNet::from(text.parse::<std::net::IpAddr>().ok()?)));
                match network {
                    Some(network) => found.push(network),
                    None => self.error(
                        Word { text, ..*word },
                        "no network; expected an address, or one with the length of its prefix, such as `192.0.2.0/24`",
                    ),
                }
            }
        }
    }
}

/// Sets something; there is nothing to complain of.
fn set<T>(slot: &mut T, value: T) -> Option<&'static str> {
    *slot = value;
    None
}

const SIZES: [(&str, u64); 3] = [("k", 1 << 10), ("m", 1 << 20), ("g", 1 << 30)];

/// Returns a time in milliseconds, which it is in without a unit.
pub(super) fn time_ms(text: &str) -> Option<u32> {
    number(text, &[("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)])
}

/// Returns a number, times its unit if it has one.
fn number(text: &str, units: &[(&str, u64)]) -> Option<u32> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = text.get(digits.len()..)?;
    let factor = match unit {
        "" => 1,
        unit => units.iter().find(|(name, _)| *name == unit)?.1,
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(factor)?.try_into().ok()
}
