//! The binary `stktabled`, started as an operator starts it.

#[path = "daemon/process.rs"]
mod process;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use process::{Daemon, SOON, free_port, http_get, write};

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Daemon::start(arguments).end();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_good_configuration_is_valid() {
    let folder = tempfile::tempdir().unwrap();
    let good = write(
        folder.path(),
        "good.cfg",
        "peers mesh\n peer a 127.0.0.1:1\n peer b 127.0.0.1:2\n table t type ip size 1k store gpc0\n",
    );
    let valid = "Configuration file is valid\n".to_owned();
    assert_eq!(run(&["-c", "-f", &good, "-L", "a"]), (Some(0), valid.clone(), String::new()));
    let all = folder.path().to_str().unwrap();
    assert_eq!(run(&["-c", "-f", all, "-L", "b"]), (Some(0), valid.clone(), String::new()));
    assert_eq!(run(&["-c"]), (Some(0), valid, String::new()), "the built-in one");
}

#[test]
fn every_mistake_is_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let bad = write(
        folder.path(),
        "bad.cfg",
        "peers mesh\n peer a 127.0.0.1\n tabel t type ip\n table u type ip size 0 store gpc9\n",
    );
    let (code, out, err) = run(&["-c", "-f", &bad, "-L", "a"]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    for place in [":2:9: error: ", ":3:2: error: ", ":4:"] {
        assert!(err.contains(&format!("bad.cfg{place}")), "{place}: {err}");
    }
    let good = write(folder.path(), "good.cfg", "peers mesh\n peer a 127.0.0.1:1\n");
    let (code, _, err) = run(&["-f", &good, "-L", "nobody"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("good.cfg:1:1: error: `nobody`: "), "{err}");
    let (code, _, err) = run(&["-c", "-f", "/no/such/file.cfg"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("/no/such/file.cfg: error: cannot be read"), "{err}");
}

#[test]
fn wrong_arguments_are_refused() {
    for wrong in [
        &["--nonsense"][..],
        &["--for", "5s"],
        &["--demo", "--for", "soon"],
        &["--demo", "-f", "x.cfg"],
        &["--runtime-api", "somewhere"],
        &["--log", "loud"],
    ] {
        let (code, out, err) = run(wrong);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{wrong:?}");
        assert!(err.contains("error: "), "{wrong:?}: {err}");
    }
    let (code, _, err) = run(&["-q", "--runtime-api", "0.0.0.0:0"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("0.0.0.0:0 is not a loopback address"), "{err}");
    let (code, out, _) = run(&["-v"]);
    assert_eq!((code, out), (Some(0), format!("stktabled {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn the_command_line_documents_itself() {
    let (code, out, _) = run(&["--man"]);
    assert_eq!(code, Some(0));
    assert!(out.starts_with(".ie") && out.contains("\\-\\-state"), "{out}");
    for (shell, word) in
        [("bash", "complete -F"), ("zsh", "#compdef stktabled"), ("fish", "complete -c stktabled")]
    {
        let (code, out, _) = run(&["--completions", shell]);
        assert_eq!(code, Some(0), "{shell}");
        assert!(out.contains(word) && out.contains("runtime-api"), "{shell}: {out}");
    }
    assert_eq!(run(&["--man", "-c"]).0, Some(2));
}

#[test]
fn logs_are_json_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let config = write(folder.path(), "x.cfg", "peers mesh\n peer a 127.0.0.1:0\n");
    let mut daemon = Daemon::start(&["-f", &config, "-L", "a", "--log-format", "json"]);
    daemon.until("stktabled runs");
    daemon.signal("TERM");
    let stderr = String::from_utf8(daemon.end().stderr).unwrap();
    let lines: Vec<serde_json::Value> =
        stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(
        lines.iter().any(|line| line["message"] == "stopping" && line["signal"] == "SIGTERM"),
        "{stderr}"
    );
}

#[test]
fn the_built_in_configuration_runs_and_a_signal_ends_it() {
    // Two at once: the second finds the port for peers taken, and another one.
    for signal in ["TERM", "INT", "USR1"] {
        let mut first = Daemon::start(&["--log", "error"]);
        let mut second = Daemon::start(&["--log", "error"]);
        for daemon in [&mut first, &mut second] {
            let lines = daemon.until("runtime API");
            let address = lines.last().unwrap().split_whitespace().last().unwrap().to_owned();
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(SOON)).unwrap();
            let asked =
                "set table local/ip key 192.0.2.1 data.gpc0 7; show table local/ip; show peers\n";
            stream.write_all(asked.as_bytes()).unwrap();
            let mut reply = String::new();
            stream.read_to_string(&mut reply).unwrap();
            assert!(
                reply.contains("\n# table: local/ip, type: ip, size:102400, used:1\n"),
                "{reply}"
            );
            assert!(reply.contains(" key=192.0.2.1 use=0 exp="), "{reply}");
            assert!(reply.contains("\nid=local local_peer=local "), "{reply}");
        }
        for daemon in [first, second] {
            daemon.signal(signal);
            let output = daemon.end();
            assert_eq!(output.status.code(), Some(0), "{signal}: {output:?}");
            assert!(output.stderr.is_empty(), "{output:?}");
        }
    }
}

#[test]
fn a_file_is_run_with_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "peers mesh\n peer a 127.0.0.1:{}\n table t type ip size 1k store gpc0\n\
         backend web\n stick-table type string size 1k peers mesh store gpc0\n",
        free_port()
    );
    let config = write(folder.path(), "x.cfg", &config);
    let socket = folder.path().join("api.sock");
    let mut daemon =
        Daemon::start(&["-f", &config, "-L", "a", "--runtime-api", socket.to_str().unwrap()]);
    daemon.until("stktabled runs: 2 tables, peers on 127.0.0.1:");
    let mut stream = UnixStream::connect(&socket).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(b"show table\n").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert_eq!(
        reply,
        "# table: web, type: string, size:1024, used:0\n# table: mesh/t, type: ip, size:1024, used:0\n\n"
    );
    daemon.signal("TERM");
    assert_eq!(daemon.end().status.code(), Some(0));
    assert!(!socket.exists());
}

#[test]
fn an_address_in_use_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let config = write(folder.path(), "x.cfg", &format!("peers mesh\n peer a {address}\n"));
    let (code, _, err) = run(&["-q", "-f", &config, "-L", "a"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("x.cfg:1:1: error: ") && err.contains(&address.to_string()), "{err}");
}

#[test]
fn the_demo_ends_with_equal_tables() {
    let (code, out, err) = run(&["--demo", "--for", "5s"]);
    assert_eq!(code, Some(0), "{out}\n{err}");
    assert!(out.contains("OK: both nodes have the same tables"), "{out}");
    assert!(out.contains("   3 s  a/b: clients "), "{out}");
}

#[test]
fn the_demo_ends_early_with_the_same_check() {
    let mut daemon = Daemon::start(&["--demo"]);
    // Taken over before the first line is written.
    let out = daemon.0.stdout.take().unwrap();
    let mut out = BufReader::new(out);
    let mut line = String::new();
    while !line.contains(" 1 s ") {
        line.clear();
        assert!(out.read_line(&mut line).unwrap() > 0, "it goes on");
    }
    daemon.signal("INT");
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!(daemon.end().status.code(), Some(0), "{rest}");
    assert!(rest.contains("OK: both nodes have the same tables"), "{rest}");
}

#[test]
fn metrics_and_health_are_served() {
    let folder = tempfile::tempdir().unwrap();
    // The other peer does not answer, so the section waits for it.
    let text = format!(
        "peers mesh\n peer a 127.0.0.1:0\n peer b 127.0.0.1:{}\n table t type integer size 1k expire 1h store gpc0\n",
        free_port()
    );
    let config = write(folder.path(), "x.cfg", &text);
    let socket = folder.path().join("api.sock");
    let socket = socket.to_str().unwrap();
    let arguments = [
        "-f",
        &config,
        "-L",
        "a",
        "--metrics",
        "127.0.0.1:0",
        "--metrics-top",
        "gpc0=1",
        "--runtime-api",
        socket,
    ];
    let mut daemon = Daemon::start(&arguments);
    let lines = daemon.until("metrics on http://");
    let address = lines.last().unwrap().rsplit_once("http://").unwrap().1;
    let address = address.strip_suffix("/metrics").unwrap();
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
        .write_all(b"set table mesh/t key 1 data.gpc0 7; set table mesh/t key 2 data.gpc0 8\n")
        .unwrap();
    stream.read_to_string(&mut String::new()).unwrap();
    let (status, body) = http_get(address, "/metrics");
    assert_eq!(status, "HTTP/1.1 200 OK");
    for line in [
        "# TYPE stktable_entries gauge",
        "stktable_entries{table=\"mesh/t\"} 2.0",
        "stktable_top{table=\"mesh/t\",data_type=\"gpc0\",key=\"2\"} 8.0",
        "stktable_size_entries{table=\"mesh/t\"} 1024.0",
        "# TYPE stktable_created counter",
        "stktable_created_total{table=\"mesh/t\"} 2.0",
        "stktable_peers_up_to_date{section=\"mesh\"} 0.0",
        "stktable_peer_connected{section=\"mesh\",peer=\"b\"} 0.0",
        "# EOF",
    ] {
        assert!(body.lines().any(|found| found == line), "{line}: {body}");
    }
    assert_eq!(http_get(address, "/healthz"), ("HTTP/1.1 200 OK".to_owned(), "ok\n".to_owned()));
    let (status, body) = http_get(address, "/readyz");
    assert_eq!(status, "HTTP/1.1 503 Service Unavailable");
    assert_eq!(body, "peers section mesh: resync from remote\n");
    assert_eq!(http_get(address, "/nothing").0, "HTTP/1.1 404 Not Found");
    // A client that says nothing holds up nobody.
    let silent = TcpStream::connect(address).unwrap();
    assert_eq!(http_get(address, "/healthz").1, "ok\n");
    drop(silent);
    daemon.signal("TERM");
    assert_eq!(daemon.end().status.code(), Some(0));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let (code, _, err) = run(&["-q", "--metrics", &taken]);
    assert_eq!(code, Some(1));
    assert!(err.contains(&format!("--metrics {taken}: cannot listen")), "{err}");
}

/// A daemon with a state file, and how to talk to it.
struct Kept {
    folder: tempfile::TempDir,
    config: String,
}

impl Kept {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let table = "peers mesh\n peer a 127.0.0.1:0\n table t type integer size 1k expire 10m store gpc0\n";
        let config = write(folder.path(), "x.cfg", table);
        Self { folder, config }
    }

    fn state(&self) -> std::path::PathBuf {
        self.folder.path().join("state")
    }

    fn start(&self, every: &str) -> Daemon {
        let (state, socket) = (self.state(), self.folder.path().join("api.sock"));
        let [state, socket] = [&state, &socket].map(|path| path.to_str().unwrap());
        let arguments = ["-f", &self.config, "-L", "a", "--state", state, "--state-every", every];
        let mut daemon = Daemon::start(&[&arguments[..], &["--runtime-api", socket]].concat());
        daemon.until("stktabled runs");
        daemon
    }

    fn ask(&self, commands: &str) -> String {
        let mut stream = UnixStream::connect(self.folder.path().join("api.sock")).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.write_all(format!("{commands}\n").as_bytes()).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        reply
    }

    fn set(&self, value: u32) {
        assert_eq!(self.ask(&format!("set table mesh/t key 1 data.gpc0 {value}")), "\n");
    }

    fn value(&self) -> u32 {
        let reply = self.ask("show table mesh/t key 1");
        let (_, value) = reply.rsplit_once("gpc0=").unwrap_or(("", "0"));
        value.trim().parse().unwrap()
    }

    /// Waits until the file has been written twice from now on: what was set before is in it.
    #[expect(clippy::disallowed_methods, reason = "another process writes it")]
    fn until_saved(&self) {
        for _ in 0..2 {
            let written = || fs::metadata(self.state()).and_then(|file| file.modified()).ok();
            let before = written();
            while written() == before {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

#[test]
fn tables_outlive_the_process() {
    let kept = Kept::new();
    let first = kept.start("1h");
    kept.set(7);
    first.signal("TERM");
    let output = first.end();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let second = kept.start("1h");
    assert_eq!(kept.value(), 7);
    second.signal("TERM");
    let stderr = String::from_utf8(second.end().stderr).unwrap();
    assert!(stderr.contains("state loaded") && stderr.contains("entries=1 "), "{stderr}");
    // A damaged file is put aside, and not half loaded.
    let mut bytes = fs::read(kept.state()).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(kept.state(), &bytes).unwrap();
    let third = kept.start("1h");
    assert_eq!(kept.ask("show table"), "# table: mesh/t, type: integer, size:1024, used:0\n\n");
    third.signal("TERM");
    let stderr = String::from_utf8(third.end().stderr).unwrap();
    assert!(stderr.contains("is damaged at byte") && stderr.contains("state.damaged"), "{stderr}");
    assert_eq!(fs::read(kept.folder.path().join("state.damaged")).unwrap(), bytes);
}

/// Killed at any moment, it loses at most what was set after the file was last written.
#[test]
#[expect(clippy::disallowed_methods, reason = "the moment of the kill is what varies")]
fn a_hundred_kills_lose_nothing_that_was_written() {
    let kept = Kept::new();
    let (mut value, mut least) = (0, 0);
    for round in 0..100_u32 {
        let mut daemon = kept.start("5ms");
        let found = kept.value();
        assert!((least..=value).contains(&found), "{round}: {found} of {least} to {value}");
        value = found + 1;
        kept.set(value);
        kept.until_saved();
        least = value;
        // Killed between any two steps of the next writes.
        for _ in 0..round % 5 {
            value += 1;
            kept.set(value);
        }
        std::thread::sleep(Duration::from_micros(u64::from(round * 377 % 5_000)));
        daemon.0.kill().unwrap();
        daemon.0.wait().unwrap();
    }
}
