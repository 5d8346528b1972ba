//! The faults of HAProxy's stick tables, each once, and what keeps it out of here.
//!
//! A row is named by the commit that mended it; faults that nobody has mended yet are named `HEAD:…`. Those that this
//! crate could have are tests of the modules below, whose documentation begins with the row and the invariant. The others
//! are listed here, with the test that covers them or the reason why they cannot occur. The last test of this file
//! compares all of that with the catalogue, and looks whether the tests named here exist.
//!
//! # Covered elsewhere
//!
//! | row | test |
//! | --- | --- |
//! | eab777c32 | `stktable/tests/rates.rs`: `the_last_millisecond_counts_nothing_of_the_past` |
//! | 3bb46177a | `stktable/tests/rates.rs`: `a_rate_survives_the_wire` |
//! | f2fc1fda8 | `stktable/tests/rates.rs`: `an_age_from_outside_does_no_harm` |
//! | e4d247e21 | `stktable/tests/rates.rs`: `the_worked_table_holds_in_every_column` |
//! | a1ecbca0a, 8cc586c73 | `stktable/tests/rates.rs`: `a_clock_that_lags_is_in_the_current_period` |
//! | 55a0975b1 | `stktable/tests/loom/freq_ctr.rs`: `snapshot_and_three_rotations` |
//! | 427293420 | `stktable/tests/rates.rs`: `an_empty_counter_opens_a_period_anywhere_on_the_circle` |
//! | c703a9d29, a6a099852 | `integration/tests/pair.rs`: `a_reconnect_sends_what_was_not_acknowledged_and_no_more` |
//! | 234fc3c31 | `stktable/tests/table.rs`: `learning_replaces_values_and_is_not_told_on` |
//! | HEAD:learn-allocates | `stktable/tests/table.rs`: `a_full_table_still_learns_what_it_has` |
//! | HEAD:period | `stktable/tests/declare.rs`: `periods_are_2_ms_to_the_longest_delay` |
//! | cc5227449 | `integration/tests/pair.rs`: `who_comes_later_is_taught_and_is_up_to_date_at_once` |
//! | 70de43b77, b0d60bed3 | `integration/tests/session/lessons.rs`: `a_lesson_is_everything_timed_and_live_updates_wait_for_its_confirmation` |
//! | 437e48ad9 | `integration/tests/pair.rs`: `updates_lost_on_the_way_are_sent_again` |
//! | 1a6b43e13, 3e2d1476e | `integration/tests/pair.rs`: `whatever_happens_the_tables_end_equal` |
//! | cebeab3d2 | `integration/tests/session/handshake.rs`: `heartbeats_fill_silence` |
//! | d43f0e7f5, c0b2015aa, 3541c5448, 2a902e318, e35293b2d, fff5f63e1 | `integration/tests/pair.rs`: `calls_that_cross_in_any_order_leave_one_session` |
//! | 494bc03ff | `integration/tests/session.rs`: `output_is_made_on_demand` |
//! | 0b29b76a5 | `integration/tests/driver.rs`: `strangers_are_refused_and_kept_few` |
//! | 9d9179b58, HEAD:string-key | `integration/tests/codec.rs`: `string_keys_are_cut_but_read_whole` |
//! | 9a60ff9cb | `integration/tests/captures.rs`: `sessions_decode_and_are_written_again` |
//! | 18928af3a | `integration/tests/codec.rs`: `any_bytes_are_waited_for_decoded_or_refused` |
//! | 1dfd4f106 | `integration/src/peers/codec/integer.rs`: `each_length_begins_where_the_shorter_ends` |
//! | 345ebcfc0, a7777bbf7 | `integration/tests/codec.rs`: `recorded_messages_cut_anywhere_are_not_yet` |
//! | 530ba38a7, 08b0f6780, 1696cfaa1 | `integration/tests/codec.rs`: `definitions_of_no_use_are_told_from_malformed_ones` |
//! | ea875e62e | `integration/tests/codec.rs`: `both_caches_agree_for_ever` |
//! | f9e51beec, 06673291d | `integration/tests/codec.rs`: `receive_cache_is_bounded` |
//! | b4ff6f4ae | `integration/tests/session.rs`: `what_is_sent_and_not_stored_is_dropped_and_conn_cur_is_ours` |
//! | 0909f6226 | `integration/tests/session.rs`: `updates_without_a_table_of_ours_are_skipped_without_ack` |
//! | 4ede46be4, e548a7af4 | `integration/tests/config.rs`: `what_changes_the_bytes_or_the_entries_is_refused` (no shards at all) |
//! | f12252c7a | `integration/tests/codec.rs`: `updates_survive` (a message is decoded before anybody decides on it) |
//! | 3db607707 | `integration/tests/codec.rs`: `what_cannot_be_sent_leaves_no_trace` |
//! | HEAD:incremental-id | `integration/tests/session.rs`: `live_updates_are_untimed_numbered_in_full_and_share_the_output` |
//! | HEAD:array-count | `integration/tests/codec.rs`: `any_number_of_elements_costs_nothing` |
//! | HEAD:write-to | `integration/tests/config.rs`: `write_to_names_one_other_table_of_the_same_keys`; `integration/tests/session.rs`: `what_nobody_adds_to_is_written_to_another_table_too` |
//! | 56dd354b3 | `integration/tests/runtime_api.rs`: `filters_cut_short_are_refused_and_clear_nothing` |
//! | ccea01010, 03926129b | `integration/tests/runtime_api.rs`: `other_commands_answer` |
//! | d04a56e17 | `integration/tests/runtime_api.rs`: `a_user_sees_headers_and_changes_nothing` |
//!
//! # Cannot occur
//!
//! | row | why |
//! | --- | --- |
//! | 2cc201f97 | nothing empties a table because the process stops |
//! | 3e25104a9 | there is no lock under which memory could be freed; the domain frees in batches |
//! | e3b2704e2 | there is no average by samples |
//! | ed45d1332 | there is no lock to be the wrong one |
//! | 088c9b73c, 2421c3769, d7696d11e | there is no lock to be kept or waited for |
//! | 9425aeaff, ef066fa18 | a section's state has one owner, by its type: `&mut` |
//! | 60e7116be, f2d7aa840 | a session has no limit per run: output is made on demand, and input is read as it comes, a buffer at a time |
//! | HEAD:dictionary | a value of `server_key` is not kept, so nobody can forget to release it |
//! | 4e9a83349, ea7ea5198 | tables, proxies and arguments have types, and no casts between them |
//! | 623aa725a | a text of HAProxy's help |
//! | d8c2f5c58 | there are no traces to list |
#![cfg(not(loom))]

mod clock;
mod expiry;
mod keys;
mod order;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use ebtree::Domain;
use stktable::declare::Declaration;
use stktable::table::{self, Event, Learned, Options, Removed, SetError, StickTable, Value, Wake};
use stktable::{DataType, Key, KeySpec, KeyType, Tick};

/// 20 s before the low 32 bits wrap, so that every test that lets time pass crosses it.
const START: Tick = Tick((1 << 32) - 20_000);

fn declare(size: u32, expire_ms: u32) -> Declaration {
    Declaration::builder("t", KeySpec::INTEGER)
        .size(size)
        .expire_ms(expire_ms)
        .peers("p")
        .store(DataType::Gpc0)
        .store_rate(DataType::Gpc0Rate, 10_000)
        .store(DataType::ConnCur)
        .store(DataType::BytesInCnt)
        .build()
        .unwrap()
}

fn table(size: u32, expire_ms: u32) -> StickTable {
    StickTable::with(declare(size, expire_ms), Options::new().domain(Domain::with_batch(16)))
}

fn key(number: u32) -> Key {
    KeySpec::INTEGER.key(&number.to_be_bytes()).unwrap()
}

/// Counts one event, and tells peers.
fn bump(table: &StickTable, number: u32, now: Tick) {
    let entry = table.get_or_create(&key(number), now).unwrap();
    entry.count(Event::Gpc0, 1, now);
    entry.touch(now);
}

/// Numbers in an order that only the seed decides.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from(self.0 >> 33).unwrap() % limit
    }
}

/// Every row of the catalogue, by its parts.
const CATALOGUE: &[&str] = &[
    "4d5f13cab 3e60b1110 ac1f3ed64 dfe79251d 2cc201f97 fbb934da9 5fc1afb34 44a8f9e7f",
    "21447b1dd dfd938bad 9938fb9c7 935787364 ad946a704 0cee7b5b8 006a3acbd 8da6ed6b6",
    "324f0a60a 993c09438 2831cb104 71199e394 21ae35dd2 8d31784c0 dfe866fa9 bd4fff9a7",
    "346d6c3ac 8f06c8fda 3e25104a9",
    "eab777c32 3bb46177a f2fc1fda8 e4d247e21 a1ecbca0a 8cc586c73 55a0975b1 427293420",
    "593802128 5705a6e3b e3b2704e2 ed55ff878 91eb9b082 93f994e8b",
    "c703a9d29 a6a099852 1c6235dbb 234fc3c31 d9729da98 8e7a13ed6 ed45d1332 77f286e8b",
    "1e0920f85 576e47fb9 c26bcfc1e",
    "cc5227449 088c9b73c 554829139 70de43b77 b0d60bed3 437e48ad9 1a6b43e13 cebeab3d2",
    "60e7116be 9425aeaff ef066fa18 d43f0e7f5 c0b2015aa 3541c5448 2a902e318 e35293b2d",
    "fff5f63e1 494bc03ff 3e2d1476e f2d7aa840 2421c3769 d7696d11e 0b29b76a5",
    "9d9179b58 9a60ff9cb 18928af3a 1dfd4f106 345ebcfc0 a7777bbf7 530ba38a7 ea875e62e",
    "f9e51beec 08b0f6780 b4ff6f4ae 0909f6226 4ede46be4 e548a7af4 b02b8453d f12252c7a",
    "1696cfaa1 06673291d 3db607707",
    "f65c6c045 28c63c15f b59d1fd91 4e9a83349 56dd354b3 b7c962b0c c6826b957 ccea01010",
    "03926129b 8919a80da 5bbdd14f5 0e6f968ee 21d5f43aa ea7ea5198 845fb846c 1824079fc",
    "623aa725a d04a56e17 1014a43e0",
    "d8c2f5c58",
    "HEAD:incremental-id HEAD:string-key HEAD:dictionary HEAD:array-count",
    "HEAD:bucket-date HEAD:shortened-date HEAD:shard HEAD:learn-allocates",
    "HEAD:session-counters HEAD:write-to HEAD:period",
];

/// Every row stands at one place: a test's documentation, or a table above; and the tests that are named there exist.
#[test]
fn the_catalogue_is_covered() {
    let sources = [
        include_str!("main.rs").split("const CATALOGUE").next().unwrap(),
        include_str!("clock.rs"),
        include_str!("expiry.rs"),
        include_str!("keys.rs"),
        include_str!("order.rs"),
    ];
    let is_commit =
        |word: &&str| word.len() == 9 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut found = Vec::new();
    for line in sources.iter().flat_map(|source| source.lines()) {
        let Some(text) = line.strip_prefix("///").or_else(|| line.strip_prefix("//!")) else {
            continue;
        };
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && !":-".contains(c));
        let words = words.map(|word| word.trim_end_matches(':'));
        found.extend(words.filter(|word| is_commit(word) || word.starts_with("HEAD:")));
    }
    let rows: Vec<_> = CATALOGUE.iter().flat_map(|line| line.split(' ')).collect();
    let once = |words: &[&str]| {
        let set: BTreeSet<_> = words.iter().map(|word| (*word).to_owned()).collect();
        assert_eq!(set.len(), words.len(), "a row twice: {words:?}");
        set
    };
    assert_eq!(once(&found).symmetric_difference(&once(&rows)).collect::<Vec<_>>(), [""; 0]);

    // Outside of the workspace there is nothing to compare with.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for line in sources[0].lines().filter(|line| line.starts_with("//! |")) {
        let mut names = line.split('`').skip(1).step_by(2);
        if let (Some(file), Some(test)) = (names.next(), names.next())
            && let Ok(source) = std::fs::read_to_string(root.join(file))
        {
            assert!(source.contains(&format!("fn {test}(")), "{file} has no {test}");
        }
    }
}
