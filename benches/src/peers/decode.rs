//! The decoder alone: how many updates a core reads, every value of each included.

use std::hint::black_box;
use std::time::{Duration, Instant};

use stktable_integration::peers::codec::{Decoder, Message, Rate, RawUpdate, SenderTable, Value};

use super::traffic::{Order, Table};

/// What was reached.
#[derive(Clone, Copy, Debug)]
pub struct Decoded {
    /// Updates of one pass.
    pub updates: u64,
    /// The shortest of the passes.
    pub elapsed: Duration,
}

impl Decoded {
    /// Returns millions of updates a second.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "updates are far below 2^52")]
    pub fn mops(&self) -> f64 {
        self.updates as f64 / self.elapsed.as_secs_f64() / 1e6
    }
}

/// Decodes as many updates of `table` several times over.
///
/// # Panics
/// When the decoder refuses what the encoder wrote.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "measuring is what this is for")]
pub fn measure(table: &Table, entries: u32, passes: u32) -> Decoded {
    let sent = table.updates(0..entries, Order::Random, 1);
    let mut elapsed = Duration::MAX;
    for _ in 0..passes {
        let began = Instant::now();
        let updates = pass(&sent.bytes);
        elapsed = elapsed.min(began.elapsed());
        assert_eq!(updates, u64::from(entries), "what was written is read");
    }
    Decoded { updates: u64::from(entries), elapsed }
}

/// Decodes everything, as a session does. Returns how many updates there were.
fn pass(mut bytes: &[u8]) -> u64 {
    let decoder = Decoder::new();
    let mut table: Option<SenderTable> = None;
    let (mut updates, mut sum) = (0, 0_u64);
    loop {
        while let Some((update, size)) = decoder.decode_update(bytes) {
            let Some(table) = &table else { break };
            bytes = &bytes[size..];
            updates += 1;
            sum = sum.wrapping_add(read(&update, table));
        }
        let Some((message, size)) = decoder.decode(bytes).expect("from the encoder") else { break };
        bytes = &bytes[size..];
        match (message, &table) {
            (Message::Definition(definition), _) => {
                table = definition.table().expect("from the encoder").ok();
            }
            (Message::Update(update), Some(table)) => {
                updates += 1;
                sum = sum.wrapping_add(read(&update, table));
            }
            _ => {}
        }
    }
    black_box(sum);
    updates
}

/// Reads an update and every value of it.
fn read(update: &RawUpdate<'_>, table: &SenderTable) -> u64 {
    let update = update.decode(table).expect("from the encoder");
    let mut sum = u64::from(update.id().unwrap_or(0));
    update.values().for_each(|element| {
        let value = match element.value {
            Value::Uint(value) => u64::from(value),
            Value::Ull(value) => value,
            Value::Rate(Rate { elapsed_ms, current, previous }) => {
                u64::from(elapsed_ms) + u64::from(current) + u64::from(previous)
            }
            Value::Sint(value) => value.unsigned_abs().into(),
            Value::Dict(_) => 0,
        };
        sum = sum.wrapping_add(value);
    });
    black_box(update.key_bytes());
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_update_is_read() {
        let table = Table::new("/t", "type ip size 1 store gpc0,conn_rate(10s)", true).unwrap();
        assert_eq!(measure(&table, 1000, 1).updates, 1000);
    }
}
