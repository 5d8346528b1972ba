//! How what several sources say of one key becomes one value.
//!
//! Everything is taken at one instant. Counters are added as they are, since each source's is the whole of what it counted; rates
//! are brought to that instant first. Sums are made in 128 bits and cut to what the type holds at the end.

use std::fmt;
use std::str::FromStr;

use stktable::data::Storage;
use stktable::table::Value;
use stktable::{DataType, Declaration};

/// How values of several sources become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// All of them together.
    Sum,
    /// The largest.
    Max,
    /// The smallest, of the sources that know the key.
    Min,
    /// That of the source that touched the key last.
    Last,
    /// That of the first source that knows the key.
    Any,
}

impl Rule {
    /// All rules.
    pub const ALL: [Self; 5] = [Self::Sum, Self::Max, Self::Min, Self::Last, Self::Any];

    /// Returns the rule of a type where nothing else is said: what is counted is added, what is set is taken from whoever
    /// touched the key last.
    #[must_use]
    pub const fn of(data_type: DataType) -> Self {
        if data_type.is_as_is() { Self::Last } else { Self::Sum }
    }

    /// Returns whether it can be applied to this type: a name is not added.
    #[must_use]
    pub fn fits(self, data_type: DataType) -> bool {
        data_type.storage() != Storage::Dict || matches!(self, Self::Last | Self::Any)
    }

    /// Returns its word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Max => "max",
            Self::Min => "min",
            Self::Last => "last",
            Self::Any => "any",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Rule {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|rule| rule.name() == word).ok_or(())
    }
}

/// One value of an entry, and how it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element {
    /// What is read of each source.
    pub from: DataType,
    /// What is written.
    pub into: DataType,
    /// Of an array which element, else 0.
    pub index: u32,
    /// How.
    pub rule: Rule,
    /// Of a rate.
    pub period_ms: u32,
}

impl Element {
    /// Returns what is made of a table, by the rules given and else by [`Rule::of`].
    #[must_use]
    pub fn all(source: &Declaration, combine: &[Combine]) -> Vec<Self> {
        let of = |column: &stktable::Column| {
            let given = combine.iter().find(|given| given.from == column.data_type);
            let rule = given.map_or(Rule::of(column.data_type), |given| given.rule);
            let into = given.and_then(|given| given.into).unwrap_or(column.data_type);
            let (from, period_ms) = (column.data_type, column.period_ms);
            (0..column.elements).map(move |index| Self { from, into, index, rule, period_ms })
        };
        source.columns.iter().flat_map(of).collect()
    }
}

/// What is said of how a type is combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Combine {
    /// The type at the sources.
    pub from: DataType,
    /// How.
    pub rule: Rule,
    /// The type that it becomes, if another.
    pub into: Option<DataType>,
}

/// What the sources that were asked so far say of one value.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    sources: u32,
    /// Of the one whose value stands here, for how long nobody touched the key.
    idle_ms: u32,
    /// Of all types but rates.
    number: i128,
    /// Of rates.
    rate: Rates,
}

/// A rate, or several together.
#[derive(Clone, Copy, Debug, Default)]
struct Rates {
    /// Of the youngest, of those that are not over.
    age_ms: Option<u32>,
    current: u64,
    /// What is left of the previous periods, times the period.
    left: u128,
}

/// A rate at the instant of the sum: its age is below its period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rate {
    age_ms: u32,
    current: u32,
    previous: u32,
}

impl Rate {
    /// Brings what was counted to the instant that it is `age_ms` old at. `None` if nothing is left of it.
    const fn at(age_ms: u32, current: u32, previous: u32, period_ms: u32) -> Option<Self> {
        let rate = if age_ms < period_ms {
            Self { age_ms, current, previous }
        } else if age_ms - period_ms < period_ms {
            Self { age_ms: age_ms - period_ms, current: 0, previous: current }
        } else {
            return None;
        };
        if rate.current == 0 && rate.previous == 0 { None } else { Some(rate) }
    }

    /// What is left of the previous period, times the period.
    fn left(self, period_ms: u32) -> u128 {
        u128::from(self.previous) * u128::from(period_ms - self.age_ms)
    }

    /// The events of the last period, times the period.
    fn reading(self, period_ms: u32) -> u128 {
        u128::from(self.current) * u128::from(period_ms) + self.left(period_ms)
    }
}

impl Rates {
    fn add(&mut self, rate: Rate, period_ms: u32) {
        self.age_ms = Some(self.age_ms.map_or(rate.age_ms, |age_ms| age_ms.min(rate.age_ms)));
        self.current += u64::from(rate.current);
        self.left += rate.left(period_ms);
    }

    fn replace(&mut self, rate: Option<Rate>, period_ms: u32) {
        *self = Self::default();
        if let Some(rate) = rate {
            self.add(rate, period_ms);
        }
    }

    fn reading(&self, period_ms: u32) -> u128 {
        u128::from(self.current) * u128::from(period_ms) + self.left
    }

    /// The rate, and whether it was cut. It reads what all of them read together, and as its period is that of the youngest it
    /// fades no sooner than they do.
    fn value(&self, period_ms: u32) -> (Value, bool) {
        let age_ms = self.age_ms.unwrap_or(0);
        // Of what is to be left of it now.
        let rest = u128::from(period_ms - age_ms);
        let previous = (self.left + rest / 2) / rest;
        let cut = |wide: u128| u32::try_from(wide).map_or((u32::MAX, true), |value| (value, false));
        let (current, current_cut) = cut(self.current.into());
        let (previous, previous_cut) = cut(previous);
        (Value::Rate { age_ms, current, previous }, current_cut || previous_cut)
    }
}

impl Sum {
    /// Takes what one more source says. Names are not its business.
    pub fn add(&mut self, element: Element, value: Value, idle_ms: u32) {
        let period = element.period_ms.max(1);
        let first = self.sources == 0;
        self.sources += 1;
        let takes = match element.rule {
            Rule::Sum => false,
            Rule::Any => first,
            Rule::Last => first || idle_ms < self.idle_ms,
            Rule::Max | Rule::Min => first,
        };
        if takes {
            self.idle_ms = idle_ms;
        }
        let number = match value {
            Value::Sint(value) => i128::from(value),
            Value::Uint(value) => i128::from(value),
            Value::Ull(value) => i128::from(value),
            Value::Rate { age_ms, current, previous } => {
                let rate = Rate::at(age_ms, current, previous, period);
                let reading = rate.map_or(0, |rate| rate.reading(period));
                match element.rule {
                    Rule::Sum => {
                        if let Some(rate) = rate {
                            self.rate.add(rate, period);
                        }
                    }
                    Rule::Max if reading > self.rate.reading(period) => {
                        self.rate.replace(rate, period);
                    }
                    Rule::Min if reading < self.rate.reading(period) => {
                        self.rate.replace(rate, period);
                    }
                    _ if takes => self.rate.replace(rate, period),
                    _ => {}
                }
                return;
            }
        };
        self.number = match element.rule {
            Rule::Sum => self.number + number,
            Rule::Max if !takes => self.number.max(number),
            Rule::Min if !takes => self.number.min(number),
            _ if takes => number,
            _ => self.number,
        };
    }

    /// Returns the value, and whether it is less than the sum because the type holds no more.
    #[must_use]
    pub fn value(&self, element: Element) -> (Value, bool) {
        fn cut<T: TryFrom<i128>>(number: i128, limits: [T; 2]) -> (T, bool) {
            let [low, high] = limits;
            match T::try_from(number) {
                Ok(value) => (value, false),
                Err(_) => (if number < 0 { low } else { high }, true),
            }
        }
        match element.into.storage() {
            Storage::Sint => {
                let (value, is_cut) = cut(self.number, [i32::MIN, i32::MAX]);
                (Value::Sint(value), is_cut)
            }
            Storage::Uint => {
                let (value, is_cut) = cut(self.number, [0, u32::MAX]);
                (Value::Uint(value), is_cut)
            }
            Storage::Ull | Storage::Dict => {
                let (value, is_cut) = cut(self.number, [0, u64::MAX]);
                (Value::Ull(value), is_cut)
            }
            Storage::Rate => self.rate.value(element.period_ms.max(1)),
        }
    }
}

/// Whether two values are the same for whoever reads them from now on.
#[must_use]
pub fn same(ours: Value, other: Value, period_ms: u32) -> bool {
    let rate = |value| match value {
        Value::Rate { age_ms, current, previous } => {
            Some(Rate::at(age_ms, current, previous, period_ms.max(1)))
        }
        _ => None,
    };
    match (rate(ours), rate(other)) {
        (Some(ours), Some(other)) => ours == other,
        _ => ours == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Element = Element {
        from: DataType::HttpReqRate,
        into: DataType::HttpReqRate,
        index: 0,
        rule: Rule::Sum,
        period_ms: 1000,
    };
    const COUNT: Element = Element {
        from: DataType::HttpReqCnt,
        into: DataType::HttpReqCnt,
        index: 0,
        rule: Rule::Sum,
        period_ms: 0,
    };

    fn of(element: Element, values: &[(Value, u32)]) -> (Value, bool) {
        let mut sum = Sum::default();
        for (value, idle_ms) in values {
            sum.add(element, *value, *idle_ms);
        }
        sum.value(element)
    }

    const fn rate(age_ms: u32, current: u32, previous: u32) -> Value {
        Value::Rate { age_ms, current, previous }
    }

    #[test]
    fn counters_follow_their_rule() {
        let values = [(Value::Uint(3), 50), (Value::Uint(9), 20), (Value::Uint(5), 30)];
        for (rule, expected) in
            [(Rule::Sum, 17), (Rule::Max, 9), (Rule::Min, 3), (Rule::Last, 9), (Rule::Any, 3)]
        {
            let element = Element { rule, ..COUNT };
            assert_eq!(of(element, &values), (Value::Uint(expected), false), "{rule}");
        }
    }

    #[test]
    fn sums_stop_at_what_the_type_holds_and_say_so() {
        let most = (Value::Uint(u32::MAX), 0);
        assert_eq!(of(COUNT, &[most, (Value::Uint(1), 0)]), (Value::Uint(u32::MAX), true));
        let bytes = Element { into: DataType::BytesInCnt, from: DataType::BytesInCnt, ..COUNT };
        let most = (Value::Ull(u64::MAX), 0);
        assert_eq!(of(bytes, &[most, most]), (Value::Ull(u64::MAX), true));
        let bytes = Element { into: DataType::BytesInRate, from: DataType::BytesInRate, ..RATE };
        let most = (rate(0, u32::MAX, u32::MAX), 0);
        assert_eq!(of(bytes, &[most, most]), (rate(0, u32::MAX, u32::MAX), true));
    }

    #[test]
    fn a_rate_of_one_source_is_that_sources() {
        assert_eq!(of(RATE, &[(rate(300, 5, 7), 0)]), (rate(300, 5, 7), false));
        // Those that are over change nothing.
        let over = (rate(2000, 100, 100), 0);
        assert_eq!(of(RATE, &[over, (rate(300, 5, 7), 0), over]), (rate(300, 5, 7), false));
        assert_eq!(of(RATE, &[(rate(1200, 5, 7), 0)]), (rate(200, 0, 5), false));
    }

    #[test]
    fn rates_are_summed_at_one_instant() {
        // 5 + 7 * 0.7, and 0 + 10 * 0.8, and none.
        let values = [(rate(300, 5, 7), 0), (rate(1200, 10, 99), 0), (rate(5000, 9, 9), 0)];
        // Of the period of the second, which ends later, 80 % are left: 12.9 * 1000 / 800 of it.
        assert_eq!(of(RATE, &values), (rate(200, 5, 16), false));
        assert_eq!(of(RATE, &values[1..]), (rate(200, 0, 10), false));
        let largest = Element { rule: Rule::Max, ..RATE };
        assert_eq!(of(largest, &values), (rate(300, 5, 7), false));
        let smallest = Element { rule: Rule::Min, ..RATE };
        assert_eq!(of(smallest, &values), (rate(0, 0, 0), false));
        assert_eq!(of(smallest, &values[..2]), (rate(200, 0, 10), false));
    }

    /// Whatever the sources counted, the sum reads what they read together, and never less than they do later: to half an event.
    #[test]
    fn a_sum_of_rates_fades_no_sooner_than_its_sources() {
        const PERIOD: u32 = 1000;
        let reads = |value: &Value, later: u32| {
            let Value::Rate { age_ms, current, previous } = *value else { unreachable!("a rate") };
            let rate = Rate::at(age_ms.saturating_add(later), current, previous, PERIOD);
            rate.map_or(0, |rate| rate.reading(PERIOD))
        };
        bolero::check!().with_type::<(Vec<(u16, u16, u16)>, u16)>().for_each(|(sources, later)| {
            // Up to two and a half periods old.
            let each = |(age, current, previous): &(u16, u16, u16)| {
                (rate(u32::from(*age) % 2500, (*current).into(), (*previous).into()), 0)
            };
            let values: Vec<_> = sources.iter().map(each).collect();
            let (sum, is_cut) = of(RATE, &values);
            assert!(!is_cut);
            let half = u128::from(PERIOD / 2);
            let together =
                |later| values.iter().map(|(value, _)| reads(value, later)).sum::<u128>();
            assert!(reads(&sum, 0).abs_diff(together(0)) <= half, "{sum:?} of {values:?}");
            let later = u32::from(*later) % 2500;
            assert!(reads(&sum, later) + half >= together(later), "{later}: {sum:?} of {values:?}");
        });
    }

    #[test]
    fn rates_that_read_the_same_from_now_on_are_the_same() {
        assert!(same(rate(1200, 10, 99), rate(200, 0, 10), 1000));
        assert!(same(rate(2500, 10, 99), rate(0, 0, 0), 1000));
        assert!(!same(rate(0, 1, 0), rate(0, 0, 1), 1000));
        assert!(!same(Value::Uint(1), Value::Uint(2), 0));
    }
}
