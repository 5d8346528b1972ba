//! The machine, the program, and the day.

use std::hash::{DefaultHasher, Hasher as _};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::matrix::Settings;

/// What figures depend on, as far as it can be known.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Names and values, in the order in which they are told.
    pub all: Vec<(&'static str, String)>,
    /// Which of them a run must share with one that it goes on with.
    same: Vec<&'static str>,
    program: u64,
}

impl Facts {
    /// Looks around.
    #[must_use]
    pub fn gather() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let (cpuinfo, meminfo) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let all = vec![
            ("processor", field(&cpuinfo, "model name").unwrap_or_else(unknown)),
            ("cores", cores.to_string()),
            ("virtual machine", yes_or_no(is_virtual(&cpuinfo))),
            ("memory", field(&meminfo, "MemTotal").map_or_else(unknown, |kib| gib(&kib))),
            ("kernel", format!("Linux {}", read("/proc/sys/kernel/osrelease").trim())),
            ("compiler", env!("BENCHES_RUSTC").to_owned()),
            ("commit", commit().unwrap_or_else(unknown)),
            ("others' crates", yes_or_no(cfg!(feature = "rivals"))),
            ("allocator", allocator().to_owned()),
            ("date", today()),
            ("load at the start", load(&read("/proc/loadavg")).unwrap_or_else(unknown)),
            ("reading the clock", format!("{} ns", reading_the_clock())),
        ];
        let same = vec!["processor", "cores", "memory", "kernel", "compiler", "commit"];
        Self { all, same, program: program().unwrap_or(0) }
    }

    /// Returns a fact, by name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all.iter().find(|(one, _)| *one == name).map(|(_, value)| value.as_str())
    }

    /// Says which program ran on which machine with which settings: what makes a result one that another run need not
    /// measure again.
    pub(super) fn fingerprint(&self, settings: &Settings) -> String {
        let same: Vec<_> = self.same.iter().filter_map(|name| self.get(name)).collect();
        format!(
            "{}; program {:016x}; {} slices and {} samples of {:?}{}",
            same.join("; "),
            self.program,
            settings.slices,
            settings.samples,
            settings.slice,
            if settings.huge_pages { ", huge pages" } else { "" }
        )
    }
}

fn unknown() -> String {
    "not known".to_owned()
}

fn yes_or_no(yes: bool) -> String {
    (if yes { "yes" } else { "no" }).to_owned()
}

/// Returns the value of the first line `name: value`.
fn field(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (before, after) = line.split_once(':')?;
        (before.trim() == name).then(|| after.trim().to_owned())
    })
}

fn is_virtual(cpuinfo: &str) -> bool {
    field(cpuinfo, "flags")
        .is_some_and(|flags| flags.split_whitespace().any(|flag| flag == "hypervisor"))
}

fn gib(kib: &str) -> String {
    let kib: Option<f64> = kib.trim_end_matches(" kB").parse().ok();
    kib.map_or_else(unknown, |kib| format!("{:.1} GiB", kib / 1024.0 / 1024.0))
}

fn load(loadavg: &str) -> Option<String> {
    let load: Vec<_> = loadavg.split_whitespace().take(3).collect();
    (load.len() == 3).then(|| format!("{} (of 1, 5 and 15 minutes)", load.join(", ")))
}

/// Nothing here names another one.
const fn allocator() -> &'static str {
    if cfg!(target_env = "gnu") {
        "std's: malloc of glibc; nodes and leaves of ours are in a pool of their own"
    } else {
        "std's; nodes and leaves of ours are in a pool of their own"
    }
}

#[expect(clippy::disallowed_methods, reason = "a report has a date")]
fn today() -> String {
    let now = OffsetDateTime::from(std::time::SystemTime::now());
    now.replace_nanosecond(0).ok().and_then(|now| now.format(&Rfc3339).ok()).unwrap_or_else(unknown)
}

/// Returns the commit of the sources, and whether they differ from it.
fn commit() -> Option<String> {
    let git = |arguments: &[&str]| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let output = Command::new("git").arg("-C").arg(folder).args(arguments).output().ok()?;
        let printed = output.status.success().then(|| String::from_utf8(output.stdout).ok());
        printed.flatten().map(|printed| printed.trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let is_changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if is_changed.is_empty() { commit } else { format!("{commit}, and changes") })
}

/// Returns a number that two programs share only if they are the same.
fn program() -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    hasher.write(&std::fs::read(std::env::current_exe().ok()?).ok()?);
    Some(hasher.finish())
}

/// Returns how long one reading of the clock takes: what every latency holds.
#[expect(clippy::disallowed_methods, reason = "measuring is what this is for")]
fn reading_the_clock() -> u128 {
    let mut taken: Vec<_> = (0..1001)
        .map(|_| {
            let began = Instant::now();
            began.elapsed().as_nanos()
        })
        .collect();
    taken.sort_unstable();
    taken[taken.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_read() {
        let cpuinfo = "processor\t: 0\nmodel name\t: A <fast> one\nflags\t\t: fpu hypervisor\n";
        assert_eq!(field(cpuinfo, "model name").unwrap(), "A <fast> one");
        assert!(is_virtual(cpuinfo) && !is_virtual("flags : fpu vme\n"));
        assert_eq!(gib("4194304 kB"), "4.0 GiB");
        assert_eq!(
            load("0.10 0.20 0.30 1/2 3").unwrap(),
            "0.10, 0.20, 0.30 (of 1, 5 and 15 minutes)"
        );
        assert_eq!(load(""), None);
    }
}
