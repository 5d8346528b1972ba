//! Blocks: what is written and checked as a whole.
//!
//! ```text
//! kind u8 | length u32 | checksum u32 | payload          the checksum (CRC-32) is of kind, length and payload
//! ```

use std::io::{self, Read, Write};

use super::{StateErrorKind, VERSION};

/// What a file begins with.
const MAGIC: &[u8; 8] = b"STKSTATE";
/// Bytes before the first block.
const PREFACE: usize = 12;
/// Bytes before a payload.
const HEAD: usize = 9;
/// The longest payload that is read. Ours are far shorter, unless one entry is longer.
pub(super) const PAYLOAD_MAX: u32 = 1 << 20;

/// What a block says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// When the file was written.
    Header,
    /// The table that the next entries are of.
    Table,
    /// Entries.
    Entries,
    /// How many entries there are.
    End,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Header, Self::Table, Self::Entries, Self::End];

    fn number(self) -> u8 {
        self as u8 + 1
    }

    fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }
}

fn checksum(head: [u8; 5], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&head);
    hasher.update(payload);
    hasher.finalize()
}

fn begin(kind: u8, length: u32) -> [u8; 5] {
    let [a, b, c, d] = length.to_le_bytes();
    [kind, a, b, c, d]
}

/// Writes blocks.
#[derive(Debug)]
pub(super) struct Writer<W> {
    out: W,
    pub(super) bytes: u64,
}

impl<W: Write> Writer<W> {
    pub(super) fn begin(mut out: W) -> io::Result<Self> {
        out.write_all(MAGIC)?;
        out.write_all(&VERSION.to_le_bytes())?;
        Ok(Self { out, bytes: PREFACE as u64 })
    }

    pub(super) fn write(&mut self, kind: Kind, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len()).ok().filter(|length| *length <= PAYLOAD_MAX);
        let length = length.ok_or(io::ErrorKind::InvalidInput)?;
        let head = begin(kind.number(), length);
        self.out.write_all(&head)?;
        self.out.write_all(&checksum(head, payload).to_le_bytes())?;
        self.out.write_all(payload)?;
        self.bytes += (HEAD + payload.len()) as u64;
        Ok(())
    }

    pub(super) fn into_inner(self) -> W {
        self.out
    }
}

/// Reads blocks, and stops at the first that is wrong.
#[derive(Debug)]
pub(super) struct Reader<R> {
    from: R,
    /// Where the next block begins.
    offset: u64,
    payload: Vec<u8>,
}

impl<R: Read> Reader<R> {
    pub(super) fn begin(mut from: R) -> Result<Self, StateErrorKind> {
        let mut preface = [0; PREFACE];
        let read = fill(&mut from, &mut preface)?;
        let (magic, version) = preface.split_at(MAGIC.len());
        if read < magic.len() || magic != MAGIC {
            return Err(StateErrorKind::Foreign);
        }
        if read < preface.len() {
            return Err(StateErrorKind::Truncated { offset: read as u64 });
        }
        let version = version.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte));
        match version {
            0 => Err(StateErrorKind::Damaged { offset: 8, what: "version 0" }),
            1..=VERSION => Ok(Self { from, offset: PREFACE as u64, payload: Vec::new() }),
            _ => Err(StateErrorKind::Newer { version }),
        }
    }

    /// Returns where the next block begins.
    pub(super) const fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns the next block.
    pub(super) fn next(&mut self) -> Result<(Kind, &[u8]), StateErrorKind> {
        let at = self.offset;
        let damaged = |what| StateErrorKind::Damaged { offset: at, what };
        let mut head = [0; HEAD];
        let read = fill(&mut self.from, &mut head)?;
        if read < HEAD {
            return Err(StateErrorKind::Truncated { offset: at + read as u64 });
        }
        let [kind, a, b, c, d, e, f, g, h] = head;
        let length = u32::from_le_bytes([a, b, c, d]);
        // Looked at before so much memory is taken.
        if length > PAYLOAD_MAX {
            return Err(damaged("a block longer than any that is written"));
        }
        self.payload.resize(length as usize, 0);
        let read = fill(&mut self.from, &mut self.payload)?;
        if read < self.payload.len() {
            return Err(StateErrorKind::Truncated { offset: at + (HEAD + read) as u64 });
        }
        if checksum(begin(kind, length), &self.payload) != u32::from_le_bytes([e, f, g, h]) {
            return Err(damaged("the checksum of a block is wrong"));
        }
        let kind = Kind::from_number(kind).ok_or_else(|| damaged("a block of unknown kind"))?;
        self.offset += (HEAD + self.payload.len()) as u64;
        Ok((kind, &self.payload))
    }

    /// Checks that nothing follows.
    pub(super) fn end(&mut self) -> Result<(), StateErrorKind> {
        match fill(&mut self.from, &mut [0])? {
            0 => Ok(()),
            _ => Err(StateErrorKind::Damaged { offset: self.offset, what: "bytes after the end" }),
        }
    }
}

/// Reads until the buffer is full or the file ends. Returns how much was read.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> Result<usize, StateErrorKind> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match from.read(rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(StateErrorKind::Io { what: "read", error }),
        }
    }
    Ok(filled)
}
