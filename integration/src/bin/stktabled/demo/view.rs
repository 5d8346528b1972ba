//! What is seen of it: a live summary on a terminal, a line each second elsewhere.

use std::io::{self, Stdout};
use std::time::Duration;

use ratatui::backend::CrosstermBackend;
use ratatui::style::{Style, Stylize as _};
use ratatui::text::{Line, Span, Text};
use ratatui::{Terminal, TerminalOptions, Viewport};

use super::TABLES;
use super::compare::Compared;
use super::sample::{NodeSample, Sample};
use crate::say;

/// The lines of the summary.
const HEIGHT: u16 = 9;

/// Shows samples.
pub(super) struct View {
    screen: Option<Screen>,
    duration: Option<Duration>,
    start_ms: Option<u64>,
}

/// The part of the terminal that is drawn again and again. The terminal is left in its ordinary mode, so that Ctrl-C stays a
/// signal.
struct Screen(Terminal<CrosstermBackend<Stdout>>);

impl Screen {
    fn start() -> io::Result<Self> {
        let backend = CrosstermBackend::new(io::stdout());
        let options = TerminalOptions { viewport: Viewport::Inline(HEIGHT) };
        let mut terminal = Terminal::with_options(backend, options)?;
        terminal.hide_cursor()?;
        Ok(Self(terminal))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Below the summary, visible. If it does not work there is no other way to say it.
        let bottom = self.0.get_frame().area().bottom().saturating_sub(1);
        let _ = self.0.set_cursor_position((0, bottom));
        let _ = self.0.show_cursor();
        say("\n");
    }
}

impl View {
    /// Begins to show, on the terminal if there is one that can.
    pub(super) fn start(on_terminal: bool, duration: Option<Duration>) -> Self {
        let screen = if on_terminal { Screen::start().ok() } else { None };
        Self { screen, duration, start_ms: None }
    }

    /// Shows a sample, and what changed since the one before.
    pub(super) fn show(&mut self, sample: &Sample, before: &Sample, compared: &[Compared]) {
        let start = *self.start_ms.get_or_insert(before.at.0);
        let seconds = sample.at.0.saturating_sub(start).saturating_add(500) / 1_000;
        let Some(Screen(terminal)) = &mut self.screen else {
            say(&line(seconds, sample, before, compared));
            return;
        };
        let text = summary(seconds, self.duration, sample, before, compared);
        if terminal.draw(|frame| frame.render_widget(text, frame.area())).is_err() {
            self.screen = None;
        }
    }

    /// Ends it; what is said next stands below.
    pub(super) fn end(self) {}
}

/// Events per second.
fn per_second(now: u64, before: u64, ms: u64) -> u64 {
    now.saturating_sub(before) * 1_000 / ms
}

/// Returns a number of each node, such as `12/13`.
fn both(sample: &Sample, number: impl Fn(&NodeSample) -> u64) -> String {
    let [a, b] = &sample.nodes;
    format!("{}/{}", number(a), number(b))
}

fn line(seconds: u64, sample: &Sample, before: &Sample, compared: &[Compared]) -> String {
    let ms = sample.since_ms(before);
    let mut line = format!("{seconds:>4} s  a/b:");
    for (at, name) in TABLES.iter().enumerate() {
        line += &format!(" {name} {}", both(sample, |node| u64::from(node.tables[at].used)));
    }
    let expired = |node: &NodeSample| node.tables.iter().map(|table| table.expired).sum();
    let [a, b] = &sample.nodes;
    let [before_a, before_b] = &before.nodes;
    let differ: u32 = compared.iter().map(|table| table.differ).sum();
    line += &format!(
        ", expired {}, sent {}/{} and learned {}/{} per s, lag {}, {}",
        both(sample, expired),
        per_second(a.sent, before_a.sent, ms),
        per_second(b.sent, before_b.sent, ms),
        per_second(a.learned, before_a.learned, ms),
        per_second(b.learned, before_b.learned, ms),
        both(sample, |node| node.lag.iter().sum()),
        if differ == 0 { "equal".to_owned() } else { format!("{differ} differ") }
    );
    line
}

fn summary(
    seconds: u64,
    duration: Option<Duration>,
    sample: &Sample,
    before: &Sample,
    compared: &[Compared],
) -> Text<'static> {
    let of = duration.map_or(String::new(), |duration| format!(" of {}", duration.as_secs()));
    let mut lines = vec![
        Line::from(vec![
            Span::from("stktabled demo").bold(),
            Span::from(format!("  {seconds}{of} s, Ctrl-C ends it")),
        ]),
        Line::default(),
        Line::styled(
            format!(
                "{:<9}{:>6} {:>11} {:>15} {:>13} {:>7}  equal",
                "table", "size", "used a/b", "created a/b", "expired a/b", "lag a/b"
            ),
            Style::new().dim(),
        ),
    ];
    for (at, (name, compared)) in TABLES.iter().zip(compared).enumerate() {
        let size = sample.nodes[0].tables[at].size;
        let used = both(sample, |node| u64::from(node.tables[at].used));
        let created = both(sample, |node| node.tables[at].created);
        let expired = both(sample, |node| node.tables[at].expired);
        let lag = both(sample, |node| node.lag[at]);
        lines.push(Line::from(vec![
            Span::from(format!(
                "{name:<9}{size:>6} {used:>11} {created:>15} {expired:>13} {lag:>7}  "
            )),
            match compared.differ {
                0 => Span::from("yes").green(),
                differ => Span::from(format!("no ({differ})")).yellow(),
            },
        ]));
    }
    lines.push(Line::default());
    let ms = sample.since_ms(before);
    for (at, name) in ["a", "b"].into_iter().enumerate() {
        let (node, before) = (&sample.nodes[at], &before.nodes[at]);
        let connected = if node.up { "connected" } else { "connecting" };
        lines.push(Line::from(format!(
            "node {name}   {connected}, updates sent {} ({}/s), learned {} ({}/s)",
            node.sent,
            per_second(node.sent, before.sent, ms),
            node.learned,
            per_second(node.learned, before.learned, ms)
        )));
    }
    Text::from(lines)
}
