//! What a supervisor does with the binary: it is told when it is ready, and has it read its configuration again.

#[path = "daemon/process.rs"]
mod process;

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use process::{Daemon, SOON, free_port, http_get, write};

/// What a supervisor hears.
struct Supervisor(UnixDatagram);

impl Supervisor {
    fn listen(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        Self(socket)
    }

    /// Waits until this is said.
    fn until(&self, word: &str) {
        let mut buffer = [0; 4096];
        loop {
            let length = self.0.recv(&mut buffer).expect(word);
            if std::str::from_utf8(&buffer[..length]).unwrap().lines().any(|line| line == word) {
                return;
            }
        }
    }
}

#[test]
fn a_supervisor_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let supervisor = Supervisor::listen(&path);
    let config = "peers mesh\n peer a 127.0.0.1:0\n table t type ip size 1k store gpc0\n";
    let config = write(folder.path(), "x.cfg", config);
    let environment = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "20000")];
    let daemon = Daemon::start_with(&["-q", "-f", &config, "-L", "a"], &environment);
    supervisor.until("READY=1");
    for _ in 0..3 {
        supervisor.until("WATCHDOG=1");
    }
    daemon.signal("HUP");
    supervisor.until("STATUS=reading the configuration again");
    supervisor.until("READY=1");
    daemon.signal("TERM");
    supervisor.until("STOPPING=1");
    assert_eq!(daemon.end().status.code(), Some(0));
}

/// It is not ready before it was taught, or had nobody to ask for long enough.
#[test]
fn ready_means_in_step() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let supervisor = Supervisor::listen(&path);
    let config = format!(
        "peers mesh\n peer a 127.0.0.1:0\n peer b 127.0.0.1:{}\n table t type ip size 1k store gpc0\n",
        free_port()
    );
    let config = write(folder.path(), "x.cfg", &config);
    let arguments = ["-f", &config, "-L", "a", "--metrics", "127.0.0.1:0"];
    let notify = [("NOTIFY_SOCKET", path.to_str().unwrap())];
    let mut daemon = Daemon::start_with(&arguments, &notify);
    let lines = daemon.until("metrics on http://");
    let address = lines.last().unwrap().rsplit_once("http://").unwrap().1.to_owned();
    let address = address.strip_suffix("/metrics").unwrap();
    assert!(http_get(address, "/readyz").0.contains(" 503 "));
    supervisor.until("READY=1");
    assert!(http_get(address, "/readyz").0.contains(" 200 "), "both say the same");
    daemon.signal("TERM");
    assert_eq!(daemon.end().status.code(), Some(0));
}

struct Node {
    daemon: Daemon,
    socket: std::path::PathBuf,
    metrics: String,
}

impl Node {
    fn start(config: &str, name: &str, folder: &Path, notify: &[(&str, &str)]) -> Self {
        let socket = folder.join(format!("{name}.sock"));
        let arguments = ["-f", config, "-L", name, "--metrics", "127.0.0.1:0", "--runtime-api"];
        let arguments = [&arguments[..], &[socket.to_str().unwrap()]].concat();
        let mut daemon = Daemon::start_with(&arguments, notify);
        let lines = daemon.until("metrics on http://");
        let metrics = lines.last().unwrap().rsplit_once("http://").unwrap().1;
        let metrics = metrics.strip_suffix("/metrics").unwrap().to_owned();
        Self { daemon, socket, metrics }
    }

    fn ask(&self, command: &str) -> String {
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.write_all(format!("{command}\n").as_bytes()).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        reply
    }

    fn metric(&self, name: &str) -> Option<String> {
        let (_, body) = http_get(&self.metrics, "/metrics");
        let line = body.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
        line.map(|value| value.trim().to_owned())
    }

    #[expect(clippy::disallowed_methods, reason = "other processes change it")]
    fn until(&self, name: &str, value: Option<&str>) {
        for _ in 0..6_000 {
            if self.metric(name).as_deref() == value {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{name} is {:?}, not {value:?}", self.metric(name));
    }
}

#[test]
fn peers_come_and_go_with_the_configuration_and_the_others_stay() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let [a, b, c] = [(); 3].map(|()| free_port());
    let table = " table t type integer size 1k expire 10m store gpc0\n";
    let two = format!("peers mesh\n peer a 127.0.0.1:{a}\n peer b 127.0.0.1:{b}\n");
    let config = write(folder, "x.cfg", &(two.clone() + table));
    let path = folder.join("notify");
    let supervisor = Supervisor::listen(&path);
    let first = Node::start(&config, "a", folder, &[("NOTIFY_SOCKET", path.to_str().unwrap())]);
    let second = Node::start(&config, "b", folder, &[]);
    supervisor.until("READY=1");
    let reload = || {
        first.daemon.signal("HUP");
        supervisor.until("STATUS=reading the configuration again");
        supervisor.until("READY=1");
    };
    let connected =
        |peer: &str| format!("stktable_peer_connected{{section=\"mesh\",peer=\"{peer}\"}}");
    let sessions = "stktable_peer_sessions_total{section=\"mesh\",peer=\"b\"}";
    first.until(&connected("b"), Some("1.0"));
    let before = first.metric(sessions);
    assert_eq!(first.ask("set table mesh/t key 1 data.gpc0 7"), "\n");

    // A third one, and a line more before the others: they stay as they are.
    let three = format!("# more\n{two} peer c 127.0.0.1:{c}\n{table}");
    fs::write(&config, &three).unwrap();
    reload();
    first.until(&connected("c"), Some("0.0"));
    assert_eq!(
        (first.metric(&connected("b")).as_deref(), first.metric(sessions)),
        (Some("1.0"), before.clone())
    );
    assert!(first.ask("show table mesh/t").contains(" gpc0=7\n"), "tables are kept");
    second.daemon.signal("HUP");
    let third = Node::start(&config, "c", folder, &[]);
    first.until(&connected("c"), Some("1.0"));
    third.until("stktable_entries{table=\"mesh/t\"}", Some("1.0"));

    // A mistake changes nothing.
    fs::write(&config, three.replace("peer c", "peeer c")).unwrap();
    reload();
    // What cannot be changed is told, and the rest is done.
    fs::write(&config, two.clone() + &table.replace("1k", "2k")).unwrap();
    reload();
    first.until(&connected("c"), None);
    assert_eq!(
        (first.metric(&connected("b")).as_deref(), first.metric(sessions)),
        (Some("1.0"), before)
    );
    assert_eq!(first.metric("stktable_size_entries{table=\"mesh/t\"}").as_deref(), Some("1024.0"));
    // Tables come: one that is shared, with what the other has of it already, and one of nobody.
    let more = format!("{two}{table} table u type string len 9 size 1k store gpc1\n");
    fs::write(&config, more + "backend web\n stick-table type ip size 1k store gpc0\n").unwrap();
    second.daemon.signal("HUP");
    second.until("stktable_size_entries{table=\"mesh/u\"}", Some("1024.0"));
    assert_eq!(second.ask("set table mesh/u key early data.gpc1 5"), "\n");
    reload();
    first.until("stktable_entries{table=\"mesh/u\"}", Some("1.0"));
    assert_eq!(first.ask("set table mesh/u key late data.gpc1 6"), "\n");
    second.until("stktable_entries{table=\"mesh/u\"}", Some("2.0"));
    assert_eq!(first.ask("set table web key 192.0.2.1 data.gpc0 6"), "\n");
    first.until(&connected("b"), Some("1.0"));
    first.daemon.signal("TERM");
    let stderr = String::from_utf8(first.daemon.end().stderr).unwrap();
    for said in [
        "tables_added=\"mesh/u web\"",
        "added=\"mesh/c\"",
        "kept=1",
        "the old configuration stays: ",
        "`peeer`",
        "removed=\"mesh/c\"",
        "the table is declared otherwise; this takes a restart",
    ] {
        assert!(stderr.contains(said), "{said}: {stderr}");
    }
}

/// Who connects before there is a process waits, and is served by it.
#[test]
fn sockets_that_systemd_listens_on_are_taken() {
    if Command::new("systemd-socket-activate").arg("--version").output().is_err() {
        eprintln!("SKIPPED: no systemd-socket-activate in the path; nothing was checked");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.sock");
    let [peers, elsewhere] = [free_port(), free_port()];
    let config =
        format!("peers mesh\n peer a 127.0.0.1:{peers}\n table t type ip size 1k store gpc0\n");
    let config = write(folder.path(), "x.cfg", &config);
    let log = folder.path().join("log");
    let daemon = Command::new("systemd-socket-activate")
        .args(["-l", &format!("127.0.0.1:{peers}"), "-l", path.to_str().unwrap()])
        .args(["-l", &format!("127.0.0.1:{elsewhere}"), env!("CARGO_BIN_EXE_stktabled")])
        .args(["-f", &config, "-L", "a", "--runtime-api", path.to_str().unwrap()])
        .stdout(Stdio::null())
        .stderr(fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let daemon = Daemon(daemon);
    let mut stream = loop {
        match UnixStream::connect(&path) {
            Ok(stream) => break stream,
            Err(_) => std::thread::yield_now(),
        }
    };
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(b"show table\n").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("# table: mesh/t"), "{reply}");
    let mut peer = std::net::TcpStream::connect(("127.0.0.1", peers)).unwrap();
    peer.set_read_timeout(Some(SOON)).unwrap();
    peer.write_all(b"HAProxyS 2.1\na\nnobody 1 1\n").unwrap();
    let mut status = String::new();
    peer.read_to_string(&mut status).unwrap();
    assert!(status.starts_with("504"), "unknown, which only a process of ours says: {status}");
    daemon.signal("TERM");
    assert_eq!(daemon.end().status.code(), Some(0));
    assert!(path.exists(), "it is not ours to remove");
    let log = fs::read_to_string(&log).unwrap();
    let told = format!(
        "a socket was passed that nothing of the configuration listens on; expected the same address there place=\"127.0.0.1:{elsewhere}\""
    );
    assert!(log.contains(&told), "{log}");
}
