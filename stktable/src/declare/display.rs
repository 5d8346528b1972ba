//! A declaration written as the line that declares it.

use core::fmt;

use super::{Declaration, SrvKey};
use crate::data::Column;
use crate::key::{KeySpec, KeyType};

impl fmt::Display for Declaration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.section {
            None => f.write_str("stick-table")?,
            Some(_) => write!(f, "table {}", self.name)?,
        }
        write!(f, " type {}", self.key.ty())?;
        match self.key.ty() {
            KeyType::String if self.key != KeySpec::STRING => {
                write!(f, " len {}", self.key.size() - 1)?;
            }
            KeyType::Binary if self.key != KeySpec::BINARY => {
                write!(f, " len {}", self.key.size())?
            }
            _ => {}
        }
        write!(f, " size {}", Size(self.size))?;
        if self.expire_ms != 0 {
            write!(f, " expire {}", Time(self.expire_ms))?;
        }
        if self.nopurge {
            f.write_str(" nopurge")?;
        }
        if self.recv_only {
            f.write_str(" recv-only")?;
        }
        if let Some(table) = &self.write_to {
            write!(f, " write-to {table}")?;
        }
        if self.srvkey != SrvKey::default() {
            write!(f, " srvkey {}", self.srvkey)?;
        }
        for (at, column) in self.columns.iter().enumerate() {
            f.write_str(if at == 0 { " store " } else { "," })?;
            store(column, f)?;
        }
        if self.brates_factor != 1 {
            write!(f, " brates-factor {}", self.brates_factor)?;
        }
        if let Some(section) = &self.peers {
            write!(f, " peers {section}")?;
        }
        Ok(())
    }
}

/// Writes a data type as in a `store` list.
fn store(column: &Column, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Column { data_type, elements, period_ms } = *column;
    match (data_type.is_array(), data_type.is_rate()) {
        (false, false) => write!(f, "{data_type}"),
        (false, true) => write!(f, "{data_type}({})", Time(period_ms)),
        (true, false) => write!(f, "{data_type}({elements})"),
        (true, true) => write!(f, "{data_type}({elements},{})", Time(period_ms)),
    }
}

/// A count, in the largest unit that divides it.
struct Size(u32);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1 << 30, "g"), (1 << 20, "m"), (1 << 10, "k")];
        in_units(self.0, &units, "", f)
    }
}

/// A time in milliseconds, in the largest unit that divides it.
struct Time(u32);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
        in_units(self.0, &units, "ms", f)
    }
}

fn in_units(
    value: u32,
    units: &[(u32, &str)],
    smallest: &str,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let unit = units.iter().find(|(size, _)| value != 0 && value.is_multiple_of(*size));
    let (size, name) = unit.copied().unwrap_or((1, smallest));
    write!(f, "{}{name}", value / size)
}
