//! Services and HAProxy as peers: who is over a limit at one is over it at all.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::process::{Example, Reply, Running, free_ports, get, until};

const TABLES: &str = "
    table clients type ip size 10k expire 10m store http_req_rate(5m)
    table marks type ip size 10k expire 10m store gpc0
";

/// Five in five minutes: no test takes so long that they fade.
const MAX: i64 = 5;

fn config(folder: &Path, peers: &[(&str, u16)], more: &str) -> String {
    let peers: String =
        peers.iter().map(|(name, port)| format!("    peer {name} 127.0.0.1:{port}\n")).collect();
    let path = folder.join("mesh.cfg");
    std::fs::write(&path, format!("{more}peers mesh\n{peers}{TABLES}")).unwrap();
    path.to_str().unwrap().to_owned()
}

fn ask(address: SocketAddr, client: &str) -> Reply {
    get(address, "/", &[&format!("X-Forwarded-For: {client}")])
}

/// Starts a node, which may take its time to be ready.
fn node(file: &str, name: &str) -> Example {
    Example::start("mesh", &[file, name, "127.0.0.1:0"])
}

/// Waits until a node has been taught: what is counted before may be replaced.
fn is_ready(node: &Example) {
    until("a node is ready", || match node.get("/ready", &[]).status {
        200 => Ok(()),
        status => Err(status.to_string()),
    });
}

/// Fails until a node has learned so much of a client. Looking counts nothing.
fn learned(node: &Example, client: &str, column: &str, least: i64) -> Result<(), String> {
    let seen = node.get(&format!("/seen/{client}"), &[]).body;
    let mut words = seen.split_whitespace();
    let value = words.find_map(|word| word.strip_prefix(column)?.strip_prefix('='));
    let value: i64 = value.and_then(|value| value.parse().ok()).expect("a number");
    if value >= least { Ok(()) } else { Err(seen) }
}

/// Asks until the client is refused, and returns how often it was let in.
fn exhaust(address: SocketAddr, client: &str) -> usize {
    let let_in = (0..100).take_while(|_| ask(address, client).status == 200).count();
    assert!(let_in < 100, "never refused");
    let_in
}

#[test]
fn a_client_limited_at_one_service_is_refused_by_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let [one, other] = free_ports();
    let file = config(folder.path(), &[("app1", one), ("app2", other)], "");
    let [app1, app2] = ["app1", "app2"].map(|name| node(&file, name));
    [&app1, &app2].into_iter().for_each(is_ready);
    assert_eq!(exhaust(app1.address, "192.0.2.7"), 5);
    until("it is learned", || learned(&app2, "192.0.2.7", "http_req_rate", MAX + 1));
    // The very first request of that client here.
    let refused = ask(app2.address, "192.0.2.7");
    assert_eq!(refused.status, 429);
    assert!(refused.field("retry-after").is_some());
    assert_eq!(ask(app2.address, "192.0.2.8").status, 200, "another client");
    // And back.
    assert_eq!(exhaust(app2.address, "192.0.2.9"), 5);
    until("it is learned", || learned(&app1, "192.0.2.9", "http_req_rate", MAX + 1));
    assert_eq!(ask(app1.address, "192.0.2.9").status, 429);
}

/// One command on HAProxy's socket.
fn command(socket: &Path, command: &str) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("{command}: {error}");
    let mut stream = UnixStream::connect(socket).map_err(failed)?;
    stream.write_all(format!("{command}\n").as_bytes()).map_err(failed)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(failed)?;
    Ok(answer)
}

fn has_haproxy() -> bool {
    let found = Command::new("haproxy").arg("-v").stdout(Stdio::null()).status().is_ok();
    if !found {
        let required = std::env::var_os("STKTABLED_REQUIRE_HAPROXY").is_some();
        assert!(!required, "haproxy is not in the path");
        eprintln!("SKIPPED: haproxy is not in the path; nothing was checked");
    }
    found
}

#[test]
fn a_client_limited_at_haproxy_is_refused_by_the_services_and_back() {
    if !has_haproxy() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let [stock, one, other, web] = free_ports();
    let socket = folder.path().join("haproxy.sock");
    let proxy = format!(
        "global
    stats socket {} mode 600 level admin
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend web
    bind 127.0.0.1:{web}
    http-request track-sc0 hdr_ip(x-forwarded-for,-1) table mesh/clients
    http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt {MAX} }}
    http-request return status 200 content-type text/plain string hello
",
        socket.display()
    );
    let file = config(folder.path(), &[("stock", stock), ("app1", one), ("app2", other)], &proxy);
    let mut haproxy = Command::new("haproxy");
    haproxy.args(["-db", "-q", "-L", "stock", "-f", &file]);
    let _haproxy = Running::start(&mut haproxy);
    until("HAProxy answers", || command(&socket, "show table").map(drop));
    let [app1, app2] = ["app1", "app2"].map(|name| node(&file, name));
    [&app1, &app2].into_iter().for_each(is_ready);
    let web = SocketAddr::from(([127, 0, 0, 1], web));

    // Limited at HAProxy, by what it counted itself. It does not say when it has been taught, so it is asked until it holds.
    assert!(exhaust(web, "192.0.2.7") >= 5);
    for app in [&app1, &app2] {
        until("it is learned", || {
            exhaust(web, "192.0.2.7");
            learned(app, "192.0.2.7", "http_req_rate", MAX + 1)
        });
        assert_eq!(ask(app.address, "192.0.2.7").status, 429);
        assert_eq!(ask(app.address, "192.0.2.6").status, 200, "another client");
    }

    // Limited at a service: HAProxy refuses its first request there.
    assert_eq!(exhaust(app1.address, "192.0.2.8"), 5);
    until("HAProxy has learned it", || {
        let row = command(&socket, "show table mesh/clients key 192.0.2.8")?;
        let mut words = row.split_whitespace();
        let rate = words.find_map(|word| word.strip_prefix("http_req_rate(300000)="));
        let rate: i64 = rate.and_then(|rate| rate.parse().ok()).ok_or_else(|| row.clone())?;
        if rate > MAX { Ok(()) } else { Err(row) }
    });
    assert_eq!(ask(web, "192.0.2.8").status, 429);
    assert_eq!(ask(web, "192.0.2.5").status, 200, "another client");

    // Marked by an operator at HAProxy.
    assert_eq!(ask(app2.address, "192.0.2.9").status, 200);
    let answer = command(&socket, "set table mesh/marks key 192.0.2.9 data.gpc0 1").unwrap();
    assert_eq!(answer.trim(), "");
    until("it is learned", || learned(&app2, "192.0.2.9", "gpc0", 1));
    let refused = ask(app2.address, "192.0.2.9");
    assert_eq!(refused.status, 429);
    assert!(refused.body.contains("[\"mesh/marks.gpc0\"]"), "{refused:?}");
}
