//! One client: lines in, replies out.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::Options;
use crate::clock::Clock;
use crate::runtime_api::{Api, Level, Then, commands};

/// What an interactive client sees when it may write.
const PROMPT: &[u8] = b"> ";
/// How long, and for how many bytes, what a client still sends is read after our last word: closing with
/// bytes unread would take that word from it.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 256 * 1024;

/// Serves a client until its session is over.
pub(super) async fn run<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    seat: Option<OwnedSemaphorePermit>,
    api: Arc<Api>,
    clock: Clock,
    level: Level,
    options: Options,
) {
    let seated = seat.is_some();
    let mut client =
        Client { stream, api, clock, level, options, input: Vec::new(), interactive: false };
    let ended = if seated {
        client.session().await
    } else {
        client.write(b"Too many clients, try again later\n\n").await
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "runtime API: a client is gone");
    }
    client.linger().await;
    drop(seat);
}

struct Client<S> {
    stream: S,
    api: Arc<Api>,
    clock: Clock,
    /// What it may do. It may lower that.
    level: Level,
    options: Options,
    /// What was read and not yet answered; never longer than a line and a read.
    input: Vec<u8>,
    interactive: bool,
}

/// Whether a session goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Goes {
    On,
    Over,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    async fn session(&mut self) -> io::Result<()> {
        loop {
            let Some(line) = self.line().await? else { return Ok(()) };
            if self.answer(&line).await? == Goes::Over {
                return Ok(());
            }
            // Lines that were sent together are answered together.
            if !self.interactive && self.input.is_empty() {
                return Ok(());
            }
        }
    }

    /// Returns the next line, `None` at the end or when it is too long.
    async fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut seen = 0;
        loop {
            let end = self.input[seen..].iter().position(|byte| *byte == b'\n');
            let length = end.map_or(self.input.len(), |end| seen + end);
            if length > self.options.line_max {
                let max = self.options.line_max;
                let text = format!("Command too long: a line has at most {max} bytes\n\n");
                self.write(text.as_bytes()).await?;
                return Ok(None);
            }
            if end.is_some() {
                let rest = self.input.split_off(length + 1);
                let mut line = std::mem::replace(&mut self.input, rest);
                line.truncate(length);
                return Ok(Some(line));
            }
            seen = length;
            let read = timeout(self.options.idle, self.stream.read_buf(&mut self.input));
            if read.await.map_err(|_| io::ErrorKind::TimedOut)?? == 0 {
                let line = std::mem::take(&mut self.input);
                return Ok(Some(line).filter(|line| !line.is_empty()));
            }
        }
    }

    async fn answer(&mut self, line: &[u8]) -> io::Result<Goes> {
        let mut some = false;
        for command in commands(line) {
            some = true;
            if self.command(command).await? == Goes::Over {
                return Ok(Goes::Over);
            }
        }
        // An empty line shows what there is.
        if some { Ok(Goes::On) } else { self.command(b"help").await }
    }

    async fn command(&mut self, command: &[u8]) -> io::Result<Goes> {
        let mut reply = self.api.execute(command, self.level, self.clock.now());
        let mut piece = Vec::new();
        let (mut speaks, mut ends) = (true, false);
        loop {
            if !reply.is_endless() {
                reply.ready().await;
            } else if speaks && self.input.is_empty() {
                tokio::select! {
                    biased;
                    read = self.stream.read_buf(&mut self.input) => speaks = read? > 0,
                    () = reply.ready() => {}
                }
            } else if speaks {
                // Whatever it sends ends what has no end, and nothing else. What is there is shown before.
                self.input.clear();
                ends = true;
            } else if timeout(self.options.idle, reply.ready()).await.is_err() {
                // It sends no more, and perhaps does not read either: that shows only when something is written.
                break;
            }
            let more = reply.next(self.clock.now(), &mut piece);
            if !piece.is_empty() {
                self.write(&piece).await?;
                piece.clear();
            }
            if !more || ends {
                break;
            }
            // A client that reads quickly, and a filter that nothing passes, leave others their turn.
            tokio::task::yield_now().await;
        }
        let goes = match reply.then() {
            Then::Next => Goes::On,
            Then::Level(level) => {
                self.level = self.level.min(level);
                Goes::On
            }
            Then::Quit => Goes::Over,
            Then::Unknown if !self.interactive => Goes::Over,
            Then::Unknown => Goes::On,
            Then::Prompt => {
                self.interactive = !self.interactive;
                if self.interactive { Goes::On } else { Goes::Over }
            }
        };
        if self.interactive && goes == Goes::On {
            self.write(PROMPT).await?;
        }
        Ok(goes)
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        // Each part that is taken begins the wait anew.
        let mut rest = bytes;
        while !rest.is_empty() {
            let write = timeout(self.options.idle, self.stream.write(rest));
            let written = write.await.map_err(|_| io::ErrorKind::TimedOut)??;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            rest = &rest[written..];
        }
        Ok(())
    }

    /// Ends what we say, and lets the client read it.
    async fn linger(&mut self) {
        let drained = async {
            self.stream.shutdown().await?;
            let mut rest = (&mut self.stream).take(LINGER_BYTES);
            tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
        };
        // Whatever happens now, the session is over.
        let _ = timeout(LINGER, drained).await;
    }
}
