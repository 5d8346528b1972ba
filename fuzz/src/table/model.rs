//! The model: what a table with one user, and all the time in the world, would do.

use std::collections::BTreeMap;

use stktable::declare::Declaration;
use stktable::table::{Event, Value};
use stktable::{Column, DataType, Storage};

use super::rate::Rate;

/// The value of one element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// 32 bits, which wrap.
    Narrow(u32),
    /// 64 bits, which wrap.
    Wide(u64),
    /// Events per period.
    Rate(Rate),
}

/// An entry.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Tells it from an earlier entry of the same key.
    pub instance: u64,
    /// The tick at which it is over; of the last touch where nothing expires.
    pub date: u64,
    /// References that are held.
    pub holders: u32,
    /// The latest date under which it can be filed.
    pub filed_max: u64,
    /// The step at which it was touched last, `None` while it never was.
    pub touched: Option<u64>,
    /// Values by data type and element.
    pub numbers: BTreeMap<(DataType, u32), Number>,
}

/// The table.
#[derive(Debug)]
pub struct Model {
    /// What was declared.
    pub declaration: Declaration,
    /// Those that may still be there, by number of the key.
    pub entries: BTreeMap<u8, Entry>,
    /// The time.
    pub now: u64,
    /// The latest time that the table was told.
    pub clock: u64,
    instances: u64,
}

impl Model {
    /// Makes an empty table.
    #[must_use]
    pub const fn new(declaration: Declaration, now: u64) -> Self {
        Self { declaration, entries: BTreeMap::new(), now, clock: 0, instances: 0 }
    }

    /// Returns the time to live.
    #[must_use]
    pub const fn delay(&self) -> u64 {
        self.declaration.expire_ms as u64
    }

    /// The length of a coarse tick, in bits: about 512 of them make a delay.
    #[must_use]
    pub fn granule(&self) -> u32 {
        match self.declaration.expire_ms {
            0 => 10,
            delay => (delay / 512).checked_ilog2().unwrap_or(0).clamp(3, 12),
        }
    }

    /// Returns the end of the coarse tick that a date is in.
    #[must_use]
    pub fn due(&self, date: u64) -> u64 {
        ((date >> self.granule()) + 1) << self.granule()
    }

    /// Whether an entry is past its date.
    #[must_use]
    pub fn is_over(&self, entry: &Entry, now: u64) -> bool {
        self.delay() != 0 && entry.date <= now
    }

    /// Whether an entry is past its date, and nobody holds it: absent, whether it was taken or not.
    #[must_use]
    pub fn is_absent(&self, entry: &Entry) -> bool {
        entry.holders == 0 && self.is_over(entry, self.now)
    }

    /// Returns the entry of a key, after a look at the key has taken one that is absent.
    pub fn look(&mut self, number: u8) -> Option<&mut Entry> {
        self.clock = self.now;
        self.look_without_time(number)
    }

    /// As [`look`](Self::look), where the table does not note the time.
    pub fn look_without_time(&mut self, number: u8) -> Option<&mut Entry> {
        if self.entries.get(&number).is_some_and(|entry| self.is_absent(entry)) {
            self.entries.remove(&number);
        }
        self.entries.get_mut(&number)
    }

    /// Creates an entry.
    pub fn create(&mut self, number: u8, date: u64) -> &mut Entry {
        self.instances += 1;
        let mut numbers = BTreeMap::new();
        for Column { data_type, elements, .. } in &self.declaration.columns {
            let number = match data_type.storage() {
                Storage::Sint | Storage::Uint => Number::Narrow(0),
                Storage::Ull => Number::Wide(0),
                Storage::Rate => Number::Rate(Rate::default()),
                Storage::Dict => continue,
            };
            for element in 0..*elements {
                numbers.insert((*data_type, element), number);
            }
        }
        let instance = self.instances;
        let entry = Entry { instance, date, holders: 0, filed_max: date, touched: None, numbers };
        self.entries.entry(number).insert_entry(entry).into_mut()
    }

    /// Notes that a sweep may have filed what is over and held a delay ahead.
    pub fn refile(&mut self) {
        let (now, delay) = (self.now, self.delay());
        for entry in self.entries.values_mut() {
            if delay != 0 && entry.holders != 0 && entry.date <= now {
                entry.filed_max = entry.filed_max.max(now + delay);
            }
        }
    }

    /// Notes that everything that was due has been looked at.
    pub fn swept(&mut self) {
        self.refile();
        let keep = |model: &Self, entry: &Entry| {
            !model.is_absent(entry) || model.due(entry.filed_max) > model.now
        };
        let gone: Vec<u8> = self
            .entries
            .iter()
            .filter(|(_, e)| !keep(self, e))
            .map(|(number, _)| *number)
            .collect();
        for number in gone {
            self.entries.remove(&number);
        }
    }

    /// Returns how many entries are there for certain, and how many there can be.
    #[must_use]
    pub fn used(&self) -> (u32, u32) {
        let certain = self.entries.values().filter(|entry| !self.is_absent(entry)).count();
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        (count(certain), count(self.entries.len()))
    }

    /// Returns a column.
    #[must_use]
    pub fn period(&self, data_type: DataType) -> u32 {
        self.declaration.column(data_type).map_or(0, |column| column.period_ms)
    }

    /// Refreshes an entry that was changed at a step.
    pub fn touch(&mut self, number: u8, now: u64, step: u64) {
        self.clock = self.clock.max(now);
        let date = now + self.delay();
        if let Some(entry) = self.entries.get_mut(&number) {
            entry.date = date;
            entry.filed_max = entry.filed_max.max(date);
            entry.touched = Some(step);
        }
    }

    /// Adds to an element; whether it is stored.
    #[expect(clippy::cast_possible_truncation, reason = "cut to its width")]
    pub fn add(&mut self, number: u8, data_type: DataType, element: u32, n: u64) -> bool {
        let (now, period) = (self.now, self.period(data_type));
        let entry = self.entries.get_mut(&number);
        match entry.and_then(|entry| entry.numbers.get_mut(&(data_type, element))) {
            None => return false,
            Some(Number::Narrow(value)) => *value = value.wrapping_add(n as u32),
            Some(Number::Wide(value)) => *value = value.wrapping_add(n),
            Some(Number::Rate(rate)) => rate.add(now, period, n as u32),
        }
        true
    }

    /// Counts an event, in the columns that the reference names, or in the arrays that stand for them.
    pub fn count(&mut self, number: u8, event: Event, n: u64) {
        use DataType as D;
        let plain = |total, rate| [[(total, 0), (total, 0)], [(rate, 0), (rate, 0)]];
        let columns = match event {
            Event::Session => plain(D::SessCnt, D::SessRate),
            Event::HttpRequest => plain(D::HttpReqCnt, D::HttpReqRate),
            Event::HttpError => plain(D::HttpErrCnt, D::HttpErrRate),
            Event::HttpFailure => plain(D::HttpFailCnt, D::HttpFailRate),
            Event::BytesIn => plain(D::BytesInCnt, D::BytesInRate),
            Event::BytesOut => plain(D::BytesOutCnt, D::BytesOutRate),
            Event::Glitch => plain(D::GlitchCnt, D::GlitchRate),
            Event::Connection => plain(D::ConnCnt, D::ConnRate),
            Event::Gpc0 => [[(D::Gpc0, 0), (D::Gpc, 0)], [(D::Gpc0Rate, 0), (D::GpcRate, 0)]],
            Event::Gpc1 => [[(D::Gpc1, 0), (D::Gpc, 1)], [(D::Gpc1Rate, 0), (D::GpcRate, 1)]],
            Event::Gpc(at) => [[(D::Gpc, at); 2], [(D::GpcRate, at); 2]],
        };
        let factor = u64::from(self.declaration.brates_factor);
        for [first, second] in columns {
            // Byte rates count blocks, begun ones too.
            let in_blocks = matches!(first.0, D::BytesInRate | D::BytesOutRate);
            let n = if in_blocks { n.div_ceil(factor) } else { n };
            if !self.add(number, first.0, first.1, n) && first != second {
                self.add(number, second.0, second.1, n);
            }
        }
    }

    /// Sets an element; whether it is stored.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "cut to its width")]
    pub fn set(&mut self, number: u8, data_type: DataType, element: u32, value: i64) -> bool {
        let now = self.now;
        let entry = self.entries.get_mut(&number);
        match entry.and_then(|entry| entry.numbers.get_mut(&(data_type, element))) {
            None => return false,
            Some(Number::Narrow(there)) => *there = value as u32,
            Some(Number::Wide(there)) => *there = value as u64,
            Some(Number::Rate(rate)) => rate.set(now, value as u32),
        }
        true
    }

    /// Stores a value that a peer sent.
    pub fn store(&mut self, number: u8, data_type: DataType, element: u32, value: Value) {
        if data_type == DataType::ConnCur && !self.declaration.recv_only {
            return;
        }
        let (now, period) = (self.now, self.period(data_type));
        let entry = self.entries.get_mut(&number);
        let there = entry.and_then(|entry| entry.numbers.get_mut(&(data_type, element)));
        match (there, value) {
            (Some(Number::Narrow(there)), Value::Uint(value)) => *there = value,
            (Some(Number::Narrow(there)), Value::Sint(value)) => *there = value.cast_unsigned(),
            (Some(Number::Wide(there)), Value::Ull(value)) => *there = value,
            (Some(Number::Rate(rate)), Value::Rate { age_ms, current, previous }) => {
                rate.learn(now, age_ms, current, previous, period);
            }
            (there, _) => assert_eq!(there, None, "of another storage"),
        }
    }
}
