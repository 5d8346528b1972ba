//! How soon one HAProxy reads what another has counted: three real processes, and an aggregator of ours.

use std::error::Error;
use std::net::TcpListener as StdListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use stktable_integration::Clock;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use super::{now, start};

const SOURCES: usize = 3;
const STORE: &str = "type ip size 200k expire 5m store http_req_cnt,http_req_rate(10s)";
/// Requests of each process in a second, beside those that are measured.
const TRAFFIC: u64 = 200;
const PATIENCE: Duration = Duration::from_secs(20);

/// A process that ends with this.
struct Haproxy {
    child: Child,
    socket: PathBuf,
    web: u16,
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        // Over already, or to be ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn haproxy(
    folder: &Path,
    name: &str,
    [own, sum, web]: [u16; 3],
) -> Result<Haproxy, Box<dyn Error>> {
    let socket = folder.join(format!("{name}.sock"));
    let file = folder.join(format!("{name}.cfg"));
    let text = format!(
        "global\n stats socket {} level admin\n\
         defaults\n mode http\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n\
         peers sums\n bind 127.0.0.1:{own}\n server {name}\n server sum 127.0.0.1:{sum}\n \
         table st.local {STORE}\n table st.agg {STORE}\n\
         frontend web\n bind 127.0.0.1:{web}\n \
         http-request track-sc0 url_param(ip),ipmask(32) table sums/st.local\n http-request return status 200\n",
        socket.display()
    );
    std::fs::write(&file, text)?;
    let child = Command::new("haproxy")
        .args(["-db", "-L", name, "-f"])
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("haproxy: {error}"))?;
    Ok(Haproxy { child, socket, web })
}

/// Sends one request of a client over a connection that is kept.
async fn ask(stream: &mut TcpStream, client: &str) -> std::io::Result<()> {
    let request = format!("GET /?ip={client} HTTP/1.1\r\nHost: bench\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let (mut answer, mut read) = (vec![0; 4096], 0);
    // It has no body.
    while !answer[..read].ends_with(b"\r\n\r\n") {
        match stream.read(&mut answer[read..]).await? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            more => read += more,
        }
    }
    Ok(())
}

async fn connect(port: u16) -> Result<TcpStream, Box<dyn Error>> {
    let began = now();
    loop {
        match TcpStream::connect(("127.0.0.1", port)).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) if began.elapsed() > PATIENCE => return Err(error.into()),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// Whether a process reads the sum of a client.
async fn knows(socket: &Path, client: &str) -> std::io::Result<bool> {
    let mut stream = UnixStream::connect(socket).await?;
    stream.write_all(format!("show table sums/st.agg key {client}\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.contains("http_req_cnt=1 "))
}

/// Measures for so long, while all processes count requests.
///
/// # Errors
/// When there is no HAProxy, or a process cannot be started.
pub async fn delays(seconds: u64) -> Result<Histogram<u64>, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let listeners: Vec<_> =
        (0..2 * SOURCES + 1).map(|_| StdListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    let ports: Vec<_> = listeners
        .iter()
        .map(|listener| listener.local_addr().map(|address| address.port()))
        .collect::<Result<_, _>>()?;
    drop(listeners);
    let (own, web, sum) = (&ports[..SOURCES], &ports[SOURCES..2 * SOURCES], ports[2 * SOURCES]);
    let mut text = format!("aggregations sums\n peer sum 127.0.0.1:{sum} local\n");
    for (at, port) in own.iter().enumerate() {
        text += &format!(" peer h{at} 127.0.0.1:{port} down\n");
    }
    text += &format!(" table st.local {STORE}\n from .local to .agg\n");
    let all: Vec<_> = (0..SOURCES)
        .map(|at| haproxy(folder.path(), &format!("h{at}"), [own[at], sum, web[at]]))
        .collect::<Result<_, _>>()?;
    let node = start(&text, "sum", Clock::start()).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut traffic = Vec::new();
    for (at, haproxy) in (0_u32..).zip(&all) {
        let (mut stream, stop) = (connect(haproxy.web).await?, Arc::clone(&stop));
        traffic.push(tokio::spawn(async move {
            let mut number = 0_u32;
            while !stop.load(Ordering::Relaxed) {
                number = number.wrapping_add(1);
                let client =
                    std::net::Ipv4Addr::from(0x0a00_0000 + (number.wrapping_mul(3) + at) % 50_000);
                if ask(&mut stream, &client.to_string()).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(1_000 / TRAFFIC)).await;
            }
        }));
    }
    let mut stream = connect(all[0].web).await?;
    let mut delays = Histogram::new(3)?;
    let (began, mut number) = (now(), 0_u32);
    while began.elapsed() < Duration::from_secs(seconds) {
        number += 1;
        let client = std::net::Ipv4Addr::from(0xc000_0000 + number).to_string();
        ask(&mut stream, &client).await?;
        let counted = now();
        while !knows(&all[1].socket, &client).await? {
            if counted.elapsed() > PATIENCE {
                return Err("the sum never came".into());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // The first waits until the sessions are up.
        if number > 1 {
            delays.record(u64::try_from(counted.elapsed().as_micros())?)?;
        }
        // Not in step with the aggregator.
        tokio::time::sleep(Duration::from_millis(u64::from(number * 7 % 40))).await;
    }
    stop.store(true, Ordering::Relaxed);
    for one in traffic {
        one.await?;
    }
    node.stop().await;
    Ok(delays)
}
