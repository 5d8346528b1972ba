//! What a process uses, as Linux counts it.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

/// What a process used between two looks, and has at the second one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Processor time, its own and what the system did for it.
    pub cpu: Duration,
    /// By how much its resident memory grew, `None` if it did not.
    pub grown_bytes: Option<u64>,
}

/// Time, and what a process uses of it.
#[derive(Debug)]
pub(super) struct Stopwatch {
    began: Instant,
    process: Option<(u32, Look)>,
}

/// A process at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    ticks: u64,
    resident_bytes: u64,
}

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "measuring is what this is for")]
    pub(super) fn start(pid: Option<u32>) -> io::Result<Self> {
        let process = pid.map(|pid| look(pid).map(|look| (pid, look))).transpose()?;
        Ok(Self { began: Instant::now(), process })
    }

    pub(super) fn stop(self) -> io::Result<(Duration, Option<Usage>)> {
        let elapsed = self.began.elapsed();
        let Some((pid, before)) = self.process else { return Ok((elapsed, None)) };
        let after = look(pid)?;
        let ticks = after.ticks.saturating_sub(before.ticks);
        let cpu = Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND);
        let grown_bytes = after.resident_bytes.checked_sub(before.resident_bytes);
        Ok((elapsed, Some(Usage { cpu, grown_bytes })))
    }
}

/// `USER_HZ`, which is 100 on every Linux that counts for anybody: the unit of what `/proc` says.
const TICKS_PER_SECOND: u64 = 100;

fn look(pid: u32) -> io::Result<Look> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let unknown = || io::Error::new(io::ErrorKind::InvalidData, "/proc is not as expected");
    let ticks = ticks(&stat).ok_or_else(unknown)?;
    Ok(Look { ticks, resident_bytes: resident_bytes(&status).ok_or_else(unknown)? })
}

/// The sum of `utime` and `stime`, the 14th and the 15th word. The second one, the name, may hold spaces and brackets.
fn ticks(stat: &str) -> Option<u64> {
    let (_, after) = stat.rsplit_once(')')?;
    let mut words = after.split_whitespace().skip(11);
    let mut next = || words.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_proc_are_read() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 10 0 0 0 120 45 0 0 20 0 1 0 5 0 0";
        assert_eq!(ticks(stat), Some(165));
        assert_eq!(resident_bytes("Name:\tx\nVmRSS:\t    2048 kB\n"), Some(2 << 20));
        assert_eq!(ticks("7 (a"), None);
        let (_, usage) = Stopwatch::start(Some(std::process::id())).unwrap().stop().unwrap();
        assert!(usage.is_some());
        assert!(Stopwatch::start(Some(u32::MAX)).is_err());
    }
}
