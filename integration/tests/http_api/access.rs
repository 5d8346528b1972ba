//! Who may do what, and the options of the daemon that say so.

#[path = "../daemon/process.rs"]
mod process;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use process::{Daemon, http_get, write};
use ureq::Agent;

const READ: &str = "read-0123456789abcdef";
const WRITE: &str = "write-0123456789abcdef";
const NEW: &str = "newer-0123456789abcdef";

fn agent() -> Agent {
    Agent::config_builder().http_status_as_error(false).build().into()
}

fn status(agent: &Agent, base: &str, token: Option<&str>, writes: bool) -> u16 {
    let url = format!("{base}v1/tables/mesh%2Ft/entries/5");
    let bearer = format!("Bearer {}", token.unwrap_or_default());
    let answered = if writes {
        let request = agent.put(&url).header("content-type", "application/json");
        let request =
            if token.is_some() { request.header("authorization", bearer) } else { request };
        request.send("{\"data\":{\"gpc0\":1}}")
    } else {
        let request = agent.get(&url);
        let request =
            if token.is_some() { request.header("authorization", bearer) } else { request };
        request.call()
    };
    answered.unwrap().status().as_u16()
}

fn secret(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn tokens_say_who_reads_and_who_writes_and_are_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let config =
        "peers mesh\n peer a 127.0.0.1:0\n table t type integer size 1k expire 1h store gpc0\n";
    let config = write(folder.path(), "x.cfg", config);
    let tokens = folder.path().join("tokens");
    secret(&tokens, &format!("read {READ}\nwrite {WRITE}\n"));
    let arguments = [
        "-f",
        &config,
        "-L",
        "a",
        "--http",
        "127.0.0.1:0",
        "--http-tokens",
        tokens.to_str().unwrap(),
    ];
    let mut daemon = Daemon::start(&arguments);
    let lines = daemon.until("page on http://");
    let base = format!("http://{}", lines.last().unwrap().rsplit_once("http://").unwrap().1);
    let agent = agent();
    assert_eq!(status(&agent, &base, None, true), 401);
    assert_eq!(status(&agent, &base, Some(READ), true), 403);
    assert_eq!(status(&agent, &base, Some(WRITE), true), 201);
    assert_eq!(status(&agent, &base, Some(READ), false), 200);
    assert_eq!(status(&agent, &base, None, false), 401);
    assert_eq!(status(&agent, &base, Some(NEW), false), 401);
    // The page asks for a token by itself; numbers and health are for whoever may connect.
    for path in ["", "page.js", "page.css", "icon.svg", "metrics", "healthz"] {
        assert_eq!(agent.get(format!("{base}{path}")).call().unwrap().status(), 200, "{path}");
    }
    let page = agent.get(&base).call().unwrap();
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; "), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    let host = agent.get(&base).header("host", "evil.example").call().unwrap();
    assert_eq!(host.status(), 421);
    // A file that is wrong changes nothing, and the next one counts.
    secret(&tokens, "read short\n");
    daemon.signal("HUP");
    secret(&tokens, &format!("write {NEW}\n"));
    daemon.signal("HUP");
    while status(&agent, &base, Some(NEW), true) != 200 {
        thread::park_timeout(Duration::from_millis(20));
    }
    assert_eq!(status(&agent, &base, Some(WRITE), false), 401);
    daemon.signal("TERM");
    assert_eq!(daemon.end().status.code(), Some(0));
}

#[test]
fn tables_are_not_shown_to_everybody_by_a_slip() {
    let folder = tempfile::tempdir().unwrap();
    let [short, open] = ["short", "open"].map(|name| folder.path().join(name));
    secret(&short, "# tokens\nwrite 0123\n");
    secret(&open, &format!("write {WRITE}\n"));
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).unwrap();
    let [short, open] = [&short, &open].map(|path| path.to_str().unwrap());
    for (arguments, said) in [
        (vec!["--http", "0.0.0.0:0"], "--http 0.0.0.0:0: anybody could read the tables there"),
        (
            vec!["--http", "[::]:0"],
            "expected a loopback address, --http-tokens FILE or --http-accept-from CIDR",
        ),
        (
            vec!["--http", "127.0.0.1:0", "--http-tokens", "/nope"],
            "--http-tokens /nope: No such file",
        ),
        (
            vec!["--http", "127.0.0.1:0", "--http-tokens", short],
            "line 2: a token has 16 to 256 characters, this one 4",
        ),
        (
            vec!["--http", "127.0.0.1:0", "--http-tokens", open],
            "every user of this machine can read it",
        ),
        (vec!["--http", "127.0.0.1:0", "--http-accept-from", "10.0.0.0/99"], "--http-accept-from"),
        (vec!["--http-tokens", short], "--http <ADDR:PORT>"),
    ] {
        let ran =
            Command::new(env!("CARGO_BIN_EXE_stktabled")).args(["-q"]).args(&arguments).output();
        let ran = ran.unwrap();
        let err = String::from_utf8_lossy(&ran.stderr);
        assert!(!ran.status.success() && err.contains(said), "{arguments:?}: {err}");
        assert!(!err.contains("0123\n"), "a token: {err}");
    }
}

#[test]
fn others_may_not_connect() {
    let arguments = ["--http", "127.0.0.1:0", "--http-accept-from", "192.0.2.0/24,127.0.0.9"];
    let mut refused =
        Daemon::start(&["--http", "127.0.0.1:0", "--http-accept-from", "192.0.2.0/24"]);
    let lines = refused.until("page         http://");
    let base =
        lines.last().unwrap().rsplit_once("http://").unwrap().1.trim_end_matches('/').to_owned();
    let agent = agent();
    assert!(agent.get(format!("http://{base}/healthz")).call().is_err());
    drop(refused);
    let ran = Command::new(env!("CARGO_BIN_EXE_stktabled"))
        .args(["-q"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&ran.stderr).contains("127.0.0.9"), "an address is no network");
    let mut open =
        Daemon::start(&["--http", "127.0.0.1:0", "--http-accept-from", "192.0.2.0/24,127.0.0.0/8"]);
    let lines = open.until("page         http://");
    let base =
        lines.last().unwrap().rsplit_once("http://").unwrap().1.trim_end_matches('/').to_owned();
    // `Host: x` is a name of nobody.
    assert_eq!(http_get(&base, "/healthz").0, "HTTP/1.1 200 OK");
    assert_eq!(http_get(&base, "/").0, "HTTP/1.1 421 Misdirected Request");
}
