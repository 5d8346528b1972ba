//! The lines of a `peers` section.

use stktable::declare::Word;

use super::address::Address;
use super::aggregate::{Tier, WORDS};
use super::reader::Reader;
use super::tls::{Side, TlsWords};
use super::{Bind, Peer};

/// What an option of `bind`, `peer` or `server` does to us.
enum Effect {
    /// It changes TLS in a way that is not known here. What is known is read before.
    Tls,
    /// It puts something before the bytes of the protocol.
    Preamble,
    /// It makes a peer hold some of the entries.
    Shard,
    /// It changes nothing that peers would see.
    None,
}

/// Returns the effect of a word, `None` if it is no option that we know.
fn effect(word: &str) -> Option<Effect> {
    Some(match word {
        "ssl"
        | "allow-0rtt"
        | "alpn"
        | "npn"
        | "ca-file"
        | "ca-ignore-err"
        | "ca-sign-file"
        | "ca-sign-pass"
        | "ca-verify-file"
        | "check-alpn"
        | "check-sni"
        | "check-ssl"
        | "ciphers"
        | "ciphersuites"
        | "client-sigalgs"
        | "crl-file"
        | "crt"
        | "crt-ignore-err"
        | "crt-list"
        | "curves"
        | "default-crt"
        | "ecdhe"
        | "force-sslv3"
        | "force-tlsv10"
        | "force-tlsv11"
        | "force-tlsv12"
        | "force-tlsv13"
        | "generate-certificates"
        | "ktls"
        | "no-sslv3"
        | "no-tls-tickets"
        | "no-tlsv10"
        | "no-tlsv11"
        | "no-tlsv12"
        | "no-tlsv13"
        | "prefer-client-ciphers"
        | "renegotiate"
        | "sigalgs"
        | "sni"
        | "ssl-max-ver"
        | "ssl-min-ver"
        | "ssl-reuse"
        | "key"
        | "no-ssl"
        | "no-verifyhost"
        | "strict-sni"
        | "tls-ticket-keys"
        | "tls-tickets"
        | "verify"
        | "verifyhost" => Effect::Tls,
        "accept-proxy"
        | "accept-netscaler-cip"
        | "send-proxy"
        | "send-proxy-v2"
        | "send-proxy-v2-ssl"
        | "send-proxy-v2-ssl-cn"
        | "check-send-proxy"
        | "socks4"
        | "set-proxy-v2-tlv-fmt"
        | "proto" => Effect::Preamble,
        "shard" => Effect::Shard,
        "addr" | "agent-check" | "agent-port" | "backlog" | "backup" | "check" | "cookie"
        | "disabled" | "downinter" | "enabled" | "error-limit" | "fall" | "fastinter" | "id"
        | "init-addr" | "inter" | "interface" | "level" | "maxconn" | "maxqueue" | "minconn"
        | "mss" | "name" | "namespace" | "no-check" | "non-stick" | "nice" | "observe"
        | "on-error" | "on-marked-down" | "on-marked-up" | "port" | "process" | "resolvers"
        | "resolve-prefer" | "rise" | "shards" | "slowstart" | "source" | "tcp-ut" | "tfo"
        | "thread" | "track" | "transparent" | "usesrc" | "v4v6" | "v6only" | "weight" => {
            Effect::None
        }
        _ => return None,
    })
}

impl Reader<'_> {
    /// Reads a line of the last section.
    pub(super) fn peers_line(&mut self, words: &[Word<'_>]) {
        let first = words[0];
        match first.text {
            "peer" | "server" => self.peer(words),
            "bind" => self.bind(words),
            "table" => self.table(words, None),
            "disabled" | "enabled" => {
                if let Some(section) = self.config.peers.last_mut() {
                    section.disabled = first.text == "disabled";
                }
            }
            "default-bind" => {
                self.config.ignored_lines += 1;
                let tls = self.options(&words[1..], Side::Bind, false);
                if let Some(section) = self.config.peers.last_mut() {
                    section.bind_tls = section.bind_tls.over(&tls);
                }
            }
            "default-server" => {
                self.config.ignored_lines += 1;
                let tls = self.options(&words[1..], Side::Server, false);
                // For the lines that follow, over those before.
                self.server_tls = tls.over(&self.server_tls);
            }
            "shards" => self.error(
                first,
                "shards are not supported yet, and without them every peer would be sent everything; \
                 expected a section without `shards`",
            ),
            "log" | "no" | "default" => self.config.ignored_lines += 1,
            word if self.is_aggregations() && WORDS.contains(&word) => self.aggregate_line(words),
            _ if self.is_aggregations() => self.error(
                first,
                "not known in an aggregations section; expected peer, server, bind, table, from, combine, publish-every, \
                 source-timeout, lease, disabled, enabled, default-bind, default-server or log",
            ),
            _ => self.error(
                first,
                "not known in a peers section; expected peer, server, bind, table, disabled, enabled, \
                 default-bind, default-server or log",
            ),
        }
    }

    fn peer(&mut self, words: &[Word<'_>]) {
        let first = words[0];
        if first.text == "peer" {
            self.peer_at.get_or_insert(self.at(first));
            self.mixed(first);
        }
        let name = self.name(words, "a peer");
        let (words, tier, aggregator) = self.tier(words);
        let words = words.as_slice();
        // An option may follow at once: with `bind` the local peer has no address.
        let given = words.get(2).filter(|word| effect(word.text).is_none());
        let options = words.get(2 + usize::from(given.is_some())..).unwrap_or_default();
        let parsed = given.map(|word| Address::parse(word.text).map_err(|error| (*word, error)));
        let address = match parsed.transpose() {
            Ok(address) => address,
            Err((word, error)) => {
                self.error(word, error.to_string());
                None
            }
        };
        let tls = self.options(options, Side::Server, true).over(&self.server_tls);
        let Some(name) = name else { return };
        let at = self.at(words[1]);
        if let Some(other) = self.first_peer(name, &at) {
            let message = format!(
                "this section has a peer of this name already at {other}; expected it once"
            );
            self.error(words[1], message);
        }
        if let Some(section) = self.config.peers.last_mut() {
            section.peers.push(Peer { name: name.to_owned(), address, tls, tier, aggregator, at });
        }
    }

    fn is_aggregations(&self) -> bool {
        self.config.peers.last().is_some_and(|section| section.is_aggregations)
    }

    /// Takes the words out that say what a peer is to an aggregator.
    fn tier<'w>(&mut self, words: &[Word<'w>]) -> (Vec<Word<'w>>, Option<Tier>, bool) {
        let (mut tier, mut aggregator) = (None, false);
        if !self.is_aggregations() {
            return (words.to_vec(), tier, aggregator);
        }
        let mut rest = Vec::with_capacity(words.len());
        for (at, word) in words.iter().enumerate() {
            if at > 1 && word.text == "aggregator" {
                aggregator = true;
                continue;
            }
            match Tier::from_word(word.text).filter(|_| at > 1) {
                Some(_) if tier.is_some() => {
                    self.error(*word, "a peer is one of local, down and up; expected one of them");
                }
                Some(found) => tier = Some(found),
                None => rest.push(*word),
            }
        }
        (rest, tier, aggregator)
    }

    fn bind(&mut self, words: &[Word<'_>]) {
        let first = words[0];
        if let Some(other) = &self.bind_at {
            let message =
                format!("this section has a `bind` line already at {other}; expected one");
            self.error(first, message);
            return;
        }
        self.bind_at = Some(self.at(first));
        self.mixed(first);
        let Some(list) = words.get(1).filter(|list| effect(list.text).is_none()) else {
            self.error(first, "no address; expected ADDRESS:PORT");
            self.bind_options(&words[1..]);
            return;
        };
        let mut column = list.column;
        for text in list.text.split(',') {
            let word = Word { text, line: list.line, column };
            let width = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
            column = column.saturating_add(width).saturating_add(1);
            match Address::parse(text) {
                Err(error) => self.error(word, error.to_string()),
                Ok(address) => {
                    let at = self.at(word);
                    if let Some(section) = self.config.peers.last_mut() {
                        section.bind.push(Bind { address, at });
                    }
                }
            }
        }
        self.bind_options(&words[2..]);
    }

    fn bind_options(&mut self, words: &[Word<'_>]) {
        let tls = self.options(words, Side::Bind, true);
        if let Some(section) = self.config.peers.last_mut() {
            section.bind_tls = tls.over(&section.bind_tls);
        }
    }

    /// Refuses `peer` lines beside a `bind` line.
    fn mixed(&mut self, word: Word<'_>) {
        if let (Some(_), Some(_)) = (&self.bind_at, &self.peer_at) {
            self.error(
                word,
                "`peer` and `bind` exclude each other; expected `server` lines with `bind`",
            );
        }
    }

    /// Returns what the options say of TLS. Refuses those that would change what is said between peers and are not
    /// supported, each kind once a line.
    fn options(&mut self, words: &[Word<'_>], side: Side, warn: bool) -> TlsWords {
        let mut tls = TlsWords::default();
        let mut reported = [false; 3];
        let mut unused = None;
        let mut at = 0;
        while let Some(word) = words.get(at).copied() {
            let taken = self.tls_word(&words[at..], side, &mut tls);
            at += taken.max(1);
            if taken > 0 {
                continue;
            }
            let (kind, message) = match effect(word.text) {
                Some(Effect::Tls) => (
                    0,
                    "this is not supported between peers, and left out it would be another connection; expected ssl, crt, \
                     key, ca-file, verify, verifyhost, sni, ssl-min-ver or ssl-max-ver",
                ),
                Some(Effect::Preamble) => (
                    1,
                    "changes what is sent before the protocol, which is not supported; expected it left out",
                ),
                Some(Effect::Shard) => (
                    2,
                    "shards are not supported yet, and without them this peer would be sent everything; \
                     expected no `shard`",
                ),
                Some(Effect::None) | None => {
                    unused.get_or_insert(word);
                    continue;
                }
            };
            if !core::mem::replace(&mut reported[kind], true) {
                self.error(word, message);
            }
        }
        if let Some(first) = unused.filter(|_| warn && reported == [false; 3]) {
            self.warning(first, "options of a peer's connection are not used; expected none");
        }
        tls
    }
}
