//! How far it is: a bar where there is a terminal, plain lines where there is none.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Shows how far it is, on standard error.
pub(super) struct Progress {
    jobs: usize,
    done: usize,
    clock: Clock,
    /// None without a terminal.
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Begins with jobs that are estimated to take so long.
    pub(super) fn new(times: &[Duration]) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let style =
                ProgressStyle::with_template("{bar:30} {percent:>3} %  {prefix}  {wide_msg}")
                    .expect("a valid template");
            ProgressBar::with_draw_target(Some(100), ProgressDrawTarget::stderr()).with_style(style)
        });
        Self { jobs: times.len(), done: 0, clock: Clock::new(times.iter().sum()), bar }
    }

    /// A job begins.
    pub(super) fn begin(&self, id: &str) {
        let left = self.clock.left();
        match &self.bar {
            Some(bar) => {
                bar.set_prefix(format!("{} left", minutes(left)));
                bar.set_message(id.to_owned());
                bar.set_position(self.clock.percent());
            }
            None => eprintln!("[{}/{}] {id}; {} left", self.done + 1, self.jobs, minutes(left)),
        }
    }

    /// It has ended; so long was it estimated to take.
    pub(super) fn end(&mut self, time: Duration) {
        self.done += 1;
        self.clock.end(time);
    }

    /// A job need not be run.
    pub(super) fn skip(&mut self, id: &str, time: Duration) {
        self.done += 1;
        self.clock.skip(time);
        if self.bar.is_none() {
            eprintln!("[{}/{}] {id}: finished by an earlier run", self.done, self.jobs);
        }
    }

    /// Prints something while the bar is out of the way.
    pub(super) fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Estimates, corrected by how long things took.
struct Clock {
    began: Instant,
    /// Estimated for everything that is to be run.
    planned: Duration,
    /// Estimated for what has been.
    done: Duration,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "for people")]
    fn new(planned: Duration) -> Self {
        Self { began: Instant::now(), planned, done: Duration::ZERO }
    }

    fn end(&mut self, time: Duration) {
        self.done += time;
    }

    fn skip(&mut self, time: Duration) {
        self.planned = self.planned.saturating_sub(time);
    }

    fn left(&self) -> Duration {
        left(self.planned, self.done, self.began.elapsed())
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 100")]
    fn percent(&self) -> u64 {
        (100.0 * self.done.as_secs_f64() / self.planned.as_secs_f64().max(1e-9)) as u64
    }
}

/// Returns how much is left of what was planned, when what is done took so long.
fn left(planned: Duration, done: Duration, took: Duration) -> Duration {
    let rest = planned.saturating_sub(done);
    if done.is_zero() {
        return rest;
    }
    rest.mul_f64(took.as_secs_f64() / done.as_secs_f64())
}

fn minutes(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 60 { format!("{seconds} s") } else { format!("{} min", seconds.div_ceil(60)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_are_corrected() {
        let s = Duration::from_secs;
        assert_eq!(left(s(100), s(0), s(0)), s(100));
        // The first tenth took twice as long as it should have.
        assert_eq!(left(s(100), s(10), s(20)), s(180));
        assert_eq!(left(s(100), s(110), s(200)), s(0));
        assert_eq!((minutes(s(59)), minutes(s(61))), ("59 s".to_owned(), "2 min".to_owned()));
    }
}
