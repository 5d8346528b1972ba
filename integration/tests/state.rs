//! Tables on disk: what was written is read, and what is damaged is refused whole.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use stktable::declare::Scope;
use stktable::table::{Event, Value};
use stktable::{DataType, Declaration, Key, KeySpec, Tick};
use stktable_integration::SharedTable;
use stktable_integration::state::{self, Loaded, StateErrorKind};

const NOW: Tick = Tick((1 << 32) - 5_000);

fn wall(ms: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(1_700_000_000_000 + ms)
}

fn table(line: &str) -> Arc<SharedTable> {
    SharedTable::new(Declaration::parse(line, Scope::Peers("lab")).into_result().unwrap())
}

/// A folder of this test's own.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn file(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("state")
}

/// Every data type that can be stored, in an address table and one of names.
fn everything() -> [Arc<SharedTable>; 2] {
    [
        "table all type ip size 1k expire 10m store server_id,gpt0,gpc0,gpc0_rate(10s),conn_cnt,\
         conn_rate(10s),conn_cur,sess_cnt,http_req_cnt,http_req_rate(10s),bytes_in_cnt,\
         bytes_in_rate(1m),server_key,http_fail_cnt,glitch_cnt,glitch_rate(5s)",
        "table arrays type string len 32 size 1k store gpt(3),gpc(2),gpc_rate(2,10s)",
    ]
    .map(table)
}

fn fill([all, arrays]: &[Arc<SharedTable>; 2]) {
    for number in 0..300_u32 {
        let entry = all.get_or_create(&client(number), NOW).unwrap();
        for (at, column) in all.columns().enumerate() {
            if !column.data_type.is_rate() {
                let value = i64::from(number) * 1_000_003 + at as i64;
                entry.set(column.data_type, 0, value, NOW).unwrap();
            }
        }
        entry.count(Event::HttpRequest, u64::from(number), NOW);
        entry.count(Event::BytesIn, 5_000_000_000 + u64::from(number), NOW);
        if number % 3 != 0 {
            entry.set_server_key(Some(&format!("server{}", number % 7))).unwrap();
        }
        entry.touch_for(1_000 * (number + 1), NOW);
    }
    for name in ["", "a", "a longer name than that"] {
        let entry =
            arrays.get_or_create(&arrays.declaration().key.parse(name).unwrap(), NOW).unwrap();
        for element in 0..3 {
            entry.set(DataType::Gpt, element, 7 + i64::from(element), NOW).unwrap();
        }
        entry.inc_gpc(1, NOW);
    }
}

fn client(number: u32) -> Key {
    Key::from(Ipv4Addr::from_bits(0x0a00_0000 + number))
}

/// Key, what is left to live, values, and name.
type Seen = (String, u32, Vec<Option<Value>>, Option<String>);

/// What can be seen of a table, by key.
fn seen(table: &SharedTable, now: Tick) -> Vec<Seen> {
    let mut seen: Vec<_> = table
        .entries(now)
        .map(|entry| {
            let values = table.columns().filter(|column| column.data_type != DataType::ConnCur);
            let values = values.flat_map(|column| {
                (0..column.elements).map(move |element| (column.data_type, element))
            });
            let values =
                values.map(|(data_type, element)| entry.value(data_type, element, now)).collect();
            (entry.key().to_string(), entry.expires_in(now), values, entry.server_key())
        })
        .collect();
    seen.sort_by(|a, b| a.0.cmp(&b.0));
    seen
}

#[test]
fn what_was_written_is_read() {
    let (folder, before, after) = (folder(), everything(), everything());
    let path = file(&folder);
    fill(&before);
    let saved = state::save(&before, &path, NOW, wall(0)).unwrap();
    assert_eq!((saved.tables, saved.entries), (2, 303));
    assert_eq!(saved.bytes, fs::metadata(&path).unwrap().len());
    let loaded = state::load(&after, &path, NOW, wall(0)).unwrap();
    assert_eq!(loaded, Loaded { entries: 303, ..Loaded::default() });
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(seen(before, NOW), seen(after, NOW));
        assert_eq!(after.begin_updates(0), None, "peers are not told");
    }
    let entry = after[0].get(&client(7), NOW).unwrap();
    assert_eq!(entry.read(DataType::ConnCur, 0, NOW), Some(0), "their connections are gone");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn time_goes_on_while_nobody_runs() {
    let (folder, before, after) = (folder(), everything(), everything());
    let path = file(&folder);
    fill(&before);
    state::save(&before, &path, NOW, wall(0)).unwrap();
    // Another process, whose ticks begin elsewhere, 100.5 s later.
    let now = Tick(20_000);
    let loaded = state::load(&after, &path, now, wall(100_500)).unwrap();
    assert_eq!((loaded.entries, loaded.over), (203, 100));
    assert_eq!(loaded.age, Duration::from_millis(100_500));
    assert_eq!(after[0].get(&client(99), now).map(|entry| entry.key()), None);
    let left = |number| after[0].get(&client(number), now).unwrap().expires_in(now);
    assert_eq!((left(100), left(299)), (500, 199_500));
    let entry = after[0].get(&client(150), now).unwrap();
    let read = |data_type| entry.read(data_type, 0, now);
    assert_eq!(read(DataType::HttpReqRate), Some(0), "of ten seconds");
    assert_eq!(
        read(DataType::HttpReqCnt),
        before[0].get(&client(150), NOW).unwrap().read(DataType::HttpReqCnt, 0, NOW)
    );

    // 10 s later it is the period before that counts, all of it.
    let later = everything();
    state::load(&later, &path, now, wall(10_000)).unwrap();
    let entry = later[0].get(&client(150), now).unwrap();
    assert_eq!(entry.read(DataType::HttpReqRate, 0, now), Some(150));
    assert_eq!(entry.read(DataType::HttpReqRate, 0, now + 5_000), Some(75));
}

#[test]
fn a_clock_that_was_set_back_ages_nothing() {
    let (folder, before, after) = (folder(), everything(), everything());
    fill(&before);
    state::save(&before, &file(&folder), NOW, wall(50_000)).unwrap();
    let loaded = state::load(&after, &file(&folder), NOW, wall(0)).unwrap();
    assert_eq!((loaded.entries, loaded.age), (303, Duration::ZERO));
    assert_eq!(seen(&before[0], NOW), seen(&after[0], NOW));
}

#[test]
fn a_configuration_that_changed_keeps_what_fits() {
    let (folder, before) = (folder(), everything());
    fill(&before);
    state::save(&before, &file(&folder), NOW, wall(0)).unwrap();
    let after = [
        table(
            "table all type ip size 200 nopurge expire 5s store gpc0,http_req_rate(20s),bytes_in_rate(1m),gpt(4)",
        ),
        table("table arrays type string len 33 size 1k store gpt(3)"),
    ];
    let loaded = state::load(&after, &file(&folder), NOW, wall(0)).unwrap();
    assert_eq!((loaded.entries, loaded.refused, loaded.skipped), (200, 100, 3));
    let [skipped] = &loaded.tables_skipped[..] else { panic!("{loaded:?}") };
    assert_eq!(skipped.table, "lab/arrays");
    assert_eq!(skipped.why, "its keys are of another type or length now");
    let entry = after[0].entries(NOW).next().unwrap();
    let old = before[0].get(&entry.key(), NOW).unwrap();
    assert_eq!(entry.read(DataType::Gpc0, 0, NOW), old.read(DataType::Gpc0, 0, NOW));
    assert_eq!(
        entry.value(DataType::BytesInRate, 0, NOW),
        old.value(DataType::BytesInRate, 0, NOW)
    );
    assert_eq!(entry.read(DataType::HttpReqRate, 0, NOW), Some(0), "of another period");
    assert!(entry.expires_in(NOW) <= 5_000);
    let none: [Arc<SharedTable>; 0] = [];
    let loaded = state::load(&none, &file(&folder), NOW, wall(0)).unwrap();
    assert_eq!((loaded.skipped, loaded.tables_skipped.len()), (303, 2));
}

/// Loads what these bytes say, and checks that nothing was loaded when that fails.
fn refused(path: &Path, bytes: &[u8]) -> StateErrorKind {
    fs::write(path, bytes).unwrap();
    let tables = everything();
    let error = state::load(&tables, path, NOW, wall(0)).unwrap_err();
    assert!(tables.iter().all(|table| table.used() == 0), "half loaded: {error}");
    assert!(error.to_string().starts_with(path.to_str().unwrap()), "{error}");
    match error.kind() {
        StateErrorKind::Io { .. } => panic!("{error}"),
        StateErrorKind::Foreign => StateErrorKind::Foreign,
        StateErrorKind::Newer { version } => StateErrorKind::Newer { version: *version },
        StateErrorKind::Truncated { offset } => StateErrorKind::Truncated { offset: *offset },
        StateErrorKind::Damaged { offset, what } => {
            StateErrorKind::Damaged { offset: *offset, what }
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_that_is_cut_anywhere_is_refused() {
    let (folder, before) = (folder(), everything());
    let path = file(&folder);
    for number in 0..5 {
        before[0].get_or_create(&client(number), NOW).unwrap().touch(NOW);
    }
    state::save(&before, &path, NOW, wall(0)).unwrap();
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        match refused(&path, &whole[..length]) {
            StateErrorKind::Foreign => assert!(length < 8),
            StateErrorKind::Truncated { offset } => assert_eq!(offset, length as u64),
            other => panic!("{length}: {other:?}"),
        }
    }
    let more = [&whole[..], b"x"].concat();
    assert!(
        matches!(refused(&path, &more), StateErrorKind::Damaged { what, .. } if what.contains("after the end"))
    );
}

#[test]
fn every_flipped_bit_is_noticed() {
    let (folder, before) = (folder(), everything());
    let path = file(&folder);
    before[0].get_or_create(&client(1), NOW).unwrap().touch(NOW);
    state::save(&before, &path, NOW, wall(0)).unwrap();
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << bit;
            refused(&path, &damaged);
        }
    }
    let mut newer = whole;
    newer[8] = 2;
    assert!(matches!(refused(&path, &newer), StateErrorKind::Newer { version: 2 }));
}

#[test]
fn a_file_that_cannot_be_written_leaves_the_old_one() {
    let (folder, before, after) = (folder(), everything(), everything());
    let path = file(&folder);
    fill(&before);
    state::save(&before, &path, NOW, wall(0)).unwrap();
    // Nothing can be written to a folder of the name that the new file would have.
    fs::create_dir(folder.path().join("state.new")).unwrap();
    let error = state::save(&everything(), &path, NOW, wall(0)).unwrap_err();
    assert!(error.to_string().contains("cannot write the new file"), "{error}");
    assert_eq!(state::load(&after, &path, NOW, wall(0)).unwrap().entries, 303);
    let missing = state::load(&after, &folder.path().join("none"), NOW, wall(0)).unwrap_err();
    assert!(missing.is_missing(), "{missing}");
}

/// Entries that stay are written, whatever comes and goes meanwhile.
#[test]
fn a_table_is_written_while_it_changes() {
    let folder = folder();
    let line = "table t type integer size 10k expire 10m store gpc0";
    let (before, stop) = (table(line), AtomicBool::new(false));
    let key = |number: u32| KeySpec::INTEGER.key(&number.to_be_bytes()).unwrap();
    for number in 0..2_000 {
        before.get_or_create(&key(number), NOW).unwrap().set(DataType::Gpc0, 0, 5, NOW).unwrap();
    }
    std::thread::scope(|scope| {
        for id in 0..2_u32 {
            let (before, stop) = (&before, &stop);
            scope.spawn(move || {
                for step in 0..u32::MAX {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let number = 2_000 + 1_000 * id + step % 1_000;
                    if step / 1_000 % 2 == 0 {
                        drop(before.get_or_create(&key(number), NOW));
                    } else {
                        before.remove(&key(number), NOW);
                    }
                }
            });
        }
        for _ in 0..10 {
            state::save(std::slice::from_ref(&before), &file(&folder), NOW, wall(0)).unwrap();
            let after = [table(line)];
            state::load(&after, &file(&folder), NOW, wall(0)).unwrap();
            for number in 0..2_000 {
                let entry = after[0].get(&key(number), NOW);
                assert_eq!(entry.and_then(|entry| entry.read(DataType::Gpc0, 0, NOW)), Some(5));
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}
