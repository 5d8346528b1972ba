//! Writing.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use stktable::Tick;
use stktable::table::Walk;

use super::block::{Kind, Writer};
use super::entry::Layout;
use super::{StateError, StateErrorKind};
use crate::shared::SharedTable;

/// Bytes of entries after which a block is written.
const BLOCK: usize = 64 << 10;

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    /// Tables.
    pub tables: usize,
    /// Entries of all of them.
    pub entries: u64,
    /// The length of the file.
    pub bytes: u64,
}

/// Writes tables to a file, in the place of the one that is there: after a crash there is the one or the other, whole.
///
/// `now` is the time of the tables, `wall` what the calendar says: it tells whoever reads the file how long ago that was. The file can be
/// read by its owner only. An entry that is there during the whole call is written. Memory is bounded: a block of 64 KiB, unless one entry has more.
///
/// # Errors
/// When the system refuses something: no space, no permission. The old file is as it was then.
pub fn save(
    tables: &[Arc<SharedTable>],
    path: &Path,
    now: Tick,
    wall: SystemTime,
) -> Result<Saved, StateError> {
    let new = beside(path);
    let failed = |what| {
        let path = path.to_owned();
        move |error| StateError { path, kind: StateErrorKind::Io { what, error } }
    };
    let written = write(tables, &new, now, wall).map_err(failed("write the new file"));
    let renamed = written.and_then(|saved| {
        fs::rename(&new, path).map_err(failed("put the new file in place"))?;
        sync_folder(path).map_err(failed("have the folder written to disk"))?;
        Ok(saved)
    });
    if renamed.is_err() {
        // There may be none.
        let _ = fs::remove_file(&new);
    }
    renamed
}

/// The name under which a file is written until it is whole: always the same, so that nothing piles up when a process is killed.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn write(
    tables: &[Arc<SharedTable>],
    path: &Path,
    now: Tick,
    wall: SystemTime,
) -> io::Result<Saved> {
    let mut writer = Writer::begin(BufWriter::new(create(path)?))?;
    let since = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
    let unix_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    writer.write(Kind::Header, &unix_ms.to_le_bytes())?;
    let mut payload = Vec::with_capacity(BLOCK + 1024);
    let mut entries = 0_u64;
    for table in tables {
        let layout = Layout::of(table);
        payload.clear();
        layout.encode(&mut payload).ok_or(io::ErrorKind::InvalidInput)?;
        writer.write(Kind::Table, &payload)?;
        let mut walk = Walk::new();
        loop {
            payload.clear();
            let more = walk.visit(table, now, |entry| {
                layout.encode_entry(entry, now, &mut payload);
                entries += 1;
                if payload.len() < BLOCK {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            });
            if !payload.is_empty() {
                writer.write(Kind::Entries, &payload)?;
            }
            if !more {
                break;
            }
        }
    }
    writer.write(Kind::End, &entries.to_le_bytes())?;
    let bytes = writer.bytes;
    let mut out = writer.into_inner();
    out.flush()?;
    out.get_ref().sync_all()?;
    Ok(Saved { tables: tables.len(), entries, bytes })
}
