//! Traffic that nobody sent.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use stktable::table::{Event, TableFull, Tracker};
use stktable::{DataType, Key, KeySpec, StickTable, Tick};
use stktable_integration::{Clock, SharedTable};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

/// What is said of it.
pub(super) const ABOUT: &str = "\
Both count requests of clients and API keys, some of them popular, and short
sessions. Each counts keys of its own (a: 10.1.*, a-*, 1*; b: 10.2.*, b-*, 2*):
peers overwrite what they learn, they do not add to it.
";

/// How often something happens.
const STEP: Duration = Duration::from_millis(10);
/// What happens then.
const CLIENTS_PER_STEP: u32 = 20;
const KEYS_PER_STEP: u32 = 10;
const SESSIONS_PER_STEP: u32 = 3;
/// How many there are on each node.
const CLIENTS: f64 = 4_000.0;
const KEYS: f64 = 1_000.0;
/// The first session of a node, by its number.
const SESSIONS: u32 = 1_000_000_000;

/// Counts on the tables of a node, the first or the second, until it is told to stop.
pub(super) async fn run(
    tables: Vec<Arc<SharedTable>>,
    node: u8,
    clock: Clock,
    mut stopped: watch::Receiver<bool>,
) {
    let [clients, keys, sessions] = tables.as_slice() else { return };
    let mut random = StdRng::seed_from_u64(u64::from(node));
    let mut session = SESSIONS * u32::from(node);
    let mut steps = interval(STEP);
    steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Connections stay open from one step to the next.
    let mut open: Vec<Tracker<'_>> = Vec::new();
    loop {
        tokio::select! {
            _ = steps.tick() => {}
            _ = stopped.changed() => return,
        }
        let now = clock.now();
        open.clear();
        for _ in 0..CLIENTS_PER_STEP {
            // The tables are large enough; what finds no room is not counted.
            open.extend(request(clients, node, &mut random, now));
        }
        for _ in 0..KEYS_PER_STEP {
            let _ = key(keys, node, &mut random, now);
        }
        for _ in 0..SESSIONS_PER_STEP {
            session = session.wrapping_add(1);
            let _ = begin(sessions, session, &mut random, now);
        }
    }
}

/// Draws one of `n`: the second half as popular as the first, the third a third.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a small positive number"
)]
fn zipf(n: f64, random: &mut StdRng) -> u32 {
    n.powf(random.random::<f64>()) as u32
}

fn made(key: Result<Key, stktable::KeyError>) -> Key {
    key.expect("bytes of the width of their type")
}

fn request<'t>(
    table: &'t StickTable,
    node: u8,
    random: &mut StdRng,
    now: Tick,
) -> Result<Tracker<'t>, TableFull> {
    let [_, _, high, low] = zipf(CLIENTS, random).to_be_bytes();
    let client = table.track(&made(KeySpec::IP.key(&[10, node, high, low])), now)?;
    client.count(Event::HttpRequest, 1, now);
    client.count(Event::BytesOut, random.random_range(200..20_000), now);
    if random.random_ratio(1, 20) {
        client.count(Event::HttpError, 1, now);
    }
    client.touch(now);
    Ok(client)
}

fn key(table: &StickTable, node: u8, random: &mut StdRng, now: Tick) -> Result<(), TableFull> {
    let name = format!("{}-{}", if node == 1 { 'a' } else { 'b' }, zipf(KEYS, random));
    let entry = table.get_or_create(&made(table.declaration().key.key(name.as_bytes())), now)?;
    entry.count(Event::Gpc0, 1, now);
    if random.random_ratio(1, 50) {
        // Declared; and if it were not, the demo goes on.
        let _ = entry.set(DataType::Gpt0, 0, random.random_range(0..10), now);
    }
    entry.touch(now);
    Ok(())
}

fn begin(table: &StickTable, number: u32, random: &mut StdRng, now: Tick) -> Result<(), TableFull> {
    let entry = table.get_or_create(&made(KeySpec::INTEGER.key(&number.to_be_bytes())), now)?;
    entry.count(Event::BytesIn, random.random_range(100..2_000), now);
    entry.touch(now);
    Ok(())
}
