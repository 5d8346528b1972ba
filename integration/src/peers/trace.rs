//! Tracing the peers protocol while it runs, as HAProxy's `trace peers` does.
//!
//! Sessions are not touched by it: a connection whose trace is on shows the bytes that were used and those that were written, which an
//! [`Inspector`](super::inspect::Inspector) of its own reads. Off, it costs a connection one load for what it reads at once. Nothing
//! here waits for anybody: what is set is a number, and lines go to a [ring](Ring) of bounded size without a lock.

mod ring;

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};

use arc_swap::ArcSwapOption;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::inspect::Detail;
pub use ring::{Line, Ring};

/// Bytes of a line in the ring.
const LINE_MAX: usize = 1024;

/// Something that can be traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Event {
    /// A connection is there.
    SessNew,
    /// A session is over.
    SessEnd,
    /// Because of an error.
    SessErr,
    /// A lesson was asked for, or has ended.
    SessResync,
    /// Bytes were read.
    RxMsg,
    /// What is there waits until another session with the peer has ended.
    RxBlocked,
    /// Bytes were written.
    TxMsg,
    /// The socket takes no more.
    TxBlocked,
    /// What was received is malformed, or the peer says that of us.
    ProtoError,
    /// A line of a hello.
    ProtoHello,
    /// The line that answers it.
    ProtoSuccess,
    /// An update.
    ProtoUpdate,
    /// An ack.
    ProtoAck,
    /// A table is selected.
    ProtoSwitch,
    /// A table is announced.
    ProtoDef,
    /// A control message, and any without a meaning.
    ProtoCtrl,
}

impl Event {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::SessNew,
        Self::SessEnd,
        Self::SessErr,
        Self::SessResync,
        Self::RxMsg,
        Self::RxBlocked,
        Self::TxMsg,
        Self::TxBlocked,
        Self::ProtoError,
        Self::ProtoHello,
        Self::ProtoSuccess,
        Self::ProtoUpdate,
        Self::ProtoAck,
        Self::ProtoSwitch,
        Self::ProtoDef,
        Self::ProtoCtrl,
    ];

    /// The bits of all.
    pub const ANY: u32 = (1 << Self::ALL.len()) - 1;

    /// Its bit.
    #[must_use]
    pub const fn bit(self) -> u32 {
        1 << self as u8
    }

    /// Returns its name, HAProxy's since 3.2, and what it is.
    #[must_use]
    pub const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::SessNew => ("sess_new", "new peer session"),
            Self::SessEnd => ("sess_end", "peer session ended"),
            Self::SessErr => ("sess_err", "peer session ended by an error"),
            Self::SessResync => ("sess_resync", "resync asked for, or ended"),
            Self::RxMsg => ("rx_msg", "bytes received"),
            Self::RxBlocked => ("rx_blocked", "receipt waits for another session of the peer"),
            Self::TxMsg => ("tx_msg", "bytes written"),
            Self::TxBlocked => ("tx_blocked", "the socket takes no more"),
            Self::ProtoError => ("proto_error", "protocol error"),
            Self::ProtoHello => ("proto_hello", "line of a hello"),
            Self::ProtoSuccess => ("proto_success", "status line"),
            Self::ProtoUpdate => ("proto_update", "update message"),
            Self::ProtoAck => ("proto_ack", "ack message"),
            Self::ProtoSwitch => ("proto_switch", "switch message"),
            Self::ProtoDef => ("proto_def", "definition message"),
            Self::ProtoCtrl => ("proto_ctrl", "control message"),
        }
    }

    /// Returns the event of this name, HAProxy's of today or that of 2.6.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "updtmsg" => Self::ProtoUpdate,
            "ackmsg" => Self::ProtoAck,
            "swtcmsg" => Self::ProtoSwitch,
            "defmsg" => Self::ProtoDef,
            "ctrlmsg" => Self::ProtoCtrl,
            "sessrl" => Self::SessEnd,
            "protoerr" => Self::ProtoError,
            name => return Self::ALL.into_iter().find(|event| event.words().0 == name),
        })
    }

    /// Returns from which level on it is shown.
    #[must_use]
    pub const fn level(self) -> Level {
        match self {
            Self::SessErr | Self::ProtoError => Level::Error,
            Self::SessNew | Self::SessEnd => Level::User,
            Self::ProtoHello
            | Self::ProtoSuccess
            | Self::ProtoUpdate
            | Self::ProtoAck
            | Self::ProtoSwitch
            | Self::ProtoDef
            | Self::ProtoCtrl => Level::Proto,
            Self::SessResync | Self::RxBlocked | Self::TxBlocked => Level::State,
            Self::RxMsg | Self::TxMsg => Level::Data,
        }
    }
}

/// How much is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Errors.
    Error,
    /// Also what is useful to the end user.
    User,
    /// Also the messages of the protocol.
    Proto,
    /// Also changes of state.
    State,
    /// Also transfers.
    Data,
    /// Also what is useful to the developer.
    Developer,
}

impl Level {
    /// All of them, with names and what they are.
    pub const ALL: [(Self, &str, &str); 6] = [
        (Self::Error, "error", "report errors"),
        (Self::User, "user", "also information useful to the end user"),
        (Self::Proto, "proto", "also protocol-level updates"),
        (Self::State, "state", "also report internal state changes"),
        (Self::Data, "data", "also report data transfers"),
        (Self::Developer, "developer", "also report information useful only to the developer"),
    ];
}

/// How much of a message is shown, with names and what they are.
pub const VERBOSITIES: [(Detail, &str, &str); 4] = [
    (Detail::Kind, "clean", "what kind of message it is"),
    (Detail::Numbers, "simple", "also tables and the numbers of updates"),
    (Detail::Key, "advanced", "also keys"),
    (Detail::All, "complete", "also all values"),
];

/// Whether something is traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// No.
    Stopped,
    /// From an event on that starts it.
    Waiting,
    /// Yes.
    Running,
}

/// What an event does beside being reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// Nothing.
    Report,
    /// It starts the trace.
    Start,
    /// It stops it.
    Stop,
    /// It lets it wait for one that starts it.
    Pause,
}

/// A trace: what is wanted of it, and what it has shown.
#[derive(Debug)]
pub struct Trace {
    state: AtomicU8,
    level: AtomicU8,
    verbosity: AtomicU8,
    shows: AtomicBool,
    report: AtomicU32,
    start: AtomicU32,
    stop: AtomicU32,
    pause: AtomicU32,
    locks: AtomicBool,
    /// Whose events alone are shown.
    locked: ArcSwapOption<String>,
    /// It was named, and is not the first that came.
    is_named: AtomicBool,
    ring: Ring,
}

impl Default for Trace {
    fn default() -> Self {
        Self {
            state: AtomicU8::new(State::Stopped as u8),
            level: AtomicU8::new(Level::User as u8),
            verbosity: AtomicU8::new(1),
            shows: AtomicBool::new(false),
            report: AtomicU32::new(Event::ANY),
            start: AtomicU32::new(0),
            stop: AtomicU32::new(0),
            pause: AtomicU32::new(0),
            locks: AtomicBool::new(false),
            locked: ArcSwapOption::empty(),
            is_named: AtomicBool::new(false),
            ring: Ring::default(),
        }
    }
}

// All of it is relaxed: each setting stands for itself, and one that is seen an event later is as good.
impl Trace {
    /// Whether there is anything to do for an event.
    #[inline]
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.state.load(Ordering::Relaxed) != State::Stopped as u8
    }

    /// Returns whether it is on.
    #[must_use]
    pub fn state(&self) -> State {
        match self.state.load(Ordering::Relaxed) {
            0 => State::Stopped,
            1 => State::Waiting,
            _ => State::Running,
        }
    }

    /// Begins or ends. At the end a peer that was locked because it was the first is free again.
    pub fn set_state(&self, state: State) {
        if state == State::Stopped && !self.is_named.load(Ordering::Relaxed) {
            self.locked.store(None);
        }
        self.state.store(state as u8, Ordering::Relaxed);
    }

    /// Returns the position of the level in [`Level::ALL`].
    #[must_use]
    pub fn level(&self) -> usize {
        usize::from(self.level.load(Ordering::Relaxed))
    }

    /// Sets the level.
    pub fn set_level(&self, level: Level) {
        self.level.store(level as u8, Ordering::Relaxed);
    }

    /// Returns the position of the verbosity in [`VERBOSITIES`].
    #[must_use]
    pub fn verbosity(&self) -> usize {
        usize::from(self.verbosity.load(Ordering::Relaxed))
    }

    /// Sets the verbosity by its position in [`VERBOSITIES`].
    pub fn set_verbosity(&self, at: u8) {
        self.verbosity.store(at, Ordering::Relaxed);
    }

    /// Whether lines go to the ring.
    #[must_use]
    pub fn shows(&self) -> bool {
        self.shows.load(Ordering::Relaxed)
    }

    /// Lets lines go to the ring, or nowhere.
    pub fn set_shows(&self, shows: bool) {
        self.shows.store(shows, Ordering::Relaxed);
    }

    const fn events_of(&self, on: On) -> &AtomicU32 {
        match on {
            On::Report => &self.report,
            On::Start => &self.start,
            On::Stop => &self.stop,
            On::Pause => &self.pause,
        }
    }

    /// Returns the bits of the events that do this.
    #[must_use]
    pub fn events(&self, on: On) -> u32 {
        self.events_of(on).load(Ordering::Relaxed)
    }

    /// Sets the events that do this.
    pub fn set_events(&self, on: On, bits: u32) {
        self.events_of(on).store(bits, Ordering::Relaxed);
        let waits = on == On::Start && bits != 0 && self.state() == State::Stopped;
        if waits {
            self.set_state(State::Waiting);
        }
    }

    /// Returns whose events alone are shown: whoever is first where none is named yet.
    #[must_use]
    pub fn lock(&self) -> Option<Option<Arc<String>>> {
        self.locks.load(Ordering::Relaxed).then(|| self.locked.load_full())
    }

    /// Shows the events of one peer alone, `SECTION/PEER`, or of the first that has any; with `None` of everybody.
    pub fn set_lock(&self, lock: Option<Option<String>>) {
        self.locks.store(lock.is_some(), Ordering::Relaxed);
        let peer = lock.flatten();
        self.is_named.store(peer.is_some(), Ordering::Relaxed);
        self.locked.store(peer.map(Arc::new));
    }

    /// Returns what it has shown.
    #[must_use]
    pub const fn ring(&self) -> &Ring {
        &self.ring
    }

    /// Something has happened in a session with `peer`. `text` writes what, as much of it as is wanted.
    pub fn emit(
        &self,
        event: Event,
        section: &str,
        peer: Option<&str>,
        text: impl FnOnce(Detail, &mut String) -> std::fmt::Result,
    ) {
        match self.state() {
            State::Stopped => return,
            State::Running => {}
            State::Waiting if self.events(On::Start) & event.bit() == 0 => return,
            State::Waiting => self.change(State::Waiting, State::Running),
        }
        if self.is_shown(event) && self.is_about(section, peer) {
            let (detail, ..) = VERBOSITIES[self.verbosity().min(VERBOSITIES.len() - 1)];
            self.ring.push(line(event, section, peer, detail, text));
        }
        if self.events(On::Stop) & event.bit() != 0 {
            self.set_state(State::Stopped);
        } else if self.events(On::Pause) & event.bit() != 0 {
            self.change(State::Running, State::Waiting);
        }
    }

    fn is_shown(&self, event: Event) -> bool {
        self.shows()
            && self.events(On::Report) & event.bit() != 0
            && event.level() as usize <= self.level()
    }

    /// Changes the state, unless somebody else did.
    fn change(&self, from: State, to: State) {
        let (from, to) = (from as u8, to as u8);
        // Whoever was first is right.
        let _ = self.state.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn is_about(&self, section: &str, peer: Option<&str>) -> bool {
        if !self.locks.load(Ordering::Relaxed) {
            return true;
        }
        let Some(peer) = peer else { return false };
        let is_same = |locked: &String| {
            locked.strip_prefix(section).and_then(|rest| rest.strip_prefix('/')) == Some(peer)
        };
        if let Some(locked) = &*self.locked.load() {
            return is_same(locked);
        }
        let none: Option<Arc<String>> = None;
        let found =
            self.locked.compare_and_swap(&none, Some(Arc::new(format!("{section}/{peer}"))));
        found.as_ref().is_none_or(|locked| is_same(locked))
    }
}

fn line(
    event: Event,
    section: &str,
    peer: Option<&str>,
    detail: Detail,
    text: impl FnOnce(Detail, &mut String) -> std::fmt::Result,
) -> String {
    let now = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
    let (name, _) = event.words();
    let peer = peer.unwrap_or("?").escape_debug();
    let mut line = format!("<0>{now} [00|peers|{}|{name}] {section}/{peer} ", event.level() as u8);
    // A `String` takes everything.
    let _ = text(detail, &mut line);
    if line.len() > LINE_MAX {
        let end = (0..=LINE_MAX).rev().find(|end| line.is_char_boundary(*end)).unwrap_or(0);
        line.truncate(end);
        let _ = write!(line, " ...");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn emit(trace: &Trace, event: Event, peer: &str) {
        trace.emit(event, "p", Some(peer), |_, out| out.write_str("text"));
    }

    fn shown(trace: &Trace) -> Vec<String> {
        let mut lines = Vec::new();
        trace.ring().read(0, |line| {
            let line = line.text.split_once("] ").unwrap().1.to_owned();
            lines.push(line);
            true
        });
        lines
    }

    #[test]
    fn events_start_pause_and_stop_it() {
        let trace = Trace::default();
        trace.set_shows(true);
        emit(&trace, Event::SessNew, "off");
        trace.set_events(On::Start, Event::SessErr.bit());
        assert_eq!(trace.state(), State::Waiting);
        emit(&trace, Event::SessNew, "waits");
        emit(&trace, Event::SessErr, "a");
        emit(&trace, Event::ProtoUpdate, "above the level");
        emit(&trace, Event::SessNew, "b");
        trace.set_events(On::Pause, Event::SessEnd.bit());
        emit(&trace, Event::SessEnd, "c");
        assert_eq!(trace.state(), State::Waiting);
        emit(&trace, Event::SessNew, "waits");
        emit(&trace, Event::SessErr, "d");
        trace.set_events(On::Report, Event::ANY & !Event::SessNew.bit());
        emit(&trace, Event::SessNew, "not reported");
        trace.set_events(On::Stop, Event::SessNew.bit());
        emit(&trace, Event::SessNew, "not reported, but stops");
        assert_eq!(trace.state(), State::Stopped);
        emit(&trace, Event::SessErr, "off");
        assert_eq!(shown(&trace), ["p/a text", "p/b text", "p/c text", "p/d text"]);
    }

    #[test]
    fn it_is_locked_on_a_peer() {
        let trace = Trace::default();
        trace.set_shows(true);
        trace.set_state(State::Running);
        trace.set_lock(Some(None));
        trace.emit(Event::SessNew, "p", None, |_, _| Ok(()));
        emit(&trace, Event::SessNew, "a");
        emit(&trace, Event::SessNew, "b");
        trace.set_lock(Some(Some("p/b".to_owned())));
        emit(&trace, Event::SessEnd, "a");
        emit(&trace, Event::SessEnd, "b");
        // Who was named stays so; who was the first does not.
        trace.set_state(State::Stopped);
        trace.set_state(State::Running);
        emit(&trace, Event::SessNew, "a");
        emit(&trace, Event::SessNew, "b");
        trace.set_lock(Some(None));
        emit(&trace, Event::SessNew, "d");
        trace.set_state(State::Stopped);
        trace.set_state(State::Running);
        emit(&trace, Event::SessNew, "e");
        trace.set_lock(None);
        emit(&trace, Event::SessEnd, "c");
        let peers = ["p/a text", "p/b text", "p/b text", "p/d text", "p/e text", "p/c text"];
        assert_eq!(shown(&trace), peers);
    }

    #[test]
    fn names_of_both_versions_are_known() {
        for event in Event::ALL {
            assert_eq!(Event::named(event.words().0), Some(event));
        }
        assert_eq!(Event::ALL.iter().fold(0, |bits, event| bits | event.bit()), Event::ANY);
        assert_eq!(Event::named("updtmsg"), Some(Event::ProtoUpdate));
        assert_eq!(Event::named("bogus"), None);
    }
}
