//! TLS with a real HAProxy, called by it and calling it.
//!
//! Needs `haproxy` in the path. Where there is none the test says so and checks nothing, unless
//! `STKTABLED_REQUIRE_HAPROXY` is set: then it fails.

use std::process::Command;

use crate::Lab;
use crate::process::{Running, free_port, is_missing, until};

/// Both, each with its own file; `calls` says who has the address of the other.
struct Pair {
    lab: Lab,
    stock: Running,
    ours: Running,
}

impl Pair {
    fn start(calls: [bool; 2], names: [&str; 2]) -> Self {
        let lab = Lab::new();
        let folder = lab.path().to_owned();
        let ports = [free_port(), free_port()];
        // Nobody listens there.
        let nowhere = free_port();
        for (at, name) in ["stock", "ours"].into_iter().enumerate() {
            let crt = lab.authority.issue(&folder, &format!("{name}.pem"), &[names[at]]);
            let tls = format!(
                "ssl crt {} ca-file {} verify required",
                crt.display(),
                lab.ca_file.display()
            );
            let other = ["ours", "stock"][at];
            let port = if calls[at] { ports[1 - at] } else { nowhere };
            let text = format!(
                "global\n    stats socket {} mode 600 level admin\ndefaults\n    timeout connect 5s\n    timeout client 5s\n    \
                 timeout server 5s\npeers mesh\n    bind 127.0.0.1:{} {tls}\n    default-server {tls}\n    server {name}\n    \
                 server {other} 127.0.0.1:{port} verifyhost {}\n    table t type integer size 100k expire 10m store gpc0\n",
                folder.join(format!("{name}.sock")).display(),
                ports[at],
                names[1 - at],
            );
            std::fs::write(folder.join(format!("{name}.cfg")), text).unwrap();
        }
        let mut command = Command::new("haproxy");
        command.args(["-db", "-L", "stock", "-f"]).arg(folder.join("stock.cfg"));
        let stock = Running::start(command, &folder, "stock");
        let mut command = Command::new(env!("CARGO_BIN_EXE_stktabled"));
        command.args(["-L", "ours", "-f"]).arg(folder.join("ours.cfg"));
        command.arg("--runtime-api").arg(folder.join("ours.sock"));
        let ours = Running::start(command, &folder, "ours");
        until("both answer", &folder, || {
            [&stock, &ours].iter().all(|side| side.ask("show table mesh/t").is_some())
        });
        Self { lab, stock, ours }
    }

    fn assert_shared(&self) {
        let table = "show table mesh/t";
        for (key, side) in [(1, &self.stock), (2, &self.ours)] {
            assert_eq!(
                side.ask(&format!("set table mesh/t key {key} data.gpc0 {key}")).unwrap().trim(),
                ""
            );
        }
        for side in [&self.stock, &self.ours] {
            until("both entries are there", self.lab.path(), || {
                let rows = side.ask(table).unwrap_or_default();
                ["key=1 ", "key=2 "].iter().all(|key| rows.contains(key))
            });
        }
    }
}

#[test]
fn haproxy_takes_our_own_lines_for_comments() {
    if is_missing() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("both.cfg");
    let text = "peers mesh\n    peer stock 127.0.0.1:1\n    peer ours 127.0.0.1:2\n    #stktabled: accept-from 127.0.0.0/8\n    \
                #stktabled: accept-peers stock\n    #stktabled: max-tables 3\n    table t type ip size 1k\n";
    std::fs::write(&file, text).unwrap();
    for command in ["haproxy", env!("CARGO_BIN_EXE_stktabled")] {
        let checked =
            Command::new(command).args(["-c", "-L", "ours", "-f"]).arg(&file).output().unwrap();
        let said = String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success(), "{command}: {said}");
        assert!(!said.contains("stktabled:"), "{command}: {said}");
    }
}

#[test]
fn sighup_reads_the_certificates_again() {
    let lab = Lab::new();
    let folder = lab.path();
    let crt = lab.authority.issue(folder, "ours.pem", &["ours"]);
    let text = format!(
        "peers mesh\n    bind 127.0.0.1:0 ssl crt {}\n    server ours\n    table t type ip size 1k\n",
        crt.display()
    );
    std::fs::write(folder.join("ours.cfg"), text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_stktabled"));
    command.args(["-L", "ours", "-f"]).arg(folder.join("ours.cfg"));
    command.arg("--runtime-api").arg(folder.join("ours.sock"));
    let ours = Running::start(command, folder, "ours");
    until("it answers", folder, || ours.ask("show table mesh/t").is_some());
    let log = || std::fs::read_to_string(folder.join("ours.log")).unwrap_or_default();
    let hang_up = || {
        let id = ours.child.id().to_string();
        assert!(Command::new("kill").args(["-s", "HUP", &id]).status().unwrap().success());
    };
    std::fs::write(&crt, "nonsense").unwrap();
    hang_up();
    until("the error is told", folder, || {
        log().contains("SIGHUP: the old configuration stays: ")
            && log().contains("has no certificate")
    });
    lab.authority.issue(folder, "ours.pem", &["ours"]);
    hang_up();
    until("they are read", folder, || log().contains("SIGHUP: configuration read again"));
    assert!(ours.ask("show table mesh/t").is_some(), "it runs on");
}

#[test]
fn haproxy_calls_and_is_called_in_tls() {
    if is_missing() {
        return;
    }
    // Whoever calls is who it says it is; and both at once.
    for calls in [[true, false], [false, true], [true, true]] {
        Pair::start(calls, ["stock", "ours"]).assert_shared();
    }
}

#[test]
fn haproxy_under_another_name_is_refused() {
    if is_missing() {
        return;
    }
    // Our line for it says `verifyhost somebody`: that is the name it may show in place of its own.
    let pair = Pair::start([true, false], ["somebody", "ours"]);
    pair.assert_shared();
    drop(pair.stock);
    let folder = pair.lab.path();
    pair.lab.authority.issue(folder, "stock.pem", &["nobody"]);
    let mut command = Command::new("haproxy");
    command.args(["-db", "-L", "stock", "-f"]).arg(folder.join("stock.cfg"));
    let stock = Running::start(command, folder, "stock");
    until("the reason is shown", folder, || {
        let peers = pair.ours.ask("show peers").unwrap_or_default();
        peers.contains("not bound to the certificate") && peers.contains("nobody")
    });
    let rows = stock.ask("show table mesh/t").unwrap_or_default();
    assert!(!rows.contains("key="), "{rows}");
}
