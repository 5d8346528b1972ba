//! One connection: the handshake, then all that is to be sent, or a lesson.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use stktable_integration::peers::codec::{
    Control, Decoder, Hello, Message, Status, StatusLine, StatusReader, Version,
};

use super::LoadError;
use super::traffic::{Sent, TABLE_ID};

/// After how long without anything to say a heartbeat is sent: a peer that is silent for 5 s is dropped.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Bytes that are read at once.
const INPUT: usize = 256 << 10;

/// A session that is up.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    local: String,
    patience: Duration,
    input: Input,
}

/// What was taught.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lesson {
    pub(super) updates: u64,
    pub(super) bytes: u64,
}

/// What was read of the stream and not used.
#[derive(Debug, Default)]
struct Input {
    bytes: Vec<u8>,
    from: usize,
}

impl Input {
    /// Reads once. False when nothing came in time.
    fn read(&mut self, mut stream: &TcpStream) -> io::Result<bool> {
        self.bytes.drain(..self.from);
        self.from = 0;
        let kept = self.bytes.len();
        self.bytes.resize(kept.max(INPUT) + INPUT, 0);
        let read = stream.read(&mut self.bytes[kept..]);
        self.bytes.truncate(kept + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed by the target")),
            Ok(_) => Ok(true),
            Err(error)
                if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

impl Connection {
    /// Connects, and says who we are.
    pub(super) fn open(
        target: SocketAddr,
        remote: &str,
        local: &str,
        patience: Duration,
    ) -> Result<Self, LoadError> {
        let failed = |error| LoadError::Io { local: local.to_owned(), error };
        let wrong = |what: String| LoadError::Target { local: local.to_owned(), what };
        let mut hello = Vec::new();
        let process = u64::from(std::process::id());
        Hello::encode(Version::V2_1, remote.as_bytes(), local.as_bytes(), process, &mut hello)
            .map_err(|error| wrong(format!("`{remote}`, `{local}`: {error}")))?;
        let mut stream = TcpStream::connect_timeout(&target, patience).map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        stream.set_read_timeout(Some(HEARTBEAT)).map_err(failed)?;
        stream.set_write_timeout(Some(patience)).map_err(failed)?;
        stream.write_all(&hello).map_err(failed)?;
        let mut input = Input::default();
        let mut reader = StatusReader::new();
        let began = now();
        loop {
            let read = input.read(&stream).map_err(failed)?;
            let (used, status) = reader.push(&input.bytes[input.from..]);
            input.from += used;
            match status {
                Some(StatusLine::Known(Status::Accepted)) => break,
                Some(status) => return Err(wrong(format!("refused with {status:?}"))),
                None if !read && began.elapsed() > patience => {
                    return Err(wrong("no status line".to_owned()));
                }
                None => {}
            }
        }
        Ok(Self { stream, local: local.to_owned(), patience, input })
    }

    fn failed(&self, error: io::Error) -> LoadError {
        LoadError::Io { local: self.local.clone(), error }
    }

    fn wrong(&self, what: impl Into<String>) -> LoadError {
        LoadError::Target { local: self.local.clone(), what: what.into() }
    }

    /// Sends everything, and waits until the last update is acknowledged.
    pub(super) fn send(mut self, sent: &Sent) -> Result<(), LoadError> {
        let writer = self.stream.try_clone().map_err(|error| self.failed(error))?;
        let local = self.local.clone();
        let (answers, questions) = channel();
        thread::scope(|scope| {
            let writing = scope.spawn(move || write(&writer, sent, &questions));
            let heard = self.await_ack(sent.last_id, &answers);
            if heard.is_err() {
                // A writer that is stuck gives up.
                let _ = self.stream.shutdown(Shutdown::Both);
            }
            drop(answers);
            let written = writing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            heard.and(written.map_err(|error| LoadError::Io { local, error }))
        })
    }

    /// Reads until this id is acknowledged. What the target asks for meanwhile is answered by the writer, between two
    /// messages.
    fn await_ack(&mut self, last_id: u32, answers: &Sender<Control>) -> Result<(), LoadError> {
        let mut acked = last_id == 0;
        let mut heard = now();
        let mut last = 0;
        while !acked {
            let progress = self.messages(|message| {
                match message {
                    Message::Ack(ack) => {
                        let ack = ack.decode().map_err(|error| error.to_string())?;
                        if ack.table_id == TABLE_ID && ack.update_id != last {
                            (last, heard) = (ack.update_id, now());
                        }
                        acked |= last == last_id;
                    }
                    Message::Control(Control::ResyncRequest) => {
                        // We have nothing but what is being sent anyhow. Fails when the writer has failed, which says why.
                        let _ = answers.send(Control::ResyncFinished);
                    }
                    Message::Error(error) => {
                        return Err(format!("it reports our error: {error:?}"));
                    }
                    _ => {}
                }
                Ok(!acked)
            });
            progress?;
            if heard.elapsed() > self.patience {
                return Err(self.wrong(format!(
                    "nothing acknowledged for {:?}; the last was update {last} of {last_id}: is \
                     there a table of this name, type and length?",
                    self.patience
                )));
            }
        }
        Ok(())
    }

    /// Asks for a lesson, and counts it.
    pub(super) fn learn(mut self) -> Result<Lesson, LoadError> {
        let mut request = Vec::new();
        Control::ResyncRequest.encode(&mut request);
        self.write(&request)?;
        let mut lesson = Lesson::default();
        let mut ended = false;
        let (mut heard, mut said) = (now(), now());
        while !ended {
            let before = lesson.bytes;
            let mut answer = Vec::new();
            self.messages_sized(|message, size| {
                lesson.bytes += size as u64;
                match message {
                    Message::Update(_) => lesson.updates += 1,
                    Message::Control(Control::ResyncFinished | Control::ResyncPartial) => {
                        Control::ResyncConfirm.encode(&mut answer);
                        ended = true;
                    }
                    Message::Control(Control::ResyncRequest) => {
                        Control::ResyncFinished.encode(&mut answer);
                    }
                    Message::Error(error) => {
                        return Err(format!("it reports our error: {error:?}"));
                    }
                    _ => {}
                }
                Ok(!ended)
            })?;
            if lesson.bytes != before {
                heard = now();
            }
            if answer.is_empty() && said.elapsed() > HEARTBEAT {
                Control::Heartbeat.encode(&mut answer);
                said = now();
            }
            self.write(&answer)?;
            if heard.elapsed() > self.patience {
                return Err(self.wrong(format!("nothing taught for {:?}", self.patience)));
            }
        }
        Ok(lesson)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), LoadError> {
        self.stream.write_all(bytes).map_err(|error| self.failed(error))
    }

    fn messages(
        &mut self,
        mut hear: impl FnMut(Message<'_>) -> Result<bool, String>,
    ) -> Result<(), LoadError> {
        self.messages_sized(|message, _| hear(message))
    }

    /// Hears what there is, then reads once: until `hear` has had enough.
    fn messages_sized(
        &mut self,
        mut hear: impl FnMut(Message<'_>, usize) -> Result<bool, String>,
    ) -> Result<(), LoadError> {
        let decoder = Decoder::new();
        loop {
            let decoded = decoder.decode(&self.input.bytes[self.input.from..]);
            let Some((message, size)) = decoded.map_err(|error| self.wrong(error.to_string()))?
            else {
                break;
            };
            let more = hear(message, size).map_err(|what| self.wrong(what))?;
            self.input.from += size;
            if !more {
                return Ok(());
            }
        }
        let Self { input, stream, .. } = self;
        let read = input.read(stream);
        read.map(drop).map_err(|error| self.failed(error))
    }
}

/// Writes everything, then what else there is to say, until nobody listens.
fn write(mut stream: &TcpStream, sent: &Sent, answers: &Receiver<Control>) -> io::Result<()> {
    let mut from = 0;
    for end in &sent.ends {
        while let Ok(control) = answers.try_recv() {
            say(stream, control)?;
        }
        stream.write_all(&sent.bytes[from..*end])?;
        from = *end;
    }
    loop {
        match answers.recv_timeout(HEARTBEAT) {
            Ok(control) => say(stream, control)?,
            Err(RecvTimeoutError::Timeout) => say(stream, Control::Heartbeat)?,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}

fn say(mut stream: &TcpStream, control: Control) -> io::Result<()> {
    let mut bytes = Vec::new();
    control.encode(&mut bytes);
    stream.write_all(&bytes)
}

#[expect(clippy::disallowed_methods, reason = "patience is measured in time")]
fn now() -> Instant {
    Instant::now()
}
