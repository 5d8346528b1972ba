//! What HAProxy 2.6 does not have, against a peer that does: types 25 and 26, `recv-only`, `brates-factor`, acks with their bytes
//! swapped.

use stktable::DataType;
use stktable::table::{Event, Value};
use stktable_integration::peers::codec::{
    Control, Decoder, Definition, Message, Rate, Value as Sent,
};

use super::script::{START, Scripted, Writer, ack, control, count, get, roster, short, table};
use super::{T, U};

/// The first definition and the first update in what was sent, with the values of the latter.
fn taught(bytes: &[u8]) -> (Vec<u8>, Vec<(DataType, String)>) {
    let mut rest = bytes;
    let (mut table, mut defined, mut values) = (None, Vec::new(), Vec::new());
    while let Some((message, size)) = Decoder::new().decode(rest).unwrap() {
        match message {
            Message::Definition(definition) => {
                table = definition.table().unwrap().ok();
                defined = rest[..size].to_vec();
            }
            Message::Update(update) => {
                let update = update.decode(table.as_ref().expect("a definition first")).unwrap();
                let all = update.values();
                values = all.map(|one| (one.data_type, format!("{:?}", one.value))).collect();
            }
            _ => {}
        }
        rest = &rest[size..];
    }
    (defined, values)
}

#[test]
fn glitches_are_learned_and_taught() {
    let line = "table t type integer size 1k expire 10m store gpc0,glitch_cnt,glitch_rate(10s)";
    let t = table(line);
    let mut s = Scripted::up(&roster(&[&t]));
    let sent = Writer::define(1, line).update(Some(1), None, 7, 30);
    // Bits 2, 25 and 26; parameters of the rate alone: its number, then its period.
    let definition = Writer::define(1, line).bytes;
    assert!(definition.ends_with(&[26, 0xf0, 0xe2, 0x03]), "{definition:x?}");
    assert_eq!(short(&s.take(&sent.bytes).unwrap()), ["ack 1 1"]);
    let entry = get(&t, 7, START).unwrap();
    assert_eq!(entry.read(DataType::GlitchCnt, 0, START), Some(30));
    let rate = Value::Rate { age_ms: 100, current: 30, previous: 60 };
    assert_eq!(entry.value(DataType::GlitchRate, 0, START), Some(rate));
    // And back, one more.
    entry.count(Event::Glitch, 1, START);
    entry.touch(START);
    let (defined, values) = taught(&s.sent());
    assert_eq!(defined, definition);
    let rate = Sent::<()>::Rate(Rate { elapsed_ms: 100, current: 31, previous: 60 });
    let expected = [
        (DataType::Gpc0, format!("{:?}", Sent::<()>::Uint(30))),
        (DataType::GlitchCnt, format!("{:?}", Sent::<()>::Uint(31))),
        (DataType::GlitchRate, format!("{rate:?}")),
    ];
    assert_eq!(values, expected);
}

#[test]
fn what_comes_after_type_26_is_skipped() {
    let line = "table t type integer size 1k expire 10m store gpc0,glitch_cnt";
    let t = table(line);
    let mut s = Scripted::up(&roster(&[&t]));
    // Bits 2, 25, 27 and 40: types that nobody knows come last.
    let mut bytes = vec![0x0a, 0x82, 0, 1, 2, b'/', b't', 2, 4];
    let bits: u64 = 1 << 2 | 1 << 25 | 1 << 27 | 1 << 40;
    stktable_integration::peers::codec::integer::encode(bits, &mut bytes);
    bytes.extend([0, 27, 9, 40, 8]);
    bytes[2] = u8::try_from(bytes.len() - 3).unwrap();
    let values = [0, 0, 0, 1, 0, 0, 0, 7, 5, 6, 0xe0, 1];
    bytes.extend([0x0a, 0x80, 12]);
    bytes.extend(values);
    assert_eq!(short(&s.take(&bytes).unwrap()), ["ack 1 1"]);
    let entry = get(&t, 7, START).unwrap();
    let read = |ty| entry.read(ty, 0, START);
    assert_eq!((read(DataType::Gpc0), read(DataType::GlitchCnt)), (Some(5), Some(6)));
}

#[test]
fn a_table_that_only_receives_learns_conn_cur() {
    let sent = "table t type integer size 1k expire 10m store gpc0,conn_cur";
    for (line, learned) in
        [(sent, 0), ("table t type integer size 1k expire 10m recv-only store gpc0,conn_cur", 12)]
    {
        let t = table(line);
        let mut s = Scripted::up(&roster(&[&t]));
        s.take(&Writer::define(1, sent).update(Some(1), None, 7, 12).bytes).unwrap();
        let entry = get(&t, 7, START).unwrap();
        assert_eq!(entry.read(DataType::ConnCur, 0, START), Some(learned), "{line}");
        assert_eq!(entry.read(DataType::Gpc0, 0, START), Some(12));
    }
}

#[test]
fn rates_of_bytes_travel_divided() {
    let plain = "table t type integer size 1k expire 10m store bytes_in_cnt,bytes_in_rate(10s)";
    let divided = format!("{plain} brates-factor 100");
    let t = table(&divided);
    let mut s = Scripted::up(&roster(&[&t]));
    let key = t.declaration().key.key(&7_u32.to_be_bytes()).unwrap();
    let entry = t.get_or_create(&key, START).unwrap();
    entry.count(Event::BytesIn, 1_450, START);
    entry.touch(START);
    let (defined, values) = taught(&s.sent());
    // Nothing on the wire says so; blocks that were begun count, the total is in bytes.
    assert_eq!(defined, Writer::define(1, plain).bytes);
    let rate = Sent::<()>::Rate(Rate { elapsed_ms: 0, current: 15, previous: 0 });
    assert_eq!(values[0], (DataType::BytesInCnt, format!("{:?}", Sent::<()>::Ull(1_450))));
    assert_eq!(values[1], (DataType::BytesInRate, format!("{rate:?}")));
    // What is learned is divided already.
    s.take(&Writer::define(1, plain).update(Some(1), None, 8, 15).bytes).unwrap();
    let learned = get(&t, 8, START).unwrap().value(DataType::BytesInRate, 0, START);
    assert_eq!(learned, Some(Value::Rate { age_ms: 100, current: 15, previous: 30 }));
}

#[test]
fn acks_with_their_bytes_swapped_are_ignored_until_a_right_one_comes() {
    let (t, u) = (table(T), table(U));
    let mut s = Scripted::up(&roster(&[&t, &u]));
    (1..=0x104).for_each(|key| count(&t, key, 1, START));
    s.sent();
    // After each incremental update HAProxy 3.3 says this for 2 to 0x104; for 0x100 it is 0x10000.
    for id in 2..=0x104_u32 {
        s.take(&ack(1, id.swap_bytes())).unwrap();
    }
    let acked = s.memory.acked(0);
    assert_eq!(acked, 0, "none of them is the id of an update that was sent");
    s.take(&ack(1, 0x104)).unwrap();
    assert_eq!(s.memory.acked(0), 0x104);
    // In a lesson no ack counts, swapped or not.
    s.take(&control(Control::ResyncRequest)).unwrap();
    count(&t, 1, 1, START);
    s.take(&ack(1, 0x105)).unwrap();
    assert_eq!(s.memory.acked(0), 0x104);
}

#[test]
fn definitions_with_all_types_survive() {
    let line = "table t type ip size 1 store server_id,gpt0,gpc0,conn_cnt,conn_cur,glitch_cnt,glitch_rate(1m)";
    let bytes = Writer::define(3, line).bytes;
    let Some((Message::Definition(definition), _)) = Decoder::new().decode(&bytes).unwrap() else {
        panic!("no definition")
    };
    let found = definition.table().unwrap().unwrap();
    assert_eq!(found.period_ms(DataType::GlitchRate), 60_000);
    let mut again = Vec::new();
    Definition::encode(3, b"/t", &found, &mut again).unwrap();
    assert_eq!(again, bytes);
}
