//! A process takes the place of another one, which teaches it everything and ends: ours after ours, and each after the other program.

use std::path::PathBuf;
use std::process::Command;

use crate::cli::Stats;
use crate::mesh::is_taught;
use crate::process::{Running, found, free_port, until};

const TABLE: &str = "mesh/t";
const ENTRIES: u32 = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Program {
    Stktabled,
    Haproxy,
}

/// Processes that are the same peer, one after the other.
struct Lives {
    folder: tempfile::TempDir,
    port: u16,
}

impl Lives {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), port: free_port() }
    }

    fn path(&self, life: u32, end: &str) -> PathBuf {
        self.folder.path().join(format!("{life}.{end}"))
    }

    /// Starts one, in the place of another if there is one.
    fn start(&self, life: u32, program: Program, before: Option<&Running>) -> Running {
        // Nobody else could teach it: nobody listens there.
        let file = format!(
            "global\n    stats socket {} mode 600 level admin\npeers mesh\n    \
             peer same 127.0.0.1:{}\n    peer other 127.0.0.1:1\n    \
             table t type integer size 20k expire 30m store gpc0,conn_cnt\n    \
             table u type string len 20 size 1k expire 30m store gpc0\n",
            self.path(life, "sock").display(),
            self.port
        );
        std::fs::write(self.path(life, "cfg"), file).unwrap();
        let mut command = match program {
            Program::Stktabled => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_stktabled"));
                command.arg("--runtime-api").arg(self.path(life, "sock"));
                command
            }
            Program::Haproxy => {
                let mut command = Command::new("haproxy");
                command.arg("-db");
                command
            }
        };
        command.args(["-L", "same", "-f"]).arg(self.path(life, "cfg"));
        if let Some(before) = before {
            command.arg(if program == Program::Haproxy { "-sf" } else { "--take-over" });
            command.arg(before.id().to_string());
        }
        Running::start(command, &self.path(life, "log"), Stats::new(self.path(life, "sock")))
    }
}

/// One takes over from another, and a third from that one.
fn hand_over(programs: [Program; 3]) {
    if programs.contains(&Program::Haproxy) && !found() {
        return;
    }
    let lives = Lives::new();
    let mut old = lives.start(0, programs[0], None);
    let set = |key| format!("set table {TABLE} key {key} data.gpc0 {key} data.conn_cnt 7");
    old.stats().run_all((0..ENTRIES).map(set));
    old.stats().run("set table mesh/u key somebody data.gpc0 3");
    for (life, program) in (1..).zip(&programs[1..]) {
        let what = format!("{programs:?}, {life}");
        let before = [TABLE, "mesh/u"].map(|table| old.stats().lines(table).unwrap());
        assert_eq!(before[0].len(), ENTRIES as usize, "{what}");
        if programs[life as usize - 1] == Program::Haproxy {
            // Before that it teaches nobody, as observed.
            until("HAProxy has given up waiting for the others", || is_taught(old.stats()));
        }
        let new = lives.start(life, *program, Some(&old));
        until(&format!("{what}: the old process has ended"), || old.has_ended());
        // It goes when it has been told that everything has arrived.
        let after = [TABLE, "mesh/u"].map(|table| new.stats().lines(table).unwrap());
        assert!(before == after, "{what}: {} entries", after[0].len());
        old = new;
    }
}

#[test]
fn stktabled_hands_over_to_stktabled() {
    hand_over([Program::Stktabled; 3]);
}

#[test]
fn haproxy_hands_over_to_stktabled_and_back() {
    hand_over([Program::Haproxy, Program::Stktabled, Program::Haproxy]);
}
