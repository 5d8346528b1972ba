//! Configuration files: what is read of them, what is refused and where, and that nothing panics.

#[path = "support/config.rs"]
mod support;

use stktable::{DataType, KeyType};
use stktable_integration::config::{
    self, Address, Config, Context, DEFAULT, Host, ProxyKind, Setup, Severity,
};

use support::{environment, good, in_peers, places, quiet, read, refused, unresolved};

const A: &[u8] = include_bytes!("fixtures/config/A.cfg");
const B: &[u8] = include_bytes!("fixtures/config/B.cfg");
const A_RELOADED: &[u8] = include_bytes!("fixtures/config/A-reloaded.cfg");

fn addresses(setup: &Setup) -> (Vec<String>, Vec<String>) {
    let section = &setup.sections[0];
    let listen = section.listen.iter().map(Address::to_string).collect();
    (listen, section.remotes.iter().map(|r| format!("{} {}", r.name, r.address)).collect())
}

/// Puts lines into a section with `bind`, from line 3 on.
fn in_bound(lines: &str) -> String {
    format!("peers p\n  bind 127.0.0.1:1\n  {lines}\n")
}

#[test]
fn the_recorded_configurations_are_read() {
    for (name, text, ours, listen, other) in [
        ("A.cfg", A, "A", "127.0.0.1:7301", "B 127.0.0.1:7312"),
        ("B.cfg", B, "B", "127.0.0.1:7302", "A 127.0.0.1:7311"),
        ("A-reloaded.cfg", A_RELOADED, "A", "127.0.0.1:7321", "B 127.0.0.1:7312"),
    ] {
        let config = config::parse(&[(name, text)], &Context::EMPTY).unwrap();
        assert_eq!(config.warnings, []);
        assert_eq!(config.localpeer, None);
        assert_eq!((config.peers.len(), config.peers[0].tables.len()), (1, 9));
        assert_eq!(config.proxy_tables.len(), 1);
        assert_eq!(config.proxy_tables[0].proxy, Some(ProxyKind::Backend));
        assert!(config.ignored_lines > 20);
        let setup = config.resolve(ours).unwrap();
        assert_eq!(addresses(&setup), (vec![listen.into()], vec![other.into()]));
        let wire: Vec<_> = setup.tables.iter().map(|t| t.declaration.wire_name()).collect();
        let expected = [
            "/t_ip",
            "/t_ip6",
            "/t_int",
            "/t_str",
            "/t_strdef",
            "/t_bin",
            "/t_arr",
            "/t_keyonly",
            "/t_noexpire",
            "sticky",
        ];
        assert_eq!(wire, expected);
        assert_eq!(setup.sections[0].tables, (0..10).collect::<Vec<_>>());
        assert_eq!(setup.tables[0].declaration.columns.len(), 21);
        let array = setup.tables[6].declaration.column(DataType::GpcRate).unwrap();
        assert_eq!((array.elements, array.period_ms), (2, 10_000));
        assert_eq!(setup.tables[4].declaration.key.size(), 32);
    }
}

#[test]
fn the_default_is_read_without_a_word() {
    let config = Config::default_tables();
    assert_eq!((config.warnings.as_slice(), config.ignored_lines), ([].as_slice(), 0));
    let local = Context::EMPTY.local_peer_name(config.localpeer.as_deref()).unwrap().to_owned();
    let setup = config.resolve(&local).unwrap();
    assert_eq!(addresses(&setup), (vec!["127.0.0.1:10000".into()], vec![]));
    let types: Vec<_> = setup.tables.iter().map(|table| table.declaration.key.ty()).collect();
    let all = [KeyType::Ip, KeyType::Ipv6, KeyType::Integer, KeyType::String, KeyType::Binary];
    assert_eq!(types, all);
    assert!(DEFAULT.ends_with('\n'));
    let none: [&str; 0] = [];
    assert_eq!(config::load(&none, &Context::EMPTY).unwrap(), config);
}

#[test]
fn sections_are_read_and_the_rest_is_counted() {
    let config = quiet(
        "# a comment\n\nglobal\n localpeer b\n maxconn 100\n log 127.0.0.1 local0\n\
         defaults\n mode http\n\
         peers p\n log global\n default-server weight 3\n peer a 127.0.0.1:1\n peer b [::1]:2\n enabled\n\
         frontend web\n bind :80\n stick-table type ip size 1k store gpc0 peers p\n default_backend x\n\
         listen both # as well\n stick-table type integer size 1\n\
         backend back\n stick-table type string size 1 peers p\n server s 127.0.0.1:1 ssl\n\
         resolvers r\n nameserver n 127.0.0.1:53\n table t type ip size 1\n\
         peers q\n disabled\n table t type ip size 1\n",
    );
    assert_eq!(config.localpeer.as_deref(), Some("b"));
    assert_eq!(config.ignored_lines, 11);
    let kinds: Vec<_> = config.proxy_tables.iter().filter_map(|table| table.proxy).collect();
    assert_eq!(kinds, [ProxyKind::Frontend, ProxyKind::Listen, ProxyKind::Backend]);
    assert!(config.peers[1].disabled && !config.peers[0].disabled);
    let setup = config.resolve("b").unwrap();
    assert_eq!(addresses(&setup), (vec!["[::1]:2".into()], vec!["a 127.0.0.1:1".into()]));
    let shared: Vec<_> =
        setup.tables.iter().map(|t| (t.declaration.local_name(), t.section)).collect();
    let expected = [("web", Some(0)), ("both", None), ("back", Some(0)), ("q/t", None)];
    assert_eq!(shared, expected.map(|(name, section)| (name.to_owned(), section)));
    assert_eq!(setup.sections[0].tables, [0, 2]);
}

#[test]
fn words_are_cut_as_haproxy_cuts_them() {
    let name = |written: &str| {
        let text = format!("peers p\n table {written} type ip size 1\n");
        let config = quiet(&text);
        config.peers[0].tables[0].declaration.name.clone()
    };
    assert_eq!(name("'a$NAME'"), "a$NAME");
    assert_eq!(name("\"a$NAME.x\""), "abar.x");
    assert_eq!(name("\"a${NAME}x\""), "abarx");
    assert_eq!(name("a\"${NOPE}\"x"), "ax");
    assert_eq!(name("\"${NOPE-def}${NAME-y}\""), "defbar");
    assert_eq!(name("\"a\\$NAME\""), "a$NAME");
    assert_eq!(name("a$NAME"), "a$NAME");
    assert_eq!(name("a${NAME}"), "a${NAME}");
    assert_eq!(name("\\x41b"), "Ab");
    assert_eq!(name("\"\\x41b\""), "Ab");
    assert_eq!(name("\u{e9}"), "\u{e9}");
    // A comment may begin in the middle of a word.
    let config = quiet("peers p#q\n\tpeer\u{b}a\u{c}127.0.0.1:1#x \"\n");
    assert_eq!((config.peers[0].name.as_str(), config.peers[0].peers.len()), ("p", 1));
    let config = quiet("peers p\r\n peer a 127.0.0.1:1\r\n");
    assert_eq!(config.peers[0].peers[0].name, "a");
    let config = quiet("peers p\n peer \"${LIST[*]}\"\n");
    assert_eq!(config.peers[0].peers[0].address, Address::parse("192.0.2.7:7").ok());
}

#[test]
fn quotes_and_variables_must_be_whole() {
    for (line, place) in [
        ("peer \"c 127.0.0.1:3", "4:8 \""),
        ("peer c 'x", "4:10 '"),
        ("peer \"${NAME\" x", "4:9 ${"),
        ("peer \"${NAME:-q}\" x", "4:9 ${"),
        ("peer \"$\" x", "4:9 $"),
        ("peer \"x${}\" x", "4:10 $"),
        ("peer \"${1A}\" x", "4:9 $"),
        ("peer a\\xzz x", "4:9 \\x"),
        ("peer \u{e9}\0 x", "4:9 \0"),
        ("peer \u{1}c x", "4:8 \u{1}c"),
        ("peer c\rd x", "4:9 \r"),
    ] {
        refused(&in_peers(line), &[place]);
    }
    let error =
        config::parse(&[("x.cfg", b"peers p\n peer \xff\xfe 127.0.0.1:1\n")], &Context::EMPTY);
    assert_eq!(places(&error.unwrap_err()), ["2:7 \u{fffd}\u{fffd}"]);
}

#[test]
fn lines_that_are_not_read_may_hold_anything() {
    let mut text = b"frontend f\n http-request \"x\n".to_vec();
    text.extend(b" \xff\0 '\n\x01\n stick-tables \\\n");
    text.extend(b" stick-table type ip size 1\n# \xff\0\n");
    text.extend([b" x ".as_slice(), &vec![b'y'; 5_000_000], b"\n"].concat());
    let config = config::parse(&[("x.cfg", &text)], &Context::EMPTY).unwrap();
    assert_eq!((config.proxy_tables.len(), config.ignored_lines), (1, 5));
}

#[test]
fn long_lines_are_read_up_to_a_bound() {
    let spaces = " ".repeat(100_000);
    let config = quiet(&format!("peers p\n{spaces}peer a{spaces}127.0.0.1:1{spaces}\n"));
    assert_eq!(config.peers[0].peers[0].at.column, 100_006);
    let stored = vec!["gpc0"; 2000].join(",");
    let text = format!("peers p\n table t type ip size 1 store {stored}\n");
    let config = good(&text);
    assert_eq!((config.peers[0].tables.len(), config.warnings.len()), (1, 1000));
    let long = "x".repeat((1 << 20) + 1);
    let message = refused(
        &format!("peers p\n peer a {long}\n table\n"),
        &["2:1048580 ", "3:2 table", "3:2 table", "3:2 table"],
    );
    assert!(message.contains("at most 1 MiB"));
}

#[test]
fn a_line_that_is_read_goes_on_after_a_backslash() {
    let text = "peers p\n table t type ip \\\n   size x \\\n   store gpc9,\\\ngpc8\n peer a x\n";
    refused(text, &["3:9 x", "4:10 gpc9", "4:15 gpc8", "6:9 x"]);
    let config = good("peers p\n peer a 127.0.0.1:1 # no \\\n peer b\\\n 127.0.0.1:2\n");
    // The name ends where the next line begins with a blank.
    assert_eq!(config.peers[0].peers.len(), 2);
    let [warning] = config.warnings.as_slice() else { panic!("{:?}", config.warnings) };
    assert_eq!((warning.at.line, warning.severity), (3, Severity::Warning));
    let config = good("peers p\n peer a 127.0.0.1:1 \\\n");
    assert_eq!(config.warnings.len(), 1);
    // Elsewhere the line ends, as it does for HAProxy.
    let config = quiet("backend b\n http-request x \\\n stick-table type ip size 1\n");
    assert_eq!(config.proxy_tables.len(), 1);
}

#[test]
fn a_last_line_without_its_end_is_a_warning() {
    let config = good("peers p\n peer a 127.0.0.1:1");
    assert_eq!(config.warnings.len(), 1);
    assert!(config.warnings[0].to_string().starts_with("x.cfg:2:2: warning: `peer`: "));
    assert_eq!(quiet("peers p\n # a comment").peers.len(), 1);
}

#[test]
fn every_form_of_address_is_read() {
    let address = |text: &str| {
        quiet(&in_peers(&format!("peer c {text}"))).peers[0].peers[2].address.clone().unwrap()
    };
    assert_eq!(address("*:12").host, Host::Any);
    assert_eq!(address(":::12").to_string(), "[::]:12");
    assert_eq!(address("::1:12").to_string(), "[::1]:12");
    assert_eq!(address("ipv4@127.0.0.1:13").to_string(), "127.0.0.1:13");
    assert_eq!(address("node.example:9").host, Host::Name("node.example".into()));
    assert_eq!(address("\"${ADDRESS}:9\"").to_string(), "192.0.2.7:9");
}

#[test]
fn addresses_that_peers_cannot_use_are_refused() {
    for text in [
        "127.0.0.1",
        "127.0.0.1:70000",
        "127.0.0.1:1-4",
        "127.0.0.1:+3",
        "unix@/tmp/x",
        "/tmp/x",
        "abns@x",
        "fd@3",
        "udp@127.0.0.1:1",
        "300.0.0.1:1",
    ] {
        refused(&in_peers(&format!("peer c {text}")), &[&format!("4:10 {text}")]);
        refused(&format!("peers p\n bind {text}\n"), &[&format!("2:7 {text}")]);
    }
    let message = refused(&in_peers("peer c unix@/tmp/x"), &["4:10 unix@/tmp/x"]);
    assert!(message.contains("Unix sockets"), "{message}");
    refused(&in_peers("peer c \"\""), &["4:10 "]);
    refused("peers p\n bind 127.0.0.1:1,x\n", &["2:19 x"]);
}

#[test]
fn tls_that_is_not_known_is_refused_rather_than_left_out() {
    for line in [
        "peer c 127.0.0.1:3 ssl verify none crl-file x",
        "server c 127.0.0.1:3 check ciphers x ssl",
        "default-server alpn x",
        "default-bind strict-sni ca-sign-file x",
    ] {
        let word = ["crl-file", "ciphers", "alpn", "strict-sni"]
            .into_iter()
            .find(|word| line.contains(word));
        let column = line.find(word.unwrap()).unwrap() + 3;
        let message = refused(&in_peers(line), &[&format!("4:{column} {}", word.unwrap())]);
        assert!(message.contains("expected ssl, crt"), "{message}");
    }
    refused("peers p\n bind ssl crt x.pem\n", &["2:2 bind"]);
    refused("peers p\n bind :1 ssl crt x.pem crt y.pem sni str(x)\n", &["2:24 crt", "2:34 sni"]);
    refused(
        "peers p\n peer a :1 ssl verify optional ca-file @system-ca ssl-max-ver TLSv1.1\n",
        &["2:23 optional", "2:40 @system-ca", "2:63 TLSv1.1"],
    );
    let text = "peers p\n bind :1 ssl crt x ssl-min-ver TLSv1.3 ssl-max-ver TLSv1.2\n server a\n";
    let message = unresolved(text, "a", &["2:10 ssl"]);
    assert!(message.contains("no version"), "{message}");
}

#[test]
fn what_changes_the_bytes_or_the_entries_is_refused() {
    refused(&in_peers("peer c 127.0.0.1:3 send-proxy"), &["4:22 send-proxy"]);
    refused(&in_peers("shards 3"), &["4:3 shards"]);
    refused(&in_peers("peer c 127.0.0.1:3 shard 1"), &["4:22 shard"]);
    let config = good(&in_peers("peer c 127.0.0.1:3 check inter 2s"));
    assert_eq!((config.warnings[0].at.line, config.warnings[0].word.as_str()), (4, "check"));
}

#[test]
fn names_have_the_characters_of_haproxy() {
    refused(&in_peers("peer c/d 127.0.0.1:3"), &["4:8 c/d"]);
    refused(&in_peers("peer \"c d\" 127.0.0.1:3"), &["4:8 c d"]);
    refused("peers p/q\n", &["1:7 p/q"]);
    refused("peers\npeers p q\n", &["1:1 peers", "2:9 q"]);
    refused("backend\n stick-table type ip size 1\nlisten a/b\n", &["1:1 backend", "3:8 a/b"]);
    refused("global\n localpeer\n localpeer a$b\n", &["2:2 localpeer", "3:12 a$b"]);
    refused(&in_peers("peer"), &["4:3 peer"]);
}

#[test]
fn unknown_words_are_refused_where_they_would_matter() {
    let message = refused(&in_peers("tabel t type ip size 1"), &["4:3 tabel"]);
    assert!(message.contains("expected peer, server, bind, table"), "{message}");
    refused("table t type ip size 1\n", &["1:1 table"]);
    let message = refused("defaults\n stick-table type ip size 1\n", &["2:2 stick-table"]);
    assert!(message.contains("defaults"));
}

#[test]
fn declarations_are_reported_at_their_words() {
    let text = in_peers("table t type ip size 1kb store gpc0,gpc9,gpc0_rate(1)");
    let message = refused(&text, &["4:24 1kb", "4:39 gpc9", "4:44 gpc0_rate(1)"]);
    assert!(message.starts_with("x.cfg:4:24: error: `1kb`: 'b' does not belong"), "{message}");
    refused(&in_peers("table t type ip size 1 peers p"), &["4:26 peers"]);
    refused("backend b\n stick-table type ip\n", &["2:2 stick-table"]);
    let config = good(&in_peers("table t type ip size 1 store gpc0,gpc0"));
    assert_eq!((config.warnings[0].at.column, config.warnings[0].word.as_str()), (37, "gpc0"));
}

#[test]
fn all_errors_of_all_files_are_reported_at_once() {
    let one = "peers p\n peer a 127.0.0.1\n peer b 127.0.0.1:2 alpn\n table t size x\n";
    let two = "peers p\n peer c x\nbackend b\n stick-table type ip size 1 peers nope write-to w\n";
    let files = [("one.cfg", one.as_bytes()), ("two.cfg", two.as_bytes())];
    let error = config::parse(&files, &Context::EMPTY).unwrap_err();
    let lines: Vec<_> = error.diagnostics.iter().map(ToString::to_string).collect();
    let starts = [
        "one.cfg:2:9: error: `127.0.0.1`: ",
        "one.cfg:3:21: error: `alpn`: ",
        "one.cfg:4:15: error: `x`: ",
        "one.cfg:4:2: error: `table`: ",
        "two.cfg:1:7: error: `p`: a peers section has this name already at one.cfg:1:1",
        "two.cfg:2:9: error: `x`: ",
        "two.cfg:4:35: error: `nope`: ",
        "two.cfg:4:49: error: `w`: ",
    ];
    assert_eq!(lines.len(), starts.len(), "{error}");
    for (line, start) in lines.iter().zip(starts) {
        assert!(line.starts_with(start), "{line}\n{start}");
    }
    assert_eq!(error.to_string(), lines.join("\n"));
}

#[test]
fn errors_are_reported_up_to_a_bound() {
    let error = read(&"x\n".repeat(5000)).unwrap_err();
    assert_eq!(error.diagnostics.len(), 1001);
    assert!(error.to_string().ends_with("too many errors; the rest is not read"));
}

#[test]
fn no_section_goes_on_into_the_next_file() {
    let files: [(&str, &[u8]); 2] = [("a", b"peers p\n"), ("b", b" peer a 127.0.0.1:1\n")];
    let error = config::parse(&files, &Context::EMPTY).unwrap_err();
    assert!(error.to_string().starts_with("b:1:2: error: `peer`: no section"), "{error}");
}

#[test]
fn names_are_declared_once() {
    let twice = in_peers("table t type ip size 1\n table t type ip size 1");
    let message = refused(&twice, &["5:8 t"]);
    assert!(message.contains("`p/t` is declared already at x.cfg:4:3"), "{message}");
    // A table that is wrong in itself has its name all the same.
    refused(&in_peers("table t type ip size 0\n table t type ip size 1"), &["4:24 0", "5:8 t"]);
    let message = refused(
        "frontend b\n stick-table type ip size 1\nbackend b\n stick-table type ip size 1\n",
        &["4:2 stick-table"],
    );
    assert!(message.contains("x.cfg:2:2"), "{message}");
    refused(
        "backend b\n stick-table type ip size 1\n stick-table type ip size 1\n",
        &["3:2 stick-table"],
    );
    let message = refused(&in_peers("peer b 127.0.0.1:3"), &["4:8 b"]);
    assert!(message.contains("x.cfg:3:8"), "{message}");
    refused("peers p\npeers p\n", &["2:7 p"]);
    // Tables of one name in two sections are two tables.
    quiet("peers p\n table t type ip size 1\npeers q\n table t type ip size 1\n");
}

#[test]
fn bind_stands_once_and_with_server_lines() {
    refused("peers p\n bind *:1\n bind *:2\n", &["3:2 bind"]);
    refused("peers p\n peer a *:1\n bind *:2\n", &["3:2 bind"]);
    refused("peers p\n bind *:2\n peer a *:1\n", &["3:2 peer"]);
    refused("peers p\n bind\n", &["2:2 bind"]);
    let config = quiet("peers p\n server a 127.0.0.1:1\n bind *:1,[::1]:2\n");
    assert_eq!(config.peers[0].bind.len(), 2);
}

#[test]
fn with_bind_the_local_peer_needs_no_address() {
    let text = in_bound("server a\n server b 127.0.0.1:2");
    let setup = quiet(&text).resolve("a").unwrap();
    assert_eq!(addresses(&setup), (vec!["127.0.0.1:1".into()], vec!["b 127.0.0.1:2".into()]));
    assert_eq!(setup.warnings, []);
    // On the other host, nobody knows where to call `a`.
    let message = unresolved(&text, "b", &["3:10 a"]);
    assert!(message.contains("-L a"), "{message}");
}

#[test]
fn with_bind_the_address_of_the_local_peer_is_not_used() {
    let setup = quiet(&in_bound("server a 127.0.0.1:9")).resolve("a").unwrap();
    assert_eq!(addresses(&setup).0, ["127.0.0.1:1"]);
    assert_eq!(setup.warnings.len(), 1);
}

#[test]
fn the_local_peer_must_be_one_of_each_enabled_section() {
    let text =
        "peers p\n peer a 127.0.0.1:1\n peer b 127.0.0.1:2\npeers q\n disabled\n peer z *:1\n";
    let message = unresolved(text, "c", &["1:1 c"]);
    assert!(message.contains("x.cfg:1:1") && message.contains("`a`, `b`"), "{message}");
    assert!(quiet(text).resolve("a").is_ok());
    unresolved("peers p\npeers q\n peer b *:1\n", "a", &["1:1 a", "2:1 a"]);
    unresolved("peers p\n peer a\n", "a", &["2:7 a"]);
    // Without an enabled section nobody needs to be anyone.
    assert!(quiet("backend b\n stick-table type ip size 1\n").resolve("").is_ok());
}

#[test]
fn the_name_of_the_local_peer_has_three_sources() {
    let context = |argument, host_name| Context { argument, host_name, ..Context::EMPTY };
    assert_eq!(context(Some("a"), Some("c")).local_peer_name(Some("b")), Some("a"));
    assert_eq!(context(None, Some("c")).local_peer_name(Some("b")), Some("b"));
    assert_eq!(context(None, Some("c")).local_peer_name(None), Some("c"));
    let text = b"peers p\n peer \"$HAPROXY_LOCALPEER\" 127.0.0.1:1\n";
    let config = config::parse(&[("x", text)], &context(None, Some("c"))).unwrap();
    assert_eq!(config.peers[0].peers[0].name, "c");
    let config =
        config::parse(&[("x", b"global\n localpeer n\n"), ("y", text)], &context(None, None));
    assert_eq!(config.unwrap().peers[0].peers[0].name, "n");
}

#[test]
fn remote_peers_have_an_address_that_can_be_called() {
    unresolved("peers p\n peer a *:0\n peer b\n peer c *:0\n", "a", &["3:7 b", "4:7 c"]);
    let setup = quiet("peers p\n peer a *:0\n peer b *:2\n").resolve("a").unwrap();
    assert_eq!(setup.warnings.len(), 1);
}

#[test]
fn a_table_is_shared_with_a_section_that_exists() {
    let text = "peers p\n peer a *:1\nbackend b\n stick-table peers q type ip size 1\n";
    let message = refused(text, &["4:20 q"]);
    assert!(message.contains("expected `p`"), "{message}");
    refused("backend b\n stick-table type ip size 1 peers q\n", &["2:35 q"]);
    // The section may come later, and from another file.
    let files: [(&str, &[u8]); 2] = [
        ("a", b"backend b\n stick-table type ip size 1 peers p\n"),
        ("b", b"peers p\n peer a *:1\n"),
    ];
    let setup = config::parse(&files, &Context::EMPTY).unwrap().resolve("a").unwrap();
    assert_eq!(setup.sections[0].tables, [0]);
}

#[test]
fn write_to_names_one_other_table_of_the_same_keys() {
    let two = |one: &str, other: &str| in_peers(&format!("table t {one}\n table u {other}"));
    let setup = quiet(&two("type ip size 1 write-to p/u", "type ip size 2")).resolve("a").unwrap();
    assert_eq!((setup.tables[0].write_to, setup.tables[1].write_to), (Some(1), None));
    let proxy =
        in_peers("table t type ip size 1 write-to b") + "backend b\n stick-table type ip size 1\n";
    assert_eq!(quiet(&proxy).resolve("a").unwrap().tables[0].write_to, Some(1));

    let wrong = |one: &str, other: &str, places: &[&str]| refused(&two(one, other), places);
    let message = wrong("type ip size 1 write-to x", "type ip size 1", &["4:35 x"]);
    assert!(message.contains("no such table"));
    let message = wrong("type ip size 1 write-to u", "type ip size 1", &["4:35 u"]);
    assert!(message.contains("`p/u`"), "{message}");
    let message = wrong("type ip size 1 write-to p/t", "type ip size 1", &["4:35 p/t"]);
    assert!(message.contains("itself"));
    let message = wrong("type ip size 1 write-to p/u", "type ipv6 size 1", &["4:35 p/u"]);
    assert!(message.contains("x.cfg:5:2") && message.contains("type ipv6"), "{message}");
    let message =
        wrong("type string size 1 write-to p/u", "type string len 32 size 1", &["4:39 p/u"]);
    assert!(message.contains("33 bytes; expected 32"), "{message}");
    // Every chain is seen, whichever table comes first.
    let text = in_peers(
        "table a type ip size 1 write-to p/b\n table b type ip size 1 write-to p/c\n table c type ip size 1",
    );
    let message = refused(&text, &["4:35 p/b"]);
    assert!(message.contains("`p/c` in turn"), "{message}");
    let text =
        in_peers("table a type ip size 1 write-to p/b\n table b type ip size 1 write-to p/a");
    refused(&text, &["4:35 p/b", "5:34 p/a"]);
    // A target that is wrong in itself is not missing as well.
    wrong("type ip size 1 write-to p/u", "type ip size 0", &["5:23 0"]);
}

/// Reads bytes and, if they are taken, resolves them as each peer.
fn read_any(bytes: &[u8]) {
    let context = Context { environment: &environment, argument: None, host_name: Some("a") };
    match config::parse(&[("x", bytes), ("y", bytes)], &context) {
        Ok(config) => {
            for name in ["a", "b"] {
                if let Ok(setup) = config.resolve(name) {
                    assert!(setup.sections.iter().all(|section| !section.listen.is_empty()));
                    assert_eq!(setup.tables.len(), config.tables().len());
                }
            }
        }
        Err(error) => {
            assert!(error.errors().next().is_some());
            assert!(!error.to_string().is_empty());
        }
    }
}

#[test]
fn no_bytes_panic() {
    bolero::check!().for_each(read_any);
}

#[test]
fn no_order_of_words_panics() {
    const WORDS: [&str; 50] = [
        "\n",
        "\n",
        "\n",
        "\n",
        "\n",
        " ",
        "peers p",
        "peers q",
        "peer a ",
        "peer b ",
        "server a ",
        "server c ",
        "bind ",
        "127.0.0.1:1",
        "*:2",
        "[::1]:3",
        "host:4",
        "table t ",
        "table u ",
        "type ip ",
        "type string len 3 ",
        "size 1k ",
        "store gpc0,gpc(2)",
        "write-to p/u ",
        "write-to b ",
        "stick-table ",
        "peers p ",
        "backend b",
        "frontend f",
        "global",
        "localpeer a",
        "defaults",
        "disabled",
        ".if x",
        ".if !(defined(NAME)||0) && feature(X)",
        ".elif 1",
        ".endif",
        ".else",
        "\\\n",
        "\"",
        "'",
        "\"$NAME\"",
        "\"${LIST[*]}\"",
        "#",
        "\r",
        "\0",
        "ssl",
        ",",
        "store conn_rate(1s) ",
        "resolvers r",
    ];
    bolero::check!().with_type::<Vec<u8>>().for_each(|choice| {
        let text: String =
            choice.iter().map(|byte| WORDS[usize::from(*byte) % WORDS.len()]).collect();
        read_any(text.as_bytes());
    });
}
