//! `stktabled top` in a terminal that is none: what it draws, what keys do, and how it ends.

#[path = "daemon/process.rs"]
mod process;

use std::io::{Read as _, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use portable_pty::{Child, CommandBuilder, PtySize, native_pty_system};
use process::{Daemon, SOON, free_port, write};

const STEP: Duration = Duration::from_millis(20);
const LOOKS_MAX: u32 = 3_000;
const SIZE: PtySize = PtySize { rows: 30, cols: 120, pixel_width: 0, pixel_height: 0 };

/// A terminal in which it runs.
struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    keys: Box<dyn Write + Send>,
    screen: Arc<Mutex<vt100::Parser>>,
    master: Box<dyn portable_pty::MasterPty + Send>,
}

impl Terminal {
    fn start(arguments: &[&str]) -> Self {
        let pty = native_pty_system().openpty(SIZE).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_stktabled"));
        command.args(arguments);
        command.env("TERM", "xterm-256color");
        let child = pty.slave.spawn_command(command).unwrap();
        drop(pty.slave);
        let screen = Arc::new(Mutex::new(vt100::Parser::new(
            SIZE.rows.try_into().unwrap(),
            SIZE.cols.try_into().unwrap(),
            0,
        )));
        let (mut reader, drawn) = (pty.master.try_clone_reader().unwrap(), Arc::clone(&screen));
        thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(read @ 1..) = reader.read(&mut piece) {
                drawn.lock().unwrap().process(&piece[..read]);
            }
        });
        let keys = pty.master.take_writer().unwrap();
        Self { child, keys, screen, master: pty.master }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    fn lines(&self) -> Vec<String> {
        let screen = self.screen.lock().unwrap();
        screen.screen().contents().lines().map(str::to_owned).collect()
    }

    /// Waits until what is on the screen is so.
    fn until(&self, what: &str, mut is_so: impl FnMut(&[String]) -> bool) {
        for _ in 0..LOOKS_MAX {
            if is_so(&self.lines()) {
                return;
            }
            thread::park_timeout(STEP);
        }
        panic!("{what}:\n{}", self.lines().join("\n"));
    }

    fn until_there_is(&self, text: &str) {
        self.until(text, |lines| lines.iter().any(|line| line.contains(text)));
    }

    /// Waits until these are the first words of the lines below the one that has this in it.
    fn until_rows(&self, head: &str, rows: &[&str]) {
        self.until(head, |lines| {
            let Some(at) = lines.iter().position(|line| line.contains(head)) else { return false };
            // Below the names of the columns; the chosen one is marked.
            let found = lines[at + 2..].iter().map(|line| {
                line.trim_start_matches(['>', ' ']).split(' ').next().unwrap_or("").to_owned()
            });
            found.take(rows.len()).eq(rows.iter().copied())
        });
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Over already, or to be ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn tell(socket: &Path, commands: &str) {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(format!("{commands}\n").as_bytes()).unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    assert!(said.trim().is_empty(), "{said}");
}

const FILL: &str = "set table mesh/clients key 192.0.2.7 data.gpc0 1 data.http_req_rate 50; \
     set table mesh/clients key 192.0.2.8 data.gpc0 9 data.http_req_rate 30; \
     set table mesh/clients key 198.51.100.1 data.gpc0 5 data.http_req_rate 40";

#[test]
fn it_is_used_with_keys_and_outlives_the_daemon() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "peers mesh\n peer a 127.0.0.1:{}\n peer b 127.0.0.1:{}\n \
         table clients type ip size 1k expire 1h store gpc0,http_req_rate(1h)\n \
         table names type string len 40 size 1k expire 1h store gpc0\n",
        free_port(),
        free_port()
    );
    let config = write(folder.path(), "x.cfg", &text);
    let socket = folder.path().join("api.sock");
    let arguments = ["-f", &config, "-L", "a", "--runtime-api", socket.to_str().unwrap()];
    let mut daemon = Daemon::start(&arguments);
    daemon.until("stktabled runs");
    tell(&socket, FILL);
    // What would ring a bell and clear the screen.
    tell(&socket, "set table mesh/names key \u{7}\u{1b}[2Jx data.gpc0 1");
    let mut top = Terminal::start(&["top", "--every", "50ms", socket.to_str().unwrap()]);
    top.until_rows(
        "Largest http_req_rate of mesh/clients",
        &["192.0.2.7", "198.51.100.1", "192.0.2.8"],
    );
    top.until_there_is("live");
    assert!(top.screen.lock().unwrap().screen().alternate_screen());
    // Another field, to the left.
    top.press("\x1b[D");
    top.until_rows("Largest gpc0 of mesh/clients", &["192.0.2.8", "198.51.100.1", "192.0.2.7"]);
    tell(&socket, "set table mesh/clients key 203.0.113.5 data.gpc0 70");
    top.until_rows(
        "Largest gpc0 of mesh/clients",
        &["203.0.113.5", "192.0.2.8", "198.51.100.1", "192.0.2.7"],
    );
    // A network.
    top.press("/192.0.2.0/24\r");
    top.until_rows("Largest gpc0 of mesh/clients in 192.0.2.0/24", &["192.0.2.8", "192.0.2.7", ""]);
    top.press("\x1b[B\r");
    top.until_there_is("http_req_rate       50");
    top.press("p");
    top.until("the peer that is not there", |lines| {
        lines.iter().any(|line| {
            line.contains("127.0.0.1:") && (line.contains("down") || line.contains("calling"))
        })
    });
    top.press("?");
    top.until_there_is("Shift-Tab");
    top.press("?\t");
    top.until_there_is(r"\x07\e[2Jx");
    // A terminal may become small, and large again.
    top.master.resize(PtySize { rows: 3, cols: 12, ..SIZE }).unwrap();
    top.master.resize(SIZE).unwrap();
    // While it rests, too.
    top.press(" ");
    top.until_there_is("PAUSED");
    daemon.0.kill().unwrap();
    daemon.0.wait().unwrap();
    top.until_there_is("STALE, trying again: ");
    top.until_there_is(r"\x07\e[2Jx");
    let mut daemon = Daemon::start(&arguments);
    daemon.until("stktabled runs");
    top.press(" ");
    top.until_there_is("live");
    top.press("q");
    let ended = top.child.wait().unwrap();
    assert!(ended.success(), "{ended:?}");
    top.until("the screen of before", |_| {
        let screen = top.screen.lock().unwrap();
        !screen.screen().alternate_screen() && !screen.screen().hide_cursor()
    });
}

#[test]
fn without_a_terminal_it_is_printed_once() {
    let folder = tempfile::tempdir().unwrap();
    let table = "table t type integer size 10 expire 1h store gpc0,gpc1";
    let text = format!("peers mesh\n peer a 127.0.0.1:{}\n {table}\n", free_port());
    let config = write(folder.path(), "x.cfg", &text);
    let socket = folder.path().join("api.sock");
    let mut daemon =
        Daemon::start(&["-f", &config, "-L", "a", "--runtime-api", socket.to_str().unwrap()]);
    daemon.until("stktabled runs");
    tell(
        &socket,
        "set table mesh/t key 1 data.gpc0 5 data.gpc1 6; set table mesh/t key 2 data.gpc0 7",
    );
    let top = |arguments: &[&str]| {
        let ran = Command::new(env!("CARGO_BIN_EXE_stktabled")).arg("top").args(arguments).output();
        let ran = ran.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (ran.status.code(), text(ran.stdout), text(ran.stderr))
    };
    let socket = socket.to_str().unwrap();
    let (code, out, err) = top(&[socket]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let keys: Vec<_> = out.lines().filter(|line| line.contains("gpc0=")).collect();
    assert_eq!(keys.len(), 2, "{out}");
    assert!(keys[0].starts_with("2 ") && keys[0].contains("gpc0=7 gpc1=0"), "{out}");
    let (_, out, _) = top(&["--once", "--by", "gpc1", "--table", "mesh/t", socket]);
    assert!(out.contains("Largest gpc1 of mesh/t\n1 "), "{out}");
    let (_, out, _) = top(&["--table", "nope", socket]);
    assert!(out.contains("No such table"), "{out}");
    let nowhere = folder.path().join("nowhere");
    let (code, out, err) = top(&[nowhere.to_str().unwrap()]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(
        err.contains("nowhere: No such file or directory (os error 2); is it running"),
        "{err}"
    );
}

/// HAProxy sorts nothing and has no JSON.
#[test]
fn haproxy_is_shown_too() {
    let found = Command::new("haproxy").arg("-v").output().is_ok_and(|ran| ran.status.success());
    let required = std::env::var_os("STKTABLED_REQUIRE_HAPROXY").is_some();
    assert!(found || !required, "haproxy is not installed");
    if !found {
        eprintln!("SKIPPED: no haproxy");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("stats.sock");
    let text = format!(
        "global\n stats socket {} level admin\ndefaults\n timeout client 5s\n timeout server 5s\n timeout connect 5s\n\
         peers mesh\n bind 127.0.0.1:{}\n server a\n server b 127.0.0.1:{}\n \
         table clients type ip size 1k expire 1h store gpc0,http_req_rate(1h)\n",
        socket.display(),
        free_port(),
        free_port()
    );
    let config = write(folder.path(), "h.cfg", &text);
    let child = Command::new("haproxy").args(["-db", "-L", "a", "-f", &config]).spawn().unwrap();
    let _haproxy = Daemon(child);
    let mut looks = LOOKS_MAX;
    while UnixStream::connect(&socket).is_err() {
        looks -= 1;
        assert!(looks > 0, "HAProxy does not listen");
        thread::park_timeout(STEP);
    }
    tell(&socket, FILL);
    let mut top = Terminal::start(&["top", "--every", "50ms", socket.to_str().unwrap()]);
    top.until_rows(
        "Largest http_req_rate of mesh/clients",
        &["192.0.2.7", "198.51.100.1", "192.0.2.8"],
    );
    top.until_there_is("HAProxy 2.");
    top.until_there_is("3 entries looked at");
    top.press("\x1b[D");
    top.until_rows("Largest gpc0 of mesh/clients", &["192.0.2.8", "198.51.100.1", "192.0.2.7"]);
    top.press("/192.0.2.0/24\r");
    top.until_rows("of mesh/clients in 192.0.2.0/24", &["192.0.2.8", "192.0.2.7", ""]);
    top.press("p");
    top.until("the peer", |lines| {
        lines.iter().any(|line| line.contains("mesh") && line.contains(" b "))
    });
    top.press("\x03");
    assert!(top.child.wait().unwrap().success());
}
