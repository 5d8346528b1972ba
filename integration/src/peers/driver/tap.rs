//! What a connection shows of itself while the trace is on.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::peers::inspect::{Inspector, What};
use crate::peers::session::Session;
use crate::peers::trace::{Event, Trace};

#[derive(Debug)]
pub(super) struct Tap {
    trace: Arc<Trace>,
    section: String,
    /// Of what is received and of what is sent, while the trace is on.
    sides: Option<Box<(Inspector, Inspector)>>,
}

impl Tap {
    pub(super) fn new(trace: &Arc<Trace>, section: &str) -> Self {
        Self { trace: Arc::clone(trace), section: section.to_owned(), sides: None }
    }

    /// Before a session takes bytes, or makes some: from here on they are shown, if the trace is on.
    #[inline]
    pub(super) fn begin(&mut self, session: &Session) {
        if self.trace.is_on() {
            if self.sides.is_none() {
                self.sides = session.inspectors().map(Box::new);
            }
        } else if self.sides.is_some() {
            self.sides = None;
        }
    }

    /// Something has happened.
    pub(super) fn event(&self, event: Event, session: &Session, text: &str) {
        if self.trace.is_on() {
            self.trace.emit(event, &self.section, session.peer(), |_, out| out.write_str(text));
        }
    }

    /// The session has used these bytes.
    #[inline]
    pub(super) fn received(&mut self, session: &Session, bytes: &[u8]) {
        if let Some((received, _)) = self.sides.as_deref_mut() {
            show(&self.trace, &self.section, session, received, bytes, Event::RxMsg, "rx");
        }
    }

    /// The session has made these bytes.
    #[inline]
    pub(super) fn sent(&mut self, session: &Session, bytes: &[u8]) {
        if let Some((_, sent)) = self.sides.as_deref_mut() {
            show(&self.trace, &self.section, session, sent, bytes, Event::TxMsg, "tx");
        }
    }
}

fn show(
    trace: &Trace,
    section: &str,
    session: &Session,
    inspector: &mut Inspector,
    bytes: &[u8],
    moved: Event,
    side: &str,
) {
    if bytes.is_empty() {
        return;
    }
    let peer = session.peer();
    trace.emit(moved, section, peer, |_, out| write!(out, "{side} {} bytes", bytes.len()));
    inspector.read(bytes, |seen| {
        let event = match seen.what {
            What::Hello(_) => Event::ProtoHello,
            What::Status(_) => Event::ProtoSuccess,
            What::Update(_) => Event::ProtoUpdate,
            What::Ack(_) => Event::ProtoAck,
            What::Switch { .. } => Event::ProtoSwitch,
            What::Definition { .. } => Event::ProtoDef,
            What::Error(_) | What::BadAck(_) | What::Malformed(_) => Event::ProtoError,
            _ => Event::ProtoCtrl,
        };
        trace.emit(event, section, peer, |detail, out| {
            write!(out, "{side} ")?;
            seen.what.show(detail, out)
        });
    });
}
