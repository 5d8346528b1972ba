//! `trace`, `show trace` and `show events`: the words and layouts of HAProxy.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use super::PIECE_BYTES;
use crate::peers::trace::{Event, Level, On, State, Trace, VERBOSITIES};

/// How often it is looked for more, for who waits for it.
const WAIT: Duration = Duration::from_millis(100);

const COMMANDS: &str = "Supported commands:
  event     : list/enable/disable source-specific event reporting
  level     : list/set trace reporting level
  lock      : list/set whose events alone are shown
  pause     : pause and automatically restart after a specific event
  sink      : list/set event sinks
  start     : start immediately or after a specific event
  stop      : stop immediately or after a specific event
  verbosity : list/set trace output verbosity
";

const WORDS: [&str; 8] = ["event", "level", "lock", "pause", "sink", "start", "stop", "verbosity"];

const SINKS: [(&str, &str); 2] = [("none", "no sink"), ("buf0", "in-memory ring buffer")];

const fn mark(set: bool, yes: char, no: char) -> char {
    if set { yes } else { no }
}

const fn letter(state: State) -> char {
    match state {
        State::Stopped => '.',
        State::Waiting => 'w',
        State::Running => 'R',
    }
}

fn sink(trace: &Trace) -> &'static str {
    SINKS[usize::from(trace.shows())].0
}

/// `trace ...`. Returns what is said, an error among it.
pub(super) fn command(trace: &Trace, words: &[&[u8]]) -> String {
    let words: Option<Vec<&str>> = words.iter().map(|word| str::from_utf8(word).ok()).collect();
    let Some(words) = words else { return "No such trace source\n".to_owned() };
    match words.as_slice() {
        [] => format!(
            "Supported trace sources and states (.=stopped, w=waiting, R=running) :\n \
             [.] 0          : not a source, will immediately stop all traces\n \
             [{}] peers      : Peers protocol\n",
            letter(trace.state())
        ),
        ["0"] => {
            trace.set_state(State::Stopped);
            "All traces now stopped\n".to_owned()
        }
        ["peers"] => COMMANDS.to_owned(),
        ["peers", rest @ ..] => settings(trace, rest).unwrap_or_else(|error| format!("{error}\n")),
        _ => "No such trace source\n".to_owned(),
    }
}

/// Does what each of several words says, up to the first that is wrong.
fn settings(trace: &Trace, mut words: &[&str]) -> Result<String, &'static str> {
    let mut out = String::new();
    while let Some((word, rest)) = words.split_first() {
        let count = rest.iter().position(|next| WORDS.contains(next)).unwrap_or(rest.len());
        let (values, behind) = rest.split_at(count);
        words = behind;
        match *word {
            "event" => match values {
                [] => list_events(trace.events(On::Report), None, &mut out),
                values => trace.set_events(On::Report, choose(trace.events(On::Report), values)?),
            },
            "start" => when(trace, On::Start, values, &mut out)?,
            "stop" => when(trace, On::Stop, values, &mut out)?,
            "pause" => when(trace, On::Pause, values, &mut out)?,
            "level" => match values {
                [] => {
                    out += "Supported trace levels for source peers:\n";
                    for (at, (_, name, what)) in Level::ALL.iter().enumerate() {
                        let mark = mark(at == trace.level(), '*', ' ');
                        let _ = writeln!(out, "  {mark} {name:<10} : {what}");
                    }
                }
                [name] => {
                    let found = Level::ALL.iter().find(|(_, level, _)| level == name);
                    trace.set_level(found.ok_or("No such trace level")?.0);
                }
                _ => return Err("No such trace level"),
            },
            "verbosity" => match values {
                [] => {
                    out += "Supported trace verbosities for source peers:\n";
                    for (at, (_, name, what)) in VERBOSITIES.iter().enumerate() {
                        let mark = mark(at == trace.verbosity(), '*', ' ');
                        let _ = writeln!(out, "  {mark} {name:<10} : {what}");
                    }
                }
                [name] => {
                    let names = ["quiet", "minimal"];
                    // HAProxy has these between ours.
                    let at = match *name {
                        name if names.contains(&name) => Some(0),
                        name => VERBOSITIES.iter().position(|(_, known, _)| *known == name),
                    };
                    let at = at.and_then(|at| u8::try_from(at).ok());
                    trace.set_verbosity(at.ok_or("No such verbosity level")?);
                }
                _ => return Err("No such verbosity level"),
            },
            "sink" => match values {
                [] => {
                    out += "Supported sinks for source peers (*=current):\n";
                    for (name, what) in SINKS {
                        let mark = mark(name == sink(trace), '*', ' ');
                        let _ = writeln!(out, "  {mark} {name:<10} : {what}");
                    }
                }
                ["none"] => trace.set_shows(false),
                ["buf0"] => trace.set_shows(true),
                _ => return Err("No such sink"),
            },
            "lock" => lock(trace, values, &mut out)?,
            _ => return Err("Unknown trace keyword"),
        }
    }
    Ok(out)
}

fn lock(trace: &Trace, values: &[&str], out: &mut String) -> Result<(), &'static str> {
    match values {
        [] => {
            let now = trace.lock();
            let peer = now.clone().flatten();
            *out += "Supported lock-on criteria for source peers:\n";
            let _ = writeln!(
                out,
                "  {} nothing    : do not lock on anything",
                mark(now.is_none(), '*', ' ')
            );
            let _ =
                write!(out, "  {} peers      : lock on the peer", mark(now.is_some(), '*', ' '));
            let _ = match peer {
                Some(peer) => writeln!(out, " {}", peer.escape_debug()),
                None => writeln!(out, " that is first, or on `peers SECTION/PEER`"),
            };
        }
        ["nothing"] => trace.set_lock(None),
        ["peers"] => trace.set_lock(Some(None)),
        ["peers", name] if name.contains('/') => trace.set_lock(Some(Some((*name).to_owned()))),
        _ => return Err("Unsupported lock-on criterion"),
    }
    Ok(())
}

/// `start`, `stop` and `pause`, at once or after events.
fn when(trace: &Trace, on: On, values: &[&str], out: &mut String) -> Result<(), &'static str> {
    match values {
        [] => {
            let is_now = trace.state() == State::Running && on == On::Start;
            list_events(trace.events(on), Some(is_now), out);
        }
        ["now"] | ["+now"] => trace.set_state(match on {
            On::Start => State::Running,
            On::Pause => State::Waiting,
            _ => State::Stopped,
        }),
        values => trace.set_events(on, choose(trace.events(on), values)?),
    }
    Ok(())
}

/// Returns the events after words such as `none`, `+any` and `-proto_ack`.
fn choose(mut bits: u32, words: &[&str]) -> Result<u32, &'static str> {
    for word in words {
        let (takes, name) = match word.strip_prefix(['-', '!']) {
            Some(name) => (false, name),
            None => (true, word.strip_prefix('+').unwrap_or(word)),
        };
        let named = match name {
            "any" => Event::ANY,
            "none" => {
                bits = if takes { 0 } else { Event::ANY };
                continue;
            }
            name => Event::named(name).ok_or("No such trace event")?.bit(),
        };
        bits = if takes { bits | named } else { bits & !named };
    }
    Ok(bits)
}

fn list_events(bits: u32, now: Option<bool>, out: &mut String) {
    *out += "Supported events for source peers (+=enabled, -=disabled):\n";
    if let Some(now) = now {
        let mark = mark(now, '+', '-');
        let _ = writeln!(
            out,
            "  {mark} now          : don't wait for events, immediately change the state"
        );
    }
    let _ = writeln!(out, "  {} none         : disable all event types", mark(bits == 0, '+', '-'));
    let _ = writeln!(
        out,
        "  {} any          : enable all event types",
        mark(bits == Event::ANY, '+', '-')
    );
    for event in Event::ALL {
        let (name, what) = event.words();
        let _ = writeln!(out, "  {} {name:<12} : {what}", mark(bits & event.bit() != 0, '+', '-'));
    }
}

/// `show trace`.
pub(super) fn show(trace: &Trace, words: &[&[u8]]) -> String {
    let (name, lines) = (sink(trace), trace.ring().overwritten());
    match words {
        [] => format!(
            "Supported trace sources and states (.=stopped, w=waiting, R=running) :\n \
             [{}] peers      -> {name} [drp {lines}]  [Peers protocol]\n",
            letter(trace.state())
        ),
        [b"peers"] => {
            let mut out = format!(
                "Trace status for peers:\n  - sink: {name} [{lines} dropped]\n  \
                 - event name   :     report    start    stop    pause\n"
            );
            let bits = [On::Report, On::Start, On::Stop, On::Pause].map(|on| trace.events(on));
            for event in Event::ALL {
                let [report, start, stop, pause] =
                    bits.map(|bits| mark(bits & event.bit() != 0, '+', '-'));
                let name = event.words().0;
                let _ = writeln!(
                    out,
                    "    {name:<12} :        {report}        {start}        {stop}       {pause}"
                );
            }
            out
        }
        _ => "No such trace source\n".to_owned(),
    }
}

/// `show events`: what there is to see, or an error among it.
pub(super) fn events(trace: &Arc<Trace>, words: &[&[u8]]) -> Result<Events, String> {
    let (sink, options) = match words {
        [] => {
            let lines = trace.ring().overwritten();
            return Err(format!(
                "Supported events sinks are listed below. Add -w(wait), -n(new). Any key to stop\n    \
                 buf0       : type=buffer, {lines} dropped, in-memory ring buffer\n"
            ));
        }
        [sink, options @ ..] => (sink, options),
    };
    if *sink != b"buf0" {
        return Err("No such event sink\n".to_owned());
    }
    let mut events = Events { trace: Arc::clone(trace), next: 0, waits: false };
    for option in options {
        match *option {
            b"-w" => events.waits = true,
            b"-n" => events.next = trace.ring().next(),
            b"-nw" | b"-wn" => (events.waits, events.next) = (true, trace.ring().next()),
            _ => return Err("Unknown option; expected -w or -n\n".to_owned()),
        }
    }
    Ok(events)
}

/// Lines of the ring, and those that come.
#[derive(Debug)]
pub(super) struct Events {
    trace: Arc<Trace>,
    next: u64,
    pub(super) waits: bool,
}

impl Events {
    /// Appends the next lines. Returns whether there may be more.
    pub(super) fn next(&mut self, out: &mut Vec<u8>) -> bool {
        let end = out.len() + PIECE_BYTES;
        self.next = self.trace.ring().read(self.next, |line| {
            out.extend_from_slice(line.text.as_bytes());
            out.push(b'\n');
            out.len() < end
        });
        self.waits || out.len() >= end
    }

    /// Waits until there are lines.
    pub(super) async fn ready(&self) {
        while self.trace.ring().next() <= self.next {
            tokio::time::sleep(WAIT).await;
        }
    }
}
