//! The file that keeps the tables from one start to the next.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use stktable_integration::runtime_api::SaveState;
use stktable_integration::shared::Part;
use stktable_integration::state::{self, Saved, StateError};
use stktable_integration::{Clock, SharedTable};
use tokio::sync::{Mutex, oneshot};
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval};

/// How often the file is written unless told otherwise.
const EVERY: Duration = Duration::from_secs(60);

/// Reads and writes the file.
#[derive(Clone, Debug)]
pub(crate) struct StateFile {
    path: PathBuf,
    every: Duration,
    clock: Clock,
    /// One at a time writes it.
    writing: Arc<Mutex<()>>,
}

/// The tables that are kept, which change when the configuration is read again.
pub(crate) type Kept = Arc<ArcSwap<Vec<Arc<SharedTable>>>>;

/// Writes it when it is asked for.
pub(crate) struct OnDemand {
    pub(crate) file: StateFile,
    pub(crate) tables: Kept,
}

impl SaveState for OnDemand {
    fn save(&self) -> oneshot::Receiver<Result<String, String>> {
        let (told, asked) = oneshot::channel();
        let (file, tables) = (self.file.clone(), self.tables.load_full());
        tokio::spawn(async move {
            let began = file.clock.now();
            let saved = file.write(&tables).await.map(|saved| {
                let took_ms = file.clock.now().since(began);
                format!(
                    "{}: {} entries, {} bytes, in {took_ms} ms",
                    file.path.display(),
                    saved.entries,
                    saved.bytes
                )
            });
            // Whoever asked may be gone.
            let _ = told.send(saved);
        });
        asked
    }
}

/// The tables whose entries nobody else has: sums are made anew of what the sources say.
fn kept(tables: &[Arc<SharedTable>]) -> Vec<Arc<SharedTable>> {
    tables.iter().filter(|table| matches!(table.part(), Part::Shared)).cloned().collect()
}

impl StateFile {
    pub(crate) fn new(path: PathBuf, every: Option<Duration>, clock: Clock) -> Self {
        Self { path, every: every.unwrap_or(EVERY), clock, writing: Arc::default() }
    }

    /// Fills the tables, and says what came of it. A file that is not as it was written is put aside, not overwritten; the tables are
    /// empty then, and peers may fill them.
    pub(crate) async fn load(&self, tables: &[Arc<SharedTable>]) {
        let (path, clock, tables) = (self.path.clone(), self.clock, kept(tables));
        let loaded =
            spawn_blocking(move || state::load(&tables, &path, clock.now(), clock.wall())).await;
        match flatten(loaded) {
            Ok(Ok(loaded)) => {
                for skipped in &loaded.tables_skipped {
                    tracing::warn!(table = skipped.table, "in the state file, but {}", skipped.why);
                }
                tracing::info!(
                    file = %self.path.display(),
                    entries = loaded.entries,
                    over = loaded.over,
                    refused = loaded.refused,
                    skipped = loaded.skipped,
                    age_s = loaded.age.as_secs(),
                    "state loaded"
                );
            }
            Ok(Err(error)) if error.is_missing() => {
                tracing::info!(file = %self.path.display(), "no state file yet");
            }
            Ok(Err(error)) => {
                let aside = aside(&self.path);
                match std::fs::rename(&self.path, &aside) {
                    Ok(()) => tracing::error!("{error}; it is kept as {}", aside.display()),
                    Err(_) => tracing::error!("{error}"),
                }
            }
            Err(error) => tracing::error!("reading the state file: {error}"),
        }
    }

    /// Writes the file every now and then, for as long as the future is polled.
    pub(crate) async fn keep(&self, tables: &Kept) {
        let mut turns = interval(self.every);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first comes at once.
        turns.tick().await;
        loop {
            turns.tick().await;
            self.save(&tables.load_full()).await;
        }
    }

    /// Writes the file, and says so.
    pub(crate) async fn save(&self, tables: &[Arc<SharedTable>]) {
        match self.write(tables).await {
            Ok(saved) => tracing::debug!(
                file = %self.path.display(),
                entries = saved.entries,
                bytes = saved.bytes,
                "state saved"
            ),
            Err(error) => tracing::error!("{error}"),
        }
    }

    async fn write(&self, tables: &[Arc<SharedTable>]) -> Result<Saved, String> {
        let _alone = self.writing.lock().await;
        let (path, clock, tables) = (self.path.clone(), self.clock, kept(tables));
        let saved: Result<Result<Saved, StateError>, JoinError> =
            spawn_blocking(move || state::save(&tables, &path, clock.now(), clock.wall())).await;
        match flatten(saved) {
            Ok(Ok(saved)) => Ok(saved),
            Ok(Err(error)) => Err(format!("{error}; the file is as it was")),
            Err(error) => Err(format!("writing the state file: {error}")),
        }
    }
}

/// A panic of ours goes on where it is waited for; otherwise the runtime is ending.
fn flatten<T>(joined: Result<T, JoinError>) -> io::Result<T> {
    joined.map_err(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(error) => io::Error::other(error),
    })
}

/// Where a file goes that cannot be read.
fn aside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".damaged");
    name.into()
}
