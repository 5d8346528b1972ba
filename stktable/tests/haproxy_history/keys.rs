//! Keys and columns.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use super::*;

fn table_of(spec: KeySpec) -> StickTable {
    let declaration = Declaration::builder("t", spec)
        .size(1_000)
        .store(DataType::ServerId)
        .store(DataType::BytesInCnt)
        .store_rate(DataType::ConnRate, 10_000)
        .store_array(DataType::Gpt, 100)
        .store_array(DataType::Gpc, 3)
        .build()
        .unwrap();
    StickTable::with(declaration, Options::new().domain(Domain::with_batch(4)))
}

/// f65c6c045. A key owns its bytes: the buffer it was made of is neither padded nor needed, and keys that are equal after
/// padding or cutting are one.
#[test]
fn a_key_owns_its_bytes() {
    for (spec, a, b) in [
        (KeySpec::binary(8).unwrap(), &b"ab"[..], &b"ab\0\0\0\0\0\0"[..]),
        (KeySpec::binary(2).unwrap(), b"ab", b"abcdef"),
        (KeySpec::string(4).unwrap(), b"abcd", b"abcdefgh"),
    ] {
        let table = table_of(spec);
        let mut buffer = a.to_vec();
        let made = spec.key(&buffer).unwrap();
        assert_eq!(buffer, a, "a sample is not written to");
        buffer.fill(b'x');
        drop(table.get_or_create(&made, START).unwrap());
        drop(buffer);
        let entry = table.get(&spec.key(b).unwrap(), START).unwrap();
        assert_eq!((entry.key(), table.used()), (made, 1));
    }
}

/// 28c63c15f, b59d1fd91. An integer key has 32 bits, big endian: wider ones are refused, not cut by a pointer, and none is
/// taken for another.
#[test]
fn integer_keys_are_numbers_of_32_bits() {
    assert!(KeySpec::INTEGER.key(&1_u64.to_be_bytes()).is_err());
    assert!(KeySpec::INTEGER.key(&[1, 2]).is_err());
    for text in ["4294967296", "-1", "18446744073709551617"] {
        assert!(KeySpec::INTEGER.parse(text).is_err(), "{text}");
    }
    let table = table_of(KeySpec::INTEGER);
    for number in [0, 1, 1 << 24, u32::MAX] {
        let entry = table.get_or_create(&key(number), START).unwrap();
        assert_eq!(entry.key().to_string(), number.to_string());
        assert_eq!(KeySpec::INTEGER.parse(&number.to_string()), Ok(key(number)));
    }
    assert_eq!(table.used(), 4);
}

/// b7c962b0c, c6826b957. Text that is not a key of the table's type is refused; it never becomes the key 0.
#[test]
fn invalid_text_is_no_key() {
    let wrong = [
        "",
        "x",
        "1.2.3",
        "1.2.3.4.5",
        "1.2.3.256",
        "1.2.3.4/8",
        " 1.2.3.4",
        "::1::",
        "12345::",
        ":",
    ];
    for spec in [KeySpec::IP, KeySpec::IPV6] {
        for text in wrong {
            assert!(spec.parse(text).is_err(), "{text:?}");
        }
    }
    assert!(KeySpec::IP.parse("2001:db8::1").is_err(), "has no IPv4 form");
    assert_eq!(KeySpec::IP.parse("::ffff:1.2.3.4").unwrap().as_bytes(), [1, 2, 3, 4]);
    assert_eq!(KeySpec::IPV6.parse("1.2.3.4").unwrap().to_string(), "::ffff:1.2.3.4");
    assert!(KeySpec::binary(4).unwrap().parse("12g4").is_err());
}

/// 8919a80da. A column that is read while another thread changes it has a value that it had: no half of a 64-bit count, no
/// rate that never was.
#[test]
fn columns_are_read_whole() {
    const STEPS: u32 = 200_000;
    let table = table_of(KeySpec::INTEGER);
    let entry = table.get_or_create(&key(1), START).unwrap();
    let (a, b) = (0x1111_1111_2222_2222, 0x3333_3333_4444_4444_i64);
    entry.set(DataType::BytesInCnt, 0, a, START).unwrap();
    thread::scope(|scope| {
        let entry = &entry;
        let writing = scope.spawn(move || {
            for step in 0..STEPS {
                let value = if step % 2 == 0 { b } else { a };
                entry.set(DataType::BytesInCnt, 0, value, START).unwrap();
                entry.set(DataType::ConnRate, 0, value >> 32, START).unwrap();
            }
        });
        let reading = scope.spawn(move || {
            for _ in 0..STEPS {
                let value = entry.read(DataType::BytesInCnt, 0, START).unwrap();
                assert!(value == a || value == b, "{value:#x}");
                let rate = entry.read(DataType::ConnRate, 0, START).unwrap();
                assert!([0, a >> 32, b >> 32].contains(&rate), "{rate:#x}");
            }
        });
        [writing, reading].into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// 5bbdd14f5. A key of one table is not looked up in a table of another type or width: there it is absent, and cannot be
/// created.
#[test]
fn a_key_of_another_type_is_absent() {
    let specs = [
        KeySpec::INTEGER,
        KeySpec::IP,
        KeySpec::IPV6,
        KeySpec::string(4).unwrap(),
        KeySpec::binary(4).unwrap(),
        KeySpec::binary(16).unwrap(),
    ];
    for (at, spec) in specs.into_iter().enumerate() {
        let table = table_of(spec);
        let bytes = vec![b'1'; if spec.ty() == KeyType::String { 4 } else { spec.size() as usize }];
        drop(table.get_or_create(&spec.key(&bytes).unwrap(), START).unwrap());
        for (other_at, other) in specs.into_iter().enumerate() {
            let bytes = vec![b'1'; other.size() as usize];
            let foreign = other.key(&bytes).unwrap();
            // A shorter binary key is not a key of the wider table either: it was padded to its own width.
            let fits = other.ty() == spec.ty() && other.size() <= spec.size();
            if at == other_at || fits {
                continue;
            }
            assert!(table.get(&foreign, START).is_none(), "{foreign:?} in {spec:?}");
            assert_eq!(table.remove(&foreign, START), Removed::Missing);
            let create = AssertUnwindSafe(|| table.get_or_create(&foreign, START).is_ok());
            assert!(catch_unwind(create).is_err());
            assert_eq!(table.used(), 1);
        }
    }
}

/// 0e6f968ee, 21d5f43aa. An element of an array is there up to the declared number, and no further.
#[test]
fn arrays_end_where_they_are_declared() {
    let table = table_of(KeySpec::INTEGER);
    let entry = table.get_or_create(&key(1), START).unwrap();
    for (data_type, elements) in [(DataType::Gpt, 100), (DataType::Gpc, 3)] {
        for at in 0..elements {
            entry.set(data_type, at, i64::from(at) + 1, START).unwrap();
        }
        for at in 0..elements {
            assert_eq!(entry.read(data_type, at, START), Some(i64::from(at) + 1));
        }
        for at in [elements, elements + 1, 255, 1 << 16, u32::MAX] {
            let refused = SetError::OutOfRange { data_type, elements };
            assert_eq!(entry.set(data_type, at, 7, START), Err(refused));
            assert_eq!(entry.read(data_type, at, START), None);
            assert_eq!(entry.add(data_type, at, 7, START), None);
        }
    }
    // Counting past the end counts nowhere.
    entry.count(Event::Gpc(3), 9, START);
    entry.count(Event::Gpc(2), 9, START);
    let gpc = [0, 1, 2].map(|at| entry.read(DataType::Gpc, at, START).unwrap());
    assert_eq!(gpc, [1, 2, 3 + 9]);
    assert_eq!(entry.read(DataType::ServerId, 0, START), Some(0));
}

/// 845fb846c. Columns of 64 bits are aligned whatever the length of the key before them, and none overlaps another.
#[test]
fn columns_are_aligned_behind_any_key() {
    for len in 1..=40 {
        for spec in [KeySpec::string(len).unwrap(), KeySpec::binary(len).unwrap()] {
            let table = table_of(spec);
            for used in 0..=len {
                let bytes = vec![b'k'; used as usize];
                let entry = table.get_or_create(&spec.key(&bytes).unwrap(), START).unwrap();
                let set = |data_type, value| entry.set(data_type, 0, value, START).unwrap();
                set(DataType::BytesInCnt, i64::MIN + 1);
                set(DataType::ConnRate, 77);
                set(DataType::ServerId, -3);
                set(DataType::Gpt, 0xffff_ffff);
                set(DataType::Gpc, 5);
                let read = |data_type| entry.read(data_type, 0, START).unwrap();
                assert_eq!(read(DataType::BytesInCnt), i64::MIN + 1);
                assert_eq!((read(DataType::ConnRate), read(DataType::ServerId)), (77, -3));
                assert_eq!((read(DataType::Gpt), read(DataType::Gpc)), (0xffff_ffff, 5));
                assert_eq!(entry.key(), spec.key(&bytes).unwrap());
            }
        }
    }
}

/// 1824079fc. What stands behind a NUL is no part of a string key: no invisible duplicates.
#[test]
fn bytes_behind_a_nul_are_no_part_of_a_key() {
    let spec = KeySpec::string(16).unwrap();
    let table = table_of(spec);
    for bytes in [&b"abc"[..], b"abc\0", b"abc\0def", b"abc\0xyz\0", b"abc\0abcdefghijklmnopqrst"] {
        let entry = table.get_or_create(&spec.key(bytes).unwrap(), START).unwrap();
        entry.add(DataType::BytesInCnt, 0, 1, START);
        assert_eq!((entry.key().to_string().as_str(), table.used()), ("abc", 1));
    }
    let entry = table.get(&spec.key(b"abc").unwrap(), START).unwrap();
    assert_eq!(entry.read(DataType::BytesInCnt, 0, START), Some(5));
}

/// 1014a43e0, HEAD:shard. A key with a NUL, or too long, is found, removed and expired in the very place it was created in: a
/// key has one form, and everything is computed from that.
#[test]
fn a_key_has_one_place() {
    let spec = KeySpec::string(8).unwrap();
    let declaration =
        Declaration::builder("t", spec).size(10_000).expire_ms(1_000).peers("p").build().unwrap();
    let table = StickTable::with(declaration, Options::new().domain(Domain::with_batch(4)));
    let forms = |number: u32| {
        let text = format!("k{number:03}");
        [
            format!("{text}\0{number}"),
            format!("{text}\0"),
            text.clone(),
            format!("{text}9999\0trail"),
        ]
        .map(|form| spec.key(form.as_bytes()).unwrap())
    };
    for number in 0..300 {
        let [nul, end, plain, long] = forms(number);
        table.get_or_create(&nul, START).unwrap().touch(START);
        let id = table.get(&plain, START).unwrap().id();
        assert_eq!(table.get(&end, START).unwrap().id(), id);
        assert_ne!(table.get_or_create(&long, START).unwrap().id(), id);
        assert_eq!(long, spec.key(format!("k{number:03}9999beyond").as_bytes()).unwrap());
        if number % 2 == 0 {
            assert_eq!(table.remove(&end, START), Removed::Removed);
            assert_eq!(table.remove(&long, START), Removed::Removed);
            assert_eq!(table.remove(&nul, START), Removed::Missing);
        }
    }
    assert_eq!(table.used(), 300);
    while table.expire(START + 1_008, 64).more {}
    assert_eq!((table.used(), table.begin_updates(0)), (0, None));
}
