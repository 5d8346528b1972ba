//! Where the values of each column stand in an entry.

use crate::data::freq_ctr::FreqCtr;
use crate::data::{Column, DataType, Storage};
use crate::sync::{AtomicU32, AtomicU64};

/// A slot of an entry: where it begins, in bytes back from the end of the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(pub(crate) usize);

/// The stored columns of a table, ascending by data type number.
#[derive(Clone, Debug)]
pub(crate) struct Schema {
    columns: Vec<Column>,
    by_type: [Slots; DataType::ALL.len()],
    bytes: usize,
    /// The 8-byte slots beside those of the columns.
    number: Option<Place>,
    name: Option<Place>,
}

/// Where the elements of one data type are; of none where it is not stored.
#[derive(Clone, Copy, Debug, Default)]
struct Slots {
    first: u16,
    elements: u16,
    period_ms: u32,
}

/// Bytes of one element.
const fn width(storage: Storage) -> usize {
    match storage {
        Storage::Rate => size_of::<FreqCtr>(),
        Storage::Ull => size_of::<AtomicU64>(),
        Storage::Sint | Storage::Uint => size_of::<AtomicU32>(),
        Storage::Dict => 0,
    }
}

impl Schema {
    /// Lays out the columns from the end of the entry, those of 8-byte words first. `server_key` is no column here: it has a slot for the number of a name.
    /// Where entries are `numbered`, they have one slot more.
    pub(crate) fn new(declared: &[Column], numbered: bool) -> Self {
        let mut columns: Vec<Column> = declared
            .iter()
            .copied()
            .filter(|column| column.data_type.storage() != Storage::Dict)
            .collect();
        columns.sort_by_key(|column| column.data_type.number());
        columns.dedup_by_key(|column| column.data_type);
        let mut by_type = [Slots::default(); DataType::ALL.len()];
        let mut bytes = 0;
        let mut slot = |wanted: bool| {
            wanted.then(|| {
                bytes += width(Storage::Ull);
                Place(bytes)
            })
        };
        let number = slot(numbered);
        let name = slot(declared.iter().any(|column| column.data_type == DataType::ServerKey));
        let is_wide = |storage| matches!(storage, Storage::Rate | Storage::Ull);
        for wide in [true, false] {
            for column in &columns {
                let storage = column.data_type.storage();
                if is_wide(storage) == wide {
                    let slots = "at most 100 elements of each type";
                    bytes += width(storage) * column.elements as usize;
                    by_type[usize::from(column.data_type.number())] = Slots {
                        first: u16::try_from(bytes).expect(slots),
                        elements: u16::try_from(column.elements).expect(slots),
                        period_ms: column.period_ms,
                    };
                }
            }
        }
        Self { columns, by_type, bytes, number, name }
    }

    /// Returns the stored columns, ascending by data type number.
    pub(crate) fn columns(&self) -> impl ExactSizeIterator<Item = Column> + '_ {
        self.columns.iter().copied()
    }

    /// Returns the period of a type, and the place of one of its elements.
    #[inline]
    pub(crate) fn find(&self, data_type: DataType, element: u32) -> Option<(u32, Place)> {
        let slots = self.by_type[usize::from(data_type.number())];
        let at = || usize::from(slots.first) - width(data_type.storage()) * element as usize;
        (element < u32::from(slots.elements)).then(|| (slots.period_ms, Place(at())))
    }

    /// Returns the slot for the number of an entry, where they are numbered.
    pub(crate) const fn number(&self) -> Option<Place> {
        self.number
    }

    /// Returns the slot for the number of the name of an entry, where names are stored.
    pub(crate) const fn name(&self) -> Option<Place> {
        self.name
    }

    /// Returns the size of the slots.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Calls `make` with every slot there is: models have to make each atomic.
    #[cfg(loom)]
    pub(crate) fn initialise(&self, mut make: impl FnMut(Storage, Place)) {
        for place in [self.number, self.name].into_iter().flatten() {
            make(Storage::Ull, place);
        }
        for column in self.columns() {
            for element in 0..column.elements {
                if let Some((_, place)) = self.find(column.data_type, element) {
                    make(column.data_type.storage(), place);
                }
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn column(data_type: DataType, elements: u32, period_ms: u32) -> Column {
        Column { data_type, elements, period_ms }
    }

    #[test]
    fn slots_do_not_overlap_and_are_aligned() {
        for numbered in [false, true] {
            let schema = Schema::new(
                &[
                    column(DataType::GpcRate, 3, 1000),
                    column(DataType::Gpc0, 1, 0),
                    column(DataType::BytesInCnt, 1, 0),
                    column(DataType::ConnRate, 1, 1000),
                    column(DataType::Gpt, 2, 0),
                    column(DataType::ServerKey, 1, 0),
                ],
                numbered,
            );
            let mut taken = vec![0_u8; schema.bytes()];
            let mut take = |Place(back): Place, width: usize| {
                assert_eq!(back % width.min(8), 0, "aligned, as the end is");
                let at = schema.bytes() - back;
                taken[at..at + width].iter_mut().for_each(|byte| *byte += 1);
            };
            assert_eq!((schema.number().is_some(), schema.name().is_some()), (numbered, true));
            for place in [schema.number(), schema.name()].into_iter().flatten() {
                take(place, 8);
            }
            for column in schema.columns() {
                for element in 0..column.elements {
                    let (_, place) = schema.find(column.data_type, element).unwrap();
                    let width = match column.data_type.storage() {
                        Storage::Rate => 16,
                        Storage::Ull => 8,
                        _ => 4,
                    };
                    take(place, width);
                }
                assert_eq!(schema.find(column.data_type, column.elements), None);
            }
            assert!(taken.iter().all(|byte| *byte == 1), "{taken:?}");
            assert_eq!(schema.find(DataType::ServerKey, 0), None);
            assert_eq!(schema.find(DataType::Gpc1, 0), None);
        }
    }
}
