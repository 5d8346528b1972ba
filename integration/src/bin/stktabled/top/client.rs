//! One question to the runtime API.

use std::fmt;
use std::io::{self, Read, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use stktable_integration::Clock;
use stktable_integration::runtime_api::server::Endpoint;

/// How long an answer may take to begin, and to go on.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// How long it may take to its end.
const ANSWER_MAX_MS: u32 = 20_000;
/// Bytes of an answer that are read. What is behind them is not looked at.
const ANSWER_MAX: usize = 16 << 20;

/// Why there is no answer.
#[derive(Debug)]
pub(super) struct AskError {
    to: String,
    error: io::Error,
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { to, error } = self;
        write!(f, "{to}: {error}")?;
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                f.write_str("; is it running, with this as its --runtime-api or `stats socket`?")
            }
            io::ErrorKind::PermissionDenied => f.write_str("; the socket is for other users"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for AskError {}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) text: String,
    /// Whether it is only the beginning of what was said.
    pub(super) is_cut: bool,
}

trait Stream: Read + io::Write {}
impl<T: Read + io::Write> Stream for T {}

/// Sends one command, and returns what is answered.
pub(super) fn ask(to: &Endpoint, command: &str, clock: Clock) -> Result<Answer, AskError> {
    let end = clock.now() + ANSWER_MAX_MS;
    let failed = |error| AskError { to: to.to_string(), error };
    let mut stream = connect(to).map_err(failed)?;
    stream.write_all(format!("{command}\n").as_bytes()).map_err(failed)?;
    let (mut bytes, mut piece) = (Vec::new(), vec![0; 64 << 10]);
    let is_cut = loop {
        match stream.read(&mut piece) {
            Ok(0) => break false,
            Ok(read) => bytes.extend_from_slice(&piece[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let silent = format!("no answer to `{command}` in {SILENCE_MAX:?}");
                return Err(failed(io::Error::new(io::ErrorKind::TimedOut, silent)));
            }
            Err(error) => return Err(failed(error)),
        }
        if bytes.len() >= ANSWER_MAX {
            break true;
        }
        if clock.now() >= end {
            let slow = format!("the answer to `{command}` takes longer than {ANSWER_MAX_MS} ms");
            return Err(failed(io::Error::new(io::ErrorKind::TimedOut, slow)));
        }
    };
    if is_cut {
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        bytes.truncate(whole);
    }
    Ok(Answer { text: String::from_utf8_lossy(&bytes).into_owned(), is_cut })
}

fn connect(to: &Endpoint) -> io::Result<Box<dyn Stream>> {
    Ok(match to {
        Endpoint::Tcp(address) => {
            let stream = TcpStream::connect_timeout(address, SILENCE_MAX)?;
            stream.set_read_timeout(Some(SILENCE_MAX))?;
            stream.set_write_timeout(Some(SILENCE_MAX))?;
            Box::new(stream)
        }
        Endpoint::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(SILENCE_MAX))?;
            stream.set_write_timeout(Some(SILENCE_MAX))?;
            Box::new(stream)
        }
    })
}
