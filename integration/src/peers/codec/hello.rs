//! The handshake: three lines from the side that connected, one status line back (peers protocol,
//! section 2).
//!
//! Both are read as the bytes come, in any pieces. Each line is judged when its end arrives, so a bad
//! first line is answered without waiting for the second. Lines are bounded in bytes here; bounding
//! the handshake in time is up to whoever has a clock.
//!
//! ```text
//! HAProxyS 2.1\n                <- 501 unless it begins so, 502 unless 2.0 or 2.1
//! <peer being called>\n         <- 503 unless it is our name
//! <caller> <process id> 1\n     <- 501 without a space, 504 unless a peer of the section
//! ```

use core::fmt;

use super::{EncodeError, compare};

/// The most bytes a line may have before its LF.
pub const LINE_MAX: usize = 16383;

/// How the first line begins.
const MAGIC: &[u8] = b"HAProxyS ";

/// The protocol version of a session, which is its caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// 2.0: no timed updates.
    V2_0,
    /// 2.1: updates of a lesson say what is left to live.
    V2_1,
}

impl Version {
    /// Returns whether a lesson on such a session may use timed updates (peers protocol, section 2.4).
    #[must_use]
    pub const fn is_timed(self) -> bool {
        matches!(self, Self::V2_1)
    }

    /// Returns the version of this text, `None` when it is not `<digits>.<digits>` or not one of ours.
    /// Digits are counted whole, however many: nothing wraps into a version that we speak.
    fn parse(text: &[u8]) -> Option<Self> {
        let dot = text.iter().position(|byte| *byte == b'.')?;
        let (major, minor) = text.split_at_checked(dot)?;
        match (number(major)?, number(minor.get(1..)?)?) {
            (2, 0) => Some(Self::V2_0),
            (2, 1) => Some(Self::V2_1),
            _ => None,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V2_0 => "2.0",
            Self::V2_1 => "2.1",
        })
    }
}

/// Returns the value of decimal digits and nothing else, [`u64::MAX`] for more than fits.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, byte| {
        byte.is_ascii_digit()
            .then(|| value.saturating_mul(10).saturating_add(u64::from(byte - b'0')))
    })
}

/// What the called side answers to a hello (peers protocol, section 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Status {
    /// Accepted: messages may follow at once, both ways.
    Accepted = 200,
    /// Try again later: a session under our own name is already up.
    TryAgain = 300,
    /// The hello is not this protocol.
    ProtocolError = 501,
    /// A version that is not spoken here.
    BadVersion = 502,
    /// The caller meant somebody else.
    WrongLocalName = 503,
    /// The caller is no peer of the section.
    UnknownCaller = 504,
}

impl Status {
    /// Returns the number on the wire.
    #[must_use]
    pub const fn code(self) -> u16 {
        self as u16
    }

    /// Returns the status of this number.
    #[must_use]
    pub const fn from_code(code: u64) -> Option<Self> {
        Some(match code {
            200 => Self::Accepted,
            300 => Self::TryAgain,
            501 => Self::ProtocolError,
            502 => Self::BadVersion,
            503 => Self::WrongLocalName,
            504 => Self::UnknownCaller,
            _ => return None,
        })
    }

    /// Appends the status line.
    pub fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.code().to_string().as_bytes());
        out.push(b'\n');
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let meaning = match self {
            Self::Accepted => "accepted",
            Self::TryAgain => "try again later",
            Self::ProtocolError => "protocol error",
            Self::BadVersion => "bad version",
            Self::WrongLocalName => "wrong local name",
            Self::UnknownCaller => "unknown caller",
        };
        write!(f, "{} {meaning}", self.code())
    }
}

/// A hello that was found good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The version of the session.
    pub version: Version,
    /// The name of the caller: a peer of the section, possibly our own (our process before a reload).
    pub caller: Box<[u8]>,
    /// The process id that the caller claims, where it gave one. For logs only.
    pub process_id: Option<u64>,
    /// The caller is `stktabled`, and can compare tables.
    pub compares: bool,
}

impl Hello {
    /// Appends the hello of a caller (peers protocol, section 2.1), with a word behind it that HAProxy does not read and that says
    /// that we can compare tables.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn encode_ours(
        version: Version,
        called: &[u8],
        caller: &[u8],
        process_id: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        Self::encode(version, called, caller, process_id, out)?;
        out.pop();
        out.push(b' ');
        out.extend_from_slice(compare::HELLO_WORD);
        out.push(b'\n');
        Ok(())
    }

    /// Appends the hello of a caller (peers protocol, section 2.1).
    ///
    /// # Errors
    /// When a name is empty or holds a byte that ends a name: NUL, LF, CR, and in `caller` a space.
    pub fn encode(
        version: Version,
        called: &[u8],
        caller: &[u8],
        process_id: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let ends_a_name = |byte: &u8| matches!(byte, 0 | b'\n' | b'\r');
        if called.is_empty()
            || caller.is_empty()
            || called.iter().any(ends_a_name)
            || caller.iter().any(|byte| ends_a_name(byte) || *byte == b' ')
        {
            return Err(EncodeError::Name);
        }
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(version.to_string().as_bytes());
        out.push(b'\n');
        out.extend_from_slice(called);
        out.push(b'\n');
        out.extend_from_slice(caller);
        out.extend_from_slice(format!(" {process_id} 1\n").as_bytes());
        Ok(())
    }
}

/// Why a hello was not accepted. The connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HelloError {
    /// A line was refused, and the caller is told so.
    Refused(Status),
    /// A line is too long. The caller is told nothing.
    LineTooLong {
        /// The most bytes a line may have.
        limit: usize,
    },
}

impl HelloError {
    /// Returns the status that the caller is owed before the connection is closed, if any.
    #[must_use]
    pub const fn status(&self) -> Option<Status> {
        match self {
            Self::Refused(status) => Some(*status),
            Self::LineTooLong { .. } => None,
        }
    }
}

impl fmt::Display for HelloError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(status) => write!(f, "the hello was refused: {status}"),
            Self::LineTooLong { limit } => {
                write!(f, "a line of the hello has more than {limit} bytes")
            }
        }
    }
}

impl core::error::Error for HelloError {}

/// Reads the hello of a caller, in any pieces.
#[derive(Clone, Debug)]
pub struct HelloReader {
    next: Line,
    /// The bytes of the line that has not ended yet.
    line: Vec<u8>,
    limit: usize,
}

#[derive(Clone, Copy, Debug)]
enum Line {
    Version,
    Called(Version),
    Caller(Version),
    Over,
}

impl Default for HelloReader {
    fn default() -> Self {
        Self::new()
    }
}

impl HelloReader {
    /// Returns a reader that allows [`LINE_MAX`] bytes to a line.
    #[must_use]
    pub const fn new() -> Self {
        Self::with_line_max(LINE_MAX)
    }

    /// Returns a reader that allows `limit` bytes to a line, its LF not counted.
    #[must_use]
    pub const fn with_line_max(limit: usize) -> Self {
        Self { next: Line::Version, line: Vec::new(), limit }
    }

    /// Takes the next bytes of the connection. Returns how many were used, and the hello when it is
    /// whole: the bytes that are left are then the first messages. After the hello, and after an error,
    /// nothing more is used.
    ///
    /// `local` is the name we answer to; `is_peer` says whether a name is one of the section, ours
    /// included. Names compare byte for byte.
    ///
    /// # Errors
    /// When a line is refused, as soon as it has ended; or when it does not end within the limit.
    pub fn push(
        &mut self,
        bytes: &[u8],
        local: &[u8],
        mut is_peer: impl FnMut(&[u8]) -> bool,
    ) -> Result<(usize, Option<Hello>), HelloError> {
        let mut rest = bytes;
        loop {
            if matches!(self.next, Line::Over) {
                return Ok((bytes.len() - rest.len(), None));
            }
            let end = rest.iter().position(|byte| *byte == b'\n');
            let (piece, after) =
                rest.split_at_checked(end.unwrap_or(rest.len())).unwrap_or((rest, &[]));
            if piece.len() > self.limit.saturating_sub(self.line.len()) {
                self.next = Line::Over;
                return Err(HelloError::LineTooLong { limit: self.limit });
            }
            self.line.extend_from_slice(piece);
            if end.is_none() {
                return Ok((bytes.len(), None));
            }
            rest = after.get(1..).unwrap_or_default();
            let line = core::mem::take(&mut self.line);
            let line = line.strip_suffix(b"\r").unwrap_or(&line);
            let state = core::mem::replace(&mut self.next, Line::Over);
            match judge(state, line, local, &mut is_peer).map_err(HelloError::Refused)? {
                Judged::Next(next) => self.next = next,
                Judged::Whole(hello) => return Ok((bytes.len() - rest.len(), Some(hello))),
            }
        }
    }
}

enum Judged {
    Next(Line),
    Whole(Hello),
}

fn judge(
    state: Line,
    line: &[u8],
    local: &[u8],
    is_peer: &mut impl FnMut(&[u8]) -> bool,
) -> Result<Judged, Status> {
    match state {
        Line::Version => {
            let version = line.strip_prefix(MAGIC).ok_or(Status::ProtocolError)?;
            let version = Version::parse(version).ok_or(Status::BadVersion)?;
            Ok(Judged::Next(Line::Called(version)))
        }
        // A NUL ends no name here: `A\0junk` is not `A`.
        Line::Called(version) if line == local => Ok(Judged::Next(Line::Caller(version))),
        Line::Called(_) => Err(Status::WrongLocalName),
        Line::Caller(version) => {
            let space = line.iter().position(|byte| *byte == b' ').ok_or(Status::ProtocolError)?;
            let (caller, rest) = line.split_at_checked(space).ok_or(Status::ProtocolError)?;
            if caller.contains(&0) || !is_peer(caller) {
                return Err(Status::UnknownCaller);
            }
            let mut words = rest.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
            let process_id = words.next().and_then(number);
            let compares = words.any(|word| word == compare::HELLO_WORD);
            Ok(Judged::Whole(Hello { version, caller: caller.into(), process_id, compares }))
        }
        Line::Over => Err(Status::ProtocolError),
    }
}

/// What came back to our hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusLine {
    /// A status that this protocol knows.
    Known(Status),
    /// Another number. The session is refused.
    Other(u64),
    /// Not a number, or a line that is too long. The session is refused.
    Garbage,
}

/// Reads the status line that answers our hello, in any pieces and without keeping them.
#[derive(Clone, Debug, Default)]
pub struct StatusReader {
    value: u64,
    bytes: usize,
    /// What comes after the digits: nothing, the CR of a CR LF, or garbage.
    tail: Tail,
    over: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Tail {
    #[default]
    Digits,
    Cr,
    Garbage,
}

impl StatusReader {
    /// Returns a reader that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of the connection. Returns how many were used, and the status when its line
    /// has ended: the bytes that are left are then the first messages. After that nothing more is used.
    ///
    /// A line that does not end within [`LINE_MAX`] bytes is [`StatusLine::Garbage`].
    pub fn push(&mut self, bytes: &[u8]) -> (usize, Option<StatusLine>) {
        if self.over {
            return (0, None);
        }
        for (at, &byte) in bytes.iter().enumerate() {
            let used = at + 1;
            if byte == b'\n' {
                self.over = true;
                let digits = self.bytes - usize::from(self.tail == Tail::Cr);
                if digits == 0 || self.tail == Tail::Garbage {
                    return (used, Some(StatusLine::Garbage));
                }
                let known = Status::from_code(self.value);
                return (
                    used,
                    Some(known.map_or(StatusLine::Other(self.value), StatusLine::Known)),
                );
            }
            self.bytes += 1;
            self.tail = match (self.tail, byte) {
                (Tail::Digits, b'0'..=b'9') => {
                    self.value =
                        self.value.saturating_mul(10).saturating_add(u64::from(byte - b'0'));
                    Tail::Digits
                }
                (Tail::Digits, b'\r') => Tail::Cr,
                _ => Tail::Garbage,
            };
            if self.bytes > LINE_MAX {
                self.over = true;
                return (used, Some(StatusLine::Garbage));
            }
        }
        (bytes.len(), None)
    }
}
