//! The value of `server_key`: the name or the address of the server that a client sticks to.

use core::fmt;
use core::sync::atomic::Ordering;

use ebtree::StrKey;

use super::{EntryRef, Glance, Learning, StickTable};

/// The most names that a table keeps, unless [`Options::names_max`](super::Options::names_max) says otherwise.
pub const NAMES_MAX: u32 = 4096;

/// The longest name, in bytes.
pub const NAME_LEN_MAX: usize = 255;

/// Why a name cannot be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameError {
    /// The table does not store `server_key`.
    NotStored,
    /// The name is longer than [`NAME_LEN_MAX`].
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// The entries of the table have that many other names.
    TooMany {
        /// The most there can be.
        max: u32,
    },
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStored => f.write_str("server_key is not stored in this table"),
            Self::TooLong { len } => {
                write!(f, "a name of {len} bytes, of which at most {NAME_LEN_MAX} are allowed")
            }
            Self::TooMany { max } => write!(f, "the table has {max} names already"),
        }
    }
}

impl core::error::Error for NameError {}

impl Glance<'_> {
    /// Calls `visit` with the value of `server_key`, and returns what it returns; `None` where there is none.
    ///
    /// Lock-free; copies nothing. An entry that is dead by now has no name any more.
    pub fn server_key_with<T>(&self, visit: impl FnOnce(&str) -> T) -> Option<T> {
        self.table().names.as_ref()?.get_with(self.entry(), visit)
    }

    /// Returns the value of `server_key`, `None` where there is none.
    #[must_use]
    pub fn server_key(&self) -> Option<String> {
        self.server_key_with(str::to_owned)
    }
}

impl EntryRef<'_> {
    /// Returns the value of `server_key`, `None` where there is none.
    #[must_use]
    pub fn server_key(&self) -> Option<String> {
        self.glance().server_key()
    }

    /// Sets `server_key`; `None`, and the empty name, which is the same, take it away. As with [`set`](Self::set), call
    /// [`touch`](Self::touch) afterwards.
    ///
    /// Entries with equal names share one copy, which is freed after the last of them died or was named otherwise. Lock-free.
    ///
    /// # Errors
    /// When it is not stored, or the name is too long, or one too many; the entry keeps the one that it has. The last two are
    /// counted in [`Metrics::names_refused`](super::Metrics::names_refused).
    ///
    /// # Examples
    /// ```
    /// # use stktable::{DataType, Declaration, KeySpec, StickTable, Tick};
    /// let declaration =
    ///     Declaration::builder("t", KeySpec::IP).size(100).store(DataType::ServerKey).build()?;
    /// let (table, now) = (StickTable::new(declaration), Tick(1_000));
    /// let entry = table.get_or_create(&KeySpec::IP.parse("192.0.2.7")?, now)?;
    /// entry.set_server_key(Some("web1"))?;
    /// entry.touch(now);
    /// assert_eq!(entry.server_key().as_deref(), Some("web1"));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_server_key(&self, name: Option<&str>) -> Result<(), NameError> {
        let table = self.table();
        let names = table.names.as_ref().ok_or(NameError::NotStored)?;
        let refused = |error| {
            table.statistics.names_refused.fetch_add(1, Ordering::Relaxed);
            Err(error)
        };
        let text = match name.filter(|name| !name.is_empty()) {
            Some(name) if name.len() > NAME_LEN_MAX => {
                return refused(NameError::TooLong { len: name.len() });
            }
            Some(name) => {
                Some(StrKey::new(name).expect("NAME_LEN_MAX is less than a key may have"))
            }
            None => None,
        };
        if names.set(self.entry(), text.as_ref()) {
            Ok(())
        } else {
            refused(NameError::TooMany { max: names.max() })
        }
    }
}

impl Learning<'_> {
    /// Stores the value of `server_key` that the peer sent; see [`EntryRef::set_server_key`].
    ///
    /// # Errors
    /// As there. What came with it can be stored all the same.
    pub fn store_server_key(&self, name: Option<&str>) -> Result<(), NameError> {
        self.entry().set_server_key(name)
    }
}

impl StickTable {
    /// Returns how many names each of the two maps holds: as many as are counted, when nobody is using the table. For models.
    #[doc(hidden)]
    #[must_use]
    pub fn name_lens(&self) -> [usize; 2] {
        self.names.as_ref().map_or([0; 2], crate::index::names::Names::lens)
    }

    /// Returns how many names are kept for `server_key`, and how many were refused.
    pub(super) fn names_kept_and_refused(&self) -> (u32, u64) {
        let kept = self.names.as_ref().map_or(0, crate::index::names::Names::kept);
        (kept, self.statistics.names_refused.load(Ordering::Relaxed))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use crate::data::DataType;
    use crate::declare::Declaration;
    use crate::key::KeySpec;
    use crate::table::StickTable;
    use crate::tick::Tick;

    /// Both maps hold the names that are counted, and nothing else, however many came and went.
    #[test]
    fn nothing_is_left_of_names_that_went() {
        let (declaration, now) = (
            Declaration::builder("t", KeySpec::INTEGER).size(50).store(DataType::ServerKey),
            Tick(1_000),
        );
        let table = StickTable::new(declaration.build().unwrap());
        let names = table.names.as_ref().unwrap();
        std::thread::scope(|scope| {
            let table = &table;
            for id in 0..4_u32 {
                scope.spawn(move || {
                    for step in 0..3_000_u32 {
                        let key = (step * 7 % 80).to_be_bytes();
                        let entry =
                            table.get_or_create(&KeySpec::INTEGER.key(&key).unwrap(), now).unwrap();
                        let name = format!("{}", (step + id) % 3);
                        entry.set_server_key(Some(&name)).unwrap();
                    }
                });
            }
        });
        let kept = names.kept() as usize;
        assert_eq!(names.lens(), [kept; 2]);
        assert!((1..=3).contains(&kept));
        table.clear(now);
        assert_eq!((names.lens(), names.kept()), ([0; 2], 0));
    }
}
