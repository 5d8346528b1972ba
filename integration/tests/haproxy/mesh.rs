//! `stktabled` in a mesh with one, two and four HAProxy processes, which are reloaded and killed while traffic goes both ways.
//!
//! Each process has a file of its own, with `bind` and `server` lines: what is said there of the transport is one parameter. In plain text and in TLS
//! with certificates on both sides; with few entries, and with as many as a real table has, which takes minutes and is run by hand.

use std::ops::Range;
use std::path::Path;
use std::process::Command;

use crate::certificates::Authority;
use crate::cli::Stats;
use crate::process::{Running, found, free_port, until};

/// Entries that each side is given, in all.
const FEW: u32 = 12_000;
const MANY: u32 = 100_000;
const TABLE: &str = "mesh/t";

/// How the peers talk to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    Plain,
    /// Every peer has a certificate for its name, and asks for that of the others.
    Tls,
}

impl Transport {
    /// Returns what follows the address on the `bind` line of a peer, and on its lines for the others.
    fn words(self, folder: &Path, authority: &Authority, name: &str) -> (String, String) {
        if self == Self::Plain {
            return (String::new(), String::new());
        }
        let ca = authority.write(folder, "ca.pem");
        let crt = authority.issue(folder, &format!("{name}.pem"), &[name]);
        let tls = format!("ssl crt {} ca-file {} verify required", crt.display(), ca.display());
        (tls.clone(), tls)
    }
}

/// The files, ports and processes of a mesh. Those of HAProxy come first.
struct Mesh {
    folder: tempfile::TempDir,
    names: Vec<String>,
    running: Vec<Running>,
}

impl Mesh {
    /// Starts all. `None`, after saying so, where there is no HAProxy.
    fn start(haproxies: usize, transport: Transport) -> Option<Self> {
        if !found() {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let mut names: Vec<_> = (1..=haproxies).map(|number| format!("stock{number}")).collect();
        names.push("ours".to_owned());
        let ports: Vec<_> = names.iter().map(|_| free_port()).collect();
        let authority = Authority::new("mesh");
        for (at, name) in names.iter().enumerate() {
            let socket = folder.path().join(format!("{name}.sock"));
            let (bind, server) = transport.words(folder.path(), &authority, name);
            let mut file = format!(
                "global\n    stats socket {} mode 600 level admin\npeers mesh\n    \
                 bind 127.0.0.1:{} {bind}\n",
                socket.display(),
                ports[at]
            );
            for (other, port) in names.iter().zip(&ports) {
                file += &if other == name {
                    format!("    server {other}\n")
                } else {
                    let host = if server.is_empty() {
                        String::new()
                    } else {
                        format!(" verifyhost {other}")
                    };
                    format!("    server {other} 127.0.0.1:{port} {server}{host}\n")
                };
            }
            file +=
                "    table t type integer size 300k expire 30m store gpc0,conn_cnt,bytes_in_cnt\n";
            std::fs::write(folder.path().join(format!("{name}.cfg")), file).unwrap();
        }
        let mut mesh = Self { folder, names, running: Vec::new() };
        for at in 0..=haproxies {
            let command = mesh.command(at);
            mesh.running.push(mesh.run(at, command));
        }
        Some(mesh)
    }

    /// The position of `stktabled`.
    fn ours(&self) -> usize {
        self.names.len() - 1
    }

    fn command(&self, at: usize) -> Command {
        let path = |end: &str| self.folder.path().join(format!("{}.{end}", self.names[at]));
        let mut command = if at == self.ours() {
            let mut command = Command::new(env!("CARGO_BIN_EXE_stktabled"));
            command.arg("--runtime-api").arg(path("sock"));
            command
        } else {
            let mut command = Command::new("haproxy");
            command.arg("-db");
            command
        };
        command.args(["-L", &self.names[at], "-f"]).arg(path("cfg"));
        command
    }

    fn run(&self, at: usize, command: Command) -> Running {
        let path = |end: &str| self.folder.path().join(format!("{}.{end}", self.names[at]));
        Running::start(command, &path("log"), Stats::new(path("sock")))
    }

    fn stats(&self, at: usize) -> Stats {
        self.running[at].stats().clone()
    }

    /// kill -9, and a new one.
    fn kill(&mut self, at: usize) {
        self.running[at].kill();
        let _ = std::fs::remove_file(self.folder.path().join(format!("{}.sock", self.names[at])));
        self.running[at] = self.run(at, self.command(at));
    }

    /// A new process takes over from the old one, as a service manager does it; waits until the old one is gone.
    fn reload(&mut self, at: usize) {
        let mut command = self.command(at);
        command.arg("-sf").arg(self.running[at].id().to_string());
        let new = self.run(at, command);
        let mut old = std::mem::replace(&mut self.running[at], new);
        until("the old process has taught the new one and is gone", || old.has_ended());
    }

    /// Waits until every HAProxy has been taught, or has given up waiting for that: what it learns in a lesson is older than what
    /// it is told meanwhile, and replaces that all the same.
    fn settled(&self) {
        until("all HAProxies have been taught", || {
            for at in 0..self.ours() {
                is_taught(&self.stats(at))
                    .map_err(|error| format!("{}: {error}", self.names[at]))?;
            }
            Ok(())
        });
    }

    /// Waits until every process has as many entries.
    fn all_have(&self, what: &str, entries: u32) {
        until(what, || {
            for at in 0..self.names.len() {
                let used = self.stats(at).used_of(TABLE)?;
                if used != entries {
                    return Err(format!("{} has {used} of {entries}", self.names[at]));
                }
            }
            Ok(())
        });
    }

    /// Waits until all tables are equal, entry by entry.
    fn all_equal(&self, entries: u32) {
        self.all_have("all have everything", entries);
        let ours = self.stats(self.ours());
        until("all tables are equal", || {
            let ours = ours.lines(TABLE)?;
            for at in 0..self.ours() {
                let theirs = self.stats(at).lines(TABLE)?;
                if theirs != ours {
                    let differ = theirs.iter().zip(&ours).find(|(theirs, ours)| theirs != ours);
                    let name = &self.names[at];
                    return Err(format!(
                        "{name}, ours: {} {} {differ:?}",
                        theirs.len(),
                        ours.len()
                    ));
                }
            }
            Ok(())
        });
    }
}

/// Looks whether a HAProxy has been taught, or has given up waiting for that.
pub(crate) fn is_taught(stats: &Stats) -> Result<(), String> {
    let peers = stats.try_ask("show peers")?;
    let flags = peers.split_whitespace().find_map(|word| word.strip_prefix("flags=0x"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags, 16).ok());
    // Locally and remotely, as observed.
    if flags.is_some_and(|flags| flags & 3 == 3) {
        Ok(())
    } else {
        Err(format!("flags {flags:x?}"))
    }
}

/// Sets entries on a process, in order.
fn set(stats: &Stats, keys: Range<u32>) {
    let command = |key| {
        format!(
            "set table {TABLE} key {key} data.gpc0 {} data.conn_cnt {key} data.bytes_in_cnt {}",
            key % 1000,
            u64::from(key) << 20
        )
    };
    stats.run_all(keys.map(command));
}

/// The share of `part` in `parts` of the entries, those of one side.
fn share(entries: u32, side: u32, part: u32, parts: u32) -> Range<u32> {
    let bound = |at: u32| side * entries + entries / parts * at + 1;
    bound(part)..bound(part + 1)
}

fn everything_survives(haproxies: u32, transport: Transport, entries: u32) {
    let Some(mut mesh) = Mesh::start(haproxies as usize, transport) else { return };
    let ours = mesh.ours();
    // A share for each HAProxy, and one for what happens while we are dead.
    let parts = haproxies + 1;
    let part = entries / parts;
    let share = |side, part, parts| share(entries, side, part, parts);

    // What the first HAProxy has been given so far is everywhere: what a process has not told when it is told to go, only its
    // successor learns.
    mesh.settled();
    set(&mesh.stats(0), share(0, 0, parts));
    mesh.all_have("the entries of the first HAProxy", part);

    // Reloaded while we, and all other HAProxies, are given entries.
    std::thread::scope(|scope| {
        for at in 1..haproxies {
            let stats = mesh.stats(at as usize);
            scope.spawn(move || set(&stats, share(0, at, parts)));
        }
        let stats = mesh.stats(ours);
        scope.spawn(move || set(&stats, share(1, 0, 2)));
        mesh.reload(0);
    });
    mesh.settled();
    mesh.all_have("what was set during the reload", part * haproxies + entries / 2);

    // We die while a HAProxy is given entries. New ones: the protocol has no way to tell which of two values is newer, and a
    // peer that has not been told of a change yet may teach us the former value after another has told us.
    let first = mesh.stats(0);
    std::thread::scope(|scope| {
        scope.spawn(|| set(&first, share(0, haproxies, parts)));
        mesh.kill(ours);
    });
    mesh.all_equal(part * parts + entries / 2);

    // A HAProxy dies while we are given entries.
    std::thread::scope(|scope| {
        let stats = mesh.stats(ours);
        scope.spawn(move || set(&stats, share(1, 1, 2)));
        mesh.kill(0);
    });
    mesh.settled();
    mesh.all_equal(part * parts + entries);
}

#[test]
fn a_mesh_with_one_haproxy() {
    everything_survives(1, Transport::Plain, FEW);
}

#[test]
fn a_mesh_with_two_haproxies() {
    everything_survives(2, Transport::Plain, FEW);
}

#[test]
fn a_mesh_with_four_haproxies() {
    everything_survives(4, Transport::Plain, FEW);
}

#[test]
fn a_mesh_with_one_haproxy_in_tls() {
    everything_survives(1, Transport::Tls, FEW);
}

#[test]
fn a_mesh_with_two_haproxies_in_tls() {
    everything_survives(2, Transport::Tls, FEW);
}

#[test]
fn a_mesh_with_four_haproxies_in_tls() {
    everything_survives(4, Transport::Tls, FEW);
}

#[test]
#[ignore = "takes a minute; see README.md"]
fn large_meshes_in_plain_text() {
    [1, 2, 4]
        .into_iter()
        .for_each(|haproxies| everything_survives(haproxies, Transport::Plain, MANY));
}

#[test]
#[ignore = "takes a minute; see README.md"]
fn large_meshes_in_tls() {
    [1, 2, 4]
        .into_iter()
        .for_each(|haproxies| everything_survives(haproxies, Transport::Tls, MANY));
}
