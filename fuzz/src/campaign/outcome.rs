//! What an engine says of what it tried.

use std::time::Duration;

/// Lines of a failure that are kept.
const LINES_MAX: usize = 60;

/// What was tried.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Outcome {
    /// Inputs of the corpus.
    pub(super) corpus: u64,
    /// Inputs in all.
    pub(super) executions: u64,
    pub(super) seconds: f64,
}

impl Outcome {
    /// Reads the line that bolero ends a test with: `test NAME ... run time: 1.2s | iterations/s: 5 | corpus inputs: 3 | rng inputs: 4`.
    pub(super) fn read(line: &str) -> Option<Self> {
        let (_, rest) = line.split_once("run time: ")?;
        let mut parts = rest.split(" | ");
        let seconds = seconds(parts.next()?)?;
        let mut outcome = Self { corpus: 0, executions: 0, seconds };
        for part in parts {
            let Some((label, count)) = part.split_once(" inputs: ") else { continue };
            let count = count.trim().parse::<u64>().ok()?;
            outcome.executions += count;
            if label == "corpus" {
                outcome.corpus = count;
            }
        }
        Some(outcome)
    }

    /// Reads what libFuzzer says: `#123 DONE ..`, after `INFO: seed corpus: files: 3 ..`.
    pub(super) fn read_libfuzzer(said: &str, seconds: f64) -> Option<Self> {
        let count =
            |line: &str| line.strip_prefix('#')?.split_whitespace().next()?.parse::<u64>().ok();
        let executions = said.lines().filter_map(count).max()?;
        let corpus = said.lines().find_map(|line| {
            line.split_once("seed corpus: files: ")?.1.split_whitespace().next()?.parse().ok()
        });
        Some(Self { corpus: corpus.unwrap_or(0), executions, seconds })
    }
}

/// Reads a time as std writes it.
fn seconds(text: &str) -> Option<f64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.trim().split_at(digits);
    let number: f64 = number.parse().ok()?;
    let unit = match unit {
        "s" => Duration::from_secs(1),
        "ms" => Duration::from_millis(1),
        "µs" => Duration::from_micros(1),
        "ns" => Duration::from_nanos(1),
        _ => return None,
    };
    Some(number * unit.as_secs_f64())
}

/// Returns what a test said when it failed, and the seed of the input.
pub(super) fn failure(said: &str) -> (String, Option<String>) {
    let seed = said.lines().find_map(|line| {
        let (_, rest) = line.split_once("BOLERO_RANDOM_SEED=")?;
        let seed: String = rest.chars().take_while(char::is_ascii_digit).collect();
        (!seed.is_empty()).then_some(seed)
    });
    let lines: Vec<_> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    let more = lines.len().saturating_sub(LINES_MAX);
    let mut text = lines[..lines.len() - more].join("\n");
    if more > 0 {
        text += &format!("\n({more} lines more)");
    }
    (text, seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_engines_say_is_read() {
        let line = "test any_line ...\trun time: 1.5s | iterations/s: 6 | corpus inputs: 3 | rng inputs: 6 | exit reason: max duration (1s) exceeded";
        assert_eq!(Outcome::read(line), Some(Outcome { corpus: 3, executions: 9, seconds: 1.5 }));
        let line = "test x ...\trun time: 306.25ms | iterations/s: 6931 | rng inputs: 2123";
        assert_eq!(
            Outcome::read(line),
            Some(Outcome { corpus: 0, executions: 2123, seconds: 0.30625 })
        );
        for other in
            ["", "test x ... ok", "run time: soon | rng inputs: 1", "run time: 1s | rng inputs: x"]
        {
            assert_eq!(Outcome::read(other), None, "{other}");
        }
        let said = "INFO: seed corpus: files: 12 min: 1b\n#2\tINITED cov: 5\n#4096\tpulse\n#9000\tDONE cov: 7\n";
        assert_eq!(
            Outcome::read_libfuzzer(said, 2.0),
            Some(Outcome { corpus: 12, executions: 9000, seconds: 2.0 })
        );
        assert_eq!(Outcome::read_libfuzzer("error", 2.0), None);
    }
}
