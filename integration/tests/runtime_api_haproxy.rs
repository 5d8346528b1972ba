//! The same commands, given to us and to a real HAProxy: the answers are the same bytes, but for the number at the
//! start of a line, the time left, and the order of entries.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use stktable_integration::config::{self, Context};
use stktable_integration::runtime_api::{Api, Level, commands};
use stktable_integration::{Clock, SharedTable};

const TABLES: &str = "\
backend tip
 stick-table type ip size 1m expire 30m store server_id,gpt0,gpc0,gpc0_rate(10s),conn_cnt,conn_rate(10s),conn_cur,sess_cnt,sess_rate(10s),http_req_cnt,http_req_rate(10s),http_err_cnt,http_err_rate(10s),bytes_in_cnt,bytes_in_rate(10s),bytes_out_cnt,bytes_out_rate(10s),gpc1,gpc1_rate(10s),server_key,http_fail_cnt,http_fail_rate(10s)
backend tip6
 stick-table type ipv6 size 1k expire 1h store gpc0
backend tint
 stick-table type integer size 100 expire 1d store server_id,gpc0,server_name
backend tstr
 stick-table type string len 8 size 100k expire 1m store gpc(3),gpc_rate(2,5s),gpt(4)
backend tlong
 stick-table type string len 64 size 100k expire 1m store gpc0
backend tbin
 stick-table type binary len 4 size 10 expire 1m store gpc0
backend tnp
 stick-table type integer size 3 nopurge store gpc0
";

const COMMANDS: &[&str] = &[
    "show table",
    "set table tip key 192.0.2.1 data.server_id 3 data.gpt0 7 data.gpc0 42 data.gpc0_rate 20 data.conn_cnt 5 data.conn_cur 2 data.bytes_in_cnt 123456789012 data.bytes_in_rate 1000 data.server_key 5 data.http_fail_cnt 4294967297 data.gpc1 -1",
    "set table tip key 192.0.2.2 data.server_id -1 data.bytes_out_cnt -1 data.gpc1_rate -1",
    "show table tip",
    "show table tip key 192.0.2.1",
    "show table tip key 192.0.2.3",
    "show table tip data.gpc0 gt 0 data.gpt0 eq 7 data.server_id ge 3 data.conn_cnt lt 6",
    "show table tip data.gpc0 ne 42",
    "show table tip data.server_id le -1",
    "show table tip data.bytes_out_cnt lt 0",
    "show table tip data.gpc1_rate gt 5; show table tip data.server_key eq 0",
    "set table tip6 key ::1.2.3.4; set table tip6 key ::1; set table tip6 key ::0.1.0.0; set table tip6 key ::ffff:1.2.3.4",
    "set table tip6 key 2001:DB8:0:0:1::1; set table tip6 key 1:0:0:2::3; set table tip6 key 2001:db8:0:1:1:1:1:1",
    "show table tip6",
    "set table tint key 4294967295 data.gpc0 1; set table tint key 007; show table tint",
    r"set table tlong key a\ b; set table tlong key a\\b; set table tlong key a=b; set table tlong key a\tb; set table tlong key a\;b",
    "set table tlong key \"x; set table tlong key caf\u{e9}; set table tlong key #",
    "show table tlong",
    r"show table tlong key a\ b",
    "set table tstr key abcdefghijkl data.gpc 9 data.gpt 4 data.gpc_rate 100",
    "show table tstr",
    "show table tstr data.gpc eq 9",
    "show table tstr data.gpc0 eq 9",
    "set table tnp key 1; set table tnp key 2 data.gpc0 4; set table tnp key 3; set table tnp key 4; show table tnp",
    "clear table tnp data.gpc0 eq 4; show table tnp; clear table tnp key 1; show table tnp; clear table tnp; show table tnp",
    "clear table tnp key 9",
    "show table nope; set table nope; clear table nope",
    "show table tip key; set table tip key; clear table tip key",
    "set table tint key abc; show table tint key -1; clear table tint key 4294967296",
    "show table tbin key 6162; set table tbin key 6162; clear table tbin key 6162",
    "set table; clear table; set table tip foo; clear table tip foo; show table tip foo",
    "set table tip data.gpc0 eq 1",
    "set table tip key 192.0.2.1 foo; set table tip key 192.0.2.1 foo 1; set table tip key 192.0.2.1 data.gpc9 1",
    "set table tip key 192.0.2.1 data.gpc0; set table tip key 192.0.2.1 data.gpc0 x; set table tip key 192.0.2.1 data.gpc0 +5",
    "set table tint key 7 data.sess_cnt 1",
    "show table tip data.gpc9 eq 1; show table tint data.sess_cnt eq 1; show table tip data.",
    "show table tip data.gpc0; show table tip data.gpc0 xx 1; show table tip data.gpc0 eq; show table tip data.gpc0 eq xx",
    "show table tip data.gpc0 eq 1 foo; show table tip data.gpc0 eq 1 data.gpc0; clear table tip data.gpc0 eq 1 foo",
    "show table tip data.gpc0 eq 1 data.gpc0 eq 2 data.gpc0 eq 3 data.gpc0 eq 6 data.gpc0 eq 7",
    "show peers nope",
];

/// A process that does not outlive the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Over already, or to be ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts HAProxy, `None` where there is none of this version.
fn haproxy(folder: &Path) -> Option<Process> {
    let version = Command::new("haproxy").arg("-v").output().ok()?;
    if !String::from_utf8_lossy(&version.stdout).contains("version 2.6.") {
        return None;
    }
    let config = folder.join("haproxy.cfg");
    let socket = folder.join("haproxy.sock");
    let global = format!("global\n stats socket {} mode 600 level admin\n", socket.display());
    let defaults = "defaults\n timeout client 5s\n timeout server 5s\n timeout connect 5s\n";
    std::fs::write(&config, format!("{global}{defaults}{TABLES}")).unwrap();
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(config).stdout(Stdio::null()).stderr(Stdio::null());
    let mut process = Process(command.spawn().unwrap());
    while UnixStream::connect(&socket).is_err() {
        assert!(process.0.try_wait().unwrap().is_none(), "HAProxy has ended");
        std::thread::yield_now();
    }
    Some(process)
}

fn ask(folder: &Path, command: &str) -> Vec<u8> {
    let mut stream = UnixStream::connect(folder.join("haproxy.sock")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(format!("{command}\n").as_bytes()).unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    // Closed by HAProxy already.
    let _ = stream.shutdown(Shutdown::Both);
    reply
}

/// Takes out what may differ: numbers, times left beyond the second, the order of entries.
fn comparable(reply: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(reply);
    let mut lines: Vec<String> = Vec::new();
    let mut entries: Vec<String> = Vec::new();
    for line in text.split('\n') {
        if let Some(rest) = line.strip_prefix("0x") {
            let (_, rest) = rest.split_once(':').unwrap();
            let (before, rest) = rest.split_once(" exp=").unwrap();
            let (left, after) = rest.split_once(' ').unwrap();
            // Both were set within some seconds, and every delay is a multiple of a minute.
            let left = left.parse::<u64>().unwrap().div_ceil(60_000);
            entries.push(format!("0xID:{before} exp={left}min {after}"));
        } else {
            entries.sort();
            lines.append(&mut entries);
            lines.push(line.to_owned());
        }
    }
    lines
}

#[test]
fn answers_are_those_of_haproxy() {
    let folder = tempfile::tempdir().unwrap();
    let Some(_process) = haproxy(folder.path()) else {
        eprintln!("not checked: haproxy 2.6 is not installed");
        return;
    };
    let config = config::parse(&[("t.cfg", TABLES.as_bytes())], &Context::EMPTY).unwrap();
    let declared = config.tables().into_iter().map(|table| table.declaration.clone());
    let clock = Clock::start();
    let api = Api::new(declared.map(SharedTable::new).collect(), clock.now());
    for line in COMMANDS {
        let mut ours = Vec::new();
        for command in commands(line.as_bytes()) {
            let now = clock.now();
            ours.append(&mut api.execute(command, Level::Admin, now).read(now));
        }
        assert_eq!(comparable(&ours), comparable(&ask(folder.path(), line)), "{line}");
    }
}
