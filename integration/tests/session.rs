//! One session against a scripted peer: what it answers, what it learns, what it sends, and when.

#[path = "session/handshake.rs"]
mod handshake;
#[path = "session/lessons.rs"]
mod lessons;
#[path = "session/newer.rs"]
mod newer;
#[path = "session/recordings.rs"]
mod recordings;
#[path = "session/script.rs"]
mod script;

use script::{
    START, Scripted, Writer, ack, control, count, declaration, get, gpc0, roster, short, table,
};
use stktable::DataType;
use stktable::table::Options;
use stktable_integration::peers::codec::{Control, Value};
use stktable_integration::peers::session::{Event, OUT_MAX, PeerMemory, Reason};
use stktable_integration::{SharedTable, WriteToError};

const T: &str = "table t type integer size 1k expire 10m store gpc0";
const U: &str = "table u type integer size 1k expire 10m store gpc0";

#[test]
fn acks_come_once_for_a_burst_and_never_twice() {
    let t = table(T);
    let mut s = Scripted::up(&roster(&[&t]));
    let burst = Writer::define(40, T).update(Some(7), None, 1, 10).update(None, None, 2, 20);
    assert_eq!(short(&s.take(&burst.bytes).unwrap()), ["ack 40 8"]);
    assert_eq!(s.sent(), b"");
    // The same id again: nothing. A definition alone: nothing.
    let again = Writer::define(40, T).update(Some(8), None, 2, 21);
    assert_eq!(s.take(&again.bytes).unwrap(), b"");
    assert_eq!((gpc0(&t, 1, START), gpc0(&t, 2, START)), (Some(10), Some(21)));
    // A first update with id 0 is not acknowledged: both numbers begin there.
    let mut s = Scripted::up(&roster(&[&t]));
    assert_eq!(s.take(&Writer::define(1, T).update(Some(0), None, 1, 1).bytes).unwrap(), b"");
    let wraps = Writer::define(1, T).update(Some(u32::MAX), None, 1, 1).update(None, None, 1, 2);
    let wraps = wraps.update(None, None, 1, 3);
    assert_eq!(short(&s.take(&wraps.bytes).unwrap()), ["ack 1 1"]);
    assert_eq!(s.session.status().tables[0].last_get, 1);
}

#[test]
fn updates_without_a_table_of_ours_are_skipped_without_ack() {
    let t = table(T);
    let mut s = Scripted::up(&roster(&[&t]));
    let mut none = Writer::define(1, T).update(Some(5), None, 1, 1);
    none.bytes.drain(..Writer::define(1, T).bytes.len());
    let other_keys = "table t type ip size 1k expire 10m store gpc0";
    for bytes in [
        none.bytes.clone(),
        Writer::define(1, U).update(Some(5), None, 1, 1).bytes,
        Writer::define(1, other_keys).update(Some(5), None, 1, 1).bytes,
    ] {
        assert_eq!(s.take(&bytes).unwrap(), b"");
        assert_eq!(t.used(), 0);
    }
    assert!(
        matches!(s.events.last(), Some(Event::TableIgnored { table: 0, why }) if why.contains("ip"))
    );
    assert_eq!(s.session.status().counters.updates_skipped, 3);

    // A good definition, then one of the same name with other keys: the table is deselected, and its id is lost.
    s.take(&Writer::define(3, T).bytes).unwrap();
    assert_eq!(s.session.status().tables[0].remote_id, Some(3));
    let update = none.bytes;
    s.take(&Writer::define(3, other_keys).bytes).unwrap();
    assert_eq!(s.take(&update).unwrap(), b"");
    assert_eq!(s.session.status().tables[0].remote_id, None);
    assert_eq!(t.used(), 0);
}

#[test]
fn switches_know_the_ids_of_this_session_and_not_0() {
    let (t, u) = (table(T), table(U));
    let roster = roster(&[&t, &u]);
    let mut s = Scripted::up(&roster);
    let mut update = Writer::define(1, T).update(Some(5), None, 1, 1);
    update.bytes.drain(..Writer::define(1, T).bytes.len());
    let switch = |id| {
        let mut bytes = Vec::new();
        stktable_integration::peers::codec::Message::encode_switch(id, &mut bytes);
        [bytes, update.bytes.clone()].concat()
    };
    s.take(&[Writer::define(3, T).bytes, Writer::define(4, U).bytes].concat()).unwrap();
    for unknown in [0, 1, 5, u64::MAX] {
        assert_eq!(s.take(&switch(unknown)).unwrap(), b"", "{unknown}");
    }
    assert_eq!(short(&s.take(&switch(3)).unwrap()), ["ack 3 5"]);
    assert_eq!((t.used(), u.used()), (1, 0));
    // A table that takes over an id takes it from the other.
    s.take(&Writer::define(3, U).bytes).unwrap();
    assert_eq!(short(&s.take(&switch(3)).unwrap()), ["ack 3 5"]);
    assert_eq!((t.used(), u.used()), (1, 1));
    assert_eq!(s.session.status().tables[0].remote_id, None);
    // Nothing of that is left in another session.
    let mut s = Scripted::up(&roster);
    assert_eq!(s.take(&switch(3)).unwrap(), b"");
}

#[test]
fn what_is_sent_and_not_stored_is_dropped_and_conn_cur_is_ours() {
    let ours = table("table t type integer size 1k expire 10m store gpc0,conn_cur,gpt(2)");
    let mut s = Scripted::up(&roster(&[&ours]));
    count(&ours, 1, 5, START);
    let entry = get(&ours, 1, START).unwrap();
    entry.set(stktable::DataType::ConnCur, 0, 3, START).unwrap();
    entry.set(stktable::DataType::Gpt, 1, 9, START).unwrap();
    let theirs = "table t type integer size 1k expire 10m store gpc0,conn_cnt,conn_cur,bytes_in_cnt,server_key";
    s.take(&Writer::define(1, theirs).update(Some(1), None, 1, 77).bytes).unwrap();
    let read = |ty, at| entry.read(ty, at, START);
    assert_eq!(read(stktable::DataType::Gpc0, 0), Some(77));
    assert_eq!(read(stktable::DataType::ConnCur, 0), Some(3), "local");
    assert_eq!(read(stktable::DataType::Gpt, 1), Some(9), "not sent: as it was");
    // Arrays: more elements than ours are dropped, fewer leave the rest.
    let theirs = "table t type integer size 1k expire 10m store gpt(3)";
    s.take(&Writer::define(1, theirs).update(Some(2), None, 1, 6).bytes).unwrap();
    assert_eq!(
        (read(stktable::DataType::Gpt, 0), read(stktable::DataType::Gpt, 1)),
        (Some(6), Some(6))
    );
    let theirs = "table t type integer size 1k expire 10m store gpt(1)";
    s.take(&Writer::define(1, theirs).update(Some(3), None, 1, 8).bytes).unwrap();
    assert_eq!(
        (read(stktable::DataType::Gpt, 0), read(stktable::DataType::Gpt, 1)),
        (Some(8), Some(6))
    );
}

#[test]
fn names_are_learned_kept_and_refused_beyond_the_limit() {
    let ours = table("table t type integer size 1k expire 10m store gpc0,server_key");
    let mut s = Scripted::up(&roster(&[&ours]));
    let theirs = "table t type integer size 1k expire 10m store gpc0,server_key";
    let name = |text: &'static [u8]| Value::Dict(Some(text));
    let long = [b'x'; stktable::table::NAME_LEN_MAX + 1];
    let sent = Writer::define(1, theirs)
        .named(1, name(b"web1"))
        .named(2, name(b"web1"))
        .named(3, name(b"web2"))
        .named(3, Value::Dict(None))
        .named(4, Value::Dict(Some(&long)))
        .named(5, name(b"\xff"));
    s.take(&sent.bytes).unwrap();
    let server_key = |key| get(&ours, key, START).unwrap().server_key();
    assert_eq!([1, 2].map(server_key), [Some("web1".to_owned()), Some("web1".to_owned())]);
    assert_eq!(server_key(3).as_deref(), Some("web2"), "no value: as it was");
    assert_eq!([4, 5].map(server_key), [None, None]);
    assert_eq!(gpc0(&ours, 5, START), Some(7), "the rest of the update is stored");
    assert_eq!((s.session.status().counters.names_refused, ours.metrics().names), (2, 2));
}

#[test]
fn what_nobody_adds_to_is_written_to_another_table_too() {
    let lines = ["t", "u"].map(|name| {
        format!("table {name} type integer size 1k expire 10m store gpc0,gpt0,server_id,server_key")
    });
    let [t, u] = [&lines[0], &lines[1]].map(|line| table(line));
    t.write_to(&u).unwrap();
    let other = table("table v type ip size 1k");
    assert_eq!(t.write_to(&other), Err(WriteToError::Keys));
    assert_eq!(u.write_to(&t), Err(WriteToError::Chain));
    assert_eq!(t.write_to(&u), Err(WriteToError::Chain));
    let mut s = Scripted::up(&roster(&[&t, &u]));
    let sent = Writer::define(1, &lines[0]).update(Some(1), Some(5_000), 7, 3);
    assert_eq!(short(&s.take(&sent.bytes).unwrap()), ["ack 1 1"]);
    let read =
        |table: &SharedTable, data_type| get(table, 7, START).unwrap().read(data_type, 0, START);
    for (data_type, written) in [(DataType::Gpc0, 0), (DataType::Gpt0, 3), (DataType::ServerId, 3)]
    {
        assert_eq!(read(&t, data_type), Some(3), "{data_type}");
        assert_eq!(read(&u, data_type), Some(written), "{data_type}");
    }
    let entry = get(&u, 7, START).unwrap();
    assert_eq!(entry.server_key().as_deref(), Some("srv"));
    assert_eq!(entry.expires_in(START), 5_000);
    assert_eq!(u.begin_updates(0), None, "its peers are not told");
    // An update that comes from the other table stays there.
    let back = Writer::define(2, &lines[1]).update(Some(1), None, 8, 4);
    s.take(&back.bytes).unwrap();
    assert_eq!((t.used(), u.used()), (1, 2));
}

#[test]
fn a_full_table_skips_acknowledges_and_says_so_now_and_then() {
    let t = table("table t type integer size 2 expire 10m nopurge store gpc0");
    let mut s = Scripted::up(&roster(&[&t]));
    let fill = Writer::define(1, T).update(Some(1), None, 1, 1).update(None, None, 2, 2);
    let over = fill.update(None, None, 3, 3).update(None, None, 4, 4).update(None, None, 1, 9);
    assert_eq!(short(&s.take(&over.bytes).unwrap()), ["ack 1 5"]);
    assert_eq!((t.used(), gpc0(&t, 1, s.now)), (2, Some(9)));
    let told = |s: &Scripted| {
        let full = |event: &&Event| matches!(event, Event::TableFull { .. });
        s.events.iter().filter(full).cloned().collect::<Vec<_>>()
    };
    assert_eq!(told(&s), [Event::TableFull { table: 0, skipped: 2 }], "once for the burst");
    let more = Writer::define(1, T).update(Some(6), None, 5, 5);
    s.wait(4000);
    s.take(&more.bytes).unwrap();
    s.wait(4000);
    s.take(&more.bytes).unwrap();
    assert_eq!(told(&s).len(), 1);
    s.wait(2000);
    s.take(&more.bytes).unwrap();
    assert_eq!(told(&s)[1], Event::TableFull { table: 0, skipped: 3 });
    assert_eq!(s.session.status().counters.updates_refused, 5);
}

#[test]
fn expire_is_cut_to_ours_and_0_is_over() {
    let (t, forever) = (table(T), table("table u type integer size 1k store gpc0"));
    let mut s = Scripted::up(&roster(&[&t, &forever]));
    let u = "table u type integer size 1k store gpc0";
    let w = Writer::define(1, T).update(Some(1), Some(0), 1, 1).update(None, Some(u32::MAX), 2, 2);
    let w = w.update(None, Some(1234), 3, 3).update(None, None, 4, 4);
    assert_eq!(short(&s.take(&w.bytes).unwrap()), ["ack 1 4"]);
    let left =
        |table: &SharedTable, key| get(table, key, START).map(|entry| entry.expires_in(START));
    assert_eq!(
        [1, 2, 3, 4].map(|key| left(&t, key)),
        [None, Some(600_000), Some(1234), Some(600_000)]
    );
    s.take(&Writer::define(2, u).update(Some(1), Some(0), 1, 1).bytes).unwrap();
    assert_eq!(gpc0(&forever, 1, START + u32::MAX), Some(1));
}

#[test]
fn live_updates_are_untimed_numbered_in_full_and_share_the_output() {
    let (t, u) = (table(T), table(U));
    let mut s = Scripted::up(&roster(&[&t, &u]));
    count(&t, 1, 1, START);
    count(&t, 2, 1, START);
    count(&u, 1, 5, START);
    count(&t, 1, 1, START);
    assert_eq!(
        short(&s.sent()),
        // Entry 1 changed twice before anybody was told: sent once, with its last value.
        ["define /t", "update 1 1 2", "update 2 2 1", "define /u", "update 1 1 5"]
    );
    count(&u, 1, 1, START);
    assert_eq!(short(&s.sent()), ["update 2 1 6"], "the table announced last");
    // What was learned is not sent on.
    s.take(&Writer::define(1, T).update(Some(1), None, 9, 9).bytes).unwrap();
    assert_eq!(s.sent(), b"");
}

#[test]
fn a_session_goes_on_after_the_last_ack() {
    let t = table(T);
    let roster = roster(&[&t]);
    let memory = PeerMemory::new(&roster, b"B");
    (1..=5).for_each(|key| count(&t, key, u64::from(key), START));
    let mut s = Scripted::up_with(&roster, memory.clone());
    assert_eq!(short(&s.sent()).len(), 0, "sent behind the status line");
    assert_eq!(s.session.status().tables[0].cursor, 5);
    s.take(&ack(1, 3)).unwrap();
    assert_eq!(memory.acked(0), 3);
    // Of the past, of the future, of an unknown table, byte-swapped: ignored.
    for wrong in [ack(1, 2), ack(1, 6), ack(2, 4), ack(0, 4), ack(1, 0x0400_0000), ack(1, u32::MAX)]
    {
        s.take(&wrong).unwrap();
        assert_eq!(memory.acked(0), 3);
    }
    let counters = s.session.status().counters;
    assert_eq!((counters.acks_received, counters.acks_ignored), (1, 6));
    count(&t, 1, 1, START);
    let mut s = Scripted::called(&roster);
    s.memory = memory;
    let sent = s.take(b"HAProxyS 2.1\nA\nB 1 1\n").unwrap();
    let expected = ["define /t", "update 4 4 4", "update 5 5 5", "update 6 1 2"];
    assert_eq!(short(sent.strip_prefix(b"200\n").unwrap()), expected);
}

#[test]
fn ids_and_acks_cross_the_wrap() {
    let last = u64::from(u32::MAX) - 2;
    let t = SharedTable::with(declaration(T), Options::new().last_update(last));
    let roster = roster(&[&t]);
    let mut s = Scripted::up(&roster);
    (1..=5).for_each(|key| count(&t, key, 1, START));
    let max = u32::MAX;
    let expected: Vec<String> = ["define /t".to_owned()]
        .into_iter()
        .chain(
            [max - 1, max, 0, 1, 2].iter().zip(1..).map(|(id, key)| format!("update {id} {key} 1")),
        )
        .collect();
    assert_eq!(short(&s.sent()), expected);
    s.take(&ack(1, max)).unwrap();
    assert_eq!(s.memory.acked(0), last + 2);
    s.take(&ack(1, 1)).unwrap();
    assert_eq!(s.memory.acked(0), last + 4);
    s.take(&ack(1, 3)).unwrap();
    assert_eq!(s.memory.acked(0), last + 4, "never sent");
}

#[test]
fn output_is_made_on_demand() {
    let t = table("table t type integer size 100k expire 10m store gpc0");
    (0..20_000).for_each(|key| count(&t, key, 1, START));
    let mut s = Scripted::called(&roster(&[&t]));
    s.session.handle_input(START, b"HAProxyS 2.1\nA\nB 1 1\n").unwrap();
    let Some(Event::Hello { .. }) = s.session.poll_event() else { panic!("no hello") };
    s.session.accept(START, s.memory.clone(), false);
    let fill = |s: &mut Scripted| {
        let mut out = Vec::new();
        while s.session.poll_transmit(START, &mut out) {}
        out
    };
    let out = fill(&mut s);
    assert!((OUT_MAX..OUT_MAX + 100).contains(&out.len()), "{}", out.len());
    let cursor = s.session.status().tables[0].cursor;
    // Blocked: what is received is read all the same, and what changes is not queued.
    s.session.handle_input(START, &ack(1, 100)).unwrap();
    assert_eq!(s.memory.acked(0), 100);
    (0..20_000).for_each(|key| count(&t, key, 1, START));
    let mut full = vec![0; OUT_MAX];
    assert!(!s.session.poll_transmit(START, &mut full));
    assert_eq!(s.session.status().tables[0].cursor, cursor);
    // A lesson too.
    s.session.handle_input(START, &control(Control::ResyncRequest)).unwrap();
    let mut chunks = 0;
    let mut sent = 0;
    loop {
        let out = fill(&mut s);
        if out.is_empty() {
            break;
        }
        assert!(out.len() < OUT_MAX + 100);
        sent += out.len();
        chunks += 1;
    }
    assert!(chunks >= 4 && sent > 20_000 * 15, "{chunks} {sent}");
    assert_eq!(s.session.status().counters.updates_sent, cursor + 20_000);
}

#[test]
fn errors_are_answered_and_nothing_before_them_is_lost() {
    for (wrong, answer) in [
        (&[0xff_u8, 0][..], [1_u8, 0]),
        (&[0x0a, 0x80, 0xff, 0xff, 0xff, 0xff, 0x7f], [1, 1]),
        (&[0x0a, 0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00], [1, 0]),
        (&[0x0a, 0x80, 2, 0, 0], [1, 0]),
        (&[0x0a, 0x84, 0], [1, 0]),
        (&[0x0a, 0x83, 0], [1, 0]),
        (&[0x0a, 0x82, 2, 1, 0], [1, 0]),
        // An update whose value is cut, for a key that is not there yet.
        (&[0x0a, 0x80, 9, 0, 0, 0, 9, 0, 0, 0, 9, 0xf0], [1, 0]),
    ] {
        let t = table(T);
        let mut s = Scripted::up(&roster(&[&t]));
        let good = Writer::define(1, T).update(Some(1), None, 1, 1);
        let start = b"HAProxyS 2.1\nA\nB 1 1\n".len() + good.bytes.len();
        let error = s.take(&[&good.bytes, wrong].concat()).unwrap_err();
        assert_eq!(s.sent(), answer, "{error}");
        assert_eq!((t.used(), gpc0(&t, 1, START)), (1, Some(1)), "{error}");
        assert_eq!(s.events.last(), Some(&Event::Closed(Reason::Error(error.clone()))));
        let text = error.to_string();
        assert!(text.starts_with("peer B: table lab/t: "), "{text}");
        let end = start + wrong.len();
        assert!((start as u64..=end as u64).contains(&error.offset), "{text}");
        assert!(text.ends_with(&format!("byte {} of the stream", error.offset)), "{text}");
        // It is over: whatever comes is dropped.
        assert_eq!(s.take(&good.bytes).unwrap(), b"");
        assert_eq!(s.session.status().counters.errors_found, 1);
    }
}
