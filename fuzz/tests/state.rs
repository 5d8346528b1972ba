//! A state file in which anything was changed is refused, and nothing of it is loaded; any other bytes are refused too.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bolero::{TypeGenerator, check};
use stktable::declare::Scope;
use stktable::{DataType, Declaration, Key, KeySpec, Tick};
use stktable_integration::SharedTable;
use stktable_integration::state;

const NOW: Tick = Tick((1 << 32) - 5_000);

/// A change of the file.
#[derive(Clone, Debug, TypeGenerator)]
enum Change {
    /// A byte is another one.
    Set(u16, u8),
    /// A bit is another one.
    Flip(u16, u8),
    /// Bytes are gone.
    Remove(u16, u8),
    /// Bytes are there.
    Insert(u16, Vec<u8>),
    /// Bytes stand elsewhere, too.
    Copy(u16, u16, u8),
    /// It ends here.
    Cut(u16),
}

fn wall() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

fn tables() -> Vec<Arc<SharedTable>> {
    let lines = [
        "table a type ip size 1k expire 10m store gpc0,http_req_rate(10s),bytes_in_cnt,server_key",
        "table b type string len 16 size 1k store gpt(3),conn_cnt",
        "table c type ipv6 size 10 expire 1m store gpc0",
    ];
    let parse = |line: &&str| Declaration::parse(line, Scope::Peers("p")).into_result().unwrap();
    lines.iter().map(|line| SharedTable::new(parse(line))).collect()
}

fn filled() -> Vec<Arc<SharedTable>> {
    let tables = tables();
    for number in 0..40_u32 {
        let entry =
            tables[0].get_or_create(&Key::from(std::net::Ipv4Addr::from(number)), NOW).unwrap();
        entry.set(DataType::Gpc0, 0, number.into(), NOW).unwrap();
        entry.set(DataType::HttpReqRate, 0, number.into(), NOW).unwrap();
        entry.set_server_key(Some(&format!("server{}", number % 5))).unwrap();
        entry.touch(NOW);
        let key = KeySpec::string(16).unwrap().key(format!("client{number}").as_bytes()).unwrap();
        let entry = tables[1].get_or_create(&key, NOW).unwrap();
        entry.set(DataType::Gpt, number % 3, 7, NOW).unwrap();
    }
    tables
}

/// What is in tables.
fn contents(tables: &[Arc<SharedTable>]) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for table in tables {
        for entry in table.entries(NOW) {
            let values = table.columns().flat_map(|column| {
                let entry = &entry;
                (0..column.elements).map(move |index| {
                    let value = entry.value(column.data_type, index, NOW);
                    format!("{}={value:?}", column.data_type)
                })
            });
            let values: Vec<_> = values.chain([format!("{:?}", entry.server_key())]).collect();
            all.insert(format!("{} {}", table.declaration().name, entry.key()), values.join(" "));
        }
    }
    all
}

fn change(file: &mut Vec<u8>, change: &Change) {
    let place = |at: u16, length: usize| usize::from(at) % (length + 1);
    match change {
        Change::Set(at, byte) => {
            let at = place(*at, file.len() - 1);
            file[at] = *byte;
        }
        Change::Flip(at, bit) => {
            let at = place(*at, file.len() - 1);
            file[at] ^= 1 << (bit % 8);
        }
        Change::Remove(at, count) => {
            let at = place(*at, file.len());
            file.drain(at..(at + usize::from(*count)).min(file.len()));
        }
        Change::Insert(at, bytes) => {
            let at = place(*at, file.len());
            file.splice(at..at, bytes.iter().copied());
        }
        Change::Copy(from, to, count) => {
            let from = place(*from, file.len());
            let copied = file[from..(from + usize::from(*count)).min(file.len())].to_vec();
            let to = place(*to, file.len());
            file.splice(to..to, copied);
        }
        Change::Cut(at) => file.truncate(place(*at, file.len())),
    }
    if file.is_empty() {
        file.push(0);
    }
}

/// Loads these bytes, and returns what was in the tables before and is now.
fn loaded(path: &Path, bytes: &[u8]) -> Result<BTreeMap<String, String>, String> {
    fs::write(path, bytes).unwrap();
    let tables = tables();
    match state::load(&tables, path, NOW, wall()) {
        Ok(_) => Ok(contents(&tables)),
        Err(error) => {
            assert!(contents(&tables).is_empty(), "half of it is there: {error}");
            let said = error.to_string();
            assert!(!said.contains('\n') && said.contains("state"), "{said:?}");
            Err(said)
        }
    }
}

#[test]
fn a_changed_file_is_refused_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let tables = filled();
    state::save(&tables, &path, NOW, wall()).unwrap();
    let (file, whole) = (fs::read(&path).unwrap(), contents(&tables));
    assert_eq!(loaded(&path, &file).as_ref(), Ok(&whole));
    check!().with_type::<Vec<Change>>().for_each(|changes| {
        let mut changed = file.clone();
        changes.iter().for_each(|each| change(&mut changed, each));
        match loaded(&path, &changed) {
            Ok(found) => {
                // 32 bits of a checksum would take months to be met by chance.
                assert_eq!(changed, file, "a changed file was loaded");
                assert_eq!(found, whole);
            }
            Err(said) => assert_ne!(changed, file, "{said}"),
        }
    });
}

#[test]
fn any_bytes_are_no_state_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    check!().with_type::<(bool, Vec<u8>)>().for_each(|(begins, bytes)| {
        let mut file = if *begins { b"STKSTATE\x01\0\0\0".to_vec() } else { Vec::new() };
        file.extend_from_slice(bytes);
        loaded(&path, &file).unwrap_err();
    });
}
