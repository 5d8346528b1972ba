//! A line of a configuration file, cut into words as HAProxy 2.6 cuts it.
//!
//! | written | read |
//! | --- | --- |
//! | blanks | separate words; within quotes they belong to them |
//! | `#` outside quotes | the rest is a comment, even in the middle of a word |
//! | `'...'` | taken as it is |
//! | `"..."` | escapes and variables mean something |
//! | `\` and blank, `#`, `\`, `"` or `'` | that character |
//! | `\n` `\r` `\t` `\xHH` | that byte; `\$` in double quotes is `$`; any other `\` is a `\` |
//! | `"$NAME"` `"${NAME}"` | the variable, nothing if it is not set; outside double quotes just text |
//! | `"${NAME-DEFAULT}"` | the default if it is not set |
//! | `"${NAME[*]}"` | the variable, cut into words at its blanks |
//!
//! A `\` at the end of a line continues it on the next. HAProxy has nothing of the kind: it reads the `\` as
//! a word or the end of one. The caller asks for it (`continued`) where HAProxy would refuse the line
//! anyway, and only there, so that no line that HAProxy reads is swallowed.

use stktable::declare::Word;

use super::Context;

/// The most bytes in the words of a line: 1 MiB, variables included.
const WORDS_MAX: usize = 1 << 20;

/// A word with its place.
#[derive(Debug)]
struct Text {
    bytes: Vec<u8>,
    line: u32,
    column: u32,
}

/// Why a line cannot be cut into words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LineError {
    pub(super) line: u32,
    pub(super) column: u32,
    pub(super) word: String,
    pub(super) message: &'static str,
}

/// A line, cut into words.
#[derive(Debug)]
pub(super) struct Line {
    words: Vec<Text>,
    error: Option<LineError>,
    /// Whether the line ends in a lone `\` which was read as text.
    pub(super) backslash: bool,
    /// Whether a lone `\` at its end took the next line in.
    pub(super) joined: bool,
    /// Whether the line has its end; only the last one of a file may lack it.
    pub(super) terminated: bool,
    /// Where the next line starts.
    pub(super) next: Start,
}

/// The start of a line: its offset, its number and its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) offset: usize,
    pub(super) line: u32,
    /// The column, past 1 where the beginning of a line was taken off.
    pub(super) column: u32,
}

impl Line {
    /// Returns the line that starts there.
    pub(super) fn read(
        file: &[u8],
        start: Start,
        continued: bool,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Self {
        let mut cutter = Cutter {
            file,
            at: start.offset,
            line: start.line,
            column: start.column,
            continued,
            variable,
            words: Vec::new(),
            word: None,
            room: WORDS_MAX,
            backslash: false,
            joined: false,
        };
        let error = cutter.cut().err();
        cutter.finish_word();
        cutter.finish(error)
    }

    /// Returns the first word, empty if there is none.
    pub(super) fn keyword(&self) -> &[u8] {
        self.words.first().map_or(b"", |word| &word.bytes)
    }

    /// Returns whether there is nothing on the line.
    pub(super) fn is_blank(&self) -> bool {
        self.words.is_empty() && self.error.is_none()
    }

    /// Returns the words.
    ///
    /// # Errors
    /// When the line could not be cut, or a word holds control characters or is not UTF-8.
    pub(super) fn words(&self) -> Result<Vec<Word<'_>>, LineError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let mut words = Vec::with_capacity(self.words.len());
        for Text { bytes, line, column } in &self.words {
            let error = |message| LineError {
                line: *line,
                column: *column,
                word: String::from_utf8_lossy(bytes).into_owned(),
                message,
            };
            let text = str::from_utf8(bytes).map_err(|_| error("not UTF-8; expected text"))?;
            if text.chars().any(char::is_control) {
                return Err(error("holds a control character; expected printable text"));
            }
            words.push(Word { text, line: *line, column: *column });
        }
        Ok(words)
    }
}

struct Cutter<'a> {
    file: &'a [u8],
    at: usize,
    line: u32,
    column: u32,
    continued: bool,
    variable: &'a dyn Fn(&str) -> Option<String>,
    words: Vec<Text>,
    word: Option<Text>,
    room: usize,
    backslash: bool,
    joined: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Quote {
    None,
    Single,
    Double,
}

impl Cutter<'_> {
    fn cut(&mut self) -> Result<(), LineError> {
        let mut quote = Quote::None;
        let mut opened = (self.line, self.column);
        while let Some(byte) = self.peek() {
            let here = (self.line, self.column);
            match (byte, quote) {
                (b'#', Quote::None) => return Ok(()),
                (b' ' | b'\t' | 0x0b | 0x0c, Quote::None) => {
                    self.step();
                    self.finish_word();
                }
                (b'\'', Quote::None) => {
                    self.start_word();
                    self.step();
                    (quote, opened) = (Quote::Single, here);
                }
                (b'"', Quote::None) => {
                    self.start_word();
                    self.step();
                    (quote, opened) = (Quote::Double, here);
                }
                (b'\'', Quote::Single) | (b'"', Quote::Double) => {
                    self.step();
                    quote = Quote::None;
                }
                (b'\\', Quote::None | Quote::Double) => self.escape(quote)?,
                (b'$', Quote::Double) => self.expand()?,
                (0, _) => {
                    return Err(self.error(here, "\0", "a NUL byte; expected text"));
                }
                (b'\r', _) => {
                    return Err(self.error(
                        here,
                        "\r",
                        "a carriage return within a line; expected it at the end of one only",
                    ));
                }
                _ => {
                    self.step();
                    self.push(here, byte)?;
                }
            }
        }
        match quote {
            Quote::None => Ok(()),
            Quote::Single => {
                Err(self.error(opened, "'", "the quote is not closed; expected another `'`"))
            }
            Quote::Double => {
                Err(self.error(opened, "\"", "the quote is not closed; expected another `\"`"))
            }
        }
    }

    /// Reads from a backslash on.
    fn escape(&mut self, quote: Quote) -> Result<(), LineError> {
        let here = (self.line, self.column);
        self.step();
        let Some(next) = self.peek() else {
            if self.continued && self.next_line() {
                self.joined = true;
                return Ok(());
            }
            self.backslash = true;
            return self.push(here, b'\\');
        };
        let byte = match next {
            b' ' | b'#' | b'\\' | b'"' | b'\'' => next,
            b'$' if quote == Quote::Double => next,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'x' => {
                let digit = |at| {
                    self.file.get(self.at + at).and_then(|byte| char::from(*byte).to_digit(16))
                };
                let value = digit(1).zip(digit(2)).map(|(high, low)| high * 16 + low);
                let Some(value) = value.and_then(|value| u8::try_from(value).ok()) else {
                    let message = "no hexadecimal byte; expected two digits after it";
                    return Err(self.error(here, "\\x", message));
                };
                self.step();
                self.step();
                value
            }
            _ => return self.push(here, b'\\'),
        };
        self.step();
        self.push(here, byte)
    }

    /// Reads from a dollar sign on and puts the variable's value in its place.
    fn expand(&mut self) -> Result<(), LineError> {
        let here = (self.line, self.column);
        self.step();
        let brace = self.peek() == Some(b'{');
        if brace {
            self.step();
        }
        let name = self.take_while(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
            let message =
                "no variable name follows; expected a letter or `_`, or `\\$` for the character";
            return Err(self.error(here, "$", message));
        }
        let mut split = false;
        let mut default = None;
        if brace {
            if self.rest().starts_with(b"[*]") {
                split = true;
                (0..3).for_each(|_| self.step());
            }
            if self.peek() == Some(b'-') {
                self.step();
                default = Some(self.take_while(|byte| byte != b'}'));
            }
            if self.peek() != Some(b'}') {
                return Err(self.error(here, "${", "the brace is not closed; expected `}`"));
            }
            self.step();
        }
        let value = (self.variable)(&name).or(default).unwrap_or_default();
        for byte in value.bytes() {
            if split && byte.is_ascii_whitespace() {
                self.finish_word();
            } else {
                self.push(here, byte)?;
            }
        }
        Ok(())
    }

    /// Returns the byte here, `None` at the end of the line.
    fn peek(&self) -> Option<u8> {
        match self.rest() {
            [] | [b'\n', ..] | [b'\r', b'\n', ..] | [b'\r'] => None,
            [byte, ..] => Some(*byte),
        }
    }

    fn rest(&self) -> &[u8] {
        self.file.get(self.at..).unwrap_or_default()
    }

    /// Passes over the byte here. The bytes of a character beyond its first do not count as columns.
    fn step(&mut self) {
        self.at += 1;
        if self.rest().first().is_none_or(|byte| *byte & 0xc0 != 0x80) {
            self.column = self.column.saturating_add(1);
        }
    }

    fn take_while(&mut self, keep: impl Fn(u8) -> bool) -> String {
        let start = self.at;
        while self.peek().is_some_and(&keep) {
            self.step();
        }
        String::from_utf8_lossy(&self.file[start..self.at]).into_owned()
    }

    fn start_word(&mut self) {
        let (line, column) = (self.line, self.column);
        self.word.get_or_insert(Text { bytes: Vec::new(), line, column });
    }

    fn push(&mut self, (line, column): (u32, u32), byte: u8) -> Result<(), LineError> {
        let Some(room) = self.room.checked_sub(1) else {
            return Err(self.error(
                (line, column),
                "",
                "the line is too long; expected at most 1 MiB",
            ));
        };
        self.room = room;
        self.word.get_or_insert(Text { bytes: Vec::new(), line, column }).bytes.push(byte);
        Ok(())
    }

    fn finish_word(&mut self) {
        self.words.extend(self.word.take());
    }

    fn error(&self, (line, column): (u32, u32), word: &str, message: &'static str) -> LineError {
        LineError { line, column, word: word.to_owned(), message }
    }

    /// Goes on to the next line; returns whether there is one.
    fn next_line(&mut self) -> bool {
        let end = self.rest().iter().position(|byte| *byte == b'\n');
        match end {
            Some(end) => {
                self.at += end + 1;
                self.line = self.line.saturating_add(1);
                self.column = 1;
                true
            }
            None => {
                self.at = self.file.len();
                false
            }
        }
    }

    fn finish(mut self, error: Option<LineError>) -> Line {
        let terminated = self.next_line() || self.file.ends_with(b"\n");
        Line {
            next: Start { offset: self.at, line: self.line, column: 1 },
            words: self.words,
            error,
            backslash: self.backslash,
            joined: self.joined,
            terminated,
        }
    }
}

/// The variable that HAProxy sets to the name of the local peer.
const LOCAL_PEER: &str = "HAPROXY_LOCALPEER";

/// Returns a variable as seen at this point of the files, `localpeer` being what they said so far.
pub(super) fn variable(
    context: &Context<'_>,
    localpeer: Option<&str>,
    name: &str,
) -> Option<String> {
    if name == LOCAL_PEER
        && let Some(peer) = context.local_peer_name(localpeer)
    {
        return Some(peer.to_owned());
    }
    (context.environment)(name)
}
