//! What a command that looks at a whole table costs, and whom it holds up: another session of the runtime API, which asks for one key
//! again and again meanwhile.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::compare::{CompareError, Comparison};
use super::process::{Stopwatch, Usage};
use super::{Load, Mode, Order, Table};

/// What is run on a full table, in this order.
const COMMANDS: [&str; 3] =
    ["show table bench/t", "show table bench/t data.gpc0 gt 4000000000", "clear table bench/t"];
/// Between two questions of the other session.
const PAUSE: Duration = Duration::from_micros(200);
/// How long the other session asks while nothing else happens.
const IDLE: Duration = Duration::from_secs(2);

/// One command on one program.
#[derive(Clone, Debug)]
pub struct Stall {
    /// The command.
    pub command: &'static str,
    /// The program.
    pub program: PathBuf,
    /// The longest wait of the other session, and its p99, while nothing else happened.
    pub idle: [Duration; 2],
    /// The same meanwhile.
    pub meanwhile: [Duration; 2],
    /// How long the command took.
    pub took: Duration,
    /// Bytes of its answer, or of the updates.
    pub bytes: u64,
    /// Processor time of the program for each entry, that of the other session's questions included.
    pub cpu_ns: f64,
}

impl fmt::Display for Stall {
    #[expect(clippy::cast_precision_loss, reason = "bytes are far below 2^52")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.program.file_name().unwrap_or_default().to_string_lossy();
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        write!(
            f,
            "| `{}` | {name} | {:.2} / {:.2} | {:.2} / {:.2} | {:.0} | {:.0} | {:.0} |",
            self.command,
            ms(self.meanwhile[0]),
            ms(self.meanwhile[1]),
            ms(self.idle[0]),
            ms(self.idle[1]),
            ms(self.took),
            self.bytes as f64 / self.took.as_secs_f64() / 1e6,
            self.cpu_ns
        )
    }
}

/// The heading of the rows.
pub const HEADING: &str = "| command | program | longest wait of another session / p99, ms | the same while idle | took, ms | MB/s | CPU, ns an entry |
| --- | --- | --- | --- | --- | --- | --- |";

impl Comparison {
    /// Fills each program's table in turn, and runs the commands on it.
    ///
    /// # Errors
    /// When a program cannot be run, or does not answer.
    pub fn stalls(&self, mut progress: impl FnMut(&str)) -> Result<Vec<Stall>, CompareError> {
        let words = format!("{} size {}", self.words, self.entries.saturating_add(1024));
        let table = Table::new("/t", &words, false).map_err(CompareError::Table)?;
        let folder = tempfile::tempdir().map_err(CompareError::Configuration)?;
        let mut stalls = Vec::new();
        for program in [&self.haproxy, &self.stktabled] {
            let failed = |error| CompareError::Program { program: program.clone(), error };
            progress(&format!("filling {}", program.display()));
            let server = self.start(program, folder.path(), &words)?;
            let load = Load {
                target: server.address,
                remote: "target".to_owned(),
                local: "gen".to_owned(),
                connections: 1,
                table: table.clone(),
                entries: self.entries,
                order: Order::Random,
                pid: None,
                patience: self.patience,
            };
            let filled = load.run(Mode::Ingest);
            filled.map_err(|error| CompareError::Load { program: program.clone(), error })?;
            let idle = waits(&server.socket, || pause(IDLE)).map_err(failed)?.0;
            // What comes from a peer as fast as it can be taken holds up nobody either.
            progress(&format!("updates, {}", program.display()));
            let watch = Stopwatch::start(Some(server.child.id())).map_err(failed)?;
            let (meanwhile, updated) =
                waits(&server.socket, || load.run(Mode::ReUpdate)).map_err(failed)?;
            let updated =
                updated.map_err(|error| CompareError::Load { program: program.clone(), error })?;
            let usage = watch.stop().map_err(failed)?.1;
            stalls.push(Stall {
                command: "updates of a peer",
                program: program.clone(),
                idle,
                meanwhile,
                took: updated.elapsed,
                bytes: updated.bytes,
                cpu_ns: cpu_ns(usage, self.entries),
            });
            for command in COMMANDS {
                progress(&format!("{command}, {}", program.display()));
                let watch = Stopwatch::start(Some(server.child.id())).map_err(failed)?;
                let (meanwhile, answered) =
                    waits(&server.socket, || answer(&server.socket, command)).map_err(failed)?;
                let (took, bytes) = answered.map_err(failed)?;
                let usage = watch.stop().map_err(failed)?.1;
                stalls.push(Stall {
                    command,
                    program: program.clone(),
                    idle,
                    meanwhile,
                    took,
                    bytes,
                    cpu_ns: cpu_ns(usage, self.entries),
                });
            }
        }
        Ok(stalls)
    }
}

/// Returns the processor time for each entry.
fn cpu_ns(usage: Option<Usage>, entries: u32) -> f64 {
    let cpu = usage.map_or(Duration::ZERO, |usage| usage.cpu);
    cpu.as_secs_f64() * 1e9 / f64::from(entries)
}

/// Has another session ask for one key while `run` runs. Returns its longest wait and the p99 of its waits.
fn waits<T: Send>(socket: &Path, run: impl FnOnce() -> T + Send) -> io::Result<([Duration; 2], T)> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    ask(&mut stream, b"prompt\n")?;
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let running = scope.spawn(|| {
            let value = run();
            ended.store(true, Ordering::Relaxed);
            value
        });
        let mut waits = Histogram::<u64>::new(3).expect("a precision that there is");
        let asked = loop {
            let began = now();
            if let Err(error) = ask(&mut stream, b"show table bench/t key 192.0.2.1\n") {
                break Err(error);
            }
            waits += u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
            if ended.load(Ordering::Relaxed) {
                break Ok(());
            }
            pause(PAUSE);
        };
        let value = running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        asked?;
        let longest = [waits.max(), waits.value_at_quantile(0.99)];
        Ok((longest.map(Duration::from_nanos), value))
    })
}

/// Asks, and reads until there is a prompt again.
fn ask(stream: &mut UnixStream, command: &[u8]) -> io::Result<()> {
    stream.write_all(command)?;
    let mut seen = Vec::new();
    let mut buffer = [0; 1024];
    while !seen.ends_with(b"> ") {
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => seen.extend_from_slice(&buffer[..read]),
        }
    }
    Ok(())
}

/// Runs one command, and reads its answer to the end. Returns how long that took, and its bytes.
fn answer(socket: &Path, command: &str) -> io::Result<(Duration, u64)> {
    let mut stream = UnixStream::connect(socket)?;
    let began = now();
    stream.write_all(format!("{command}\n").as_bytes())?;
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok((began.elapsed(), bytes)),
            read => bytes += read as u64,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "nothing is to happen meanwhile")]
fn pause(time: Duration) {
    thread::sleep(time);
}

#[expect(clippy::disallowed_methods, reason = "measuring is what this is for")]
fn now() -> Instant {
    Instant::now()
}
