//! Numbers with a unit: sizes and times.

use super::DeclareErrorKind as Kind;
use crate::tick::DELAY_MAX_MS;

/// Returns the number that `text` begins with and what follows it. A number past 64 bits is the largest.
fn leading(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    if digits.is_empty() {
        return None;
    }
    Some((digits.parse().unwrap_or(u64::MAX), unit))
}

fn bad(argument: &'static str, rest: &str) -> Kind {
    match rest.chars().next() {
        Some(character) => Kind::BadCharacter { argument, character },
        None => Kind::MissingArgument { argument },
    }
}

/// Returns a count with an optional `k`, `m` or `g`, in powers of 1024, in either case.
pub(super) fn size(argument: &'static str, text: &str) -> Result<u32, Kind> {
    let (number, unit) = leading(text).ok_or_else(|| bad(argument, text))?;
    let mut rest = unit.chars();
    let shift = match rest.next() {
        None => 0,
        Some('k' | 'K') => 10,
        Some('m' | 'M') => 20,
        Some('g' | 'G') => 30,
        Some(_) => return Err(bad(argument, unit)),
    };
    if !rest.as_str().is_empty() {
        return Err(bad(argument, rest.as_str()));
    }
    let scaled = number.checked_mul(1 << shift).and_then(|scaled| u32::try_from(scaled).ok());
    scaled.ok_or(Kind::Overflow { argument, max: u32::MAX })
}

/// Returns a time in milliseconds, at most [`DELAY_MAX_MS`]. Microseconds are rounded up, but fewer than
/// 1000 of them are an underflow.
pub(super) fn time_ms(argument: &'static str, text: &str, min_ms: u32) -> Result<u32, Kind> {
    let (number, unit) = leading(text).ok_or_else(|| bad(argument, text))?;
    let name = ["us", "ms", "s", "m", "h", "d"].into_iter().find(|name| *name == unit);
    let factor_ms: u64 = match name {
        Some("us") if (1..1000).contains(&number) => {
            return Err(Kind::Underflow { argument, min_ms });
        }
        Some("us") => return within(argument, number.div_ceil(1000)),
        Some("ms") => 1,
        None if unit.is_empty() => 1,
        Some("s") => 1000,
        Some("m") => 60 * 1000,
        Some("h") => 60 * 60 * 1000,
        Some("d") => 24 * 60 * 60 * 1000,
        _ => {
            // Report the first character past the longest unit that the text begins with.
            let known = ["us", "ms", "s", "m", "h", "d"].into_iter().find(|u| unit.starts_with(u));
            return Err(bad(argument, &unit[known.map_or(0, str::len)..]));
        }
    };
    within(argument, number.saturating_mul(factor_ms))
}

fn within(argument: &'static str, ms: u64) -> Result<u32, Kind> {
    match u32::try_from(ms) {
        Ok(ms) if ms <= DELAY_MAX_MS => Ok(ms),
        _ => Err(Kind::Overflow { argument, max: DELAY_MAX_MS }),
    }
}
