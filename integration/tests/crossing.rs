//! `stktabled` and a real HAProxy that call each other at the same moment: a proxy between them holds both hellos until
//! both are there.
//!
//! Needs `haproxy` in the path. Where there is none the test says so and checks nothing, unless
//! `STKTABLED_REQUIRE_HAPROXY` is set: then it fails.

#[path = "tls/process.rs"]
mod process;

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use process::{Running, free_port, is_missing, until};

/// Takes connections for a port, and holds the first until it is let go.
struct Gate {
    port: u16,
    to: u16,
    held: Arc<Mutex<Option<TcpStream>>>,
    /// Connections that came.
    count: Arc<AtomicUsize>,
}

impl Gate {
    fn new(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (held, count) = (Arc::new(Mutex::new(None)), Arc::new(AtomicUsize::new(0)));
        let (held_too, count_too) = (Arc::clone(&held), Arc::clone(&count));
        // Ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut held = held_too.lock().unwrap();
                if count_too.fetch_add(1, Ordering::SeqCst) == 0 {
                    *held = Some(stream);
                } else {
                    pass(stream, to);
                }
            }
        });
        Self { port, to, held, count }
    }

    fn is_held(&self) -> bool {
        self.held.lock().unwrap().is_some()
    }

    fn let_go(&self) {
        pass(self.held.lock().unwrap().take().unwrap(), self.to);
    }
}

/// Connects a stream with a port, as far as there is somebody.
fn pass(stream: TcpStream, to: u16) {
    let Ok(onward) = TcpStream::connect(("127.0.0.1", to)) else { return };
    let (back, forth) = (stream.try_clone().unwrap(), onward.try_clone().unwrap());
    std::thread::spawn(move || copy(stream, onward));
    std::thread::spawn(move || copy(forth, back));
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 4096];
    let mut step = || -> io::Result<bool> {
        let read = from.read(&mut buffer)?;
        to.write_all(&buffer[..read])?;
        Ok(read > 0)
    };
    while step().unwrap_or(false) {}
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

fn cross(ours: &str, release: &str) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (at_stock, at_ours) = (free_port(), free_port());
    // What either side takes for the other.
    let (to_stock, to_ours) = (Gate::new(at_stock), Gate::new(at_ours));
    let start = |name: &str, own: u16, other: &str, gate: &Gate, mut command: Command| {
        let text = format!(
            "global\n    stats socket {}\n level admin\ndefaults\n    timeout connect 5s\n    timeout client 5s\n    timeout server \
             5s\npeers mesh\n    peer {name} 127.0.0.1:{own}\n    peer {other} 127.0.0.1:{}\n    table t type integer size \
             1k expire 10m store gpc0\n",
            folder.join(format!("{name}.sock")).display(),
            gate.port,
        )
        .replace("\n level", " level");
        let file = folder.join(format!("{name}.cfg"));
        std::fs::write(&file, text).unwrap();
        command.args(["-L", name, "-f"]).arg(file);
        Running::start(command, folder, name)
    };
    let mut command = Command::new("haproxy");
    command.arg("-db");
    let stock = start("stock", at_stock, ours, &to_ours, command);
    let mut command = Command::new(env!("CARGO_BIN_EXE_stktabled"));
    command.arg("--runtime-api").arg(folder.join(format!("{ours}.sock")));
    let us = start(ours, at_ours, "stock", &to_stock, command);
    until("both have called", folder, || to_stock.is_held() && to_ours.is_held());
    match release {
        "ours first" => {
            to_stock.let_go();
            to_ours.let_go();
        }
        _ => {
            to_ours.let_go();
            to_stock.let_go();
        }
    }
    for (key, side) in [(1, &stock), (2, &us)] {
        until("it answers", folder, || side.ask("show table mesh/t").is_some());
        assert_eq!(
            side.ask(&format!("set table mesh/t key {key} data.gpc0 1")).unwrap().trim(),
            ""
        );
    }
    for side in [&stock, &us] {
        until("both entries are there", folder, || {
            let rows = side.ask("show table mesh/t").unwrap_or_default();
            ["key=1 ", "key=2 "].iter().all(|key| rows.contains(key))
        });
    }
    // On what was left of the two: nobody had to call again.
    let calls = (to_stock.count.load(Ordering::SeqCst), to_ours.count.load(Ordering::SeqCst));
    assert_eq!(calls, (1, 1), "{ours}, {release}: {:?}", us.ask("show peers"));
    assert!(stock.ask("show peers").unwrap().contains("last_status=ESTA"));
}

#[test]
fn a_call_that_crosses_haproxys_leaves_one_session() {
    if is_missing() {
        return;
    }
    for _ in 0..2 {
        // Before and behind HAProxy's name.
        for ours in ["alpha", "zulu"] {
            for release in ["ours first", "theirs first"] {
                cross(ours, release);
            }
        }
    }
}
