//! Reading.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Seek as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use stktable::Tick;
use stktable::table::{Learned, Learning, TableFull, Value};

use super::block::{Kind, Reader};
use super::entry::{Layout, Read, Record, Rest};
use super::{StateError, StateErrorKind};
use crate::shared::SharedTable;

/// Entries that are looked up side by side.
const GROUP: usize = 256;

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Entries that are in their tables now.
    pub entries: u64,
    /// Entries that have come to their end since the file was written.
    pub over: u64,
    /// Entries for which there was no room.
    pub refused: u64,
    /// Entries of tables that were skipped.
    pub skipped: u64,
    /// Tables that were skipped.
    pub tables_skipped: Vec<Skipped>,
    /// How long ago the file was written: nothing if that is ahead of us, since the clock was set back.
    pub age: Duration,
}

/// A table in the file that is none of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Its name.
    pub table: String,
    /// Why.
    pub why: String,
}

/// Reads a file into tables, which are found by their names. What is left to live has gone on meanwhile, and so have the periods of rates.
///
/// A table that is not there any more, or has other keys, is skipped; so is a column that is not stored any more, or whose period is
/// another one. Values of entries that are there already are replaced. Peers are not told: they ask for everything when they connect.
///
/// # Errors
/// When the file cannot be read, is damaged anywhere, cut off, or of a later version. Nothing is loaded then.
pub fn load(
    tables: &[Arc<SharedTable>],
    path: &Path,
    now: Tick,
    wall: SystemTime,
) -> Result<Loaded, StateError> {
    let error = |kind| StateError::new(path, kind);
    let io = |what| move |error| StateErrorKind::Io { what, error };
    let mut file = File::open(path).map_err(io("open")).map_err(error)?;
    // The whole file, before anything of it is loaded.
    read(&file, |_, _, _| {}).map_err(error)?;
    file.rewind().map_err(io("read")).map_err(error)?;
    let mut loading = Loading::new(tables, now, wall);
    read(&file, |unix_ms, layout, records| loading.take(unix_ms, layout, records))
        .map_err(error)?;
    Ok(loading.loaded)
}

/// Reads a whole file, and calls `visit` with the time of the header, each table, and some of its entries at a time: none at first.
fn read(
    file: &File,
    mut visit: impl FnMut(u64, &Layout, &[Record<'_>]),
) -> Result<(), StateErrorKind> {
    let mut reader = Reader::begin(BufReader::with_capacity(1 << 18, file))?;
    let mut unix_ms = None;
    let mut table: Option<Layout> = None;
    let mut entries = 0_u64;
    loop {
        let offset = reader.offset();
        let damaged = |what| StateErrorKind::Damaged { offset, what };
        let (kind, payload) = reader.next()?;
        match (kind, unix_ms) {
            (Kind::Header, None) => {
                let mut rest = Rest(payload);
                unix_ms = rest.u64().filter(|_| rest.0.is_empty());
                unix_ms.ok_or_else(|| damaged("a header of another length"))?;
            }
            (Kind::Table, Some(unix_ms)) => {
                let layout = Layout::decode(payload).ok_or_else(|| damaged("no table"))?;
                visit(unix_ms, &layout, &[]);
                table = Some(layout);
            }
            (Kind::Entries, Some(unix_ms)) => {
                let layout = table.as_ref().ok_or_else(|| damaged("entries of no table"))?;
                let mut rest = Rest(payload);
                let mut records = Vec::with_capacity(GROUP);
                while !rest.0.is_empty() {
                    let record = layout.decode_entry(&mut rest);
                    records.push(
                        record.ok_or_else(|| damaged("an entry that does not fit its table"))?,
                    );
                    entries += 1;
                    if records.len() == GROUP || rest.0.is_empty() {
                        visit(unix_ms, layout, &records);
                        records.clear();
                    }
                }
            }
            (Kind::End, Some(_)) => {
                let mut rest = Rest(payload);
                if rest.u64() != Some(entries) || !rest.0.is_empty() {
                    return Err(damaged("another number of entries than it has"));
                }
                return reader.end();
            }
            _ => return Err(damaged("a block out of its place")),
        }
    }
}

/// Tables being filled.
struct Loading<'t> {
    by_name: HashMap<String, &'t Arc<SharedTable>>,
    now: Tick,
    wall_ms: u64,
    /// The table whose entries come.
    table: Option<&'t Arc<SharedTable>>,
    loaded: Loaded,
}

impl<'t> Loading<'t> {
    fn new(tables: &'t [Arc<SharedTable>], now: Tick, wall: SystemTime) -> Self {
        let since = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            by_name: tables.iter().map(|table| (table.declaration().local_name(), table)).collect(),
            now,
            wall_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            table: None,
            loaded: Loaded::default(),
        }
    }

    fn take(&mut self, unix_ms: u64, layout: &Layout, records: &[Record<'_>]) {
        let age_ms = self.wall_ms.saturating_sub(unix_ms);
        self.loaded.age = Duration::from_millis(age_ms);
        if records.is_empty() {
            self.table = self.find(layout);
            return;
        }
        let Some(table) = self.table else {
            self.loaded.skipped += records.len() as u64;
            return;
        };
        let age_ms = u32::try_from(age_ms).unwrap_or(u32::MAX);
        let lives = table.declaration().expire_ms != 0;
        let of = |record: &Record<'_>| {
            // Written without an end, or here without one: as a new one.
            let left = lives && layout.expire_ms != 0;
            left.then(|| record.left_ms.saturating_sub(age_ms))
        };
        let spec = table.declaration().key;
        let fits = |record: &&Record<'_>| spec.canonical(record.key) == Some(record.key);
        let fitting: Vec<&Record<'_>> = records.iter().filter(fits).collect();
        self.loaded.skipped += (records.len() - fitting.len()) as u64;
        let loaded = &mut self.loaded;
        table.learn_many(
            &fitting,
            |record| (record.key, of(record)),
            self.now,
            |record, learned| match learned {
                Ok(Learned::Over) => loaded.over += 1,
                Err(TableFull { .. }) => loaded.refused += 1,
                Ok(Learned::Entry(entry)) => {
                    store(&entry, layout, record, age_ms);
                    loaded.entries += 1;
                }
            },
        );
    }

    /// Returns our table of this name, if its keys are the same.
    fn find(&mut self, layout: &Layout) -> Option<&'t Arc<SharedTable>> {
        let found = self.by_name.get(&layout.name).copied();
        let key = found.map(|table| table.declaration().key);
        let why = match key {
            None => "there is no such table any more".to_owned(),
            Some(key) if key.ty() as u8 == layout.key_type && key.size() == layout.key_size => {
                return found;
            }
            Some(_) => "its keys are of another type or length now".to_owned(),
        };
        self.loaded.tables_skipped.push(Skipped { table: layout.name.clone(), why });
        None
    }
}

fn store(entry: &Learning<'_>, layout: &Layout, record: &Record<'_>, age_ms: u32) {
    let columns = &entry.entry().table().declaration().columns;
    record.each(layout, |written, element, value| match value {
        Read::Value(Value::Rate { age_ms: age, current, previous }) => {
            let is_same = columns.iter().any(|column| {
                column.data_type == written.data_type && column.period_ms == written.period_ms
            });
            if is_same {
                let age_ms = age.saturating_add(age_ms);
                entry.store(written.data_type, element, Value::Rate { age_ms, current, previous });
            }
        }
        Read::Value(value) => entry.store(written.data_type, element, value),
        Read::Name(name) => {
            // A name too many is one that the table did not have when it was written: it has the others.
            let name = name.and_then(|name| std::str::from_utf8(name).ok());
            let _ = entry.store_server_key(name);
        }
    });
}
