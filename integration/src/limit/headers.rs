//! What clients are told of their limits.

use core::fmt::Write as _;

use http::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use stktable::DataType;

use super::compile::{CompiledTier, Rule};
use super::limiter::Reading;
use super::rules::Fields;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const X_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const X_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const X_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// The largest Integer of a structured field.
const INTEGER_MAX: u64 = 999_999_999_999_999;

/// Returns whole seconds, never less than these milliseconds.
pub(super) const fn seconds(ms: u32) -> u32 {
    ms.div_ceil(1000)
}

/// Writes the policies, which are the same for all requests: `"name";q=100;w=10`.
pub(super) fn policy(tiers: &[CompiledTier]) -> HeaderValue {
    let mut text = String::new();
    for rule in tiers.iter().flat_map(|tier| &tier.rules).filter(|rule| !rule.shadow) {
        item(&mut text, rule, 'q', rule.max);
        if rule.place.data_type.is_rate() {
            let _ = write!(text, ";w={}", seconds(rule.place.period_ms));
        }
        let unit = match rule.place.data_type {
            DataType::ConnCur => "concurrent-requests",
            DataType::BytesInCnt
            | DataType::BytesInRate
            | DataType::BytesOutCnt
            | DataType::BytesOutRate => "content-bytes",
            _ => continue,
        };
        let _ = write!(text, ";qu=\"{unit}\"");
    }
    value(text)
}

fn item(text: &mut String, rule: &Rule, parameter: char, number: u64) {
    let comma = if text.is_empty() { "" } else { ", " };
    let _ = write!(text, "{comma}\"{}\";{parameter}={}", rule.name, number.min(INTEGER_MAX));
}

fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("printable ASCII: names are checked")
}

/// The fields of one response.
#[derive(Clone, Debug)]
pub(super) struct FieldValues {
    policy: Option<HeaderValue>,
    ratelimit: Option<HeaderValue>,
    /// Limit, what remains, and seconds.
    x: Option<(u64, u64, u32)>,
}

impl FieldValues {
    /// Writes the readings of the limits that apply to a request. Of a limit that refuses, the time is when to come back; of another one
    /// when the whole of it is there again, if nothing is asked meanwhile.
    pub(super) fn of<'r>(
        fields: Fields,
        policy: &HeaderValue,
        readings: impl Iterator<Item = (&'r Rule, &'r Reading)> + Clone,
    ) -> Box<Self> {
        let readings = readings.filter(|(rule, _)| !rule.shadow);
        let mut standard = String::new();
        if fields.standard {
            for (rule, reading) in readings.clone() {
                item(&mut standard, rule, 'r', reading.remaining(rule));
                if let Some(ms) = reading.time_ms() {
                    let _ = write!(standard, ";t={}", seconds(ms));
                }
            }
        }
        let x = fields.x.then(|| {
            let (rule, reading) = readings.min_by(|one, other| one.1.compare(one.0, other))?;
            Some((rule.max, reading.remaining(rule), reading.time_ms().map_or(0, seconds)))
        });
        Box::new(Self {
            policy: (fields.standard && !policy.is_empty()).then(|| policy.clone()),
            ratelimit: (!standard.is_empty()).then(|| value(standard)),
            x: x.flatten(),
        })
    }

    /// Adds the fields to a response, beside those that the service set.
    pub(super) fn add_to(self, headers: &mut HeaderMap) {
        for (name, value) in [(POLICY, self.policy), (RATELIMIT, self.ratelimit)] {
            if let Some(value) = value {
                headers.append(name, value);
            }
        }
        if let Some((limit, remaining, reset)) = self.x {
            headers.entry(X_LIMIT).or_insert_with(|| limit.into());
            headers.entry(X_REMAINING).or_insert_with(|| remaining.into());
            headers.entry(X_RESET).or_insert_with(|| reset.into());
        }
    }
}

/// Says when to come back, unless the response does.
pub(super) fn retry_after(headers: &mut HeaderMap, seconds: u64) {
    headers.entry(RETRY_AFTER).or_insert_with(|| seconds.into());
}
