//! Drawings, as SVG that takes its colours from the page.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::contestant::Role;
use crate::interleave::Latency;

/// What a picture could not be drawn for.
pub(super) type Failure = DrawingAreaErrorKind<std::io::Error>;

/// Stand-ins, which no drawing has otherwise, and what the page calls them.
const COLOURS: [(RGBColor, &str, &str); 6] = [
    (INK, "#010101", "currentColor"),
    (LINE, "#010102", "var(--line)"),
    (RGBColor(2, 1, 1), "#020101", "var(--ours)"),
    (RGBColor(2, 1, 2), "#020102", "var(--reclaimer)"),
    (RGBColor(2, 1, 3), "#020103", "var(--locked)"),
    (RGBColor(2, 1, 4), "#020104", "var(--rival)"),
];
const INK: RGBColor = RGBColor(1, 1, 1);
const LINE: RGBColor = RGBColor(1, 1, 2);

const fn colour(role: Role) -> RGBColor {
    COLOURS[match role {
        Role::Ours => 2,
        Role::Reclaimer => 3,
        Role::Locked => 4,
        Role::Rival => 5,
    }]
    .0
}

const WIDTH: u32 = 960;
const LABELS: i32 = 210;
const ROW: i32 = 17;
const TOP: i32 = 22;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws on a picture that has room for so many rows.
fn picture(
    rows: usize,
    draw: impl FnOnce(&Area<'_>) -> Result<(), Failure>,
) -> Result<String, Failure> {
    let mut svg = String::new();
    let height = i32::try_from(rows).unwrap_or(i32::MAX / ROW) * ROW + TOP + 4;
    {
        let size = (WIDTH, height.unsigned_abs());
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        draw(&area)?;
        area.present()?;
    }
    let svg = COLOURS.iter().fold(svg, |svg, (_, from, to)| svg.replace(from, to));
    Ok(svg.replacen("<svg ", "<svg role=\"img\" ", 1))
}

fn style(anchor: HPos) -> TextStyle<'static> {
    let style = TextStyle::from(("sans-serif", 12).into_font()).color(&INK);
    style.pos(Pos::new(anchor, VPos::Center))
}

fn label(area: &Area<'_>, text: &str, at: (i32, i32), anchor: HPos) -> Result<(), Failure> {
    area.draw_text(text, &style(anchor), at)
}

/// Returns the middle of a row.
fn middle(row: usize) -> i32 {
    TOP + ROW * i32::try_from(row).unwrap_or(0) + ROW / 2
}

/// A row of bars.
pub(super) struct Bars<'a> {
    pub(super) label: &'a str,
    pub(super) role: Role,
    /// One for each column.
    pub(super) values: Vec<Option<f64>>,
}

/// Draws bars: a row for each contestant, and columns side by side, each with a scale of its own that begins at 0.
pub(super) fn bars(columns: &[String], rows: &[Bars<'_>]) -> Result<String, Failure> {
    let count = i32::try_from(columns.len().max(1)).unwrap_or(1);
    let width = (WIDTH.cast_signed() - LABELS) / count;
    picture(rows.len(), |area| {
        for (row, bars) in rows.iter().enumerate() {
            label(area, bars.label, (LABELS - 6, middle(row)), HPos::Right)?;
        }
        for (column, name) in columns.iter().enumerate() {
            let left = LABELS + width * i32::try_from(column).unwrap_or(0);
            label(area, name, (left, TOP / 2), HPos::Left)?;
            let values =
                || rows.iter().filter_map(|bars| bars.values.get(column).copied().flatten());
            let most = values().fold(0.0, f64::max).max(f64::MIN_POSITIVE);
            for (row, bars) in rows.iter().enumerate() {
                let Some(value) = bars.values.get(column).copied().flatten() else { continue };
                // Room for the figure beside the longest.
                #[expect(clippy::cast_possible_truncation, reason = "a part of the width")]
                let length = (f64::from(width - 60) * value / most).round() as i32;
                let at = middle(row);
                let corners = [(left, at - 6), (left + length.max(1), at + 6)];
                area.draw(&Rectangle::new(corners, colour(bars.role).filled()))?;
                label(area, &short(value), (left + length + 4, at), HPos::Left)?;
            }
        }
        Ok(())
    })
}

/// Writes a value with about three digits.
pub(super) fn short(value: f64) -> String {
    match value {
        0.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// Writes nanoseconds in the unit that suits them.
pub(super) fn time(ns: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let value = ns as f64;
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{} µs", short(value / 1e3)),
        _ => format!("{} ms", short(value / 1e6)),
    }
}

/// A row of percentiles.
pub(super) struct Dots<'a> {
    pub(super) label: &'a str,
    pub(super) role: Role,
    pub(super) latency: &'a Latency,
}

/// Draws from p50 to p99.99 of each contestant, on one logarithmic scale.
pub(super) fn latencies(rows: &[Dots<'_>]) -> Result<String, Failure> {
    let all = || rows.iter().flat_map(|dots| [dots.latency.p50, dots.latency.p9999]);
    let least = all().min().unwrap_or(1).max(1).ilog10();
    let most = all().max().unwrap_or(1).max(1).ilog10() + 1;
    let width = f64::from(WIDTH.cast_signed() - LABELS - 40);
    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a place")]
    let place = |ns: u64| {
        let decades = (ns.max(1) as f64).log10() - f64::from(least);
        LABELS + (width * decades / f64::from(most - least)).round() as i32
    };
    picture(rows.len(), |area| {
        for decade in least..=most {
            let at = place(10_u64.saturating_pow(decade));
            let ends = vec![(at, TOP), (at, middle(rows.len()) - ROW / 2)];
            area.draw(&PathElement::new(ends, LINE))?;
            label(area, &time(10_u64.saturating_pow(decade)), (at, TOP / 2), HPos::Center)?;
        }
        for (row, dots) in rows.iter().enumerate() {
            let (at, latency, colour) = (middle(row), dots.latency, colour(dots.role));
            label(area, dots.label, (LABELS - 6, at), HPos::Right)?;
            let ends = vec![(place(latency.p50), at), (place(latency.p9999), at)];
            area.draw(&PathElement::new(ends, colour))?;
            let all = [(latency.p50, 2), (latency.p99, 3), (latency.p999, 4), (latency.p9999, 5)];
            for (ns, size) in all {
                area.draw(&Circle::new((place(ns), at), size, colour.filled()))?;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawings_are_well_formed_and_take_colours_from_the_page() {
        let rows = [
            Bars { label: "Mutex<\"a\" & b>", role: Role::Locked, values: vec![Some(3.0), None] },
            Bars { label: "ours", role: Role::Ours, values: vec![Some(0.0), Some(1e9)] },
        ];
        let svg = bars(&["1 thread".to_owned(), "8 threads".to_owned()], &rows).unwrap();
        let latency =
            Latency { step: 1, samples: 9, p50: 80, p99: 3_000, p999: 4_000, p9999: 20_000_000 };
        let row = Dots { label: "<ours>", role: Role::Ours, latency: &latency };
        for (svg, label) in [(svg, "Mutex<\"a\" & b>"), (latencies(&[row]).unwrap(), "<ours>")] {
            let document = roxmltree::Document::parse(&svg).unwrap();
            let texts: Vec<_> = document.descendants().filter_map(|node| node.text()).collect();
            assert!(texts.iter().any(|text| text.trim() == label), "{texts:?}");
            assert!(svg.contains("var(--ours)") && !svg.contains("#0"), "{svg}");
        }
        assert!(latencies(&[]).is_ok() && bars(&[], &[]).is_ok());
    }

    #[test]
    fn figures_are_short() {
        assert_eq!([short(0.123), short(12.34), short(1234.5)], ["0.12", "12.3", "1234"]);
        assert_eq!([time(7), time(1_500), time(2_000_000)], ["7 ns", "1.50 µs", "2.00 ms"]);
    }
}
