//! What `show table` takes beside HAProxy's words: pages, networks, the largest, JSON.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use serde_json::{Value as Json, json};
use stktable::declare::Scope;
use stktable::table::Options;
use stktable::{DataType, Declaration, Key, Tick};
use stktable_integration::SharedTable;
use stktable_integration::runtime_api::{Api, Level, PIECE_BYTES};

const NOW: Tick = Tick((1 << 32) - 20_000);

fn table(ordered: bool) -> Arc<SharedTable> {
    let line = "stick-table type ip size 10k expire 30m store gpc0,http_req_rate(10s),bytes_in_cnt,gpt(2),server_key";
    let declaration = Declaration::parse(line, Scope::Proxy("t")).into_result().unwrap();
    let options = if ordered { Options::new().ordered() } else { Options::new() };
    let table = SharedTable::with(declaration, options);
    for number in 0..3_000_u32 {
        let address = Ipv4Addr::from_bits(0x0a00_0000 + ((number % 3) << 16) + number);
        let entry = table.get_or_create(&Key::from(address), NOW).unwrap();
        entry.set(DataType::Gpc0, 0, (number * 7 % 3_000).into(), NOW).unwrap();
    }
    table
}

fn run(table: &Arc<SharedTable>, command: &str) -> String {
    let api = Api::new(vec![Arc::clone(table)], NOW);
    let mut reply = api.execute(command.as_bytes(), Level::Operator, NOW);
    let (mut all, mut longest) = (Vec::new(), 0);
    loop {
        let before = all.len();
        let more = reply.next(NOW, &mut all);
        longest = longest.max(all.len() - before);
        if !more {
            break;
        }
    }
    assert!(longest < PIECE_BYTES + 1_000, "{command}: a piece of {longest} bytes");
    String::from_utf8(all).unwrap()
}

/// The keys of the lines, in their order, and how many lines there are before them.
fn keys(reply: &str) -> Vec<String> {
    let key = |line: &str| Some(line.split_once(" key=")?.1.split_once(' ')?.0.to_owned());
    reply.lines().filter_map(key).collect()
}

#[test]
fn pages_make_up_the_whole_table() {
    for ordered in [false, true] {
        let table = table(ordered);
        let all = keys(&run(&table, "show table t"));
        assert_eq!(all.len(), 3_000);
        if ordered {
            assert!(all.is_sorted_by_key(|key| key.parse::<Ipv4Addr>().unwrap()));
        }
        let mut paged = keys(&run(&table, "show table t limit 700"));
        assert_eq!(paged.len(), 700);
        while let Some(last) = paged.last().cloned() {
            // Whether or not it is there any more.
            table.remove(&table.declaration().key.parse(&last).unwrap(), NOW);
            let page = keys(&run(&table, &format!("show table t after {last} limit 700")));
            if page.is_empty() {
                break;
            }
            paged.extend(page);
        }
        assert_eq!(paged, all, "{ordered}");
    }
}

#[test]
fn networks_go_with_filters_and_pages() {
    for ordered in [false, true] {
        let table = table(ordered);
        let found = keys(&run(&table, "show table t prefix 10.1.0.0/16"));
        assert_eq!(found.len(), 1_000);
        assert!(found.iter().all(|key| key.starts_with("10.1.")));
        let command = "show table t data.gpc0 ge 2000 prefix 10.1.0.0/16 data.gpc0 lt 2500";
        let few: BTreeSet<_> = keys(&run(&table, command)).into_iter().collect();
        let expected =
            (0..3_000_u32).filter(|n| n % 3 == 1 && (2_000..2_500).contains(&(n * 7 % 3_000)));
        assert_eq!(few.len(), expected.count());
        let first = keys(&run(&table, "show table t limit 1 prefix 10.1.0.0/16"));
        let rest = run(&table, &format!("show table t prefix 10.1.0.0/16 after {}", first[0]));
        assert_eq!(keys(&rest).len(), 999);
        // From a key before the network, or behind it.
        let edge = |key: &str| {
            keys(&run(&table, &format!("show table t prefix 10.1.0.0/16 after {key}"))).len()
        };
        if ordered {
            assert_eq!((edge("10.0.255.255"), edge("10.2.0.0")), (1_000, 0));
        }
        assert_eq!(keys(&run(&table, "show table t prefix 10.9.0.0/16")).len(), 0);
        assert_eq!(keys(&run(&table, "show table t limit 0")).len(), 0);
    }
}

#[test]
fn the_largest_come_first() {
    let table = table(false);
    let by_hand: Vec<_> = (0..3_000_u32)
        .map(|number| (number * 7 % 3_000, 0x0a00_0000 + ((number % 3) << 16) + number))
        .collect();
    let expected = |network: Option<u32>, count: usize| {
        let mut some: Vec<_> = by_hand
            .iter()
            .filter(|(_, key)| network.is_none_or(|n| key >> 16 & 0xff == n))
            .collect();
        some.sort_by_key(|(value, _)| std::cmp::Reverse(*value));
        let keys =
            some.into_iter().take(count).map(|(_, key)| Ipv4Addr::from_bits(*key).to_string());
        keys.collect::<Vec<_>>()
    };
    assert_eq!(keys(&run(&table, "show table t top 50 by data.gpc0")), expected(None, 50));
    assert_eq!(
        keys(&run(&table, "show table t sort by data.gpc0 limit 3000")),
        expected(None, 3_000)
    );
    let command = "show table t prefix 10.2.0.0/16 top 5 by data.gpc0";
    assert_eq!(keys(&run(&table, command)), expected(Some(2), 5));
    assert_eq!(keys(&run(&table, "show table t top 0 by data.gpc0")).len(), 0);
}

#[test]
fn json_has_a_line_for_each_entry() {
    let table = table(false);
    let key = table.declaration().key.parse("10.0.0.0").unwrap();
    let entry = table.get(&key, NOW).unwrap();
    entry.set(DataType::BytesInCnt, 0, -1, NOW).unwrap();
    entry.set(DataType::Gpt, 1, 9, NOW).unwrap();
    entry.set_server_key(Some("a \"b\"")).unwrap();
    let reply = run(&table, "show table t json prefix 10.0.0.0/32");
    let lines: Vec<Json> =
        reply.trim_end().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        lines,
        [
            json!({ "table": "t", "type": "ip", "size": 10_240, "used": 3_000 }),
            json!({ "key": "10.0.0.0", "use": 1, "exp": 1_800_000, "data": {
                "gpc0": 0, "http_req_rate": 0, "bytes_in_cnt": u64::MAX, "gpt": [0, 9],
                "server_key": "a \"b\"",
            } }),
        ]
    );
    let all = run(&table, "show table t json");
    assert_eq!(all.trim_end().lines().count(), 3_001);
    assert!(all.trim_end().lines().all(|line| serde_json::from_str::<Json>(line).is_ok()));
}

#[test]
fn what_is_wrong_is_named() {
    let table = table(false);
    for (words, said) in [
        ("limit", "'limit' needs a number"),
        ("limit x", "'limit' needs a number"),
        ("limit -1", "'limit' needs a number"),
        ("limit 1 limit 2", "'limit' is there twice"),
        ("limit 1 top 2 by data.gpc0", "'limit' is there twice"),
        ("json json", "'json' is there twice"),
        ("prefix", "'prefix' needs a network, or what keys begin with"),
        ("prefix 10.0.0.0/33", "'prefix' needs a network, or what keys begin with"),
        ("after", "'after' needs a key"),
        ("after nowhere", "Invalid key"),
        ("top 5", "'top' needs 'by data.TYPE'"),
        ("top 5 by gpc0", "'top' needs 'by data.TYPE'"),
        ("top 5 by data.gpc1", "Data type not stored in this table"),
        ("sort by data.gpc0", "'sort' needs 'limit N' with N up to 10000"),
        ("top 10001 by data.gpc0", "'sort' needs 'limit N' with N up to 10000"),
        (
            "top 1 by data.gpc0 after 10.0.0.1",
            "'after' goes with the order of the table, not with 'sort' or 'top'",
        ),
        ("json data.gpc0 gt", "Filter entry #1: Require a valid integer value to compare against"),
        (
            "json nonsense",
            r#"Optional argument only supports "data.<store_data_type>" <operator> <value> and key <key>"#,
        ),
    ] {
        assert_eq!(run(&table, &format!("show table t {words}")), format!("{said}\n\n"), "{words}");
    }
    let api = Api::new(vec![table], NOW);
    let user = api.execute(b"show table t limit 1 json", Level::User, NOW).read(NOW);
    assert!(String::from_utf8(user).unwrap().ends_with("insufficient privileges\n\n"));
}
