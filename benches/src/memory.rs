//! Memory of an entry: what a process has in memory with a full map, less what it had without one. Each is measured in a process
//! of its own, so that nobody profits from what another one has freed.

use std::io;
use std::process::Command;

use crate::contestant::Who;
use crate::random::mix;
use crate::{table, tree};

/// Returns all contestants, and whether they are tables of clients.
#[must_use]
pub fn subjects() -> Vec<(Who, bool)> {
    let maps = tree::maps().into_iter().map(|(who, _)| (who, false));
    maps.chain(table::tables().into_iter().map(|(who, _)| (who, true))).collect()
}

/// Returns what an entry of a contestant takes, by another process of this program.
///
/// # Errors
/// When that process could not be started, or failed.
pub fn of_another_process(name: &str, n: u32) -> io::Result<f64> {
    let this = std::env::current_exe()?;
    let output = Command::new(this).args(["memory-of", name, &n.to_string()]).output()?;
    let printed = String::from_utf8_lossy(&output.stdout);
    printed.trim().parse().map_err(|_| {
        let said = String::from_utf8_lossy(&output.stderr);
        io::Error::other(format!("memory of {name}: {printed}{said}"))
    })
}

/// Returns what each of `n` entries of a contestant takes in this process, which must not have done anything before. None if
/// there is no such contestant.
///
/// # Errors
/// When the process cannot be asked what it has in memory.
pub fn of_this_process(name: &str, n: u32) -> io::Result<Option<f64>> {
    let map = tree::maps().into_iter().find(|(who, _)| who.name == name);
    let table = table::tables().into_iter().find(|(who, _)| who.name == name);
    let before = resident()?;
    let full: Box<dyn std::any::Any> = match (map, table) {
        (Some((_, make)), _) => {
            let map = make(u64::from(n));
            (0..u64::from(n)).for_each(|number| map.insert(mix(number)));
            Box::new(map)
        }
        (None, Some((_, make))) => {
            let table = make(n);
            (0..n).for_each(|client| table.request(client, table::PERIOD_MS));
            Box::new(table)
        }
        (None, None) => return Ok(None),
    };
    let taken = resident()?.saturating_sub(before);
    drop(full);
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    Ok(Some(taken as f64 / f64::from(n)))
}

/// Returns the bytes of this process that are in memory and no file's. The kernel's sums in `status` lag behind by some pages for
/// each core: these are counted page by page.
fn resident() -> io::Result<u64> {
    const ROLLUP: &str = "/proc/self/smaps_rollup";
    let rollup = std::fs::read_to_string(ROLLUP)?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:"));
    let kib: Option<u64> = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| io::Error::other(format!("{ROLLUP} has no sum")))
}
