//! HAProxy and `stktabled` under the same load, one after the other in one run, part by part.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Figures, Load, LoadError, Mode, Order, Table, decode};

/// Whom to compare, and with how much.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The program of HAProxy.
    pub haproxy: PathBuf,
    /// Ours.
    pub stktabled: PathBuf,
    /// What is declared on both sides, but for the size.
    pub words: String,
    /// How many entries.
    pub entries: u32,
    /// How often each part is run; the median counts.
    pub rounds: u32,
    /// How long to wait for anything.
    pub patience: Duration,
}

/// Why there is no comparison.
#[derive(Debug)]
#[non_exhaustive]
pub enum CompareError {
    /// A program cannot be run, or does not listen.
    Program {
        /// Which.
        program: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A part failed.
    Load {
        /// Under which program.
        program: PathBuf,
        /// How.
        error: LoadError,
    },
    /// The words declare no table.
    Table(super::TableError),
    /// The configuration cannot be written.
    Configuration(io::Error),
}

impl fmt::Display for CompareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program { program, error } => write!(f, "{}: {error}", program.display()),
            Self::Load { program, error } => write!(f, "{}: {error}", program.display()),
            Self::Table(error) => error.fmt(f),
            Self::Configuration(error) => write!(f, "the configuration: {error}"),
        }
    }
}

impl std::error::Error for CompareError {}

/// One line of the comparison.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// What both came to, HAProxy first; `None` where only ours was measured.
    pub theirs: Option<f64>,
    /// Ours.
    pub ours: f64,
    /// The unit of both.
    pub unit: &'static str,
    /// How many times better ours is than what it is compared with.
    pub ratio: f64,
    /// What is compared with.
    pub beside: &'static str,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, ours, unit, ratio, beside, .. } = self;
        let theirs = self.theirs.map_or_else(|| "–".to_owned(), |theirs| format!("{theirs:.3}"));
        write!(f, "| {what} | {theirs} | {ours:.3} | {unit} | {ratio:.2} × {beside} |")
    }
}

/// The heading of the rows.
pub const HEADING: &str = "| figure | HAProxy | stktabled | unit | ratio |
| --- | --- | --- | --- | --- |";

const CPU: &str = "s of CPU per million";
const THEIRS: &str = "less than HAProxy";
/// How many connections the parts with several have.
const CONNECTIONS: u32 = 4;

/// The parts that are run on one fresh process each: how the table is filled, and what follows.
const PARTS: [(&str, Order, u32); 3] = [
    ("ascending keys", Order::Ascending, 1),
    ("random keys", Order::Random, 1),
    ("random keys, 4 connections", Order::Random, CONNECTIONS),
];

/// A process that ends with this.
pub(super) struct Server {
    pub(super) child: Child,
    pub(super) address: SocketAddr,
    /// Of its commands.
    pub(super) socket: PathBuf,
    program: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What one program came to in one part of one round.
struct Part {
    figures: [Figures; 3],
}

impl Part {
    fn cpu(&self, mode: Mode) -> f64 {
        let figures = self.figures.iter().find(|figures| figures.mode == mode);
        figures.and_then(Figures::cpu_per_million).unwrap_or(f64::NAN)
    }

    fn memory(&self) -> f64 {
        self.figures[0].memory_per_entry().unwrap_or(f64::NAN)
    }
}

impl Comparison {
    /// Runs every part on both programs, in turn, and returns the rows. `progress` is told what is being done.
    ///
    /// # Errors
    /// When a program cannot be run, or a part fails.
    pub fn run(&self, mut progress: impl FnMut(&str)) -> Result<Vec<Row>, CompareError> {
        let words = format!("{} size {}", self.words, self.entries.saturating_add(1024));
        let table = Table::new("/t", &words, false).map_err(CompareError::Table)?;
        let folder = tempfile::tempdir().map_err(CompareError::Configuration)?;
        // By part, then theirs and ours, then by round.
        let mut reached: [[Vec<Part>; 2]; PARTS.len()] = Default::default();
        for round in 0..self.rounds {
            for (at, (name, order, connections)) in PARTS.into_iter().enumerate() {
                for (side, program) in [&self.haproxy, &self.stktabled].into_iter().enumerate() {
                    progress(&format!("round {}: {name}, {}", round + 1, program.display()));
                    let part =
                        self.part(program, folder.path(), &words, &table, order, connections)?;
                    for figures in &part.figures {
                        progress(&format!("    {figures}"));
                    }
                    reached[at][side].push(part);
                }
            }
        }
        progress("the decoder alone");
        let decoded = decode::measure(&table, self.entries, 5);
        Ok(rows(&reached, decoded.mops()))
    }

    fn part(
        &self,
        program: &Path,
        folder: &Path,
        words: &str,
        table: &Table,
        order: Order,
        connections: u32,
    ) -> Result<Part, CompareError> {
        let server = self.start(program, folder, words)?;
        let load = Load {
            target: server.address,
            remote: "target".to_owned(),
            local: "gen".to_owned(),
            connections,
            table: table.clone(),
            entries: self.entries,
            order,
            pid: Some(server.child.id()),
            patience: self.patience,
        };
        let run = |mode| {
            load.run(mode)
                .map_err(|error| CompareError::Load { program: server.program.clone(), error })
        };
        Ok(Part { figures: [run(Mode::Ingest)?, run(Mode::ReUpdate)?, run(Mode::Teach)?] })
    }

    #[expect(clippy::disallowed_methods, reason = "another process cannot be waited for otherwise")]
    pub(super) fn start(
        &self,
        program: &Path,
        folder: &Path,
        words: &str,
    ) -> Result<Server, CompareError> {
        let failed = |error| CompareError::Program { program: program.to_owned(), error };
        let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        drop(listener);
        let socket = folder.join("api.sock");
        let mut configuration = format!(
            "global\n    stats socket {} mode 600 level admin\n    stats timeout 60s\npeers bench\n    peer target {address}\n",
            socket.display()
        );
        for number in 1..=CONNECTIONS {
            // Nobody listens there: the load calls, and is not called.
            configuration += &format!("    peer gen{number} 127.0.0.1:1\n");
        }
        configuration += &format!("    table t {words}\n");
        let file = folder.join("bench.cfg");
        std::fs::write(&file, configuration).map_err(CompareError::Configuration)?;
        let mut command = Command::new(program);
        if program == self.haproxy {
            command.arg("-db");
        }
        command.args(["-L", "target", "-f"]).arg(&file);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().map_err(failed)?;
        let mut server = Server { child, address, socket, program: program.to_owned() };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Some(status) = server.child.try_wait().map_err(failed)? {
                return Err(failed(io::Error::other(format!("ended with {status}"))));
            }
            if began.elapsed() > self.patience {
                return Err(failed(io::Error::other("does not listen")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn rows(reached: &[[Vec<Part>; 2]; PARTS.len()], decoded: f64) -> Vec<Row> {
    let of = |part: usize, side: usize, figure: &dyn Fn(&Part) -> f64| {
        median(reached[part][side].iter().map(figure).collect())
    };
    let mut rows = Vec::new();
    for (part, (name, _, connections)) in PARTS.into_iter().enumerate() {
        for (mode, what) in [
            (Mode::Ingest, "learn new entries"),
            (Mode::ReUpdate, "learn them again"),
            (Mode::Teach, "teach"),
        ] {
            if connections > 1 && mode == Mode::Teach {
                continue;
            }
            let [theirs, ours] = [0, 1].map(|side| of(part, side, &|part| part.cpu(mode)));
            rows.push(Row {
                what: format!("{what}, {name}"),
                theirs: Some(theirs),
                ours,
                unit: CPU,
                ratio: theirs / ours,
                beside: THEIRS,
            });
        }
    }
    for (mode, what) in [
        (Mode::Ingest, "learn new entries, 4 connections against 1"),
        (Mode::ReUpdate, "learn them again, 4 connections against 1"),
    ] {
        let [one, four] = [1, 2].map(|part| of(part, 1, &|part| part.cpu(mode)));
        let what = what.to_owned();
        let beside = "what 1 connection costs";
        rows.push(Row { what, theirs: None, ours: four, unit: CPU, ratio: four / one, beside });
    }
    let [ascending, random] = [0, 1].map(|part| of(part, 1, &|part| part.cpu(Mode::Teach)));
    rows.push(Row {
        what: "teach, filled with random keys against ascending".to_owned(),
        theirs: None,
        ours: random,
        unit: CPU,
        ratio: random / ascending,
        beside: "what ascending costs",
    });
    let [theirs, ours] = [0, 1].map(|side| of(1, side, &Part::memory));
    rows.push(Row {
        what: "resident memory per entry, random keys".to_owned(),
        theirs: Some(theirs),
        ours,
        unit: "bytes",
        ratio: ours / theirs,
        beside: "what HAProxy needs",
    });
    rows.push(Row {
        what: "decoder alone".to_owned(),
        theirs: None,
        ours: decoded,
        unit: "M updates/s a core",
        ratio: decoded / 30.0,
        beside: "30 M/s",
    });
    rows
}
