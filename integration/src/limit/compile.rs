//! Limits as they are looked at: checked against their tables, and with the columns that a request counts in.

use std::collections::HashSet;
use std::sync::Arc;

use stktable::declare::Declaration;
use stktable::{Column, DataType};

use super::key::{KeyOf, Prefixes};
use super::rules::{Cost, LIMITS_MAX, Limit, LimitError, TIERS_MAX, TRACKED_MAX, Tier, is_number};
use crate::shared::SharedTable;

/// The most columns that a request counts in, in one tier.
pub(super) const COUNTED_MAX: usize = 16;

/// A tier that was checked.
pub(super) struct CompiledTier {
    pub(super) table: Arc<SharedTable>,
    pub(super) key: Arc<dyn KeyOf>,
    pub(super) prefixes: Prefixes,
    pub(super) events: Box<[Counted]>,
    pub(super) rules: Box<[Rule]>,
    /// `conn_cur` is limited: a request holds its entry.
    pub(super) tracks: bool,
    /// Nothing is counted.
    pub(super) only_reads: bool,
}

/// One event that a request is, and the columns that count it.
#[derive(Debug)]
pub(super) struct Counted {
    event: (Event, u32),
    pub(super) cost: Cost,
    /// A total, a rate, or both.
    pub(super) columns: [Option<Place>; 2],
}

/// One element of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) data_type: DataType,
    pub(super) element: u32,
    /// Of a rate.
    pub(super) period_ms: u32,
    /// What counts as one.
    pub(super) factor: u32,
}

/// A limit that was checked.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) name: Arc<str>,
    pub(super) place: Place,
    pub(super) max: u64,
    pub(super) shadow: bool,
    /// A request raises `conn_cur` itself.
    pub(super) tracked: bool,
    /// The event that a request adds to the value, and which of its columns that is.
    pub(super) counted: Option<(usize, usize)>,
}

/// A total and a rate that count the same.
type Event = (DataType, DataType);

/// Returns what counts the same as a type, and which of it that is. Single general purpose counters are elements of the arrays.
fn event(data_type: DataType, element: u32) -> Option<(Event, u32)> {
    use DataType as D;
    if let Some((array, at)) = data_type.in_array().filter(|(array, _)| *array != D::Gpt) {
        return event(array, at);
    }
    let pairs = [
        (D::ConnCnt, D::ConnRate),
        (D::SessCnt, D::SessRate),
        (D::HttpReqCnt, D::HttpReqRate),
        (D::HttpErrCnt, D::HttpErrRate),
        (D::HttpFailCnt, D::HttpFailRate),
        (D::BytesInCnt, D::BytesInRate),
        (D::BytesOutCnt, D::BytesOutRate),
        (D::Gpc, D::GpcRate),
        (D::GlitchCnt, D::GlitchRate),
    ];
    let pair = pairs.into_iter().find(|pair| pair.0 == data_type || pair.1 == data_type)?;
    Some((pair, element))
}

const CONNECTION: Event = (DataType::ConnCnt, DataType::ConnRate);

fn is_bytes((total, _): Event) -> bool {
    matches!(total, DataType::BytesInCnt | DataType::BytesOutCnt)
}

/// Returns the element itself, if it is stored.
fn stored(table: &Declaration, data_type: DataType, element: u32) -> Option<Place> {
    let Column { elements, period_ms, .. } = table.column(data_type)?;
    let factor = match data_type {
        DataType::BytesInRate | DataType::BytesOutRate => table.brates_factor,
        _ => 1,
    };
    (element < elements).then_some(Place { data_type, element, period_ms, factor })
}

/// Returns where a type is read, which may be in the array that stands for it.
fn read(table: &Declaration, data_type: DataType, element: u32) -> Option<Place> {
    stored(table, data_type, element).or_else(|| {
        let (array, at) = data_type.in_array().filter(|_| element == 0)?;
        stored(table, array, at)
    })
}

/// Returns where a type of an event is counted: in the array, or in a single counter that is its element.
fn counted_in(table: &Declaration, data_type: DataType, element: u32) -> Option<Place> {
    stored(table, data_type, element).or_else(|| {
        let singles = DataType::ALL.iter().copied();
        let mut same = singles.filter(|single| single.in_array() == Some((data_type, element)));
        same.find_map(|single| stored(table, single, 0))
    })
}

/// Checks all tiers.
pub(super) fn tiers(tiers: Vec<Tier>) -> Result<Box<[CompiledTier]>, LimitError> {
    let too_many = |count: usize, max: usize| {
        if count > max { Err(LimitError::TooMany(max)) } else { Ok(()) }
    };
    too_many(tiers.len(), TIERS_MAX)?;
    too_many(tiers.iter().map(|tier| tier.limits.len()).sum(), LIMITS_MAX)?;
    let tiers: Box<[CompiledTier]> = tiers.into_iter().map(tier).collect::<Result<_, _>>()?;
    too_many(tiers.iter().filter(|tier| tier.tracks).count(), TRACKED_MAX)?;
    let mut names = HashSet::new();
    for rule in tiers.iter().flat_map(|tier| &tier.rules) {
        if !names.insert(&rule.name) {
            return Err(LimitError::NameTwice(rule.name.to_string()));
        }
    }
    Ok(tiers)
}

fn tier(tier: Tier) -> Result<CompiledTier, LimitError> {
    let Tier { table, key, prefixes, limits, counts } = tier;
    let wrong = |bits: Option<u8>, most| bits.filter(|bits| *bits > most);
    if let Some(bits) = wrong(prefixes.v4, 32).or_else(|| wrong(prefixes.v6, 128)) {
        return Err(LimitError::Prefix(bits));
    }
    let declared = table.declaration();
    let tracks = limits.iter().any(|limit| is_open(limit) && counts_in(&limit.cost));
    let mut events = Vec::new();
    for limit in limits.iter().filter(|limit| counts_in(&limit.cost) && !is_open(limit)) {
        add(&mut events, declared, tracks, limit.data_type, limit.element, &limit.cost)?;
    }
    for (data_type, element, cost) in &counts {
        add(&mut events, declared, tracks, *data_type, *element, cost)?;
    }
    let rules = limits.into_iter().map(|limit| rule(declared, limit, &events));
    let rules: Box<[Rule]> = rules.collect::<Result<_, _>>()?;
    if events.len() > COUNTED_MAX {
        return Err(LimitError::TooMany(COUNTED_MAX));
    }
    let only_reads = events.is_empty() && !tracks;
    Ok(CompiledTier { key, prefixes, events: events.into(), rules, tracks, only_reads, table })
}

fn is_open(limit: &Limit) -> bool {
    limit.data_type == DataType::ConnCur
}

const fn counts_in(cost: &Cost) -> bool {
    !matches!(cost, Cost::Observed)
}

/// Adds an event that is counted, or finds it among those that are.
fn add(
    events: &mut Vec<Counted>,
    table: &Declaration,
    tracks: bool,
    data_type: DataType,
    element: u32,
    cost: &Cost,
) -> Result<(), LimitError> {
    if !is_number(data_type) {
        return Err(LimitError::NotANumber(data_type));
    }
    let event = event(data_type, element).ok_or(LimitError::NotCounted(data_type))?;
    if read(table, data_type, element).is_none() {
        let table = table.local_name();
        return Err(LimitError::NotStored { table, data_type, element });
    }
    if is_bytes(event.0) && matches!(cost, Cost::One) {
        return Err(LimitError::NeedsCost(data_type));
    }
    if tracks && event.0 == CONNECTION {
        // The tracker counts it.
        let is_one = matches!(cost, Cost::One | Cost::Constant(1));
        return if is_one { Ok(()) } else { Err(LimitError::CostsDiffer(data_type)) };
    }
    if let Some(same) = events.iter_mut().find(|other| other.event == event) {
        return match (&same.cost, cost) {
            (_, Cost::One) => Ok(()),
            (Cost::One, _) => {
                same.cost = cost.clone();
                Ok(())
            }
            (Cost::Constant(one), Cost::Constant(other)) if one == other => Ok(()),
            _ => Err(LimitError::CostsDiffer(data_type)),
        };
    }
    let ((total, rate), element) = event;
    let columns = [counted_in(table, total, element), counted_in(table, rate, element)];
    events.push(Counted { event, cost: cost.clone(), columns });
    Ok(())
}

fn rule(table: &Declaration, limit: Limit, events: &[Counted]) -> Result<Rule, LimitError> {
    let Limit { data_type, element, max, name, cost, shadow } = limit;
    if !is_number(data_type) {
        return Err(LimitError::NotANumber(data_type));
    }
    if matches!((data_type, &cost), (DataType::ConnCur, Cost::Constant(_) | Cost::By(_))) {
        return Err(LimitError::NotCounted(data_type));
    }
    let Some(place) = read(table, data_type, element) else {
        let table = table.local_name();
        return Err(LimitError::NotStored { table, data_type, element });
    };
    let name = name.unwrap_or_else(|| match element {
        0 => format!("{}.{data_type}", table.local_name()),
        _ => format!("{}.{data_type}({element})", table.local_name()),
    });
    // What a String of a structured field has without escapes.
    let fits = |byte: u8| matches!(byte, 0x20..=0x7e) && byte != b'"' && byte != b'\\';
    if name.is_empty() || !name.bytes().all(fits) {
        return Err(LimitError::Name(name));
    }
    let counted = counts_in(&cost).then(|| {
        events.iter().enumerate().find_map(|(at, event)| {
            let column = event.columns.iter().position(|column| *column == Some(place))?;
            Some((at, column))
        })
    });
    let tracked = data_type == DataType::ConnCur && counts_in(&cost);
    Ok(Rule { name: name.into(), place, max, shadow, tracked, counted: counted.flatten() })
}

impl std::fmt::Debug for CompiledTier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tier")
            .field("table", &self.table.declaration().local_name())
            .field("prefixes", &self.prefixes)
            .field("events", &self.events)
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}
