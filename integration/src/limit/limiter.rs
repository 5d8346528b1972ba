//! A request is counted, and judged by what the counts are then.

use core::cmp::Ordering;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use core::time::Duration;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::Response;
use stktable::data::freq_ctr::FreqSnapshot;
use stktable::table::{Glance, OwnedTracker, Value};
use stktable::{DataType, EntryRef, Tick};

use super::compile::{COUNTED_MAX, CompiledTier, Place, Rule};
use super::headers::{self, FieldValues};
use super::key::{Head, KeyWriter};
use super::refusal::{Exceeded, Reason, Refusal};
use super::rules::{Failing, LIMITS_MAX, Limits, TRACKED_MAX};
use super::wait;
use crate::clock::Clock;

use bytes::Bytes;

/// Counts requests, and says which are over a limit. Clones are the same limiter: the one that a layer has, and the one by which the
/// limits are changed meanwhile.
#[derive(Clone)]
pub struct Limiter(Arc<Shared>);

struct Shared {
    limits: ArcSwap<Limits>,
    time: Box<dyn Fn() -> Tick + Send + Sync>,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    passed: AtomicU64,
    allowed: AtomicU64,
    refused: AtomicU64,
    shadowed: AtomicU64,
    table_full: AtomicU64,
    keyless: AtomicU64,
}

/// What a limiter has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Requests that went on, those in shadow mode among them.
    pub passed: u64,
    /// Of those, the ones of networks that are always let in.
    pub allowed: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Requests that went on though a limit in shadow mode was exceeded.
    pub shadowed: u64,
    /// How often a request could not be counted since a table was full of entries in use.
    pub table_full: u64,
    /// How often a request could not be counted since a tier found no key.
    pub keyless: u64,
}

/// The requests that are under way hold their entries by these.
pub(super) type Guards = [Option<OwnedTracker>; TRACKED_MAX];

/// A request that goes on.
#[derive(Debug, Default)]
pub(super) struct Passed {
    pub(super) guards: Guards,
    pub(super) fields: Option<Box<FieldValues>>,
}

pub(super) enum Verdict {
    Pass(Passed),
    /// The same, with what it is marked with.
    Shadow(Passed, Box<Refusal>),
    Refuse(Box<Response<Bytes>>),
}

/// What a limit found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    /// With this request.
    value: u64,
    /// What stands in the table.
    counted: u64,
    exceeded: bool,
    /// Of one that is exceeded, when there is room; of another one, when all of it is there again, if that is asked for.
    time_ms: Option<u32>,
}

impl Reading {
    pub(super) const fn remaining(&self, rule: &Rule) -> u64 {
        rule.max.saturating_sub(self.counted)
    }

    pub(super) const fn time_ms(&self) -> Option<u32> {
        self.time_ms
    }

    /// The stricter one is less: what is exceeded for longer, or of which a smaller part is left.
    pub(super) fn compare(&self, rule: &Rule, other: &(&Rule, &Self)) -> Ordering {
        let (other_rule, other) = other;
        let wait = |reading: &Self| reading.time_ms.unwrap_or(u32::MAX);
        let part = |one: &Self, rule: &Rule, max: u64| {
            u128::from(one.remaining(rule)) * u128::from(max.max(1))
        };
        other.exceeded.cmp(&self.exceeded).then_with(|| match self.exceeded {
            true => wait(other).cmp(&wait(self)),
            false => part(self, rule, other_rule.max).cmp(&part(other, other_rule, rule.max)),
        })
    }
}

/// What is found while a request is looked at.
struct Outcome<'l> {
    limits: &'l Limits,
    readings: [Option<Reading>; LIMITS_MAX],
    guards: Guards,
    unable: Option<Reason>,
}

/// What a request adds in one tier.
struct Added {
    costs: [u32; COUNTED_MAX],
    /// What the columns of each event were with it; `None` where it is not known.
    values: [[Option<u64>; 2]; COUNTED_MAX],
    open: Option<u64>,
}

impl Limiter {
    /// Makes a limiter that goes by a clock: the one by which the tables' owner expires entries.
    #[must_use]
    pub fn new(limits: Limits, clock: Clock) -> Self {
        Self::with_time(limits, move || clock.now())
    }

    /// Makes a limiter to which this says what time it is. It should never go back.
    #[must_use]
    pub fn with_time(limits: Limits, time: impl Fn() -> Tick + Send + Sync + 'static) -> Self {
        let limits = ArcSwap::from_pointee(limits);
        Self(Arc::new(Shared { limits, time: Box::new(time), counts: Counts::default() }))
    }

    /// Replaces all limits, for the next request. What was counted is in the tables, and stays; what is under way is let go
    /// as it was begun. Nobody waits.
    pub fn set_limits(&self, limits: Limits) {
        self.0.limits.store(Arc::new(limits));
    }

    /// Returns what was done so far.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let counts = &self.0.counts;
        let [passed, allowed, refused, shadowed, table_full, keyless] = [
            &counts.passed,
            &counts.allowed,
            &counts.refused,
            &counts.shadowed,
            &counts.table_full,
            &counts.keyless,
        ]
        .map(|count| count.load(Relaxed));
        Statistics { passed, allowed, refused, shadowed, table_full, keyless }
    }

    fn count(&self, which: impl Fn(&Counts) -> &AtomicU64) {
        // Relaxed: numbers.
        which(&self.0.counts).fetch_add(1, Relaxed);
    }

    /// Counts a request and judges it.
    pub(super) fn judge(&self, mut head: Head<'_>) -> Verdict {
        let limits = self.0.limits.load();
        head.client = limits.client.address(&head);
        if head.client.is_some_and(|client| limits.allowed.contains(client)) {
            self.count(|counts| &counts.allowed);
            self.count(|counts| &counts.passed);
            return Verdict::Pass(Passed::default());
        }
        let now = (self.0.time)();
        let mut outcome = Outcome {
            limits: &limits,
            readings: [None; LIMITS_MAX],
            guards: Guards::default(),
            unable: None,
        };
        if !limits.count_refused {
            outcome.look(self, &head, now, false);
        }
        if !outcome.refuses() {
            outcome.look(self, &head, now, true);
        }
        outcome.verdict(self, &head)
    }
}

impl Outcome<'_> {
    /// Looks at every tier, and counts the request in it if asked to.
    fn look(&mut self, limiter: &Limiter, head: &Head<'_>, now: Tick, counts: bool) {
        let limits = self.limits;
        let mut first = 0;
        for tier in &limits.tiers {
            let at = first;
            first += tier.rules.len();
            let mut writer = KeyWriter::new(tier.table.declaration().key, tier.prefixes);
            let written = tier.key.write(head, &mut writer);
            let Some(key) = written.and_then(|()| writer.key()) else {
                if counts && !writer.is_elsewhere() {
                    self.unable.get_or_insert(Reason::NoKey);
                    limiter.count(|counts| &counts.keyless);
                }
                continue;
            };
            if counts && !tier.only_reads {
                let Some(added) = self.count(tier, &key, head, now, at) else {
                    self.unable = Some(Reason::TableFull);
                    limiter.count(|counts| &counts.table_full);
                    continue;
                };
                if let Some(tracker) = added
                    && let Some(place) = self.guards.iter_mut().find(|place| place.is_none())
                {
                    *place = Some(tracker);
                }
            } else {
                let added = Added::foreseen(tier, head);
                let found = tier.table.get_with(&key, now, |entry| {
                    self.read(tier, &entry, &added, now, at, false);
                });
                if found.is_none() {
                    self.read_absent(tier, &added, at);
                }
            }
        }
    }

    /// Counts a request in its entry. `None` where there is no room for one.
    fn count(
        &mut self,
        tier: &CompiledTier,
        key: &stktable::Key,
        head: &Head<'_>,
        now: Tick,
        at: usize,
    ) -> Option<Option<OwnedTracker>> {
        if !tier.tracks {
            let entry = tier.table.get_or_create(key, now).ok()?;
            let added = Added::to(tier, head, &entry, None, now);
            self.read(tier, &entry.glance(), &added, now, at, true);
            return Some(None);
        }
        let tracker = tier.table.track(key, now).ok()?;
        let added = Added::to(tier, head, &tracker, tracker.conn_cur(), now);
        self.read(tier, &tracker.glance(), &added, now, at, true);
        Some(Some(tracker.into_owned(tier.table.stick_table())))
    }

    /// Reads the limits of a tier. `done` says that the request is counted in what stands there.
    fn read(
        &mut self,
        tier: &CompiledTier,
        entry: &Glance<'_>,
        added: &Added,
        now: Tick,
        at: usize,
        done: bool,
    ) {
        let wants_time = self.limits.fields.any();
        for (rule, place) in tier.rules.iter().zip(self.readings.iter_mut().skip(at)) {
            *place = Some(read(rule, entry, added, now, done, wants_time));
        }
    }

    /// The same, of a key that has no entry.
    fn read_absent(&mut self, tier: &CompiledTier, added: &Added, at: usize) {
        for (rule, place) in tier.rules.iter().zip(self.readings.iter_mut().skip(at)) {
            let value = added.cost(rule);
            let exceeded = value > rule.max;
            *place = Some(Reading { value, counted: 0, exceeded, time_ms: None });
        }
    }

    /// Every limit that applies, and what it found.
    fn readings(&self) -> impl Iterator<Item = (&Rule, &Reading)> + Clone {
        let rules = self.limits.tiers.iter().flat_map(|tier| &tier.rules);
        rules.zip(&self.readings).filter_map(|(rule, reading)| Some((rule, reading.as_ref()?)))
    }

    fn exceeded(&self, shadow: bool) -> impl Iterator<Item = (&Rule, &Reading)> + Clone {
        self.readings().filter(move |(rule, reading)| reading.exceeded && rule.shadow == shadow)
    }

    fn refuses(&self) -> bool {
        self.exceeded(false).next().is_some()
    }

    fn verdict(self, limiter: &Limiter, head: &Head<'_>) -> Verdict {
        let limits = self.limits;
        let unable = self.unable.filter(|_| limits.failing == Failing::Closed);
        let reason = if self.refuses() { Some(Reason::Limit) } else { unable };
        if let Some(reason) = reason {
            limiter.count(|counts| &counts.refused);
            let refusal = self.refusal(reason, false);
            self.tell(&refusal, head);
            let mut response = match &limits.respond {
                Some(respond) => respond(&refusal, head),
                None => refusal.response(head),
            };
            if let Some(wait) = refusal.retry_after() {
                headers::retry_after(response.headers_mut(), wait.as_secs());
            }
            if let Some(fields) = self.fields() {
                fields.add_to(response.headers_mut());
            }
            return Verdict::Refuse(Box::new(response));
        }
        limiter.count(|counts| &counts.passed);
        let shadowed = self.exceeded(true).next().is_some().then(|| {
            limiter.count(|counts| &counts.shadowed);
            let refusal = self.refusal(Reason::Limit, true);
            self.tell(&refusal, head);
            Box::new(refusal)
        });
        let fields = self.fields();
        let passed = Passed { guards: self.guards, fields };
        match shadowed {
            None => Verdict::Pass(passed),
            Some(refusal) => Verdict::Shadow(passed, refusal),
        }
    }

    fn fields(&self) -> Option<Box<FieldValues>> {
        let limits = self.limits;
        limits.fields.any().then(|| FieldValues::of(limits.fields, &limits.policy, self.readings()))
    }

    fn refusal(&self, reason: Reason, shadow: bool) -> Refusal {
        let mut exceeded: Vec<_> = self.exceeded(shadow).collect();
        exceeded.sort_by(|one, other| one.1.compare(one.0, other));
        let limits = exceeded.into_iter().map(|(rule, reading)| Exceeded {
            name: Arc::clone(&rule.name),
            max: rule.max,
            reading: reading.value,
            wait: reading.time_ms.map(|ms| Duration::from_millis(ms.into())),
        });
        Refusal { reason, limits: limits.collect(), shadow }
    }

    fn tell(&self, refusal: &Refusal, head: &Head<'_>) {
        let limit = refusal.limits.first().map(|limit| &*limit.name);
        let (reason, client) = (refusal.reason, head.client);
        if refusal.shadow {
            tracing::info!(?reason, limit, ?client, "a request would have been refused");
        } else {
            tracing::debug!(?reason, limit, ?client, "a request is refused");
        }
        if let Some(call) = &self.limits.on_refusal {
            call(refusal, head);
        }
    }
}

impl Added {
    /// What a request would add.
    fn foreseen(tier: &CompiledTier, head: &Head<'_>) -> Self {
        let mut costs = [0; COUNTED_MAX];
        for (cost, event) in costs.iter_mut().zip(&tier.events) {
            *cost = event.cost.of(head);
        }
        Self { costs, values: [[None; 2]; COUNTED_MAX], open: None }
    }

    /// Adds it.
    fn to(
        tier: &CompiledTier,
        head: &Head<'_>,
        entry: &EntryRef<'_>,
        open: Option<u64>,
        now: Tick,
    ) -> Self {
        let mut added = Self { open, ..Self::foreseen(tier, head) };
        for ((event, cost), values) in tier.events.iter().zip(added.costs).zip(&mut added.values) {
            for (column, value) in event.columns.iter().zip(values) {
                if let Some(place) = column.filter(|_| cost > 0) {
                    let n = cost.div_ceil(place.factor.max(1));
                    *value = entry.add(place.data_type, place.element, n.into(), now);
                }
            }
        }
        // After the changes, so that peers are told of them.
        entry.touch(now);
        added
    }

    /// What a request adds to the value that a limit is on.
    fn cost(&self, rule: &Rule) -> u64 {
        match rule.counted {
            Some((event, _)) => self.costs.get(event).copied().unwrap_or(0).into(),
            None if rule.tracked => 1,
            None => 0,
        }
    }

    /// What the value was with the request in it, and nothing that came later.
    fn value(&self, rule: &Rule) -> Option<u64> {
        match rule.counted {
            Some((event, column)) => *self.values.get(event)?.get(column)?,
            None if rule.tracked => self.open,
            None => None,
        }
    }
}

fn read(
    rule: &Rule,
    entry: &Glance<'_>,
    added: &Added,
    now: Tick,
    done: bool,
    wants_time: bool,
) -> Reading {
    let Place { data_type, element, period_ms, factor } = rule.place;
    let factor = u64::from(factor.max(1));
    let cost = added.cost(rule);
    let stands = entry.value(data_type, element, now);
    let Some(Value::Rate { age_ms, current, previous }) = stands else {
        let stands = match stands {
            Some(Value::Uint(value)) => value.into(),
            Some(Value::Sint(value)) => u64::try_from(value).unwrap_or(0),
            Some(Value::Ull(value)) => value,
            Some(Value::Rate { .. }) | None => 0,
        };
        let counted = added.value(rule).unwrap_or(stands);
        let value = if done { counted } else { counted.saturating_add(cost) };
        let exceeded = value > rule.max;
        // A counter ends with its entry, which nobody holds. What is under way ends when it does.
        let fits = data_type != DataType::ConnCur && cost <= rule.max;
        let time_ms = (fits && (exceeded || wants_time)).then(|| entry.expires_in(now));
        let time_ms = time_ms.filter(|ms| *ms != 0);
        return Reading { value, counted, exceeded, time_ms };
    };
    let stands = FreqSnapshot { start: now.low().wrapping_sub(age_ms), current, previous };
    // As it was with this request: of several at once, each has another reading.
    let own = added.value(rule).and_then(|own| u32::try_from(own).ok());
    let seen = match own.filter(|own| *own <= current) {
        Some(own) => FreqSnapshot { current: own, ..stands },
        None => stands,
    };
    let blocks = |bytes: u64| u32::try_from(bytes.div_ceil(factor)).unwrap_or(u32::MAX);
    let cost = blocks(cost);
    let counted = u64::from(seen.read(now, period_ms)) * factor;
    let value = match done {
        true => counted,
        false => u64::from(wait::reading(seen, now, period_ms, 0, cost)) * factor,
    };
    let exceeded = value > rule.max;
    let max = u32::try_from(rule.max / factor).unwrap_or(u32::MAX);
    let time_ms = if exceeded {
        wait::until_it_fits(stands, now, period_ms, max, cost)
    } else if wants_time {
        wait::until_it_fits(stands, now, period_ms, 0, 0)
    } else {
        None
    };
    Reading { value, counted, exceeded, time_ms }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter")
            .field("limits", &self.0.limits.load())
            .field("statistics", &self.statistics())
            .finish_non_exhaustive()
    }
}
