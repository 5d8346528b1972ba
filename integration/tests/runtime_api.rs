//! The runtime API, command by command: what HAProxy 2.6.12 answered to each stands beside it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use stktable::declare::Scope;
use stktable::{DataType, Declaration, Tick};
use stktable_integration::SharedTable;
use stktable_integration::runtime_api::{Api, Level, PIECE_BYTES, PeersStatus, Then, commands};

/// 20 s before the low 32 bits wrap.
const NOW: Tick = Tick((1 << 32) - 20_000);

const TABLES: &[(&str, &str)] = &[
    (
        "tip",
        "type ip size 1m expire 30m store server_id,gpt0,gpc0,gpc0_rate(10s),conn_cnt,conn_rate(10s),conn_cur,\
         bytes_in_cnt,bytes_in_rate(10s),gpc1,server_key,http_fail_cnt",
    ),
    ("tip6", "type ipv6 size 1k expire 1h store gpc0"),
    ("tint", "type integer size 100 expire 1d store server_id,gpc0,server_name"),
    ("tstr", "type string len 8 size 100k expire 1m store gpc(3),gpc_rate(2,5s),gpt(4)"),
    ("tlong", "type string len 64 size 100k expire 1m store gpc0"),
    ("tbin", "type binary len 4 size 10 expire 1m store gpc0"),
    ("tnp", "type integer size 3 nopurge store gpc0"),
    ("tnox", "type string size 3 store conn_cnt"),
    ("tblocks", "type integer size 10 brates-factor 100 store bytes_in_rate(10s)"),
];

struct Harness {
    api: Api,
    tables: Vec<Arc<SharedTable>>,
}

impl Harness {
    fn new() -> Self {
        let mut tables: Vec<_> = TABLES
            .iter()
            .map(|(name, rest)| {
                let line = format!("stick-table {rest}");
                let parsed = Declaration::parse(&line, Scope::Proxy(name)).into_result();
                SharedTable::new(parsed.unwrap())
            })
            .collect();
        let own = Declaration::parse("table ps type string size 10", Scope::Peers("mp"));
        tables.push(SharedTable::new(own.into_result().unwrap()));
        Self { api: Api::new(tables.clone(), NOW), tables }
    }

    fn at(&self, command: &str, level: Level, now: Tick) -> String {
        let reply = self.api.execute(command.as_bytes(), level, now).read(now);
        String::from_utf8(reply).unwrap()
    }

    /// Runs a command, and takes the number at the start of each line for `ID`.
    fn run(&self, command: &str) -> String {
        let reply = self.at(command, Level::Operator, NOW);
        let without_id = |line: &str| match line.strip_prefix("0x") {
            None => line.to_owned(),
            Some(rest) => {
                let (id, rest) = rest.split_once(':').unwrap();
                assert!(u64::from_str_radix(id, 16).is_ok() && id == id.to_lowercase(), "{id}");
                format!("ID:{rest}")
            }
        };
        reply.split('\n').map(without_id).collect::<Vec<_>>().join("\n")
    }

    fn table(&self, name: &str) -> &SharedTable {
        self.tables.iter().find(|table| table.declaration().local_name() == name).unwrap()
    }

    #[track_caller]
    fn expect(&self, command: &str, reply: &str) {
        assert_eq!(self.run(command), format!("{reply}\n"), "{command}");
    }
}

#[test]
fn headers_come_last_declared_first() {
    let harness = Harness::new();
    harness.expect(
        "show table",
        "# table: mp/ps, type: string, size:10, used:0\n\
         # table: tblocks, type: integer, size:10, used:0\n\
         # table: tnox, type: string, size:3, used:0\n\
         # table: tnp, type: integer, size:3, used:0\n\
         # table: tbin, type: binary, size:10, used:0\n\
         # table: tlong, type: string, size:102400, used:0\n\
         # table: tstr, type: string, size:102400, used:0\n\
         # table: tint, type: integer, size:100, used:0\n\
         # table: tip6, type: ipv6, size:1024, used:0\n\
         # table: tip, type: ip, size:1048576, used:0\n",
    );
}

#[test]
fn values_are_shown_as_they_were_set() {
    let harness = Harness::new();
    harness.expect(
        "set table tip key 192.0.2.1 data.server_id 3 data.gpt0 7 data.gpc0 42 data.gpc0_rate 20 data.conn_cnt 5 \
         data.conn_cur 2 data.bytes_in_cnt 123456789012 data.bytes_in_rate 1000 data.server_key 5 \
         data.http_fail_cnt 4294967297 data.gpc1 -1",
        "",
    );
    let line = "ID: key=192.0.2.1 use=0 exp=1800000 server_id=3 gpt0=7 gpc0=42 gpc0_rate(10000)=20 conn_cnt=5 \
                conn_rate(10000)=0 conn_cur=2 bytes_in_cnt=123456789012 bytes_in_rate(10000)=1000 \
                gpc1=4294967295 server_key=- http_fail_cnt=1\n";
    let shown = format!("# table: tip, type: ip, size:1048576, used:1\n{line}");
    harness.expect("show table tip", &shown);
    harness.expect("show table tip key 192.0.2.1", &shown);
    harness.expect(
        "show  table\ttip data.gpc0 gt 0 data.gpt0 eq 7 data.server_id ge 3 data.conn_cnt lt 6",
        &shown,
    );
    for passed in ["data.server_key eq 0", "data.gpc1 eq 4294967295", "data.gpc0_rate le 20"] {
        harness.expect(&format!("show table tip {passed}"), &shown);
    }
    for empty in ["data.gpc0 ne 42", "data.gpc0 eq 42 data.gpt0 gt 7", "data.gpc1 lt 0"] {
        let header = "# table: tip, type: ip, size:1048576, used:1\n";
        harness.expect(&format!("show table tip {empty}"), header);
    }
    harness.expect("set table tip key 192.0.2.1 data.server_id -1 data.bytes_in_cnt -1", "");
    let shown = harness.run("show table tip data.server_id lt 0 data.bytes_in_cnt lt 0");
    assert!(
        shown.contains(" server_id=-1 ") && shown.contains(" bytes_in_cnt=18446744073709551615 ")
    );
}

#[test]
fn arrays_have_their_numbers_before_the_first_underscore() {
    let harness = Harness::new();
    harness.expect("set table tstr key abc data.gpc_rate 100 data.gpt 5", "");
    harness.expect("set table tstr key abc data.gpc[1] 9 data.gpc_rate[1] 7 data.gpt[3] 2", "");
    let line = "ID: key=abc use=0 exp=60000 gpt0=5 gpt1=0 gpt2=0 gpt3=2 gpc0=0 gpc1=9 gpc2=0 \
                gpc0_rate(5000)=100 gpc1_rate(5000)=7\n";
    let shown = format!("# table: tstr, type: string, size:102400, used:1\n{line}");
    harness.expect("show table tstr data.gpc[1] gt 0", &shown);
    harness
        .expect("set table tstr key abc data.gpc[9] 1", "index out of range in this data array\n");
    harness.expect(
        "show table tstr data.gpc[99999999999] eq 1",
        "Filter entry #1: index out of range in this data array\n",
    );
    for wrong in ["gpc[", "gpc[]", "gpc[x]", "gpc[1", "gpc[-1]", "gpc[1]x"] {
        harness.expect(&format!("set table tstr key abc data.{wrong} 1"), "Unknown data type\n");
    }
    harness.expect("set table tip key 192.0.2.1 data.gpc0[0] 1", "Unknown data type\n");
    harness.expect("set table tstr key abcdefghijkl data.gpc 9", "");
    assert!(harness.run("show table tstr").contains("key=abcdefgh use"));
}

#[test]
fn rates_fade_and_byte_rates_are_shown_in_bytes() {
    let harness = Harness::new();
    harness.expect("set table tblocks key 1 data.bytes_in_rate 7", "");
    let later = |ms| {
        harness.at(
            "show table tblocks data.bytes_in_rate gt 0",
            Level::User.max(Level::Operator),
            NOW + ms,
        )
    };
    assert!(later(10_000).contains("bytes_in_rate(10000)=700"));
    assert!(!later(20_000).contains("key="));
}

#[test]
fn keys_are_read_and_shown() {
    let harness = Harness::new();
    for (table, text, shown) in [
        ("tip6", "192.0.2.9", "::ffff:192.0.2.9"),
        ("tip6", "::1.2.3.4", "::1.2.3.4"),
        ("tip6", "2001:DB8::1", "2001:db8::1"),
        ("tip", "::ffff:1.2.3.4", "1.2.3.4"),
        ("tint", "007", "7"),
        ("tint", "4294967295", "4294967295"),
        ("tlong", r"a\ b", r"a\ b"),
        ("tlong", r"a\\b", r"a\\b"),
        ("tlong", r"a\tb", "atb"),
        ("tlong", r"a\=b", r"a\=b"),
        ("tlong", "a=c", r"a\=c"),
        ("tlong", r"a\;b", "a;b"),
        ("tlong", "\"a", "\"a"),
        ("tlong", "#x", "#x"),
        ("tlong", "caf\u{e9}", r"caf\xC3\xA9"),
    ] {
        harness.expect(&format!("set table {table} key {text}"), "");
        let found = harness.run(&format!("show table {table} key {text}"));
        assert!(found.contains(&format!(" key={shown} use=0 ")), "{text}: {found}");
    }
    for (table, text) in [
        ("tip", "2001:db8::1"),
        ("tip", "1.2.3"),
        ("tip", "1.2.3.4/24"),
        ("tip", "localhost"),
        ("tint", "12abc"),
        ("tint", "0x10"),
        ("tint", "-1"),
        ("tint", "4294967296"),
        ("tip6", "::1%lo"),
    ] {
        for command in ["show", "set", "clear"] {
            harness.expect(&format!("{command} table {table} key {text}"), "Invalid key\n");
        }
    }
}

#[test]
fn each_mistake_has_its_message() {
    let harness = Harness::new();
    let form = "tables of type other than ip, ipv6, string and integer is not supported\n";
    let usage_show = "Optional argument only supports \"data.<store_data_type>\" <operator> <value> and key <key>\n";
    let usage_set = "Required arguments: <table> key <key> [data.<store_data_type> <value>]*\n";
    let usage_clear = "Required arguments: <table> \"data.<store_data_type>\" <operator> <value> or <table> key <key>\n";
    let operators = "Require and operator among \"eq\", \"ne\", \"le\", \"ge\", \"lt\", \"gt\"\n";
    let compare = "Require a valid integer value to compare against\n";
    let column = "\"data.<type>\" followed by a value expected\n";
    let store = "Require a valid integer value to store\n";
    let mut rows: Vec<(&str, String)> = vec![
        ("set table tip", usage_set.into()),
        ("set table", usage_set.into()),
        ("set table tip foo", usage_set.into()),
        ("clear table", usage_clear.into()),
        ("clear table tip foo", usage_clear.into()),
        ("clear table tip key 1.2.3.4 foo", usage_clear.into()),
        ("show table tip foo", usage_show.into()),
        ("show table tip gpc0 eq 1", usage_show.into()),
        ("show table tip key 1.2.3.4 foo", usage_show.into()),
        ("show table tbin key 6162", format!("Showing keys from {form}")),
        ("clear table tbin key 6162", format!("Removing keys from {form}")),
        ("set table tbin key 6162", format!("Inserting keys into {form}")),
        ("set table tip key 1.2.3.4 foo", column.into()),
        ("set table tip key 1.2.3.4 foo 1", column.into()),
        ("set table tip key 1.2.3.4 xxxxxgpc0 1", column.into()),
        ("set table tip key 1.2.3.4 data.gpc0", store.into()),
        ("set table tip key 1.2.3.4 data.gpc0 x", store.into()),
        ("set table tip key 1.2.3.4 data.gpc0 99999999999999999999", store.into()),
        ("set table tip key 1.2.3.4 data.gpc0 +5", store.into()),
        ("set table tip key 1.2.3.4 data.gpc0 -", store.into()),
        ("set table tip key 1.2.3.4 data.gpc0 1 data.gpt0", store.into()),
        ("set table tip key 1.2.3.4 data.gpc9 1", "Unknown data type\n".into()),
        (
            "set table tip key 1.2.3.4 data.sess_cnt 1",
            "Data type not stored in this table\n".into(),
        ),
        (
            "set table tip data.gpc0 eq 1",
            "content-based lookup is only supported with the \"show\" and \"clear\" actions\n"
                .into(),
        ),
    ];
    for (filters, message) in [
        ("data.gpc9 eq 1", "#1: Unknown data type\n".to_owned()),
        ("data. eq 1", "#1: Unknown data type\n".to_owned()),
        ("data.sess_cnt eq 1", "#1: Data type not stored in this table\n".to_owned()),
        ("data.gpc0", format!("#1: {operators}")),
        ("data.gpc0 xx 1", format!("#1: {operators}")),
        ("data.gpc0 eq", format!("#1: {compare}")),
        ("data.gpc0 eq xx", format!("#1: {compare}")),
        ("data.gpc0 eq 0x10", format!("#1: {compare}")),
        ("data.gpc0 eq 1 foo", "#2: Unknown data type\n".to_owned()),
        ("data.gpc0 eq 1 data.gpc0", format!("#2: {operators}")),
        ("data.gpc0 eq 1 data.gpc0 xx 3", format!("#2: {operators}")),
    ] {
        let filters: &str = filters;
        let message = format!("Filter entry {message}");
        rows.push((
            Box::leak(format!("show table tip {filters}").into_boxed_str()),
            message.clone(),
        ));
        rows.push((Box::leak(format!("clear table tip {filters}").into_boxed_str()), message));
    }
    let five = "data.gpc0 eq 1 data.gpc0 eq 2 data.gpc0 eq 3 data.gpc0 eq 6 data.gpc0 eq 7";
    rows.push((
        Box::leak(format!("show table tip {five}").into_boxed_str()),
        "Detected extra data in filter, 16th word of input, after '6'\n".into(),
    ));
    for command in ["show", "set", "clear"] {
        let leak = |text: String| -> &str { Box::leak(text.into_boxed_str()) };
        rows.push((leak(format!("{command} table nope")), "No such table\n".into()));
        rows.push((leak(format!("{command} table tip key")), "Key value expected\n".into()));
    }
    for (command, message) in rows {
        harness.expect(command, &message);
    }
    for missing in ["show", "clear"] {
        harness.expect(&format!("{missing} table tip key 9.9.9.9"), "");
    }
    let unused = |table: &Arc<SharedTable>| table.used() == 0;
    assert!(harness.tables.iter().all(unused), "nothing was created on the way");
}

#[test]
fn set_changes_all_or_nothing() {
    let harness = Harness::new();
    harness.expect("set table tip key 5.5.5.5 data.gpc0 1 data.gpc9 4", "Unknown data type\n");
    harness.expect("show table tip key 5.5.5.5", "");
    harness.expect("set table tip key 5.5.5.5 data.gpc0 1", "");
    harness.expect(
        "set table tip key 5.5.5.5 data.gpc0 2 data.gpc1 x",
        "Require a valid integer value to store\n",
    );
    assert!(harness.run("show table tip").contains(" gpc0=1 "));
}

#[test]
fn a_full_table_refuses_or_purges() {
    let harness = Harness::new();
    for key in 1..=3 {
        harness.expect(&format!("set table tnp key {key}"), "");
    }
    harness.expect("set table tnp key 4", "Unable to allocate a new entry\n");
    for (at, key) in (0..).zip(["a", "b", "c", "d"]) {
        harness.at(&format!("set table tnox key {key} data.conn_cnt 1"), Level::Admin, NOW + at);
    }
    let shown = harness.run("show table tnox");
    assert!(shown.starts_with("# table: tnox, type: string, size:3, used:3\n"));
    for key in ["b", "c", "d"] {
        assert!(shown.contains(&format!("\nID: key={key} use=0 exp=0 conn_cnt=1\n")), "{shown}");
    }
}

#[test]
fn set_is_a_local_update_and_refreshes() {
    let line = "table t type integer size 10 expire 10s store gpc0";
    let declaration = Declaration::parse(line, Scope::Peers("p")).into_result().unwrap();
    let table = SharedTable::new(declaration);
    let api = Api::new(vec![Arc::clone(&table)], NOW);
    let run = |command: &str, now| {
        String::from_utf8(api.execute(command.as_bytes(), Level::Operator, now).read(now)).unwrap()
    };
    assert_eq!(run("set table p/t key 1 data.gpc0 1", NOW), "\n");
    let first = table.last_update();
    assert!(first > 0, "queued for peers");
    assert!(run("show table p/t", NOW + 6_000).contains(" exp=4000 "), "looking does not refresh");
    assert_eq!(run("set table p/t key 1", NOW + 6_000), "\n");
    assert!(run("show table p/t", NOW + 6_000).contains(" exp=10000 "));
    assert!(!run("show table p/t", NOW + 16_000).contains("key="), "over, so absent");
}

#[test]
fn clear_takes_what_it_says_unless_it_is_in_use() {
    let harness = Harness::new();
    for key in 1..=50 {
        harness.expect(&format!("set table tint key {key} data.gpc0 {}", key % 2), "");
    }
    let table = harness.table("tint");
    let key = |text: &str| table.declaration().key.parse(text).unwrap();
    let held = table.get(&key("2"), NOW).unwrap();
    assert!(harness.run("show table tint key 2").contains("key=2 use=1 "));
    harness.expect("clear table tint key 2", "Entry currently in use, cannot remove\n");
    harness.expect("clear table tint key 4", "");
    assert_eq!(table.used(), 49);
    harness.expect("clear table tint data.gpc0 eq 0", "");
    assert_eq!(table.used(), 26, "25 odd ones, and the one in use");
    harness.expect("clear table tint", "");
    assert_eq!(table.used(), 1);
    drop(held);
    harness.expect("clear table tint", "");
    assert_eq!(table.used(), 0);
}

#[test]
fn a_user_sees_headers_and_changes_nothing() {
    let harness = Harness::new();
    harness.expect("set table tip key 1.1.1.1 data.gpc0 1", "");
    let user = |command: &str| harness.at(command, Level::User, NOW);
    let header = "# table: tip, type: ip, size:1048576, used:1\n";
    let not_dumped = format!("{header}# contents not dumped due to insufficient privileges\n\n");
    assert_eq!(user("show table").lines().count(), TABLES.len() + 2);
    assert_eq!(user("show table tip"), not_dumped);
    assert_eq!(user("show table tip data.gpc0 eq 1"), not_dumped);
    assert_eq!(user("show table tip data.gpc9 eq 1"), "Filter entry #1: Unknown data type\n\n");
    assert_eq!(user("show table nope"), "No such table\n\n");
    for denied in [
        "show table tip key 1.1.1.1",
        "set table tip key 1.1.1.1 data.gpc0 2",
        "set table nope",
        "set table",
        "clear table tip",
        "clear table tip key 1.1.1.1",
        "clear table tip data.gpc0 eq 1",
        "clear table nope",
    ] {
        assert_eq!(user(denied), "Permission denied\n\n", "{denied}");
    }
    assert!(harness.run("show table tip").contains(" gpc0=1 "), "untouched");
}

#[test]
fn other_commands_answer() {
    struct Two;
    impl PeersStatus for Two {
        fn show_peers(&self, section: Option<&str>, out: &mut String) -> bool {
            let some = section.is_none_or(|name| name == "mp");
            out.push_str(if some { "id=mp\n" } else { "" });
            some
        }
    }
    let api = Api::new(Vec::new(), NOW).peers(Two);
    let run = |command: &[u8]| {
        let now = NOW + 93_784_000;
        let reply = api.execute(command, Level::User, now);
        let then = reply.then();
        (String::from_utf8(reply.read(now)).unwrap(), then)
    };
    for some in ["show peers", "show peers mp", "show peers dict", "show peers - mp"] {
        assert_eq!(run(some.as_bytes()).0, "id=mp\n\n", "{some}");
    }
    assert_eq!(run(b"show peers nope").0, "No such peers\n\n");
    let info = run(b"show info").0;
    assert!(info.starts_with("Name: stktabled\nVersion: "), "{info}");
    assert!(info.contains("\nUptime: 1d 2h03m04s\nUptime_sec: 93784\n"), "{info}");
    assert_eq!(run(b"show table").0, "\n");
    assert_eq!(run(b"prompt"), ("\n".into(), Then::Prompt));
    assert_eq!(run(b"quit"), (String::new(), Then::Quit));
    assert_eq!(run(b"help").1, Then::Next);
    let (text, then) = run(b"GET / HTTP/1.1");
    assert!(text.starts_with("Unknown command. ") && text.ends_with("\n\n"));
    assert_eq!(then, Then::Unknown);
}

/// Every way to cut a command short at a word, or to add one.
#[test]
fn filters_cut_short_are_refused_and_clear_nothing() {
    let harness = Harness::new();
    harness.expect("set table tip key 1.1.1.1 data.gpc0 1", "");
    let whole = "clear table tip data.gpc0 eq 1 data.gpc1 eq 0 data.gpt0 eq 0 data.conn_cnt eq 0";
    let words: Vec<_> = whole.split(' ').collect();
    for count in 4..words.len() {
        let cut = words[..count].join(" ");
        if (count - 3).is_multiple_of(3) {
            continue;
        }
        assert!(harness.run(&cut).starts_with("Filter entry #"), "{cut}");
        assert_eq!(harness.table("tip").used(), 1, "{cut}");
    }
    let more = harness.run(&format!("{whole} x"));
    assert!(more.starts_with("Detected extra data"), "{more}");
    assert_eq!(harness.table("tip").used(), 1);
    harness.expect(whole, "");
    assert_eq!(harness.table("tip").used(), 0);
}

#[test]
fn any_bytes_are_answered() {
    // What a panic would leave behind is not looked at.
    let harness = std::panic::AssertUnwindSafe(Harness::new());
    let words = [
        "show",
        "set",
        "clear",
        "table",
        "tip",
        "tstr",
        "tbin",
        "nope",
        "key",
        "1.2.3.4",
        "abc",
        "data.gpc0",
        "data.gpc[1]",
        "data.gpc_rate[9]",
        "data.",
        "eq",
        "lt",
        "-1",
        "99999999999999999999",
        "peers",
        "info",
        "\\",
    ];
    bolero::check!().with_type::<(Vec<u8>, Vec<u8>)>().for_each(|(bytes, picks)| {
        let harness = &harness;
        let picked: Vec<_> =
            picks.iter().take(20).map(|pick| words[usize::from(*pick) % words.len()]).collect();
        for line in [bytes.clone(), picked.join(" ").into_bytes()] {
            for command in commands(&line) {
                for level in [Level::User, Level::Operator] {
                    let reply = harness.api.execute(command, level, NOW);
                    let quits = reply.then() == Then::Quit;
                    let all = reply.read(NOW);
                    assert!(quits || all == b"\n" || all.ends_with(b"\n\n"), "{all:?}");
                }
            }
        }
    });
}

/// Pieces are bounded, and what is there for the whole dump is in it once, whatever comes and goes meanwhile.
#[test]
fn a_dump_during_churn_misses_nothing_that_stays() {
    const STAY: u32 = 20_000;
    let line = "stick-table type integer size 1m expire 1h store gpc0,gpc1";
    let declaration = Declaration::parse(line, Scope::Proxy("t")).into_result().unwrap();
    let table = SharedTable::new(declaration);
    let key = |number: u32| table.declaration().key.key(&number.to_be_bytes()).unwrap();
    for number in 0..STAY {
        drop(table.get_or_create(&key(number), NOW).unwrap());
    }
    let api = Api::new(vec![Arc::clone(&table)], NOW);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = STAY;
            while !over.load(Ordering::Relaxed) {
                for at in 0..100 {
                    let entry = table.get_or_create(&key(number + at), NOW).unwrap();
                    entry.add(DataType::Gpc0, 0, 1, NOW);
                }
                for at in 0..100 {
                    table.remove(&key(number + at), NOW);
                }
                number = STAY + (number + 100) % 100_000;
            }
        });
        let mut reply = api.execute(b"show table t", Level::Operator, NOW);
        let mut seen = vec![0_u8; STAY as usize];
        let mut all = Vec::new();
        loop {
            let mut piece = Vec::new();
            let more = reply.next(NOW, &mut piece);
            assert!(piece.len() < PIECE_BYTES + 200);
            all.append(&mut piece);
            if !more {
                break;
            }
        }
        over.store(true, Ordering::Relaxed);
        for line in String::from_utf8(all).unwrap().lines().filter(|line| line.starts_with("0x")) {
            let number = line.split_once("key=").unwrap().1.split_once(' ').unwrap().0;
            // The entries that come and go are used by who makes them.
            if let Some(seen) = seen.get_mut(number.parse::<usize>().unwrap()) {
                *seen += 1;
                assert!(line.contains(" use=0 "), "nothing is held between pieces: {line}");
            }
        }
        assert!(seen.iter().all(|times| *times == 1));
    });
}

/// A reply at rest holds no entry: expiry, purge and clear go on.
#[test]
fn a_dump_at_rest_holds_nothing() {
    let harness = Harness::new();
    let table = harness.table("tlong");
    for number in 0..5_000 {
        let key = table.declaration().key.key(format!("key-{number}").as_bytes()).unwrap();
        drop(table.get_or_create(&key, NOW).unwrap());
    }
    let mut reply = harness.api.execute(b"show table tlong", Level::Operator, NOW);
    let mut first = Vec::new();
    assert!(reply.next(NOW, &mut first));
    assert_eq!(table.clear(NOW), (5_000, 0));
    let mut rest = Vec::new();
    while reply.next(NOW, &mut rest) {}
    assert_eq!(rest, b"\n");
}
