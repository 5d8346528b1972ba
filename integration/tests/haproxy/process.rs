//! Processes that the test starts, and that end with it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::cli::Stats;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(50);

/// Waits while nothing is supposed to happen, or between two looks.
#[expect(clippy::disallowed_methods, reason = "other processes cannot be waited for otherwise")]
pub(crate) fn idle(time: Duration) {
    std::thread::sleep(time);
}

/// Looks until there is no complaint, and fails with the last one. A look may take long by itself.
#[expect(clippy::disallowed_methods, reason = "other processes cannot be waited for otherwise")]
pub(crate) fn until(what: &str, mut look: impl FnMut() -> Result<(), String>) {
    let mut complaint = String::new();
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        match look() {
            Ok(()) => return,
            Err(now) => complaint = now,
        }
        idle(STEP);
    }
    panic!("not in {PATIENCE:?}: {what}: {complaint}");
}

/// A folder, a configuration file and ports for one test.
pub(crate) struct Lab {
    folder: tempfile::TempDir,
    web: u16,
}

/// Returns whether there is a HAProxy, and says so if not.
pub(crate) fn found() -> bool {
    let found = Command::new("haproxy").arg("-v").stdout(Stdio::null()).status().is_ok();
    if !found {
        assert!(
            std::env::var_os("STKTABLED_REQUIRE_HAPROXY").is_none(),
            "haproxy is not in the path"
        );
        eprintln!("SKIPPED: haproxy is not in the path; nothing was checked");
    }
    found
}

/// Returns a port that nobody listens on, as far as one can know.
pub(crate) fn free_port() -> u16 {
    let [port] = free_ports();
    port
}

/// Returns ports that nobody listens on, as far as one can know.
fn free_ports<const N: usize>() -> [u16; N] {
    let listeners: Vec<_> = (0..N).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    std::array::from_fn(|at| listeners[at].local_addr().unwrap().port())
}

impl Lab {
    /// Returns `None`, after saying so, where there is no HAProxy.
    pub(crate) fn new() -> Option<Self> {
        if !found() {
            return None;
        }
        let [ours, theirs, web] = free_ports();
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("haproxy.sock");
        let configuration = format!(
            "global
    stats socket {socket} mode 600 level admin
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
peers mesh
    peer stock 127.0.0.1:{theirs}
    peer ours 127.0.0.1:{ours}
    table t_ip type ip size 10k expire 10m store server_id,gpt0,gpc0,gpc0_rate(10s),conn_cnt,conn_rate(30s),conn_cur,sess_cnt,sess_rate(10s),http_req_cnt,http_req_rate(10s),http_err_cnt,http_err_rate(10s),bytes_in_cnt,bytes_in_rate(60s),bytes_out_cnt,bytes_out_rate(60s),gpc1,gpc1_rate(10s)
    table t_ip6 type ipv6 size 1k expire 5m store gpc0,gpc0_rate(1m)
    table t_int type integer size 1k expire 1h store gpc0,gpc1,bytes_in_cnt
    table t_str type string len 32 size 1k expire 10m store gpc0,http_req_cnt,http_req_rate(10s)
    table t_bin type binary len 20 size 1k expire 10m store gpc0,conn_cnt
    table t_short type integer size 1k expire 3s store gpc0
frontend web
    bind 127.0.0.1:{web}
    stick-table type string len 16 size 1k expire 10m store http_req_cnt peers mesh
    http-request track-sc0 url_param(ip),ipmask(32) table mesh/t_ip if {{ url_param(ip) -m found }}
    http-request track-sc1 url_param(b),sha1 table mesh/t_bin if {{ url_param(b) -m found }}
    http-request track-sc2 url_param(web) if {{ url_param(web) -m found }}
    http-request return status 404 if {{ url_param(e) 404 }}
    http-request return status 200 content-type text/plain string ok
",
            socket = socket.display()
        );
        std::fs::write(folder.path().join("haproxy.cfg"), configuration).unwrap();
        Some(Self { folder, web })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts HAProxy, and waits until it answers.
    pub(crate) fn haproxy(&self) -> Haproxy {
        let socket = self.path("haproxy.sock");
        let _ = std::fs::remove_file(&socket);
        let mut command = Command::new("haproxy");
        command.args(["-db", "-L", "stock", "-f"]).arg(self.path("haproxy.cfg"));
        Haproxy(Running::start(command, &self.path("haproxy.log"), Stats::new(socket)))
    }

    /// Starts `stktabled` with the same file, and waits until it answers.
    pub(crate) fn stktabled(&self) -> Stktabled {
        let socket = self.path("stktabled.sock");
        let _ = std::fs::remove_file(&socket);
        let mut command = Command::new(env!("CARGO_BIN_EXE_stktabled"));
        command.args(["-L", "ours", "-f"]).arg(self.path("haproxy.cfg"));
        command.arg("--runtime-api").arg(&socket);
        Stktabled(Running::start(command, &self.path("stktabled.log"), Stats::new(socket)))
    }

    /// Sends one request to HAProxy's frontend, and returns the answer.
    pub(crate) fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.web)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

/// A process that is killed when this is dropped.
pub(crate) struct Running {
    child: Child,
    stats: Stats,
}

impl Running {
    /// Starts it, and waits until it answers.
    pub(crate) fn start(mut command: Command, log: &PathBuf, stats: Stats) -> Self {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let output = log.try_clone().unwrap();
        let child = command.stdin(Stdio::null()).stdout(output).stderr(log).spawn().unwrap();
        let mut running = Self { child, stats };
        until("the process answers", || {
            if let Some(status) = running.child.try_wait().unwrap() {
                panic!("{command:?} ended with {status}");
            }
            running.stats.try_ask("show table").map(drop)
        });
        running
    }

    pub(crate) fn stats(&self) -> &Stats {
        &self.stats
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Says so as long as it runs.
    pub(crate) fn has_ended(&mut self) -> Result<(), String> {
        match self.child.try_wait().unwrap() {
            Some(_) => Ok(()),
            None => Err(format!("process {} runs", self.child.id())),
        }
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) struct Haproxy(Running);

impl Haproxy {
    pub(crate) fn stats(&self) -> Stats {
        self.0.stats.clone()
    }

    pub(crate) fn kill(&mut self) {
        self.0.kill();
    }
}

pub(crate) struct Stktabled(Running);

impl Stktabled {
    pub(crate) fn stats(&self) -> Stats {
        self.0.stats.clone()
    }

    pub(crate) fn kill(&mut self) {
        self.0.kill();
    }
}
