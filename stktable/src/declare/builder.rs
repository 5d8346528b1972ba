//! A declaration made by calls.

use super::{
    BRATES_FACTOR_MAX, Declaration, DeclareError, DeclareErrorKind as Kind, SrvKey, check,
};
use crate::data::{Column, DataType};
use crate::key::KeySpec;
use crate::tick::DELAY_MAX_MS;

/// Makes a [`Declaration`] by calls, with the checks of the grammar.
///
/// The first thing that is wrong is kept and returned by [`build`](Self::build). As in the grammar, a data
/// type that is stored already is ignored, and of the other calls the last one wins.
///
/// # Examples
/// ```
/// use stktable::declare::Declaration;
/// use stktable::{DataType, KeySpec};
///
/// let table = Declaration::builder("abuse", KeySpec::IP)
///     .size(1 << 20)
///     .expire_ms(600_000)
///     .store(DataType::Gpc0)
///     .store_rate(DataType::ConnRate, 10_000)
///     .build()?;
/// assert_eq!(table.to_string(), "stick-table type ip size 1m expire 10m store gpc0,conn_rate(10s)");
/// # Ok::<(), stktable::declare::DeclareError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    declaration: Declaration,
    error: Option<DeclareError>,
}

impl Builder {
    pub(super) fn new(name: String, key: KeySpec) -> Self {
        let error = check::name(&name).err().map(|kind| error(&name, kind));
        let declaration = Declaration {
            name,
            section: None,
            key,
            size: 0,
            expire_ms: 0,
            nopurge: false,
            recv_only: false,
            write_to: None,
            srvkey: SrvKey::Name,
            brates_factor: 1,
            columns: Vec::new(),
            peers: None,
        };
        Self { declaration, error }
    }

    /// Makes the table one of this `peers` section, rather than a proxy's.
    pub fn section(mut self, section: impl Into<String>) -> Self {
        let section = section.into();
        self.check(&section, check::name(&section));
        self.declaration.section = Some(section);
        self
    }

    /// Sets the most entries.
    pub fn size(mut self, entries_max: u32) -> Self {
        self.declaration.size = entries_max;
        self
    }

    /// Sets how long an entry stays after it was last touched; 0, the default, is for ever.
    pub fn expire_ms(mut self, expire_ms: u32) -> Self {
        if expire_ms > DELAY_MAX_MS {
            let kind = Kind::Overflow { argument: "expire", max: DELAY_MAX_MS };
            self.check(&expire_ms.to_string(), Err(kind));
        }
        self.declaration.expire_ms = expire_ms;
        self
    }

    /// Makes a full table refuse a new entry rather than purge an old one.
    pub fn nopurge(mut self) -> Self {
        self.declaration.nopurge = true;
        self
    }

    /// Promises that this process updates nothing, so that local columns are learned too.
    pub fn recv_only(mut self) -> Self {
        self.declaration.recv_only = true;
        self
    }

    /// Names the table which is also given what this one learns from peers.
    pub fn write_to(mut self, local_name: impl Into<String>) -> Self {
        let name = local_name.into();
        self.check(&name, check::name(&name));
        self.declaration.write_to = Some(name);
        self
    }

    /// Sets what the column `server_key` holds.
    pub fn srvkey(mut self, srvkey: SrvKey) -> Self {
        self.declaration.srvkey = srvkey;
        self
    }

    /// Sets how many bytes count as one in `bytes_in_rate` and `bytes_out_rate`.
    pub fn brates_factor(mut self, factor: u32) -> Self {
        if !(1..=BRATES_FACTOR_MAX).contains(&factor) {
            self.check(&factor.to_string(), Err(Kind::BratesFactor));
        }
        self.declaration.brates_factor = factor;
        self
    }

    /// Shares the table of a proxy with the peers of this section.
    pub fn peers(mut self, section: impl Into<String>) -> Self {
        let section = section.into();
        self.check(&section, check::name(&section));
        self.declaration.peers = Some(section);
        self
    }

    /// Stores a data type that takes no value.
    pub fn store(self, data_type: DataType) -> Self {
        self.column(data_type, None, None)
    }

    /// Stores the events per `period_ms`.
    pub fn store_rate(self, data_type: DataType, period_ms: u32) -> Self {
        self.column(data_type, None, Some(period_ms))
    }

    /// Stores an array of this many elements.
    pub fn store_array(self, data_type: DataType, elements: u32) -> Self {
        self.column(data_type, Some(elements), None)
    }

    /// Stores an array of events per `period_ms`.
    pub fn store_rate_array(self, data_type: DataType, elements: u32, period_ms: u32) -> Self {
        self.column(data_type, Some(elements), Some(period_ms))
    }

    fn column(mut self, ty: DataType, elements: Option<u32>, period_ms: Option<u32>) -> Self {
        let column = column(ty, elements, period_ms);
        self.check(ty.name(), column.as_ref().map(|_| ()).map_err(Clone::clone));
        if let Ok(column) = column
            && self.declaration.column(ty).is_none()
        {
            let at = self.declaration.columns.partition_point(|other| other.data_type < ty);
            self.declaration.columns.insert(at, column);
        }
        self
    }

    /// Returns the declaration.
    ///
    /// # Errors
    /// The first thing that was wrong; its position is 0.
    pub fn build(mut self) -> Result<Declaration, DeclareError> {
        if self.declaration.section.is_some() && self.declaration.peers.is_some() {
            self.check("peers", Err(Kind::UnknownArgument));
        }
        if self.declaration.size == 0 {
            self.check("size", Err(Kind::MissingSize));
        }
        let conflict = check::conflicts(&self.declaration.columns).next();
        if let Some((_, _, kind)) = conflict {
            self.check("store", Err(kind));
        }
        match self.error {
            Some(error) => Err(error),
            None => Ok(self.declaration),
        }
    }

    fn check(&mut self, word: &str, result: Result<(), Kind>) {
        if let Err(kind) = result {
            self.error.get_or_insert_with(|| error(word, kind));
        }
    }
}

fn column(ty: DataType, elements: Option<u32>, period: Option<u32>) -> Result<Column, Kind> {
    let missing = Kind::MissingStoreArgument { data_type: ty };
    let unexpected = Kind::UnexpectedStoreArgument { data_type: ty };
    let elements = match (ty.is_array(), elements) {
        (true, Some(elements)) => check::elements(ty, elements)?,
        (false, None) => 1,
        (true, None) => return Err(missing),
        (false, Some(_)) => return Err(unexpected),
    };
    let period_ms = match (ty.is_rate(), period) {
        (true, Some(period_ms)) => check::period(ty, period_ms)?,
        (false, None) => 0,
        (true, None) => return Err(missing),
        (false, Some(_)) => return Err(unexpected),
    };
    Ok(Column { data_type: ty, elements, period_ms })
}

fn error(word: &str, kind: Kind) -> DeclareError {
    DeclareError { line: 0, column: 0, word: word.to_owned(), kind }
}
