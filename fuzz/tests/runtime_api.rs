//! Any line of the runtime API is answered: in pieces of bounded size, to an end, and nobody changes what they may not.

use std::sync::Arc;

use bolero::{TypeGenerator, check};
use stktable::declare::Scope;
use stktable::table::Options;
use stktable::{Declaration, Key, Tick};
use stktable_integration::SharedTable;
use stktable_integration::runtime_api::{Api, Level, PIECE_BYTES, commands};

const NOW: Tick = Tick((1 << 32) - 5_000);
const ENTRIES: u32 = 400;
/// The longest line of an entry, or of what is said of a wrong word.
const LINE_MAX: usize = 4096;
/// Of the longest answer there is to one command.
const PIECES_MAX: u32 = 64;

const WORDS: &[&str] = &[
    "show",
    "set",
    "clear",
    "table",
    "t",
    "b",
    "key",
    "ptr",
    "data.gpc0",
    "data.http_req_rate",
    "data.server_key",
    "gt",
    "eq",
    "le",
    "json",
    "limit",
    "after",
    "sort",
    "by",
    "top",
    "prefix",
    "10",
    "1",
    "0",
    "0x1",
    "192.0.2.7",
    "192.0.2.0/24",
    "name",
    "x\\ y",
    "\\",
    ";",
    "-1",
    "4294967296",
    "99999999999999999999",
    "peers",
    "digest",
    "dict",
    "info",
    "help",
    "prompt",
    "quit",
    "user",
    "operator",
    "cli",
    "level",
    "save",
    "state",
    "aggregate",
    "trace",
    "event",
    "+any",
    "none",
    "sink",
    "buf0",
    "start",
    "now",
    "stop",
    "pause",
    "lock",
    "nothing",
    "verbosity",
    "complete",
    "events",
    "-n",
    "",
    "\u{e4}",
    "\u{7f}",
];

#[derive(Clone, Debug, TypeGenerator)]
enum Part {
    Word(u8),
    Bytes(Vec<u8>),
}

fn tables() -> Vec<Arc<SharedTable>> {
    let lines = [
        "stick-table type ip size 1k expire 10m store gpc0,http_req_rate(10s),server_key",
        "stick-table type binary len 4 size 10 store gpt(3)",
    ];
    let table = |(line, name): (&str, &str)| {
        let declaration = Declaration::parse(line, Scope::Proxy(name)).into_result().unwrap();
        SharedTable::with(declaration, Options::new().ordered())
    };
    lines.into_iter().zip(["t", "b"]).map(table).collect()
}

/// Runs the commands of a line. Returns what is said.
fn run(api: &Api, line: &[u8], level: Level) -> Vec<u8> {
    let mut said = Vec::new();
    for command in commands(line) {
        let mut reply = api.execute(command, level, NOW);
        if reply.is_endless() {
            // Somebody would have to end it.
            continue;
        }
        let mut pieces = 0;
        loop {
            let mut piece = Vec::new();
            let more = reply.next(NOW, &mut piece);
            assert!(
                piece.len() <= PIECE_BYTES + LINE_MAX + line.len(),
                "{} bytes at once",
                piece.len()
            );
            said.extend_from_slice(&piece);
            if !more {
                break;
            }
            pieces += 1;
            assert!(pieces <= PIECES_MAX, "no end of {:?}", String::from_utf8_lossy(command));
        }
        assert!(said.is_empty() || said.ends_with(b"\n"), "{:?}", String::from_utf8_lossy(&said));
    }
    said
}

fn asked(api: &Api, tables: &[Arc<SharedTable>], line: &[u8]) {
    let everything = || run(api, b"show table t; show table b", Level::Admin);
    let before = everything();
    run(api, line, Level::User);
    assert_eq!(everything(), before, "a user has changed something");
    run(api, line, Level::Admin);
    for table in tables {
        assert!(table.used() <= table.declaration().size);
    }
    let json = run(api, b"show table t json", Level::Operator);
    for line in json.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        serde_json::from_slice::<serde_json::Value>(line).unwrap();
    }
}

fn with_api(run: impl FnOnce(&Api, &[Arc<SharedTable>])) {
    let tables = tables();
    for number in 0..ENTRIES {
        let key = Key::from(std::net::Ipv4Addr::from(0xc000_0200 + number));
        tables[0].get_or_create(&key, NOW).unwrap().touch(NOW);
    }
    run(&Api::new(tables.clone(), NOW), &tables);
}

#[test]
fn any_words_are_answered() {
    check!().with_type::<Vec<Part>>().for_each(|parts| {
        let mut line = Vec::new();
        for part in parts {
            match part {
                Part::Word(at) => {
                    line.extend_from_slice(fuzz::pick(WORDS, *at).unwrap().as_bytes())
                }
                Part::Bytes(bytes) => line.extend_from_slice(bytes),
            }
            line.push(b' ');
        }
        with_api(|api, tables| asked(api, tables, &line));
    });
}

#[test]
fn any_bytes_are_answered() {
    check!().with_max_len(1 << 12).for_each(|line: &[u8]| {
        with_api(|api, tables| asked(api, tables, line));
    });
}

/// Commands that are right, with words put in, left out and changed.
#[test]
fn commands_with_changes_are_answered() {
    const LINES: [&str; 8] = [
        "show table t data.gpc0 gt 1 data.http_req_rate lt 5 limit 10",
        "show table t prefix 192.0.2.0/24 after 192.0.2.9 limit 3 json",
        "show table t top 5 by data.gpc0",
        "set table t key 192.0.2.1 data.gpc0 7 data.http_req_rate 3",
        "clear table t data.gpc0 gt 6",
        "clear table t ptr 0x7",
        "set table b key 00ff data.gpt1 9",
        "trace peers event +any level proto verbosity complete sink buf0 start now",
    ];
    check!().with_type::<(u8, Vec<(u8, u8, u8)>)>().for_each(|(line, changes)| {
        let mut words: Vec<&str> = fuzz::pick(&LINES, *line).unwrap().split(' ').collect();
        for (kind, at, word) in changes {
            let at = usize::from(*at) % words.len().max(1);
            let word = fuzz::pick(WORDS, *word).unwrap();
            match kind % 3 {
                0 => words.insert(at, word),
                1 if !words.is_empty() => words[at] = word,
                _ if !words.is_empty() => drop(words.remove(at)),
                _ => {}
            }
        }
        with_api(|api, tables| asked(api, tables, words.join(" ").as_bytes()));
    });
}
