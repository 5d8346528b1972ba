//! The example `proxy` between real clients and a server, a peer of a real HAProxy, which passes the same traffic on.

#[path = "haproxy/cli.rs"]
#[allow(dead_code, reason = "a part is used")]
mod cli;
#[path = "haproxy/process.rs"]
#[allow(dead_code, reason = "a part is used")]
mod process;

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use cli::Stats;
use process::{Running, found, free_port, until};

const PATIENCE: Duration = Duration::from_secs(30);
const STORE: &str = "conn_cnt,conn_cur,sess_cnt,http_req_cnt,http_req_rate(1h),http_err_cnt,http_fail_cnt,bytes_in_cnt,bytes_out_cnt";

/// A server that answers with the status its path says, and goes away at `/close`.
fn upstream() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || serve(&stream));
        }
    });
    port
}

fn serve(mut stream: &TcpStream) {
    stream.set_nodelay(true).unwrap();
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    while let Some(first) = lines.next() {
        let path = first.split(' ').nth(1).unwrap_or("/").to_owned();
        if path == "/close" || lines.by_ref().all(|line| !line.is_empty()) {
            return;
        }
        let status = path.trim_start_matches('/').parse().unwrap_or(200);
        if write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: 5\r\n\r\nhello").is_err() {
            return;
        }
    }
}

/// The example, which ends with the test.
struct Proxy {
    child: Child,
    address: String,
}

impl Proxy {
    fn start(config: &Path, upstream: u16, rules: &[&str]) -> Self {
        // Beside the folder that this test is in.
        let test = std::env::current_exe().unwrap();
        let program: PathBuf = test.parent().unwrap().parent().unwrap().join("examples/proxy");
        assert!(program.exists(), "cargo build --example proxy makes {}", program.display());
        let mut child = Command::new(program)
            .args(["-L", "edge", "--listen", "127.0.0.1:0", "--upstream"])
            .arg(format!("127.0.0.1:{upstream}"))
            .arg("-f")
            .arg(config)
            .args(rules)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address =
            line.trim().strip_prefix("listening on ").expect("where it listens").to_owned();
        Self { child, address }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Over already, or to be ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Sends the paths over one connection, and returns the status of each answer.
fn get(address: &str, paths: &[&str]) -> Vec<u16> {
    let stream = connect(address);
    let mut reader = BufReader::new(&stream);
    let mut status = |path: &&str| {
        write!(&stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let (mut first, mut length) = (String::new(), 0);
        reader.read_line(&mut first).unwrap();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        reader.read_exact(&mut vec![0; length]).unwrap();
        first.split(' ').nth(1).unwrap().parse().unwrap()
    };
    paths.iter().map(&mut status).collect()
}

/// Every kind of traffic; returns how many connections that were.
fn traffic(address: &str) -> u32 {
    // Says nothing at all.
    drop(connect(address));
    assert_eq!(get(address, &["/", "/", "/404", "/"]), [200, 200, 404, 200]);
    let statuses = [204, 301, 400, 401, 403, 410, 429, 500, 501, 502, 503, 504, 505, 599];
    for status in statuses.iter().filter(|status| **status != 204) {
        assert_eq!(get(address, &[&format!("/{status}")]), [*status]);
    }
    assert_eq!(get(address, &["/close"]), [502]);
    // No request, and a part of one.
    for text in ["G\0T / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHo"] {
        let mut stream = connect(address);
        stream.write_all(text.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    }
    2 + 13 + 1 + 2
}

struct Lab {
    folder: tempfile::TempDir,
    haproxy: Running,
    web: u16,
    upstream: u16,
}

impl Lab {
    fn start() -> Option<Self> {
        if !found() {
            return None;
        }
        let (upstream, web) = (upstream(), free_port());
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("haproxy.sock");
        let text = format!(
            "global\n stats socket {socket} mode 600 level admin\n\
             defaults\n mode http\n option http-ignore-probes\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n retries 0\n\
             peers p\n peer stock 127.0.0.1:{}\n peer edge 127.0.0.1:{}\n \
             table theirs type ip size 1k expire 1h store {STORE}\n \
             table ours type ip size 1k expire 1h store {STORE}\n \
             table marked type ip size 1k expire 1h store gpc0\n\
             frontend web\n bind 127.0.0.1:{web}\n tcp-request connection track-sc0 src table p/theirs\n default_backend b\n\
             backend b\n http-reuse never\n server s 127.0.0.1:{upstream}\n",
            free_port(),
            free_port(),
            socket = socket.display()
        );
        let config = folder.path().join("x.cfg");
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new("haproxy");
        command.args(["-db", "-L", "stock", "-f"]).arg(&config);
        let haproxy =
            Running::start(command, &folder.path().join("haproxy.log"), Stats::new(socket));
        Some(Self { folder, haproxy, web, upstream })
    }

    fn proxy(&self, rules: &[&str]) -> Proxy {
        let rules = [&["--track", "p/ours"], rules].concat();
        Proxy::start(&self.folder.path().join("x.cfg"), self.upstream, &rules)
    }

    /// What HAProxy knows of us in a table, without what is local or counted otherwise.
    fn counted(&self, table: &str) -> Vec<String> {
        let shown = self.haproxy.stats().ask(&format!("show table p/{table}"));
        let entry = shown.lines().find(|line| line.contains("key=127.0.0.1 ")).unwrap_or("");
        let counted = |word: &&str| word.contains("_cnt=") && !word.starts_with("bytes");
        entry.split(' ').filter(counted).map(str::to_owned).collect()
    }
}

/// Each column moves when HAProxy's does, and HAProxy is told so.
#[test]
fn it_counts_what_haproxy_counts() {
    let Some(lab) = Lab::start() else { return };
    let proxy = lab.proxy(&[]);
    let connections = traffic(&proxy.address);
    assert_eq!(traffic(&format!("127.0.0.1:{}", lab.web)), connections);
    until("both have counted the same", || {
        let (ours, theirs) = (lab.counted("ours"), lab.counted("theirs"));
        let whole = theirs.contains(&format!("conn_cnt={connections}"));
        if whole && ours == theirs { Ok(()) } else { Err(format!("{ours:?}\n{theirs:?}")) }
    });
    // So that equal is not equally nothing.
    let found = lab.counted("ours").join(" ");
    assert_eq!(found, "conn_cnt=18 sess_cnt=18 http_req_cnt=20 http_err_cnt=8 http_fail_cnt=6");
}

#[test]
fn its_rules_read_what_is_counted_here_and_what_haproxy_says() {
    let Some(lab) = Lab::start() else { return };
    let proxy = lab.proxy(&[
        "--deny",
        "p/ours http_req_rate gt 1000",
        "--tarpit",
        "p/marked gpc0 gt 0",
        "--tarpit-delay",
        "10",
    ]);
    assert_eq!(get(&proxy.address, &["/"; 3]), [200; 3]);
    // HAProxy marks the client. Looking whether it did does not reach the limit.
    let stats = lab.haproxy.stats();
    stats.run("set table p/marked key 127.0.0.1 data.gpc0 1");
    until("the mark is known", || match get(&proxy.address, &["/"])[..] {
        [500] => Ok(()),
        ref status => Err(format!("{status:?}")),
    });
    stats.run("set table p/marked key 127.0.0.1 data.gpc0 0");
    until("the mark is gone", || match get(&proxy.address, &["/"])[..] {
        [200] => Ok(()),
        ref status => Err(format!("{status:?}")),
    });
    let statuses = get(&proxy.address, &["/"; 1_001]);
    assert_eq!((statuses[0], statuses[1_000]), (200, 403));
    assert!(statuses.is_sorted(), "refused, and let in again");
    // And the proxy's counts are known to HAProxy, its refusals as errors.
    until("HAProxy is told", || {
        let found = lab.counted("ours").join(" ");
        let errors = found.split(' ').find_map(|word| word.strip_prefix("http_err_cnt="));
        if errors.is_some_and(|errors| errors != "0") { Ok(()) } else { Err(found) }
    });
}
