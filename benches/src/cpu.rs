//! Processor time.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Returns the processor time that the process has taken.
pub(crate) fn of_process() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Returns how long this thread, since its beginning, has been ready and waited for a processor: 0 where the kernel does not say.
pub(crate) fn waited_of_thread() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let waited = stat.split_whitespace().nth(1).and_then(|ns| ns.parse().ok());
    Duration::from_nanos(waited.unwrap_or(0))
}

/// Watches how much of the machine's processor time other processes, and other machines on the same hardware, take.
pub(crate) struct Others {
    machine: Option<Machine>,
    ours: Duration,
}

/// Ticks since the machine started.
#[derive(Clone, Copy)]
struct Machine {
    all: u64,
    idle: u64,
}

impl Machine {
    /// Of the first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal, and more that user and nice
    /// hold already.
    fn of(stat: &str) -> Option<Self> {
        let mut words = stat.lines().next()?.split_whitespace();
        let times: Vec<u64> = (words.next()? == "cpu")
            .then(|| words.take(8).map_while(|word| word.parse().ok()).collect())?;
        Some(Self { all: times.iter().sum(), idle: times.get(3)? + times.get(4)? })
    }

    fn now() -> Option<Self> {
        Self::of(&std::fs::read_to_string("/proc/stat").ok()?)
    }
}

/// Ticks of a second in `/proc/stat`.
const TICKS: f64 = 100.0;

impl Others {
    /// Begins to watch.
    pub(crate) fn start() -> Self {
        Self { machine: Machine::now(), ours: of_process() }
    }

    /// Returns the part of the machine's processor time that others took since then: 0 if that is not known.
    pub(crate) fn part(&self) -> f64 {
        let ours = (of_process() - self.ours).as_secs_f64() * TICKS;
        match (self.machine, Machine::now()) {
            (Some(before), Some(after)) => part(before, after, ours),
            _ => 0.0,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn part(before: Machine, after: Machine, ours: f64) -> f64 {
    let all = after.all.saturating_sub(before.all) as f64;
    let idle = after.idle.saturating_sub(before.idle) as f64;
    if all > 0.0 { ((all - idle - ours) / all).clamp(0.0, 1.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_of_others() {
        let before = Machine::of("cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1\n").unwrap();
        // 100 ticks of everybody, of which 40 are idle, and 30 ours.
        let after = Machine::of("cpu  150 0 50 830 60 0 0 10 9 9\n").unwrap();
        assert!((part(before, after, 30.0) - 0.3).abs() < 1e-9);
        assert_eq!(part(before, after, 90.0), 0.0);
        assert_eq!(part(before, before, 0.0), 0.0);
        assert!(Machine::of("intr 5").is_none());
    }
}
