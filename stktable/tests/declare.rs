//! The declaration grammar: what it takes, what it refuses, and that it reads what it writes.
#![cfg(not(loom))]

use stktable::data::Column;
use stktable::declare::{
    Declaration, DeclareErrorKind as Kind, DeclareWarningKind, Parsed, Scope, SrvKey, Word,
};
use stktable::key::KEY_SIZE_MAX;
use stktable::tick::DELAY_MAX_MS;
use stktable::{DataType, KeySpec, KeyType};

/// Reads a `table t` line of section `mesh`.
fn table(arguments: &str) -> Parsed {
    Declaration::parse(&format!("table t {arguments}"), Scope::Peers("mesh"))
}

/// Reads a `stick-table` line of proxy `web`.
fn stick(arguments: &str) -> Parsed {
    Declaration::parse(&format!("stick-table {arguments}"), Scope::Proxy("web"))
}

#[track_caller]
fn good(parsed: Parsed) -> Declaration {
    assert_eq!(parsed.warnings, []);
    parsed.into_result().unwrap()
}

/// The words and kinds of all errors of a `table t` line. Every error must name its word in its text.
#[track_caller]
fn errors(arguments: &str) -> Vec<(String, Kind)> {
    words_and_kinds(table(arguments))
}

#[track_caller]
fn words_and_kinds(parsed: Parsed) -> Vec<(String, Kind)> {
    let errors = parsed.into_result().unwrap_err();
    assert!(errors.iter().all(|error| error.to_string().contains(&error.word)), "{errors:?}");
    errors.into_iter().map(|error| (error.word, error.kind)).collect()
}

#[track_caller]
fn one(arguments: &str, word: &str, kind: Kind) {
    assert_eq!(errors(arguments), [(word.to_owned(), kind)], "{arguments}");
}

const MINIMUM: &str = "type ip size 1";

fn column(data_type: DataType, elements: u32, period_ms: u32) -> Column {
    Column { data_type, elements, period_ms }
}

#[test]
fn both_forms_have_their_names() {
    let shared = good(stick("type ip size 1k peers mesh"));
    assert_eq!((shared.name.as_str(), shared.section.as_deref()), ("web", None));
    assert_eq!((shared.wire_name(), shared.local_name()), ("web".into(), "web".into()));
    assert_eq!(shared.peers.as_deref(), Some("mesh"));
    let own = good(table(MINIMUM));
    assert_eq!((own.name.as_str(), own.section.as_deref()), ("t", Some("mesh")));
    assert_eq!((own.wire_name(), own.local_name()), ("/t".into(), "mesh/t".into()));
}

#[test]
fn defaults_are_those_of_the_grammar() {
    let table = good(table("type integer size 7"));
    assert_eq!((table.size, table.expire_ms, table.brates_factor), (7, 0, 1));
    assert!(!table.nopurge && !table.recv_only);
    assert_eq!((table.srvkey, table.write_to, table.peers), (SrvKey::Name, None, None));
    assert_eq!(table.columns, []);
}

#[test]
fn arguments_come_in_any_order_and_store_adds_up() {
    let table = good(stick(
        "store conn_cur peers mesh nopurge store gpc0,gpt0 expire 30s srvkey addr recv-only size 2k \
         brates-factor 1k write-to other/t type string len 20",
    ));
    assert_eq!(table.key, KeySpec::string(20).unwrap());
    assert_eq!((table.size, table.expire_ms, table.brates_factor), (2048, 30_000, 1024));
    assert!(table.nopurge && table.recv_only);
    assert_eq!(table.srvkey, SrvKey::Addr);
    assert_eq!(table.write_to.as_deref(), Some("other/t"));
    let stored: Vec<_> = table.columns.iter().map(|column| column.data_type).collect();
    assert_eq!(stored, [DataType::Gpt0, DataType::Gpc0, DataType::ConnCur]);
}

#[test]
fn the_last_of_a_repeated_argument_wins() {
    let table = good(stick(
        "type ip type integer size 1 size 2 expire 1 expire 3 peers a peers b srvkey addr srvkey name \
         write-to a write-to b brates-factor 2 brates-factor 4",
    ));
    assert_eq!((table.key, table.size, table.expire_ms), (KeySpec::INTEGER, 2, 3));
    assert_eq!((table.peers.as_deref(), table.srvkey), (Some("b"), SrvKey::Name));
    assert_eq!((table.write_to.as_deref(), table.brates_factor), (Some("b"), 4));
}

#[test]
fn every_key_type_has_its_size() {
    let key = |words: &str| good(table(&format!("type {words} size 1"))).key;
    assert_eq!(key("ip"), KeySpec::IP);
    assert_eq!(key("ipv4"), KeySpec::IP);
    assert_eq!(key("ipv6"), KeySpec::IPV6);
    assert_eq!(key("integer"), KeySpec::INTEGER);
    assert_eq!(key("string"), KeySpec::STRING);
    assert_eq!(key("string len 32").size(), 33);
    assert_eq!(key("binary"), KeySpec::BINARY);
    assert_eq!(key("binary len 32").size(), 32);
    assert_eq!(key("string len 8183").size(), KEY_SIZE_MAX);
    assert_eq!(key("binary len 8184").size(), KEY_SIZE_MAX);
}

#[test]
fn every_data_type_parses() {
    for ty in DataType::ALL.iter().copied() {
        let (text, expected) = match (ty.is_array(), ty.is_rate()) {
            (false, false) => (ty.name().to_owned(), column(ty, 1, 0)),
            (false, true) => (format!("{ty}(10s)"), column(ty, 1, 10_000)),
            (true, false) => (format!("{ty}(100)"), column(ty, 100, 0)),
            (true, true) => (format!("{ty}(1,2m)"), column(ty, 1, 120_000)),
        };
        assert_eq!(good(table(&format!("{MINIMUM} store {text}"))).columns, [expected]);
    }
    let alias = good(table(&format!("{MINIMUM} store server_name")));
    assert_eq!(alias.columns, [column(DataType::ServerKey, 1, 0)]);
}

#[test]
fn columns_ascend_whatever_the_order() {
    let table = good(table(&format!("{MINIMUM} store gpc_rate(2,1m),gpc(4),conn_cnt,server_id")));
    let numbers: Vec<_> = table.columns.iter().map(|column| column.data_type.number()).collect();
    assert_eq!(numbers, [0, 4, 23, 24]);
}

#[test]
fn sizes_are_in_powers_of_1024() {
    let size = |text: &str| good(table(&format!("type ip size {text}"))).size;
    assert_eq!((size("1"), size("3k"), size("1M"), size("3g")), (1, 3072, 1 << 20, 3 << 30));
    assert_eq!(size("4294967295"), u32::MAX);
}

#[test]
fn a_size_past_32_bits_overflows() {
    for text in ["4294967296", "4g", "5000m", "99999999999999999999", "18446744073709551615g"] {
        let kind = Kind::Overflow { argument: "size", max: u32::MAX };
        one(&format!("type ip size {text}"), text, kind);
    }
}

#[test]
fn a_size_names_its_bad_character() {
    for (text, character) in [("1kb", 'b'), ("-1", '-'), ("x", 'x'), ("k", 'k')] {
        one(
            &format!("type ip size {text}"),
            text,
            Kind::BadCharacter { argument: "size", character },
        );
    }
}

#[test]
fn times_have_six_units() {
    let expire = |text: &str| good(table(&format!("{MINIMUM} expire {text}"))).expire_ms;
    assert_eq!((expire("0"), expire("0us"), expire("1"), expire("1ms")), (0, 0, 1, 1));
    assert_eq!((expire("1000us"), expire("1500us")), (1, 2));
    assert_eq!((expire("2s"), expire("2m"), expire("2h")), (2000, 120_000, 7_200_000));
    assert_eq!(expire("24d"), 24 * 86_400_000);
    assert_eq!(expire("2147483647"), DELAY_MAX_MS);
}

#[test]
fn a_time_overflows_underflows_or_has_a_bad_character() {
    let overflow = Kind::Overflow { argument: "expire", max: DELAY_MAX_MS };
    for text in ["2147483648", "25d", "99999999999999999999s", "2147483647001us"] {
        one(&format!("{MINIMUM} expire {text}"), text, overflow.clone());
    }
    let underflow = Kind::Underflow { argument: "expire", min_ms: 1 };
    for text in ["1us", "999us"] {
        one(&format!("{MINIMUM} expire {text}"), text, underflow.clone());
    }
    for (text, character) in [
        ("1d1h", '1'),
        ("1S", 'S'),
        ("s", 's'),
        ("-1", '-'),
        ("1sec", 'e'),
        ("1usx", 'x'),
        ("1mx", 'x'),
    ] {
        let kind = Kind::BadCharacter { argument: "expire", character };
        one(&format!("{MINIMUM} expire {text}"), text, kind);
    }
}

#[test]
fn a_table_needs_a_name() {
    let parsed = Declaration::parse("table", Scope::Peers("mesh"));
    let missing = [Kind::MissingName, Kind::MissingType, Kind::MissingSize];
    assert_eq!(words_and_kinds(parsed), missing.map(|kind| ("table".to_owned(), kind)));
    let words = [("table", 3), ("", 9), ("type", 12), ("ip", 17), ("size", 20), ("1", 25)];
    let words = words.map(|(text, column)| Word { text, line: 7, column });
    let errors = Declaration::from_words(&words, Scope::Peers("mesh")).into_result().unwrap_err();
    assert_eq!((errors[0].line, errors[0].column), (7, 3));
    assert_eq!(errors[0].kind, Kind::MissingName);
    let none = Declaration::from_words(&[], Scope::Proxy("web")).into_result().unwrap_err();
    assert_eq!(none[0].kind, Kind::Keyword { expected: "stick-table" });
}

#[test]
fn a_name_stands_for_itself_in_a_line() {
    for (name, character) in [("a#b", '#'), ("a\"b", '"'), ("a\\b", '\\'), ("a\u{1}b", '\u{1}')] {
        let parsed = Declaration::parse(&format!("table {name} {MINIMUM}"), Scope::Peers("mesh"));
        let kind = Kind::NameCharacter { character };
        assert_eq!(parsed.into_result().unwrap_err()[0].kind, kind);
    }
    // The word of an argument is a name like any other.
    let parsed = Declaration::parse(&format!("table size {MINIMUM}"), Scope::Peers("mesh"));
    assert_eq!(good(parsed).name, "size");
}

#[test]
fn an_unknown_argument_is_named_once() {
    one(&format!("{MINIMUM} sizes 10 20 expire 3s"), "sizes", Kind::UnknownArgument);
}

#[test]
fn peers_is_no_argument_in_a_peers_section() {
    one(&format!("{MINIMUM} peers mesh"), "peers", Kind::UnknownArgument);
}

#[test]
fn fixed_width_keys_take_no_len() {
    for ty in ["ip", "ipv4", "ipv6", "integer"] {
        one(&format!("type {ty} len 4 size 1"), "len", Kind::UnknownArgument);
    }
    one("type string size 1 len 4", "len", Kind::UnknownArgument);
}

#[test]
fn arguments_need_their_values() {
    for argument in ["type", "size", "expire", "peers", "brates-factor", "srvkey", "write-to"] {
        let errors = words_and_kinds(stick(&format!("{MINIMUM} {argument}")));
        assert_eq!(errors, [(argument.to_owned(), Kind::MissingArgument { argument })]);
    }
    for argument in ["size", "expire", "brates-factor", "srvkey"] {
        one(
            &format!("type ip {argument} size 3 nopurge"),
            argument,
            Kind::MissingArgument { argument },
        );
    }
    one("size 1 type string len", "len", Kind::MissingArgument { argument: "len" });
    one("type string len size 1", "len", Kind::MissingArgument { argument: "len" });
}

#[test]
fn brates_factor_is_1_to_1024() {
    assert_eq!(good(table(&format!("{MINIMUM} brates-factor 1024"))).brates_factor, 1024);
    for text in ["0", "1025", "2k", "5g"] {
        one(&format!("{MINIMUM} brates-factor {text}"), text, Kind::BratesFactor);
    }
    let kind = Kind::BadCharacter { argument: "brates-factor", character: 'x' };
    one(&format!("{MINIMUM} brates-factor 4x"), "4x", kind);
}

#[test]
fn an_unknown_type_is_refused_with_its_len() {
    for ty in ["STRING", "address", "ipv5"] {
        one(&format!("type {ty} size 1"), ty, Kind::UnknownType);
    }
    one("type strnig len 10 size 1", "strnig", Kind::UnknownType);
}

#[test]
fn len_is_a_positive_number_within_bounds() {
    for text in ["0", "-4", "+4", "4x", "0x10", "8184", "4294967296"] {
        let kind = Kind::KeyLength { ty: KeyType::String, max: KEY_SIZE_MAX - 1 };
        one(&format!("type string len {text} size 1"), text, kind);
    }
    let kind = Kind::KeyLength { ty: KeyType::Binary, max: KEY_SIZE_MAX };
    one("type binary len 8185 size 1", "8185", kind);
}

#[test]
fn size_is_mandatory_and_not_zero() {
    one("type ip", "table", Kind::MissingSize);
    one("type ip size 0", "0", Kind::MissingSize);
    one("type ip size 0k", "0k", Kind::MissingSize);
}

#[test]
fn type_is_mandatory() {
    one("size 1", "table", Kind::MissingType);
}

#[test]
fn an_unknown_data_type_is_refused() {
    for text in ["gpc9", "GPC0", "gpc0x", "(3)"] {
        one(&format!("{MINIMUM} store {text}"), text, Kind::UnknownDataType);
    }
    one(&format!("{MINIMUM} store gpc0,,gpc1"), "", Kind::UnknownDataType);
    assert_eq!(good(table(&format!("{MINIMUM} store gpc0,"))).columns.len(), 1);
}

#[test]
fn a_missing_parenthesis_is_reported_once() {
    let kind = Kind::MissingParenthesis { data_type: DataType::ConnRate };
    one(&format!("{MINIMUM} store conn_rate(10s"), "conn_rate(10s", kind.clone());
    one(&format!("{MINIMUM} store conn_rate( 10s ) nopurge"), "conn_rate(", kind);
}

#[test]
fn a_data_type_takes_just_its_arguments() {
    let missing = |data_type| Kind::MissingStoreArgument { data_type };
    let unexpected = |data_type| Kind::UnexpectedStoreArgument { data_type };
    for (text, kind) in [
        ("conn_rate", missing(DataType::ConnRate)),
        ("conn_rate()", missing(DataType::ConnRate)),
        ("gpc", missing(DataType::Gpc)),
        ("gpc_rate(2)", missing(DataType::GpcRate)),
        ("gpc_rate(2,)", missing(DataType::GpcRate)),
        ("gpc0()", unexpected(DataType::Gpc0)),
        ("gpc0(3)", unexpected(DataType::Gpc0)),
        ("gpc(2,3)", unexpected(DataType::Gpc)),
        ("conn_rate(10s,3)", unexpected(DataType::ConnRate)),
        ("gpc_rate(2,10s,4)", unexpected(DataType::GpcRate)),
        ("conn_rate(10s)x", unexpected(DataType::ConnRate)),
        ("gpc0)", unexpected(DataType::Gpc0)),
    ] {
        one(&format!("{MINIMUM} store {text}"), text, kind);
    }
}

#[test]
fn arrays_have_1_to_100_elements() {
    for text in ["gpt(0)", "gpt(101)", "gpt(x)", "gpt(2x)", "gpt(-1)", "gpt(4294967297)"] {
        one(&format!("{MINIMUM} store {text}"), text, Kind::ArraySize { data_type: DataType::Gpt });
    }
    let kind = Kind::ArraySize { data_type: DataType::GpcRate };
    one(&format!("{MINIMUM} store gpc_rate(101,1s)"), "gpc_rate(101,1s)", kind);
}

#[test]
fn periods_are_2_ms_to_the_longest_delay() {
    let argument = "conn_rate";
    let underflow = Kind::Underflow { argument, min_ms: 2 };
    for text in ["conn_rate(0)", "conn_rate(1)", "conn_rate(1ms)", "conn_rate(900us)"] {
        one(&format!("{MINIMUM} store {text}"), text, underflow.clone());
    }
    let period = |text: &str| good(table(&format!("{MINIMUM} store {text}"))).columns[0].period_ms;
    assert_eq!(period("conn_rate(2)"), 2);
    assert_eq!(period("conn_rate(2147483647)"), DELAY_MAX_MS);
    let overflow = Kind::Overflow { argument, max: DELAY_MAX_MS };
    one(&format!("{MINIMUM} store conn_rate(25d)"), "conn_rate(25d)", overflow);
    let kind = Kind::BadCharacter { argument, character: 'y' };
    one(&format!("{MINIMUM} store conn_rate(1y)"), "conn_rate(1y)", kind);
}

#[test]
fn a_period_below_2_ms_says_why() {
    let errors = table(&format!("{MINIMUM} store gpc0_rate(1)")).errors;
    let text = errors[0].to_string();
    assert!(text.starts_with("1:30: `gpc0_rate(1)`"), "{text}");
    assert!(text.contains("told apart") && text.contains("at least 2 ms"), "{text}");
}

#[test]
fn the_same_data_type_twice_is_a_warning() {
    let parsed = table(&format!("{MINIMUM} store gpc0_rate(1s),gpc0 store gpc0_rate(5s)"));
    assert_eq!(parsed.errors, []);
    let [warning] = parsed.warnings.as_slice() else { panic!("{:?}", parsed.warnings) };
    assert_eq!(warning.kind, DeclareWarningKind::Repeated { data_type: DataType::Gpc0Rate });
    assert_eq!((warning.word.as_str(), warning.column), ("gpc0_rate(5s)", 55));
    assert!(warning.to_string().contains("gpc0_rate(5s)"));
    let table = parsed.declaration.unwrap();
    assert_eq!(table.column(DataType::Gpc0Rate), Some(column(DataType::Gpc0Rate, 1, 1000)));
}

#[test]
fn store_without_a_data_type_is_a_warning() {
    let parsed = table(&format!("{MINIMUM} store"));
    assert_eq!(parsed.warnings[0].kind, DeclareWarningKind::NothingStored);
    assert!(parsed.declaration.is_some());
}

#[test]
fn arrays_exclude_what_they_replace() {
    for (list, at, array, scalar) in [
        ("gpt0,gpt(2)", "gpt(2)", DataType::Gpt, DataType::Gpt0),
        ("gpc(2),gpc0", "gpc0", DataType::Gpc, DataType::Gpc0),
        ("gpc1,gpc(2)", "gpc(2)", DataType::Gpc, DataType::Gpc1),
        ("gpc_rate(2,1s),gpc0_rate(1s)", "gpc0_rate(1s)", DataType::GpcRate, DataType::Gpc0Rate),
        ("gpc1_rate(1s),gpc_rate(2,1s)", "gpc_rate(2,1s)", DataType::GpcRate, DataType::Gpc1Rate),
    ] {
        one(&format!("{MINIMUM} store {list}"), at, Kind::Conflict { array, scalar });
    }
    assert_eq!(errors(&format!("{MINIMUM} store gpc0,gpc1,gpc(2)")).len(), 2);
    good(table(&format!("{MINIMUM} store gpc(4),gpc_rate(2,1s),gpt(1)")));
    good(table(&format!("{MINIMUM} store gpc(4),gpc0_rate(1s)")));
}

#[test]
fn srvkey_is_name_or_addr() {
    one(&format!("{MINIMUM} srvkey address"), "address", Kind::SrvKey);
}

#[test]
fn every_error_of_a_line_is_reported_in_order() {
    let line = "table t type ipp size 1kb expire 30d store gpc9,gpc(0),gpc0 frob 1 srvkey who";
    let errors = Declaration::parse(line, Scope::Peers("mesh")).errors;
    let found: Vec<_> = errors.iter().map(|error| (error.column, error.word.as_str())).collect();
    let expected = ["ipp", "1kb", "30d", "gpc9", "gpc(0)", "frob", "who"];
    let expected =
        expected.map(|word| (u32::try_from(line.find(word).unwrap()).unwrap() + 1, word));
    assert_eq!(found, expected);
}

#[test]
fn the_keyword_must_fit_the_section() {
    let parsed = Declaration::parse("table t type ip size 1", Scope::Proxy("web"));
    assert_eq!(parsed.errors[0].kind, Kind::Keyword { expected: "stick-table" });
    let parsed = Declaration::parse("stick-table type ip size 1", Scope::Peers("mesh"));
    assert_eq!(parsed.errors[0].kind, Kind::Keyword { expected: "table" });
}

#[test]
fn columns_count_characters() {
    let parsed = Declaration::parse("table té\ttype ip  size x", Scope::Peers("mesh"));
    assert_eq!((parsed.errors[0].line, parsed.errors[0].column), (1, 24));
}

#[test]
fn the_builder_makes_the_same_checks() {
    let base = || Declaration::builder("t", KeySpec::IP).size(1);
    let kind = |builder: stktable::declare::Builder| builder.build().unwrap_err().kind;
    assert_eq!(kind(Declaration::builder("", KeySpec::IP).size(1)), Kind::MissingName);
    let space = Kind::NameCharacter { character: ' ' };
    assert_eq!(kind(Declaration::builder("a b", KeySpec::IP).size(1)), space);
    assert_eq!(kind(Declaration::builder("t", KeySpec::IP)), Kind::MissingSize);
    let overflow = |argument| Kind::Overflow { argument, max: DELAY_MAX_MS };
    assert_eq!(kind(base().expire_ms(DELAY_MAX_MS + 1)), overflow("expire"));
    assert_eq!(kind(base().store_rate(DataType::ConnRate, u32::MAX)), overflow("conn_rate"));
    let short = Kind::Underflow { argument: "conn_rate", min_ms: 2 };
    assert_eq!(kind(base().store_rate(DataType::ConnRate, 1)), short);
    let data_type = DataType::Gpc;
    assert_eq!(kind(base().store_array(data_type, 101)), Kind::ArraySize { data_type });
    assert_eq!(kind(base().store(data_type)), Kind::MissingStoreArgument { data_type });
    let unexpected = Kind::UnexpectedStoreArgument { data_type };
    assert_eq!(kind(base().store_rate_array(data_type, 1, 10)), unexpected);
    assert_eq!(kind(base().brates_factor(0)), Kind::BratesFactor);
    assert_eq!(kind(base().brates_factor(1025)), Kind::BratesFactor);
    assert_eq!(kind(base().section("mesh").peers("mesh")), Kind::UnknownArgument);
    assert_eq!(kind(base().peers("")), Kind::MissingName);
    let conflict = Kind::Conflict { array: DataType::Gpt, scalar: DataType::Gpt0 };
    assert_eq!(kind(base().store(DataType::Gpt0).store_array(DataType::Gpt, 1)), conflict);
    assert!(base().build().is_ok());
}

#[test]
fn the_builder_equals_the_line() {
    let built = Declaration::builder("t", KeySpec::string(64).unwrap())
        .section("mesh")
        .size(10 << 10)
        .expire_ms(600_000)
        .nopurge()
        .recv_only()
        .write_to("mesh/u")
        .srvkey(SrvKey::Addr)
        .brates_factor(8)
        .store_rate_array(DataType::GpcRate, 4, 1500)
        .store(DataType::ServerKey)
        .store_array(DataType::Gpc, 4)
        .store_rate(DataType::BytesInRate, 60_000)
        .build()
        .unwrap();
    let line = "table t type string len 64 size 10k expire 10m nopurge recv-only write-to mesh/u \
                srvkey addr store bytes_in_rate(1m),server_key,gpc(4),gpc_rate(4,1500ms) brates-factor 8";
    assert_eq!(built.to_string(), line);
    assert_eq!(good(Declaration::parse(line, Scope::Peers("mesh"))), built);
}

/// Numbers from which a declaration is built; what the builder refuses is passed over.
type Seed = ((u8, u16, u32, u32), (u8, u16, u8), Vec<(u8, u8, u32)>);

fn build(seed: &Seed) -> Option<Declaration> {
    let ((ty, len, size, expire_ms), (flags, factor, name), columns) = seed;
    let key = match ty % 5 {
        0 => KeySpec::IP,
        1 => KeySpec::IPV6,
        2 => KeySpec::INTEGER,
        3 => KeySpec::string(u32::from(*len)).ok()?,
        _ => KeySpec::binary(u32::from(*len)).ok()?,
    };
    let names = ["t", "size", "store", "é/ü", "a.b:c-d", "$x,y(1)"];
    let name = names[usize::from(*name) % names.len()];
    let flag = |bit: u8| flags & (1 << bit) != 0;
    let mut builder = Declaration::builder(name, key)
        .size((*size).max(1))
        .expire_ms(expire_ms & DELAY_MAX_MS)
        .brates_factor(u32::from(factor % 1024) + 1);
    if flag(0) {
        builder = builder.nopurge();
    }
    if flag(1) {
        builder = builder.recv_only();
    }
    if flag(2) {
        builder = builder.write_to("peers");
    }
    if flag(3) {
        builder = builder.srvkey(SrvKey::Addr);
    }
    if flag(4) {
        builder = builder.section("mesh");
    } else if flag(5) {
        builder = builder.peers("nopurge");
    }
    for (number, elements, period_ms) in columns {
        let data_type = DataType::from_number(number % 27).unwrap();
        let (elements, period_ms) =
            (u32::from(elements % 100) + 1, (period_ms & DELAY_MAX_MS).max(2));
        builder = match (data_type.is_array(), data_type.is_rate()) {
            (false, false) => builder.store(data_type),
            (false, true) => builder.store_rate(data_type, period_ms),
            (true, false) => builder.store_array(data_type, elements),
            (true, true) => builder.store_rate_array(data_type, elements, period_ms),
        };
    }
    builder.build().ok()
}

#[test]
fn a_printed_declaration_parses_to_itself() {
    bolero::check!().with_type::<Seed>().for_each(|seed| {
        let Some(built) = build(seed) else { return };
        let line = built.to_string();
        assert_eq!(good(Declaration::parse(&line, built.scope())), built, "{line}");
    });
}

#[test]
fn any_text_is_read_or_refused() {
    const WORDS: [&str; 24] = [
        "type",
        "size",
        "expire",
        "store",
        "ip",
        "string",
        "len",
        "10",
        "1k",
        "10s",
        "gpc0,gpc(2)",
        "peers",
        "gpc_rate(2,1s)",
        "nopurge",
        "(",
        ",",
        "",
        "write-to",
        "srvkey",
        "name",
        "t",
        "brates-factor",
        "0",
        "gpt0",
    ];
    bolero::check!().with_type::<(Vec<u8>, String)>().for_each(|(choice, text)| {
        let mut words = vec![Word { text: "table", line: 1, column: 1 }];
        words.extend(choice.iter().map(|byte| {
            let text = WORDS.get(usize::from(byte % 32)).copied().unwrap_or(text);
            Word { text, line: 1, column: u32::MAX }
        }));
        for scope in [Scope::Peers("mesh"), Scope::Proxy("web")] {
            for parsed in [Declaration::from_words(&words, scope), Declaration::parse(text, scope)]
            {
                assert_eq!(parsed.declaration.is_some(), parsed.errors.is_empty());
                if let Some(declaration) = parsed.declaration {
                    let line = declaration.to_string();
                    let again = Declaration::parse(&line, scope);
                    assert_eq!(again.declaration, Some(declaration), "{line}");
                }
            }
        }
    });
}
