//! How it looks: on a screen of any size, and as plain text.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Table as Grid, TableState, Wrap};

use super::model::{Entry, Peer, Sample, printable};
use super::state::{Shown, State};

/// Tables that are listed at most, above what is in one of them.
const TABLES_MAX: usize = 8;
/// The heights of a line of numbers.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// How many of them are drawn.
const BARS_MAX: usize = 40;

const HELP: &str = "\
Tab, Shift-Tab     the next table, the one before
Left, Right        what the largest values are of
Up, Down           an entry; Enter shows all that is known of it
/                  only a network, or what keys begin with; Esc shows all again
p                  peers, and how far they are behind
a                  sums over peers
Space              rests, goes on
q, Ctrl-C          ends";

/// Whether colours are welcome: <https://no-color.org>. Nothing is told by colour alone.
fn colours() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
}

fn coloured(colour: Color) -> Style {
    if colours() { Style::new().fg(colour) } else { Style::new() }
}

/// Draws everything.
pub(super) fn draw(state: &State, frame: &mut Frame<'_>) {
    let tables = state.sample.as_ref().map_or(0, |sample| sample.tables.len().min(TABLES_MAX));
    let heights = [
        Constraint::Length(1),
        Constraint::Length(u16::try_from(tables + 2).unwrap_or(0)),
        Constraint::Min(3),
        Constraint::Length(1),
    ];
    let [head, above, below, foot] = Layout::vertical(heights).areas(frame.area());
    frame.render_widget(title(state), head);
    let Some(sample) = &state.sample else {
        let why = state.stale.as_deref().unwrap_or("asking ..");
        frame.render_widget(Paragraph::new(why.to_owned()).wrap(Wrap { trim: false }), below);
        return;
    };
    draw_tables(state, sample, frame, above);
    match state.shown {
        Shown::Talkers => draw_talkers(state, sample, frame, below),
        Shown::Entry => draw_lines("Entry", entry(state.entry()), frame, below),
        Shown::Peers => draw_peers(sample, frame, below),
        Shown::Sums => draw_lines("Sums over peers", sums(sample), frame, below),
        Shown::Help => draw_lines("Keys", HELP.lines().map(Line::from).collect(), frame, below),
    }
    frame.render_widget(footer(state, sample), foot);
}

fn title(state: &State) -> Line<'static> {
    let (process, up) = state
        .sample
        .as_ref()
        .map_or((String::new(), 0), |sample| (sample.process.clone(), sample.up_seconds));
    let up =
        format!("up {}d {:02}:{:02}:{:02}", up / 86_400, up / 3_600 % 24, up / 60 % 60, up % 60);
    let how = match (&state.stale, state.is_paused()) {
        (Some(why), _) if state.sample.is_some() => {
            Span::styled(format!("STALE, trying again: {}", printable(why)), coloured(Color::Red))
        }
        (Some(_), _) => Span::styled("NO CONNECTION, trying again", coloured(Color::Red)),
        (None, true) => Span::from("PAUSED").bold(),
        (None, false) => Span::styled("live", coloured(Color::Green)),
    };
    Line::from(vec![Span::from(process).bold(), Span::from(format!("  {up}  {}  ", state.to)), how])
}

/// Draws a line of numbers, the last at its end.
fn bars(numbers: impl Iterator<Item = u64>) -> String {
    let numbers: Vec<_> = numbers.collect();
    let numbers = &numbers[numbers.len().saturating_sub(BARS_MAX)..];
    let most = numbers.iter().copied().max().unwrap_or(0).max(1);
    let bar = |number: &u64| {
        let height = u128::from(*number) * (BARS.len() as u128 - 1) / u128::from(most);
        usize::try_from(height).ok().and_then(|height| BARS.get(height)).copied().unwrap_or(' ')
    };
    numbers.iter().map(bar).collect()
}

fn draw_tables(state: &State, sample: &Sample, frame: &mut Frame<'_>, area: Rect) {
    let chosen = state.table();
    // The chosen one is among them.
    let at =
        sample.tables.iter().position(|table| Some(table.name.as_str()) == chosen).unwrap_or(0);
    let first = at.saturating_sub(TABLES_MAX - 1);
    let rows = sample.tables.iter().skip(first).take(TABLES_MAX).map(|table| {
        let is_chosen = Some(table.name.as_str()) == chosen;
        let mark = if is_chosen { "> " } else { "  " };
        let full = table.used * 100 / table.size.max(1);
        let row = Row::new(vec![
            Cell::from(format!("{mark}{}", printable(&table.name))),
            Cell::from(table.ty.clone()),
            right(table.used.to_string()),
            right(table.size.to_string()),
            right(format!("{full}%")),
            right(state.change(table).map_or(String::new(), |change| format!("{change:+}"))),
            Cell::from(bars(state.history(table))),
        ]);
        if is_chosen { row.bold() } else { row }
    });
    let widths = [
        Constraint::Fill(2),
        Constraint::Length(8),
        Constraint::Length(10),
        Constraint::Length(10),
        Constraint::Length(5),
        Constraint::Length(10),
        Constraint::Fill(3),
    ];
    let head = ["  table", "keys", "used", "size", "full", "+ a second", "entries until now"];
    let head = Row::new(head.into_iter().enumerate().map(|(at, name)| match at {
        2..=5 => right(name.to_owned()),
        _ => Cell::from(name),
    }));
    frame.render_widget(Grid::new(rows, widths).header(head.underlined()), area);
}

fn right(text: String) -> Cell<'static> {
    Cell::from(Line::from(text).right_aligned())
}

/// The data types that are shown, the one that is sorted by first.
fn columns(sample: &Sample) -> Vec<String> {
    let talkers = &sample.talkers;
    let stored = talkers.entries.first().into_iter().flat_map(|entry| entry.values.keys().cloned());
    let mut columns = vec![talkers.by.clone()];
    columns.extend(stored.filter(|name| *name != talkers.by));
    columns.retain(|name| !name.is_empty());
    columns
}

fn talkers_title(state: &State, sample: &Sample) -> String {
    let talkers = &sample.talkers;
    let mut title = format!("Largest {} of {}", talkers.by, printable(&talkers.table));
    if let Some(prefix) = &state.wanted().prefix {
        title += &format!(" in {}", printable(prefix));
    }
    title
}

fn draw_talkers(state: &State, sample: &Sample, frame: &mut Frame<'_>, area: Rect) {
    let [head, body] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
    let talkers = &sample.talkers;
    let title = match &state.input {
        Some(input) => format!("Network, or what keys begin with: {}_", printable(input)),
        None => talkers_title(state, sample),
    };
    frame.render_widget(Line::from(title).bold(), head);
    if let Some(wrong) = &talkers.wrong {
        frame.render_widget(Paragraph::new(wrong.clone()).wrap(Wrap { trim: false }), body);
        return;
    }
    if talkers.entries.is_empty() {
        frame.render_widget("Nothing is known of any key here.", body);
        return;
    }
    let columns = columns(sample);
    let rows = talkers.entries.iter().map(|entry| {
        let value = |name: &String| right(entry.values.get(name).cloned().unwrap_or_default());
        let cells = [Cell::from(entry.key.clone())].into_iter().chain(columns.iter().map(value));
        Row::new(cells.chain([right(lives(entry.expires))]))
    });
    let head = [Cell::from("key")].into_iter();
    let head = head
        .chain(columns.iter().map(|name| right(name.clone())))
        .chain([right("lives".to_owned())]);
    let width =
        |name: &String| Constraint::Length(u16::try_from(name.len().clamp(8, 16)).unwrap_or(8));
    let widths = [Constraint::Fill(1)].into_iter().chain(columns.iter().map(width));
    let grid = Grid::new(rows, widths.chain([Constraint::Length(8)]))
        .header(Row::new(head).underlined())
        .row_highlight_style(Style::new().reversed())
        .highlight_symbol("> ");
    let mut chosen = TableState::new().with_selected(state.row);
    frame.render_stateful_widget(grid, body, &mut chosen);
}

fn lives(ms: u64) -> String {
    if ms == 0 { "-".to_owned() } else { format!("{}s", ms.div_ceil(1_000)) }
}

fn draw_lines(title: &str, lines: Vec<Line<'_>>, frame: &mut Frame<'_>, area: Rect) {
    let title = Line::from(title.to_owned()).bold();
    let text: Vec<_> = [title].into_iter().chain(lines).collect();
    frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: false }), area);
}

fn entry(entry: Option<&Entry>) -> Vec<Line<'static>> {
    let Some(entry) = entry else { return vec![Line::from("None is chosen.")] };
    let mut lines = vec![
        Line::from(format!("{:<20}{}", "key", entry.key)),
        Line::from(format!("{:<20}{}", "in use by", entry.trackers)),
        Line::from(format!("{:<20}{}", "lives", lives(entry.expires))),
    ];
    lines.extend(entry.values.iter().map(|(name, value)| Line::from(format!("{name:<20}{value}"))));
    lines
}

fn sums(sample: &Sample) -> Vec<Line<'_>> {
    match sample.aggregates.as_slice() {
        [] => vec![Line::from("There are none.")],
        lines => lines.iter().map(|line| Line::from(line.as_str())).collect(),
    }
}

/// What the status of a peer means, in a word.
fn status(peer: &Peer) -> &str {
    match peer.status.as_str() {
        "ESTA" => "up",
        "HSHK" => "handshake",
        "CONN" => "calling",
        "RETR" => "down",
        "NONE" => "not called",
        other => other,
    }
}

fn waited(peer: &Peer) -> String {
    peer.waited_ms.map_or("-".to_owned(), |ms| format!("{}.{}s", ms / 1_000, ms / 100 % 10))
}

fn draw_peers(sample: &Sample, frame: &mut Frame<'_>, area: Rect) {
    if sample.peers.is_empty() {
        return draw_lines("Peers", vec![Line::from("There are none.")], frame, area);
    }
    let rows = sample.peers.iter().map(|peer| {
        let colour = if peer.is_active { Color::Green } else { Color::Red };
        Row::new(vec![
            Cell::from(peer.section.clone()),
            Cell::from(peer.name.clone()),
            Cell::from(peer.address.clone()),
            Cell::from(status(peer).to_owned()).style(coloured(colour)),
            right(peer.unacked.map_or("-".to_owned(), |count| count.to_string())),
            right(waited(peer)),
            Cell::from(peer.last_end.clone()),
        ])
    });
    let head = ["section", "peer", "address", "state", "unacked", "waited", "last end"];
    let head = Row::new(head.into_iter().enumerate().map(|(at, name)| match at {
        4 | 5 => right(name.to_owned()),
        _ => Cell::from(name),
    }));
    let widths = [
        Constraint::Length(12),
        Constraint::Length(16),
        Constraint::Length(22),
        Constraint::Length(11),
        Constraint::Length(9),
        Constraint::Length(9),
        Constraint::Fill(1),
    ];
    frame.render_widget(Grid::new(rows, widths).header(head.underlined()), area);
}

fn footer(state: &State, sample: &Sample) -> Line<'static> {
    match (&state.input, &sample.talkers.note) {
        (Some(_), _) => Line::from("Enter looks there, Esc does not"),
        (None, Some(note)) if state.shown == Shown::Talkers => {
            Line::from(format!("{note}; ? help, q ends"))
        }
        _ => Line::from(
            "Tab table  < > field  / network  Enter entry  p peers  a sums  Space rest  ? help  q end",
        ),
    }
}

/// All of it as plain text.
pub(super) fn text(state: &State) -> String {
    let Some(sample) = &state.sample else { return String::new() };
    let mut text = format!("{}, up {} s, {}\n\n", sample.process, sample.up_seconds, state.to);
    text += &format!("{:<24} {:<8} {:>10} {:>10}\n", "table", "keys", "used", "size");
    for table in &sample.tables {
        let name = printable(&table.name);
        text += &format!("{name:<24} {:<8} {:>10} {:>10}\n", table.ty, table.used, table.size);
    }
    let talkers = &sample.talkers;
    if let Some(wrong) = &talkers.wrong {
        text += &format!("\n{wrong}\n");
    } else if !talkers.entries.is_empty() {
        text += &format!("\n{}\n", talkers_title(state, sample));
        let columns = columns(sample);
        for entry in &talkers.entries {
            let values = columns
                .iter()
                .filter_map(|name| Some(format!("{name}={}", entry.values.get(name)?)));
            let values = values.collect::<Vec<_>>().join(" ");
            text += &format!("{:<24} {values} lives={}\n", entry.key, lives(entry.expires));
        }
    }
    if let Some(note) = &talkers.note {
        text += &format!("({note})\n");
    }
    if !sample.peers.is_empty() {
        text += "\npeers\n";
    }
    for peer in &sample.peers {
        let unacked = peer.unacked.map_or("-".to_owned(), |count| count.to_string());
        text += &format!(
            "{:<24} {} {} unacked={unacked} waited={}\n",
            format!("{}/{}", peer.section, peer.name),
            peer.address,
            status(peer),
            waited(peer)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::model::{Table, Talkers};
    use super::super::state::Wanted;
    use super::*;

    fn state() -> State {
        let table = |name: &str, used| Table {
            name: name.to_owned(),
            ty: "ip".to_owned(),
            size: 200,
            used,
        };
        let entry = |key: &str, rate: u64| Entry {
            key: key.to_owned(),
            trackers: "0".to_owned(),
            expires: 1_500,
            values: BTreeMap::from([
                ("gpc0".to_owned(), "4".to_owned()),
                ("http_req_rate".to_owned(), rate.to_string()),
            ]),
        };
        let peer = Peer {
            section: "mesh".to_owned(),
            name: "b".to_owned(),
            address: "10.0.0.2:10000".to_owned(),
            status: "RETR".to_owned(),
            unacked: Some(312),
            waited_ms: Some(2_340),
            ..Peer::default()
        };
        let talkers = Talkers {
            table: "mesh/clients".to_owned(),
            by: "http_req_rate".to_owned(),
            fields: vec!["gpc0".to_owned(), "http_req_rate".to_owned()],
            entries: vec![entry("192.0.2.7", 50), entry("192.0.2.8", 30)],
            ..Talkers::default()
        };
        let mut state = State::new("/run/x.sock".to_owned(), Wanted::default());
        for (at_ms, used) in [(0, 10), (2_000, 50), (4_000, 100)] {
            let tables = vec![table("mesh/clients", used), table("other", 0)];
            let sample = Sample {
                at_ms,
                process: "stktabled 0.1.0".to_owned(),
                up_seconds: 90_061,
                tables,
                talkers: talkers.clone(),
                peers: vec![peer.clone()],
                aggregates: Vec::new(),
            };
            state.take(Ok(sample));
        }
        state
    }

    fn drawn(state: &State, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(state, frame)).unwrap();
        let buffer = terminal.backend().buffer();
        let line = |y| {
            (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned()
        };
        (0..height).map(line).collect()
    }

    #[test]
    fn tables_and_talkers_are_drawn() {
        let lines = drawn(&state(), 110, 20);
        assert_eq!(lines[0], "stktabled 0.1.0  up 1d 01:01:01  /run/x.sock  live");
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(
            words(&lines[2]),
            [">", "mesh/clients", "ip", "100", "200", "50%", "+25", "▁▄█"]
        );
        let at =
            lines.iter().position(|line| line == "Largest http_req_rate of mesh/clients").unwrap();
        assert_eq!(words(&lines[at + 1]), ["key", "http_req_rate", "gpc0", "lives"]);
        assert_eq!(words(&lines[at + 2]), [">", "192.0.2.7", "50", "4", "2s"]);
        assert_eq!(words(&lines[at + 3]), ["192.0.2.8", "30", "4", "2s"]);
    }

    #[test]
    fn peers_and_what_is_stale_are_drawn() {
        let mut state = state();
        state.shown = Shown::Peers;
        state.stale = Some("gone\u{1b}[2J".to_owned());
        let lines = drawn(&state, 110, 20);
        assert!(lines[0].ends_with("STALE, trying again: gone\\u{1b}[2J"), "{}", lines[0]);
        let peer = lines.iter().find(|line| line.contains("10.0.0.2")).unwrap();
        assert_eq!(
            peer.split_whitespace().collect::<Vec<_>>(),
            ["mesh", "b", "10.0.0.2:10000", "down", "312", "2.3s"]
        );
        let text = text(&state);
        assert!(
            text.contains("mesh/b                   10.0.0.2:10000 down unacked=312 waited=2.3s"),
            "{text}"
        );
        assert!(
            text.contains("192.0.2.7                http_req_rate=50 gpc0=4 lives=2s"),
            "{text}"
        );
    }

    #[test]
    fn a_screen_may_have_any_size() {
        let mut state = state();
        for shown in [Shown::Talkers, Shown::Entry, Shown::Peers, Shown::Sums, Shown::Help] {
            state.shown = shown;
            for (width, height) in [(1, 1), (3, 2), (10, 40), (40, 5), (40, 24), (300, 80)] {
                drawn(&state, width, height);
            }
        }
        let empty = State::new("x".to_owned(), Wanted::default());
        drawn(&empty, 1, 1);
        assert!(drawn(&empty, 40, 10).iter().any(|line| line.contains("asking")));
        state.take(Ok(Sample::default()));
        drawn(&state, 40, 10);
    }
}
