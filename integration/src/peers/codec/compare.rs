//! Messages between two `stktabled`, in a class of their own, to compare tables. HAProxy skips what it does not know (peers protocol,
//! section 4), and is not sent them either.

use super::message::framed;
use super::reader::Reader;
use super::{DecodeError, EncodeError, integer};
use crate::peers::sketch::Cell;

/// What a caller adds to its hello to say that it understands these messages.
pub(crate) const HELLO_WORD: &[u8] = b"stktabled-compare";

const CLASS: u8 = 0x53;
const TYPE_SPOKEN: u8 = 0x01;
const TYPE_ASK: u8 = 0x80;
const TYPE_PART: u8 = 0x81;
const TYPE_REFUSED: u8 = 0x82;

/// Bytes of a cell.
const CELL: usize = 4 + 8 + 4;
/// The most bytes of a message's body; what any peer takes unless it was told otherwise.
const PART_MAX: usize = 8 << 10;

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message<'a> {
    /// The sender understands these messages.
    Spoken,
    /// Asks for the keys of a table.
    Ask(Ask<'a>),
    /// Some of the answer.
    Part(Part<'a>),
    /// There is no such table.
    Refused { number: u64 },
}

/// A question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ask<'a> {
    /// Told in the answer.
    pub(crate) number: u64,
    /// Of the hashes.
    pub(crate) seed: u64,
    /// The most bytes of a message that is received.
    pub(crate) most: u64,
    /// Type and size, as in a definition.
    pub(crate) key: (u64, u64),
    /// The name of the table on the network.
    pub(crate) name: &'a [u8],
}

/// Some cells of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part<'a> {
    pub(crate) number: u64,
    /// The position of the first.
    pub(crate) first: usize,
    cells: &'a [[u8; CELL]],
}

impl Part<'_> {
    pub(crate) fn cells(&self) -> impl Iterator<Item = Cell> {
        self.cells.iter().map(|bytes| {
            let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *bytes;
            Cell {
                count: i32::from_be_bytes([a, b, c, d]),
                hashes: u64::from_be_bytes([e, f, g, h, i, j, k, l]),
                checks: u32::from_be_bytes([m, n, o, p]),
            }
        })
    }
}

impl<'a> Message<'a> {
    /// Reads a message of an unknown class. `None` if it is none of these.
    ///
    /// # Errors
    /// When it is cut short.
    pub(crate) fn decode(class: u8, ty: u8, body: &'a [u8]) -> Result<Option<Self>, DecodeError> {
        if class != CLASS {
            return Ok(None);
        }
        let mut body = Reader::new(body, 0);
        Ok(Some(match ty {
            TYPE_SPOKEN => Self::Spoken,
            TYPE_ASK => Self::Ask(Ask {
                number: body.int("number of a comparison")?,
                seed: body.int("seed")?,
                most: body.int("size limit")?,
                key: (body.int("key type")?, body.int("key length")?),
                name: body.counted("table name")?.rest(),
            }),
            TYPE_PART => {
                let number = body.int("number of a comparison")?;
                let first = usize::try_from(body.int("position of a cell")?).unwrap_or(usize::MAX);
                let (cells, _) = body.rest().as_chunks();
                Self::Part(Part { number, first, cells })
            }
            TYPE_REFUSED => Self::Refused { number: body.int("number of a comparison")? },
            _ => return Ok(None),
        }))
    }
}

impl Ask<'_> {
    /// Appends the message.
    ///
    /// # Errors
    /// When the name is too long.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        framed(CLASS, TYPE_ASK, out, |out| {
            let (ty, size) = self.key;
            for number in [self.number, self.seed, self.most, ty, size, self.name.len() as u64] {
                integer::encode(number, out);
            }
            out.extend_from_slice(self.name);
            Ok(())
        })
    }
}

/// Appends the message that says that the others are understood.
pub(crate) fn spoken(out: &mut Vec<u8>) {
    out.extend_from_slice(&[CLASS, TYPE_SPOKEN]);
}

/// Appends the message that says that there is no such table.
pub(crate) fn refuse(number: u64, out: &mut Vec<u8>) {
    let written = framed(CLASS, TYPE_REFUSED, out, |out| {
        integer::encode(number, out);
        Ok(())
    });
    debug_assert!(written.is_ok(), "a short message");
}

/// Appends as many of these cells as fit in a message of at most `most` bytes. Returns how many.
pub(crate) fn part(
    number: u64,
    first: usize,
    cells: &[Cell],
    most: usize,
    out: &mut Vec<u8>,
) -> usize {
    let head = integer::size(number) + integer::size(first as u64);
    let count = (most.min(PART_MAX).saturating_sub(head) / CELL).min(cells.len());
    if count == 0 {
        return 0;
    }
    let written = framed(CLASS, TYPE_PART, out, |out| {
        integer::encode(number, out);
        integer::encode(first as u64, out);
        for cell in cells.iter().take(count) {
            out.extend_from_slice(&cell.count.to_be_bytes());
            out.extend_from_slice(&cell.hashes.to_be_bytes());
            out.extend_from_slice(&cell.checks.to_be_bytes());
        }
        Ok(())
    });
    debug_assert!(written.is_ok(), "a message of {PART_MAX} bytes");
    count
}
