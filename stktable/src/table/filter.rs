//! Conditions on entries, as `show table` and `clear table` have them.

use core::fmt;

use super::Glance;
use crate::data::DataType;
use crate::key::Prefix;
use crate::tick::Tick;

/// How a value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Equal: `eq`.
    Eq,
    /// Not equal: `ne`.
    Ne,
    /// Less or equal: `le`.
    Le,
    /// Greater or equal: `ge`.
    Ge,
    /// Less: `lt`.
    Lt,
    /// Greater: `gt`.
    Gt,
}

impl Comparison {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Eq, Self::Ne, Self::Le, Self::Ge, Self::Lt, Self::Gt];

    /// Returns the word on a command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Eq => "eq",
            Self::Ne => "ne",
            Self::Le => "le",
            Self::Ge => "ge",
            Self::Lt => "lt",
            Self::Gt => "gt",
        }
    }

    /// Returns the comparison of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|comparison| comparison.name() == name)
    }

    /// Returns whether `found` compares so with `value`.
    #[must_use]
    pub const fn holds(self, found: i64, value: i64) -> bool {
        match self {
            Self::Eq => found == value,
            Self::Ne => found != value,
            Self::Le => found <= value,
            Self::Ge => found >= value,
            Self::Lt => found < value,
            Self::Gt => found > value,
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A condition on an entry.
///
/// ```
/// use stktable::{DataType, Declaration, KeySpec, StickTable, Tick};
/// use stktable::table::{Comparison, Filter};
///
/// let declaration = Declaration::builder("clients", KeySpec::IP).size(100).store(DataType::Gpc0).build()?;
/// let table = StickTable::new(declaration);
/// let now = Tick(1);
/// for (client, bad) in [("10.1.0.1", 5), ("10.1.0.2", 0), ("192.0.2.1", 9)] {
///     table.get_or_create(&KeySpec::IP.parse(client)?, now)?.set(DataType::Gpc0, 0, bad, now)?;
/// }
/// let bad = Filter::value(DataType::Gpc0, 0, Comparison::Gt, 0);
/// let near = Filter::prefix(KeySpec::IP.parse_prefix("10.1.0.0/16")?);
/// let found: Vec<_> = table.matching(&[bad, near], now).map(|entry| entry.key().to_string()).collect();
/// assert_eq!(found, ["10.1.0.1"]);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Value { data_type: DataType, element: u32, comparison: Comparison, value: i64 },
    Prefix(Prefix),
}

impl Filter {
    /// Passes entries of which one element, [as fetches read it](Glance::fetch), compares so with `value`. What is not stored reads 0.
    #[must_use]
    pub const fn value(
        data_type: DataType,
        element: u32,
        comparison: Comparison,
        value: i64,
    ) -> Self {
        Self(Kind::Value { data_type, element, comparison, value })
    }

    /// Passes entries whose key begins with this: for addresses a network. In a table of keys of another type, none.
    ///
    /// Where the table [keeps the order of its keys](super::Options::ordered), [`PrefixWalk`](super::PrefixWalk) need not look at the others.
    #[must_use]
    pub const fn prefix(prefix: Prefix) -> Self {
        Self(Kind::Prefix(prefix))
    }

    /// Returns whether an entry passes all of these.
    #[must_use]
    pub fn all_pass(filters: &[Self], entry: Glance<'_>, now: Tick) -> bool {
        filters.iter().all(|filter| filter.passes(entry, now))
    }

    /// Returns whether an entry passes.
    #[must_use]
    pub fn passes(&self, entry: Glance<'_>, now: Tick) -> bool {
        match &self.0 {
            Kind::Value { data_type, element, comparison, value } => {
                let found = entry.fetch(*data_type, *element, now).unwrap_or(0);
                comparison.holds(found, *value)
            }
            Kind::Prefix(prefix) => {
                prefix.ty() == entry.table().declaration().key.ty()
                    && prefix.contains_bytes(entry.key_bytes())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_have_their_names() {
        for comparison in Comparison::ALL {
            assert_eq!(Comparison::from_name(comparison.name()), Some(comparison));
        }
        let held = |found| Comparison::ALL.map(|comparison| comparison.holds(found, 5));
        assert_eq!(held(4), [false, true, true, false, true, false]);
        assert_eq!(held(5), [true, false, true, true, false, false]);
        assert_eq!(held(6), [false, true, false, true, false, true]);
    }
}
