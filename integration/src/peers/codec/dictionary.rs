//! The dictionary caches: strings that travel once and are named by a number afterwards (peers
//! protocol, section 10).
//!
//! Each direction of a session has one cache, shared by all its tables and void when the session ends.
//!
//! ```text
//! 00                  no value
//! 01 id               the string last given this id
//! n id m <m bytes>    the string, to be kept under this id; n counts all that follows it
//! ```

use std::collections::HashMap;
use std::sync::Arc;

use super::reader::Reader;
use super::{DecodeError, integer};

/// How many strings a cache holds. Ids on the wire are 1 to this.
pub const ENTRIES: u8 = 128;

/// The longest string that a [`ReceiveCache`] keeps unless told otherwise.
pub const STRING_MAX: usize = 2048;

/// A dictionary value as it is on the wire. Ids are always 1 to [`ENTRIES`] when decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dict<'a> {
    /// No value: the receiver leaves what it has.
    Absent,
    /// The string last given this id.
    Known {
        /// The id.
        id: u8,
    },
    /// A string, to be kept under this id.
    New {
        /// The id.
        id: u8,
        /// The string.
        string: &'a [u8],
    },
}

impl<'a> Dict<'a> {
    /// Takes a dictionary value. What follows is read right after the string, whatever the outer
    /// length says: that is how HAProxy reads it.
    pub(super) fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut probe = *reader;
        let mut entry = probe.counted("dictionary entry")?;
        if entry.rest().is_empty() {
            *reader = probe;
            return Ok(Self::Absent);
        }
        let is_short = entry.rest().len() == 1;
        let offset = entry.offset();
        let number = entry.int("dictionary id")?;
        let id = u8::try_from(number)
            .ok()
            .filter(|id| (1..=ENTRIES).contains(id))
            .ok_or(DecodeError::DictionaryId { id: number, offset })?;
        if is_short {
            *reader = probe;
            return Ok(Self::Known { id });
        }
        let string = entry.counted("dictionary string")?;
        reader.take(entry.offset() - reader.offset(), "dictionary entry")?;
        Ok(Self::New { id, string: string.rest() })
    }

    /// Appends the value.
    pub(super) fn encode(self, out: &mut Vec<u8>) {
        match self {
            Self::Absent => out.push(0),
            Self::Known { id } => out.extend_from_slice(&[1, id]),
            Self::New { id, string } => {
                let length = string.len() as u64;
                let inner = 1 + integer::size(length) + string.len();
                integer::encode(inner as u64, out);
                out.push(id);
                integer::encode(length, out);
                out.extend_from_slice(string);
            }
        }
    }
}

/// What the other side may name by a number. Empty when a session begins.
///
/// Holds at most [`ENTRIES`] strings of a bounded size. Every dictionary value received must go through
/// [`receive`](Self::receive), in order, whether its update is stored or not.
#[derive(Clone, Debug)]
pub struct ReceiveCache {
    strings: [Option<Arc<[u8]>>; ENTRIES as usize],
    string_max: usize,
    /// Strings of ids above this are not kept.
    ids_max: u8,
}

impl Default for ReceiveCache {
    fn default() -> Self {
        Self::new()
    }
}

impl ReceiveCache {
    /// Returns an empty cache that keeps strings up to [`STRING_MAX`] bytes.
    #[must_use]
    pub fn new() -> Self {
        Self::with_string_max(STRING_MAX)
    }

    /// Returns an empty cache that keeps strings up to `string_max` bytes. A longer one is no error: it
    /// leaves its id without a string.
    #[must_use]
    pub fn with_string_max(string_max: usize) -> Self {
        Self { strings: [const { None }; ENTRIES as usize], string_max, ids_max: ENTRIES }
    }

    /// Returns an empty cache that keeps strings of ids up to `ids_max` and of [`STRING_MAX`] bytes. A larger id is no error:
    /// it has no string.
    #[must_use]
    pub fn with_ids_max(ids_max: u8) -> Self {
        Self { ids_max, ..Self::new() }
    }

    /// Takes a value that was decoded: keeps a new string, and returns the string that is meant. `None`
    /// when there is no value, or none was ever given this id; nothing is to be stored then.
    pub fn receive(&mut self, dict: Dict<'_>) -> Option<&Arc<[u8]>> {
        let (id, new) = match dict {
            Dict::Absent => return None,
            Dict::Known { id } => (id, None),
            Dict::New { id, string } => (id, Some(string)),
        };
        let slot = self.strings.get_mut(usize::from(id).checked_sub(1)?)?;
        if let Some(string) = new
            && slot.as_deref() != Some(string)
        {
            let is_kept = string.len() <= self.string_max && id <= self.ids_max;
            *slot = is_kept.then(|| Arc::from(string));
        }
        slot.as_ref()
    }
}

/// What we may name by a number to the other side. Empty when a session begins.
///
/// Ids are handed out in a circle, as HAProxy does: 1, 2, .. 128, then 1 again for the next string that
/// is not in the cache. A string that is found does not move.
#[derive(Clone, Debug, Default)]
pub struct SendCache {
    ids: HashMap<Arc<[u8]>, u8>,
    /// The string of id `at + 1`.
    strings: Vec<Arc<[u8]>>,
    /// The id given last, 0 before the first.
    last: u8,
}

impl SendCache {
    /// Returns an empty cache.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns how this string is to be sent now. Changes nothing: until [`commit`](Self::commit) the
    /// other side has not been told.
    #[must_use]
    pub fn plan<'a>(&self, string: &'a [u8]) -> Dict<'a> {
        match self.ids.get(string) {
            Some(id) => Dict::Known { id: *id },
            None => Dict::New { id: self.last % ENTRIES + 1, string },
        }
    }

    /// Records that what [`plan`](Self::plan) last returned was sent.
    #[inline]
    pub fn commit(&mut self, sent: Dict<'_>) {
        let Dict::New { id, string } = sent else { return };
        let string: Arc<[u8]> = Arc::from(string);
        match self.strings.get_mut(usize::from(id) - 1) {
            Some(slot) => {
                let before = core::mem::replace(slot, Arc::clone(&string));
                self.ids.remove(&before);
            }
            None => self.strings.push(Arc::clone(&string)),
        }
        self.ids.insert(string, id);
        self.last = id;
    }
}
