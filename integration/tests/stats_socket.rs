//! `stats socket` lines of a configuration, and `save state`, with the daemon itself.

#[path = "daemon/process.rs"]
mod process;

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use process::{Daemon, SOON, free_port, write};

fn ask(path: &Path, command: &str) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(format!("{command}\n").as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

fn configuration(lines: &str) -> String {
    format!(
        "global\n{lines}peers mesh\n peer a 127.0.0.1:{}\n table t type ip size 1k expire 1h store gpc0\n",
        free_port()
    )
}

#[test]
fn the_sockets_of_the_configuration_are_served() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
    let lines = format!(
        " stats socket {} mode 600 level admin expose-fd listeners\n stats socket {} level user mode 666\n \
         stats timeout 30s\n",
        first.display(),
        second.display()
    );
    let file = write(folder.path(), "x.cfg", &configuration(&lines));
    let state = folder.path().join("state");
    let arguments = ["-f", &file, "-L", "a", "--state", state.to_str().unwrap()];
    let mut daemon = Daemon::start(&arguments);
    daemon.until("stktabled runs");
    assert_eq!(std::fs::metadata(&second).unwrap().permissions().mode() & 0o777, 0o666);
    assert_eq!(ask(&first, "set table mesh/t key 192.0.2.1 data.gpc0 5"), "\n");
    assert_eq!(ask(&second, "set table mesh/t key 192.0.2.1 data.gpc0 6"), "Permission denied\n\n");
    assert_eq!(ask(&second, "save state"), "Permission denied\n\n");
    let said = ask(&first, "save state");
    assert!(said.contains(": 1 entries, ") && said.ends_with(" ms\n\n"), "{said}");
    // What comes after it is lost with the process, what was before is not.
    assert_eq!(ask(&first, "set table mesh/t key 192.0.2.2 data.gpc0 7"), "\n");
    daemon.0.kill().unwrap();
    daemon.0.wait().unwrap();
    let mut daemon = Daemon::start(&arguments);
    daemon.until("stktabled runs");
    let shown = ask(&first, "show table mesh/t");
    assert!(shown.contains("used:1") && shown.contains("key=192.0.2.1 "), "{shown}");
}

#[test]
fn a_socket_that_another_process_serves_is_left_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let [theirs, ours] = ["theirs", "ours"].map(|name| folder.path().join(name));
    let _haproxy = UnixListener::bind(&theirs).unwrap();
    let lines = format!(
        " stats socket {} level admin\n stats socket {} level admin\n stats socket /x/y group no-such-group\n",
        theirs.display(),
        ours.display()
    );
    let file = write(folder.path(), "x.cfg", &configuration(&lines));
    let mut daemon = Daemon::start(&["-f", &file, "-L", "a"]);
    daemon.until("stktabled runs");
    assert!(ask(&ours, "show table").starts_with("# table: mesh/t"));
    daemon.signal("TERM");
    let log = String::from_utf8(daemon.end().stderr).unwrap();
    assert!(log.contains("theirs: another process listens there"), "{log}");
    assert!(
        log.contains("x.cfg:4:26: warning: `no-such-group`: this socket is not served"),
        "{log}"
    );
    assert!(theirs.exists() && !ours.exists());
}
