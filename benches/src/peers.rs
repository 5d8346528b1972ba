//! A load generator for whoever speaks HAProxy's peers protocol, and what its load costs the other side.
//!
//! Each connection is a peer of its own, since a section keeps one session for each name. What is sent is made beforehand,
//! so that the generator does little but write while it measures; a part ends when the last update was acknowledged, or
//! the end of the lesson was seen. What the target spends is asked of the system.

pub mod cli;
pub mod compare;
mod connection;
pub mod decode;
pub mod lookups;
pub mod process;
pub mod stalls;
mod traffic;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use connection::Connection;
use process::{Stopwatch, Usage};
pub use traffic::{Order, Table, TableError};

/// What is asked of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// Sends every entry once. New ones, if the target is empty.
    Ingest,
    /// Sends every entry once more, with other values, in another session.
    ReUpdate,
    /// Asks to be taught everything, and counts what comes.
    Teach,
}

impl Mode {
    /// Returns the name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::ReUpdate => "re-update",
            Self::Teach => "teach",
        }
    }
}

/// Whom to load, and how.
#[derive(Clone, Debug)]
pub struct Load {
    /// Where the target listens.
    pub target: SocketAddr,
    /// The name of the target.
    pub remote: String,
    /// What our names begin with: a number from 1 follows, for each connection.
    pub local: String,
    /// How many connections share the entries.
    pub connections: u32,
    /// The table, and what is sent of it.
    pub table: Table,
    /// How many entries.
    pub entries: u32,
    /// In which order their keys come.
    pub order: Order,
    /// The process of the target, if it is to be looked at.
    pub pid: Option<u32>,
    /// How long to wait for the target, at any moment.
    pub patience: Duration,
}

/// Why there is no figure.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoadError {
    /// The connection of this name failed.
    Io {
        /// Our name.
        local: String,
        /// How.
        error: io::Error,
    },
    /// The target does not do what it should.
    Target {
        /// Our name.
        local: String,
        /// What it does.
        what: String,
    },
    /// The process of the target cannot be looked at.
    Process {
        /// Its number.
        pid: u32,
        /// Why.
        error: io::Error,
    },
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { local, error } => write!(f, "connection of {local}: {error}"),
            Self::Target { local, what } => write!(f, "connection of {local}: {what}"),
            Self::Process { pid, error } => write!(f, "process {pid}: {error}"),
        }
    }
}

impl std::error::Error for LoadError {}

/// What one part came to.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// What was asked for.
    pub mode: Mode,
    /// Updates sent, or taught.
    pub updates: u64,
    /// Bytes of them, definitions included.
    pub bytes: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// What the process of the target used meanwhile, and had afterwards.
    pub usage: Option<Usage>,
    /// Entries that were sent, for the memory of each.
    entries: u32,
}

impl Figures {
    /// Returns the processor time of the target for a million updates, in seconds.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "updates are far below 2^52")]
    pub fn cpu_per_million(&self) -> Option<f64> {
        let cpu = self.usage?.cpu.as_secs_f64();
        (self.updates != 0).then(|| cpu * 1e6 / self.updates as f64)
    }

    /// Returns by how many bytes each entry made the target grow. Says nothing unless the table was empty before.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "bytes are far below 2^52")]
    pub fn memory_per_entry(&self) -> Option<f64> {
        let grown = self.usage?.grown_bytes?;
        (self.mode == Mode::Ingest).then(|| grown as f64 / f64::from(self.entries.max(1)))
    }
}

impl fmt::Display for Figures {
    #[expect(clippy::cast_precision_loss, reason = "updates and bytes are far below 2^52")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.elapsed.as_secs_f64();
        let updates = self.updates as f64;
        write!(
            f,
            "{}: {} updates in {seconds:.3} s, {:.2} M/s, {:.1} bytes each",
            self.mode.name(),
            self.updates,
            updates / seconds / 1e6,
            self.bytes as f64 / updates.max(1.0)
        )?;
        if let Some(cpu) = self.cpu_per_million() {
            write!(f, "; target: {cpu:.3} s of processor time per million")?;
        }
        if let Some(bytes) = self.memory_per_entry() {
            write!(f, ", {bytes:.0} bytes of memory per entry")?;
        }
        Ok(())
    }
}

impl Load {
    /// Runs one part.
    ///
    /// # Errors
    /// When a connection fails, the target refuses us or answers nothing for too long, or its process cannot be looked at.
    pub fn run(&self, mode: Mode) -> Result<Figures, LoadError> {
        match mode {
            // Other values than before, so that a mistake shows in the table.
            Mode::Ingest => self.send(mode, 1),
            Mode::ReUpdate => self.send(mode, 2),
            Mode::Teach => self.learn(),
        }
    }

    fn name(&self, number: u32) -> String {
        format!("{}{}", self.local, number + 1)
    }

    fn connect(&self, number: u32) -> Result<Connection, LoadError> {
        Connection::open(self.target, &self.remote, &self.name(number), self.patience)
    }

    fn stopwatch(&self) -> Result<Stopwatch, LoadError> {
        Stopwatch::start(self.pid)
            .map_err(|error| LoadError::Process { pid: self.pid.unwrap_or(0), error })
    }

    fn stop(&self, watch: Stopwatch) -> Result<(Duration, Option<Usage>), LoadError> {
        watch.stop().map_err(|error| LoadError::Process { pid: self.pid.unwrap_or(0), error })
    }

    fn send(&self, mode: Mode, value: u32) -> Result<Figures, LoadError> {
        let shares = traffic::shares(self.entries, self.connections);
        let sent: Vec<_> =
            shares.map(|share| self.table.updates(share, self.order, value)).collect();
        let bytes = sent.iter().map(|sent| sent.bytes.len() as u64).sum();
        let mut connections = Vec::new();
        for number in 0..self.connections {
            connections.push(self.connect(number)?);
        }
        let start = Barrier::new(connections.len() + 1);
        let (watch, results) = thread::scope(|scope| {
            let start = &start;
            let work = |(connection, sent): (Connection, traffic::Sent)| {
                scope.spawn(move || {
                    start.wait();
                    connection.send(&sent)
                })
            };
            let threads: Vec<_> = connections.into_iter().zip(sent).map(work).collect();
            let watch = self.stopwatch();
            start.wait();
            let results: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
            (watch, results)
        });
        let (elapsed, usage) = self.stop(watch?)?;
        for result in results {
            result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        let (updates, entries) = (u64::from(self.entries), self.entries);
        Ok(Figures { mode, updates, bytes, elapsed, usage, entries })
    }

    fn learn(&self) -> Result<Figures, LoadError> {
        let connection = self.connect(0)?;
        let watch = self.stopwatch()?;
        let lesson = connection.learn()?;
        let (elapsed, usage) = self.stop(watch)?;
        let (mode, updates, bytes) = (Mode::Teach, lesson.updates, lesson.bytes);
        Ok(Figures { mode, updates, bytes, elapsed, usage, entries: self.entries })
    }
}
