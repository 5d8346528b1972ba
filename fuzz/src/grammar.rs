//! Configurations and declarations, put together from the words of their grammar.

use std::fmt::Write as _;

use bolero::TypeGenerator;

/// A line of a configuration.
#[derive(Clone, Debug, TypeGenerator)]
#[expect(missing_docs, reason = "numbers that a fuzzer picks")]
pub enum Line {
    Peers {
        name: u8,
    },
    Proxy {
        kind: u8,
        name: u8,
    },
    Global {
        name: u8,
    },
    Peer {
        server: bool,
        name: u8,
        address: u8,
        option: Option<u8>,
    },
    Bind {
        addresses: [u8; 2],
        option: Option<u8>,
    },
    Table(Table),
    StickTable(Table),
    Word(u8),
    Comment(u8),
    /// Any bytes, in the middle of a line or as one.
    Bytes(Vec<u8>, bool),
}

/// The words of a declaration.
#[derive(Clone, Debug, TypeGenerator)]
pub struct Table {
    name: u8,
    key: u8,
    size: u8,
    store: Vec<(u8, u8, u8)>,
    others: Vec<(u8, u8)>,
    /// Where one more word is put, and which.
    stray: Option<(u8, u8)>,
}

const NAMES: [&str; 10] = ["a", "b", "lab", "mesh", "t", "web", "a.b-c:d_e", "\"q\"", "", "p/t"];
const KINDS: [&str; 5] = ["frontend", "listen", "backend", "defaults", "resolvers"];
const ADDRESSES: [&str; 14] = [
    "127.0.0.1:1",
    "*:2",
    ":3",
    "[::1]:4",
    "ipv4@127.0.0.1:5",
    "host:6",
    "127.0.0.1",
    "127.0.0.1:0",
    "127.0.0.1:65536",
    "unix@/x",
    "fd@3",
    "::1:7",
    "127.0.0.1:1-9",
    "${ADDRESS}",
];
const OPTIONS: [&str; 8] =
    ["ssl", "send-proxy", "shard 1", "weight 3", "backup", "check", "crt x", "nonsense"];
const TYPES: [&str; 12] = [
    "ip",
    "ipv4",
    "ipv6",
    "integer",
    "string",
    "binary",
    "string len 1",
    "string len 8183",
    "binary len 8184",
    "string len 0",
    "binary len 4294967296",
    "strng",
];
const SIZES: [&str; 9] = ["1", "10", "1k", "3M", "1g", "4g", "0", "1kk", "x"];
const TIMES: [&str; 12] =
    ["1", "10s", "1m", "1h", "24d", "25d", "2147483647", "2147483648", "5us", "5000us", "0", "1w"];
const COUNTS: [&str; 7] = ["1", "2", "100", "101", "0", "-1", "2x"];
const TYPES_STORED: [&str; 30] = [
    "server_id",
    "gpt0",
    "gpc0",
    "gpc0_rate",
    "conn_cnt",
    "conn_rate",
    "conn_cur",
    "sess_cnt",
    "sess_rate",
    "http_req_cnt",
    "http_req_rate",
    "http_err_cnt",
    "http_err_rate",
    "bytes_in_cnt",
    "bytes_in_rate",
    "bytes_out_cnt",
    "bytes_out_rate",
    "gpc1",
    "gpc1_rate",
    "server_key",
    "server_name",
    "http_fail_cnt",
    "http_fail_rate",
    "gpt",
    "gpc",
    "gpc_rate",
    "glitch_cnt",
    "glitch_rate",
    "gpc2",
    "",
];
const STRAYS: [&str; 18] = [
    "\\\n",
    "\"",
    "'",
    "#",
    "\\",
    "$X",
    "\"${LIST[*]}\"",
    "${",
    "\u{e9}",
    "\r",
    "\0",
    "(",
    ")",
    ",",
    "size",
    "store",
    "type",
    "peers",
];
const WORDS: [&str; 14] = [
    "disabled",
    "enabled",
    ".if defined(X)",
    ".elif",
    ".else",
    ".endif",
    "log global",
    "default-server ssl",
    "default-bind v4v6",
    "shards 2",
    "mode http",
    "localpeer a",
    "no option",
    "nonsense",
];

fn word(from: &[&'static str], at: u8) -> &'static str {
    crate::pick(from, at).copied().unwrap_or_default()
}

impl Table {
    /// Returns the words after `table NAME` or `stick-table`, well-formed more often than not.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        // The first few of each list are good; the rest comes up when the high bit is set.
        let mostly = |from: &[&'static str], good: usize, at: u8| {
            let from = if at < 224 { &from[..good] } else { from };
            word(from, at).to_owned()
        };
        let mut words = vec!["type".into(), mostly(&TYPES, 9, self.key)];
        words.extend(["size".into(), mostly(&SIZES, 5, self.size)]);
        if !self.store.is_empty() {
            let mut list = String::new();
            for (at, (which, count, period)) in self.store.iter().take(8).enumerate() {
                let name = word(&TYPES_STORED[..if *which < 240 { 28 } else { 30 }], *which);
                let comma = if at > 0 { "," } else { "" };
                let _ = write!(list, "{comma}{name}");
                let is_array = matches!(name, "gpt" | "gpc" | "gpc_rate");
                let is_rate = name.ends_with("_rate");
                let count = mostly(&COUNTS, 3, *count);
                let period = mostly(&TIMES, 5, *period);
                let _ = match (is_array, is_rate) {
                    (true, true) => write!(list, "({count},{period})"),
                    (true, false) => write!(list, "({count})"),
                    // 1 ms is too short for a rate; now and then that is wanted.
                    (false, true) => write!(list, "({})", period.replacen('1', "2", 1)),
                    (false, false) => Ok(()),
                };
            }
            words.extend(["store".into(), list]);
        }
        for (which, value) in self.others.iter().take(6) {
            match which % 8 {
                0 => words.extend(["expire".into(), mostly(&TIMES, 5, *value)]),
                1 => words.push("nopurge".into()),
                2 => words.push("recv-only".into()),
                3 => words.extend(["write-to".into(), word(&NAMES, *value).into()]),
                4 => words.extend(["srvkey".into(), word(&["name", "addr"], *value).into()]),
                5 => words.extend(["brates-factor".into(), mostly(&SIZES, 3, *value)]),
                6 => words.extend(["peers".into(), word(&NAMES, *value).into()]),
                _ => words.extend(["store".into(), word(&TYPES_STORED, *value).into()]),
            }
        }
        if let Some((at, which)) = self.stray {
            let at = usize::from(at) % (words.len() + 1);
            words.insert(at, word(&STRAYS, which).to_owned());
        }
        words
    }

    /// Returns a name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        word(&NAMES, self.name)
    }
}

/// Returns the text of these lines.
#[must_use]
pub fn text(lines: &[Line]) -> Vec<u8> {
    let mut out = String::new();
    let mut bytes = Vec::new();
    for line in lines {
        let _ = match line {
            Line::Peers { name } => writeln!(out, "peers {}", word(&NAMES, *name)),
            Line::Proxy { kind, name } => {
                writeln!(out, "{} {}", word(&KINDS, *kind), word(&NAMES, *name))
            }
            Line::Global { name } => {
                writeln!(out, "global\n localpeer {}", word(&NAMES, *name))
            }
            Line::Peer { server, name, address, option } => writeln!(
                out,
                "\t{} {} {} {}",
                if *server { "server" } else { "peer" },
                word(&NAMES[..4], *name),
                word(&ADDRESSES[..if *address < 192 { 5 } else { 14 }], *address),
                option.filter(|option| *option < 64).map_or("", |at| word(&OPTIONS, at)),
            ),
            Line::Bind { addresses: [a, b], option } => writeln!(
                out,
                "  bind {},{} {}",
                word(&ADDRESSES, *a),
                word(&ADDRESSES, *b),
                option.map_or("", |at| word(&OPTIONS, at)),
            ),
            Line::Table(table) => {
                writeln!(out, "  table {} {}", table.name(), table.arguments().join(" "))
            }
            Line::StickTable(table) => {
                writeln!(out, "  stick-table {}", table.arguments().join("  "))
            }
            Line::Word(at) => writeln!(out, "    {}", word(&WORDS, *at)),
            Line::Comment(at) => writeln!(out, "# {}", word(&STRAYS, *at)),
            Line::Bytes(raw, is_line) => {
                bytes.extend_from_slice(out.as_bytes());
                out.clear();
                if !is_line {
                    // In the middle of the line before.
                    bytes.pop();
                }
                bytes.extend_from_slice(raw);
                writeln!(out)
            }
        };
    }
    bytes.extend_from_slice(out.as_bytes());
    bytes
}
