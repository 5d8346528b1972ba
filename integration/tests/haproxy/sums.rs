//! Sums over three HAProxy processes, which read them and limit clients by them.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use crate::cli::Stats;
use crate::process::{Running, found, free_port, until};

const SOURCES: usize = 3;
const LOCAL: &str = "sums/st.local";
const AGG: &str = "sums/st.agg";
const LEASE: &str = "sums/lease";
/// Requests of one client in 10 s, over all processes, from which on it is refused.
const LIMIT: u32 = 30;

/// What HAProxy 2.6 counts, rates aside.
const COUNTERS: [&str; 8] = [
    "gpc0",
    "conn_cnt",
    "sess_cnt",
    "http_req_cnt",
    "http_err_cnt",
    "http_fail_cnt",
    "bytes_in_cnt",
    "bytes_out_cnt",
];
const RATES: [&str; 8] = [
    "gpc0_rate",
    "conn_rate",
    "sess_rate",
    "http_req_rate",
    "http_err_rate",
    "http_fail_rate",
    "bytes_in_rate",
    "bytes_out_rate",
];

struct Lab {
    folder: tempfile::TempDir,
    web: Vec<u16>,
    haproxies: Vec<Running>,
    stktabled: Running,
}

fn store(gauge: &str) -> String {
    let rates: Vec<_> = RATES.iter().map(|rate| format!("{rate}(10s)")).collect();
    format!("{gauge},{},{}", COUNTERS.join(","), rates.join(","))
}

impl Lab {
    fn start() -> Option<Self> {
        if !found() {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let ports: Vec<_> = (0..=SOURCES).map(|_| free_port()).collect();
        let web: Vec<_> = (0..SOURCES).map(|_| free_port()).collect();
        let path = |name: String| folder.path().join(name);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let hangs_up = listener.local_addr().unwrap().port();
        // It hears the request, and goes away.
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let _ = stream.read(&mut [0; 4096]);
            }
        });
        for (at, web) in web.iter().enumerate() {
            let name = format!("h{at}");
            let file = format!(
                "global
    stats socket {socket} mode 600 level admin
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
peers sums
    bind 127.0.0.1:{own}
    server {name}
    server sum 127.0.0.1:{sum}
    table st.local type ip size 100k expire 5m store {local}
    table st.agg type ip size 100k expire 5m store {agg}
    table lease type string len 64 size 100 expire 2s store gpt0,gpc0,gpc1
frontend web
    bind 127.0.0.1:{web}
    http-request set-var(txn.ip) url_param(ip),ipmask(32)
    acl whole str(st.agg),table_gpt0({LEASE}) eq 1
    acl busy var(txn.ip),table_http_req_rate({AGG}) gt {LIMIT}
    http-request track-sc0 var(txn.ip) table {LOCAL}
    http-request sc-inc-gpc0(0)
    http-request deny deny_status 404 if {{ url_param(e) 404 }}
    http-request deny deny_status 429 if whole busy
    use_backend hangs_up if {{ url_param(e) 502 }}
    http-request return status 200 if !{{ url_param(e) 502 }}
backend hangs_up
    server one 127.0.0.1:{hangs_up}
    retries 0
",
                socket = path(format!("{name}.sock")).display(),
                own = ports[at],
                sum = ports[SOURCES],
                local = store("conn_cur"),
                agg = store("gpc1"),
            );
            std::fs::write(path(format!("{name}.cfg")), file).unwrap();
        }
        let mut file = format!(
            "aggregations sums\n    peer sum 127.0.0.1:{} local\n    table st.local type ip size 100k expire 5m store {}\n    \
             from .local to .agg\n    combine conn_cur by sum as gpc1\n    source-timeout 3s\n",
            ports[SOURCES],
            store("conn_cur")
        );
        for (at, port) in ports.iter().take(SOURCES).enumerate() {
            file += &format!("    peer h{at} 127.0.0.1:{port} down\n");
        }
        std::fs::write(path("sum.cfg".to_owned()), file).unwrap();
        let haproxies = (0..SOURCES).map(|at| Self::run(&folder, &format!("h{at}"), &[])).collect();
        let stktabled = Self::run(&folder, "sum", &[]);
        Some(Self { folder, web, haproxies, stktabled })
    }

    fn run(folder: &tempfile::TempDir, name: &str, more: &[&str]) -> Running {
        let path = |end: &str| folder.path().join(format!("{name}.{end}"));
        let mut command = if name == "sum" {
            let mut command = Command::new(env!("CARGO_BIN_EXE_stktabled"));
            command.arg("--runtime-api").arg(path("sock"));
            command
        } else {
            let mut command = Command::new("haproxy");
            command.args(["-db", "-L", name]);
            command
        };
        command.arg("-f").arg(path("cfg")).args(more);
        Running::start(command, &path("log"), Stats::new(path("sock")))
    }

    fn stats(&self, at: usize) -> &Stats {
        self.haproxies[at].stats()
    }

    /// One request of a client at one process; returns the status.
    fn get(&self, at: usize, ip: &str) -> u16 {
        self.ask(at, &format!("ip={ip}"))
    }

    fn ask(&self, at: usize, query: &str) -> u16 {
        let mut stream = TcpStream::connect(("127.0.0.1", self.web[at])).unwrap();
        write!(stream, "GET /?{query} HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap()
    }

    /// What the aggregator says of itself, if it is alive.
    fn known(&self) -> String {
        let mut all = self.stktabled.stats().try_ask("show aggregate").unwrap_or_default();
        all += &self.stktabled.stats().try_ask("show peers").unwrap_or_default();
        all += &std::fs::read_to_string(self.folder.path().join("sum.log")).unwrap_or_default();
        all
    }

    /// Whether every process takes the sums for whole, or none does.
    fn all_whole(&self, whole: bool) -> Result<(), String> {
        for at in 0..SOURCES {
            let leases = self.stats(at).table(LEASE)?;
            let row = leases.get("st.agg");
            let said = row.map(|row| (row.value("gpt0"), row.value("gpc0"), row.value("gpc1")));
            let is_whole = said.as_ref().is_some_and(|(mark, ..)| mark == "1");
            if is_whole != whole {
                return Err(format!("h{at}: {said:?}\n{}", self.known()));
            }
        }
        Ok(())
    }

    /// Whether every process reads this sum.
    fn all_read(&self, key: &str, column: &str, sum: u64) -> Result<(), String> {
        for at in 0..SOURCES {
            let rows = self.stats(at).table(AGG)?;
            let value = rows.get(key).map(|row| row.value(column)).unwrap_or_default();
            if value != sum.to_string() {
                let known = self.known();
                return Err(format!("h{at}: {column} of {key} is {value:?}, not {sum}\n{known}"));
            }
        }
        Ok(())
    }
}

#[test]
fn three_haproxies_read_and_limit_by_what_all_of_them_count() {
    let Some(mut lab) = Lab::start() else { return };
    until("the sums are whole", || lab.all_whole(true));

    // Every type that HAProxy counts, each process its own share.
    let mut expected = [0_u64; COUNTERS.len()];
    for at in 0..SOURCES {
        let mut command = format!("set table {LOCAL} key 192.0.2.1 data.conn_cur {}", 2 + at);
        for (number, counter) in COUNTERS.iter().enumerate() {
            let value = (at as u64 + 1) * 1_000 + number as u64;
            expected[number] += value;
            command += &format!(" data.{counter} {value}");
        }
        for rate in RATES {
            command += &format!(" data.{rate} {}", 100 * (at + 1));
        }
        lab.stats(at).run(&command);
    }
    until("every counter is summed", || {
        lab.all_read("192.0.2.1", "gpc1", 2 + 3 + 4)?;
        COUNTERS
            .iter()
            .zip(expected)
            .try_for_each(|(counter, sum)| lab.all_read("192.0.2.1", counter, sum))
    });
    // 600 at first; it fades as that of the sources does.
    for rate in RATES {
        let column = format!("{rate}(10000)");
        let rows = lab.stats(0).table(AGG).unwrap();
        let read: u32 = rows["192.0.2.1"].value(&column).parse().unwrap();
        assert!((1..=600).contains(&read), "{column}: {read}");
    }

    // Requests: each process sees a third of them, all see all.
    for number in 0..90 {
        lab.get(number % SOURCES, &format!("198.51.100.{}", number % 10));
    }
    until("the requests of all are summed", || {
        (0..10)
            .try_for_each(|client| lab.all_read(&format!("198.51.100.{client}"), "http_req_cnt", 9))
    });

    // What only some of them are: refused, and failed by a server that hangs up. Every column is the sum of what the processes have in it.
    for number in 0..30 {
        let status = if (number + number / 10) % 2 == 0 { 404 } else { 502 };
        let query = format!("ip=198.51.100.{}&e={status}", number % 10);
        assert_eq!(lab.ask(number % SOURCES, &query), status);
    }
    until("every column is the sum of the processes' own", || {
        for counter in COUNTERS {
            for client in 0..10 {
                let client = format!("198.51.100.{client}");
                let mut sum = 0;
                for at in 0..SOURCES {
                    let rows = lab.stats(at).table(LOCAL)?;
                    sum += rows.get(&client).map_or(0, |row| row.value(counter).parse().unwrap());
                }
                // Nothing is a session of its own here: it is the request that is tracked.
                if sum == 0 && counter != "sess_cnt" {
                    return Err(format!("{counter} of {client} is 0"));
                }
                lab.all_read(&client, counter, sum)?;
            }
        }
        Ok(())
    });

    // No process sees enough of this client to refuse it by itself; all of them do.
    let each = LIMIT / 3 + 2;
    for at in 0..SOURCES {
        for _ in 0..each {
            lab.get(at, "203.0.113.7");
        }
    }
    until("the client is refused by each", || {
        (0..SOURCES).try_for_each(|at| match lab.get(at, "203.0.113.7") {
            429 => Ok(()),
            status => Err(format!("h{at}: {status}")),
        })
    });

    // The aggregator dies: whoever relied on it falls back, soon.
    lab.stktabled.kill();
    until("nobody takes the sums for whole any more", || lab.all_whole(false));
    for at in 0..SOURCES {
        assert_eq!(lab.get(at, "203.0.113.7"), 200, "it is below the limit here");
    }
    let _ = std::fs::remove_file(lab.folder.path().join("sum.sock"));
    lab.stktabled = Lab::run(&lab.folder, "sum", &[]);
    until("the sums are whole again", || lab.all_whole(true));
    until("and they are what they were", || {
        lab.all_read("198.51.100.3", "http_req_cnt", 12)?;
        lab.all_read("192.0.2.1", "bytes_in_cnt", expected[6])
    });

    // A source is reloaded: its successor has what it had, and nothing is counted twice.
    let id = lab.haproxies[1].id().to_string();
    let new = Lab::run(&lab.folder, "h1", &["-sf", &id]);
    let mut old = std::mem::replace(&mut lab.haproxies[1], new);
    until("the old process is gone", || old.has_ended());
    until("the sums are whole after a reload", || lab.all_whole(true));
    until("and they are what they were", || {
        lab.all_read("198.51.100.3", "http_req_cnt", 12)?;
        lab.all_read("192.0.2.1", "bytes_in_cnt", expected[6])
    });

    // A source dies, and knows nothing any more: what it had counted is in no sum.
    lab.haproxies[2].kill();
    until("nobody takes them for whole without it", || {
        let said = lab.stktabled.stats().ask("show aggregate");
        if said.contains("complete=0") { Ok(()) } else { Err(said) }
    });
    let _ = std::fs::remove_file(lab.folder.path().join("h2.sock"));
    lab.haproxies[2] = Lab::run(&lab.folder, "h2", &[]);
    until("the sums are whole with its successor", || lab.all_whole(true));
    until("and are those of the others", || {
        lab.all_read("192.0.2.1", "conn_cnt", expected[1] - 3_001)?;
        lab.all_read("192.0.2.1", "bytes_in_cnt", expected[6] - 3_006)
    });
    lab.get(2, "198.51.100.3");
    until("it counts again", || lab.all_read("198.51.100.3", "http_req_cnt", 9));
}

#[test]
fn the_worked_example_ends_well() {
    let has_curl = Command::new("curl").arg("--version").output().is_ok();
    if !found() || !has_curl {
        eprintln!("SKIPPED: haproxy or curl is not in the path; the example was not run");
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/aggregate/run.sh");
    let ran = Command::new(script).arg(env!("CARGO_BIN_EXE_stktabled")).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(said.matches(" 429 ").count(), SOURCES, "{said}");
    assert!(said.ends_with("== done\n"), "{said}");
}

#[test]
fn what_is_generated_is_taken_by_haproxy() {
    if !found() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.cfg");
    for more in [&[][..], &["--sums"], &["--sums", "--stktabled", "sum2=127.0.0.1:10010"]] {
        for name in ["web1", "web2"] {
            let made = Command::new(env!("CARGO_BIN_EXE_stktabled"))
                .args(["generate", "--haproxy", "web1=127.0.0.1:10001", "--haproxy"])
                .args(["web2=127.0.0.1:10002", "--stktabled", "sum=127.0.0.1:10009", "--for", name])
                .args([
                    "--table",
                    "clients type ip size 10k expire 5m store conn_cur,http_req_rate(10s)",
                ])
                .args([
                    "--table",
                    "paths type string len 64 size 10k expire 5m store gpc0,gpc1,gpt0",
                ])
                .args(more)
                .output()
                .unwrap();
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
            std::fs::write(&file, &made.stdout).unwrap();
            let checked =
                Command::new("haproxy").args(["-c", "-L", name, "-f"]).arg(&file).output().unwrap();
            let said = String::from_utf8_lossy(&checked.stderr);
            let text = String::from_utf8_lossy(&made.stdout);
            assert!(checked.status.success(), "{said}{text}");
        }
    }
}
