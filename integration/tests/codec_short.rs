//! Updates that are short and of integers only are written in a way of their own.

use bolero::check;
use stktable::declare::{Declaration, Scope};
use stktable::{KeyType, Storage};
use stktable_integration::peers::codec::{Rate, SendCache, SenderTable, UpdateHeader, Value};

/// The short way of writing an update gives the bytes of the long one, or says that it is not for this table.
#[test]
fn short_updates_are_those_of_the_long_way() {
    let lines = [
        "table t type ip size 1k expire 30m store gpc0,conn_rate(10s),http_req_rate(10s),bytes_in_cnt",
        "table t type string len 20 size 1k store server_id,gpt0,gpc(3)",
        "table t type ipv6 size 1k expire 1h store bytes_out_cnt",
        "table t type binary len 9 size 1k store gpc0_rate(1m)",
    ];
    for line in lines {
        let declared = Declaration::parse(line, Scope::Peers("p")).into_result().unwrap();
        let table = SenderTable::new(declared.key, declared.expire_ms, &declared.columns);
        let text = declared.key.ty() == KeyType::String;
        check!()
            .with_iterations(2000)
            .with_type::<(Vec<u8>, [u64; 16], Option<u32>, Option<u32>)>()
            .for_each(|(bytes, numbers, id, expire_ms)| {
                let mut key = bytes.clone();
                key.retain(|byte| *byte != 0);
                key.truncate(declared.key.size() as usize - 1);
                if !text {
                    key.resize(declared.key.size() as usize, 0);
                }
                let header = UpdateHeader { id: *id, expire_ms: *expire_ms };
                // As tables have them: cut to their width, negative ones sign-extended.
                let mut at = 0;
                let mut next = || {
                    at += 1;
                    numbers[at - 1] >> (numbers[at - 1] % 64)
                };
                let mut flat = Vec::new();
                let (mut long, mut cache) = (vec![7], SendCache::new());
                let narrow = |number: u64| u32::try_from(number & 0xffff_ffff).unwrap();
                let written = header.encode_bytes(&key, &table, &mut cache, &mut long, |ty, _| {
                    match ty.storage() {
                        Storage::Sint => {
                            let value = narrow(next()).cast_signed();
                            flat.push(i64::from(value).cast_unsigned());
                            Value::Sint(value)
                        }
                        Storage::Uint => {
                            flat.push(u64::from(narrow(next())));
                            Value::Uint(narrow(*flat.last().unwrap()))
                        }
                        Storage::Ull => {
                            flat.push(next());
                            Value::Ull(*flat.last().unwrap())
                        }
                        Storage::Rate => {
                            let [elapsed_ms, current, previous] = [(); 3].map(|()| narrow(next()));
                            flat.extend([elapsed_ms, current, previous].map(u64::from));
                            Value::Rate(Rate { elapsed_ms, current, previous })
                        }
                        Storage::Dict => unreachable!("none is declared"),
                    }
                });
                written.unwrap();
                let mut short = vec![7];
                let done = header.encode_short(&key, &table, &mut short, |short| {
                    flat.iter().for_each(|number| short.number(*number));
                });
                assert!(done, "{line}");
                assert_eq!(short, long, "{line}");
            });
    }
    // Names, wrong keys, and what may be too long are for the long way.
    let table = |line| {
        let declared = Declaration::parse(line, Scope::Peers("p")).into_result().unwrap();
        SenderTable::new(declared.key, declared.expire_ms, &declared.columns)
    };
    let mut out = vec![7];
    let header = UpdateHeader::default();
    for (line, key) in [
        ("table t type ip size 1k store server_key", &[1, 2, 3, 4][..]),
        ("table t type ip size 1k store gpc(100)", &[1, 2, 3, 4]),
        ("table t type ip size 1k store gpc0", &[1, 2, 3]),
        ("table t type string len 3 size 1k store gpc0", b"four"),
        ("table t type binary len 200 size 1k store gpc0", &[1; 200]),
    ] {
        assert!(!header.encode_short(key, &table(line), &mut out, |_| panic!("{line}")), "{line}");
        assert_eq!(out, [7], "{line}");
    }
}
