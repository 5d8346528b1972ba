//! The report, by the program itself, with maps of a few entries and slices of a millisecond.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::process::Command;

use roxmltree::{Document, Node, ParsingOptions};
use tempfile::TempDir;

const SMALL: &[&str] = &[
    "report",
    "--quick",
    "--entries",
    "300",
    "--threads",
    "1,2",
    "--slices",
    "2",
    "--slice-ms",
    "1",
];
const TWO_WORKLOADS: &[&str] = &["--workload", "get", "--workload", "ingest"];

/// Runs a report into a folder. Returns what it printed, and what it said of its progress.
fn report(out: &Path, more: &[&str]) -> (String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_benches"));
    let output = command.args(SMALL).args(more).arg("--out").arg(out).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (printed, said) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success(), "{said}");
    (printed, said)
}

type Row = HashMap<String, String>;

fn read(out: &Path, name: &str) -> String {
    std::fs::read_to_string(out.join(name)).unwrap()
}

fn rows(out: &Path) -> Vec<Row> {
    let text = read(out, "report.csv");
    csv::Reader::from_reader(text.as_bytes()).deserialize().map(Result::unwrap).collect()
}

/// Parses the page as XML, which is stricter than HTML: everything is closed, quoted and escaped.
fn parse(page: &str) -> Document<'_> {
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    Document::parse_with_options(page, options).unwrap()
}

fn text(node: Node<'_, '_>) -> String {
    let texts = node.descendants().filter(Node::is_text);
    texts.filter_map(|node| node.text()).collect()
}

fn cells(row: Node<'_, '_>) -> Vec<String> {
    row.children().filter(|node| node.has_tag_name("td")).map(text).collect()
}

/// Every line of the CSV stands in the page once, with the same figures; and nothing else does.
fn assert_same_figures(out: &Path) -> Vec<Row> {
    let (rows, page) = (rows(out), read(out, "report.html"));
    let document = parse(&page);
    let shown = || document.descendants().filter(|node| node.has_attribute("data-kind"));
    for row in &rows {
        // What names a line; the others are figures.
        let names = ["kind", "workload", "keys", "entries", "threads", "contestant"];
        let is_row = |node: &Node<'_, '_>| {
            names.iter().all(|name| {
                let shown = node.attribute(format!("data-{name}").as_str());
                shown.is_none_or(|shown| shown == row[*name])
            })
        };
        let found: Vec<_> = shown().filter(is_row).collect();
        assert_eq!(found.len(), 1, "{row:?}");
        let cells = cells(found[0]);
        let figure = |name: &str| format!("{:.3}", row[name].parse::<f64>().unwrap());
        match row["kind"].as_str() {
            "compared" => {
                assert_eq!(cells[1..3], [figure("mops"), figure("mops_low")]);
                assert_eq!(
                    cells[3..5],
                    [figure("cpu_ns_per_operation"), row["operations_of_a_step"].clone()]
                );
                assert_eq!(cells[5], row["steps_sampled"]);
            }
            "memory" => assert_eq!(cells[2], figure("bytes_per_entry")),
            "garbage" => {
                let counts =
                    ["removed", "garbage_peak", "garbage_peak_without_reader", "garbage_left"];
                assert_eq!(cells[1..], counts.map(|name| row[name].clone()));
            }
            other => panic!("what is {other}?"),
        }
    }
    assert_eq!(shown().count(), rows.len());
    // It needs no program, and nothing from elsewhere; tables say what they are.
    assert!(!document.descendants().any(|node| {
        node.has_tag_name("script") || node.has_tag_name("img") || node.has_attribute("src")
    }));
    for table in document.descendants().filter(|node| node.has_tag_name("table")) {
        assert_eq!(table.first_element_child().unwrap().tag_name().name(), "caption");
    }
    assert!(page.contains("prefers-color-scheme: dark"));
    // A drawing of throughput and one of latencies for each work, or one of memory.
    assert!(page.matches("<svg ").count() >= 1 && !page.contains("style=\"fill"));
    rows
}

/// What is lost: what of ours, to whom, with which keys and how many threads.
type Loss = (String, String, String, String);

fn losses_in_figures(rows: &[Row]) -> BTreeSet<Loss> {
    let mut lost = BTreeSet::new();
    for ours in rows.iter().filter(|row| row["role"] == "ours") {
        let is_other = |row: &&Row| {
            row["role"] != "ours"
                && ["workload", "keys", "entries", "threads"]
                    .iter()
                    .all(|name| row[*name] == ours[*name])
                && (row["twin"].is_empty() || row["twin"] == ours["contestant"])
        };
        for other in rows.iter().filter(is_other) {
            let mops = |row: &Row| row["mops"].parse::<f64>().unwrap();
            if mops(ours) / mops(other) < 1.0 {
                let work = format!("{}, {}", ours["workload"], ours["keys"]);
                let names = (ours["contestant"].clone(), other["contestant"].clone());
                lost.insert((names.0, names.1, work, ours["threads"].clone()));
            }
        }
    }
    lost
}

/// Reads lines of `ours, other, work, entries, "0.67 (close) at 1, 0.50 at 8"`.
fn losses_in_lines(lines: impl Iterator<Item = Vec<String>>) -> BTreeSet<Loss> {
    let mut lost = BTreeSet::new();
    for line in lines {
        let [ours, other, work, _, ratios] = <[String; 5]>::try_from(line).unwrap();
        for ratio in ratios.split(", ") {
            let threads = ratio.split(" at ").nth(1).unwrap().to_owned();
            assert!(lost.insert((ours.clone(), other.clone(), work.clone(), threads)));
        }
    }
    lost
}

#[test]
fn files_agree_and_losses_are_told() {
    let out = TempDir::new().unwrap();
    let (printed, said) = report(out.path(), TWO_WORKLOADS);
    let rows = assert_same_figures(out.path());
    // Two works, two spreads of keys, two numbers of threads.
    assert_eq!(said.matches(" left\n").count(), 8);
    assert_eq!(printed.lines().filter(|line| line.starts_with("| ebtree |")).count(), 0);
    assert_eq!(printed.lines().filter(|line| line.contains("| ebtree |")).count(), 4);
    assert_eq!(rows.iter().filter(|row| row["contestant"] == "stktable").count(), 4);
    let (page, summary) = (read(out.path(), "report.html"), read(out.path(), "report.md"));
    for row in &rows {
        assert!(summary.contains(&row["contestant"]), "{}", row["contestant"]);
    }
    for fact in ["processor", "cores", "kernel", "memory", "compiler", "date", "load at the start"]
    {
        assert!(page.contains(fact) && summary.contains(fact), "{fact}");
    }

    let expected = losses_in_figures(&rows);
    let document = parse(&page);
    let table = document
        .descendants()
        .find(|node| node.attribute("data-measure") == Some("throughput"))
        .unwrap();
    let lines = table.descendants().filter(|node| node.has_tag_name("tr")).map(cells);
    assert_eq!(losses_in_lines(lines.filter(|cells| !cells.is_empty())), expected);
    assert_eq!(table.attribute("data-count"), Some(expected.len().to_string().as_str()));

    let (_, losses) = summary.split_once("## Where ours loses").unwrap();
    let (_, losses) = losses.split_once("### throughput").unwrap();
    let losses = losses.split("###").next().unwrap();
    let lines = losses.lines().filter(|line| line.starts_with("| ") && line.contains(" at "));
    let lines = lines.filter(|line| !line.contains("| loses at |"));
    // `| ours | work | entries | `one` 0.67 at 1, 0.50 at 8; `other` 0.9 at 1 |`
    let lines = lines.flat_map(|line| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [ours, work, entries, others] = <[&str; 4]>::try_from(cells).unwrap();
        let line = move |other: &str| {
            let (other, ratios) = other.trim_start_matches('`').split_once("` ").unwrap();
            [ours, other, work, entries, ratios].map(str::to_owned).to_vec()
        };
        others.split("; ").map(line).collect::<Vec<_>>()
    });
    assert_eq!(losses_in_lines(lines), expected);
}

#[test]
fn memory_and_garbage_are_told() {
    let out = TempDir::new().unwrap();
    let (printed, _) = report(out.path(), &["--memory"]);
    let rows = assert_same_figures(out.path());
    let of = |kind, name| {
        let is_one = |row: &&Row| row["kind"] == kind && row["contestant"] == name;
        rows.iter().find(is_one).unwrap()
    };
    let number = |row: &Row, name: &str| row[name].parse::<f64>().unwrap();
    // A key and a value at least.
    assert!(number(of("memory", "ebtree"), "bytes_per_entry") >= 16.0);
    let ours = of("garbage", "ours");
    assert!(number(ours, "garbage_peak") > 0.0 && number(ours, "garbage_left") == 0.0);
    assert!(printed.contains("| ours |"));
}

#[test]
fn a_run_goes_on_where_one_ended() {
    let out = TempDir::new().unwrap();
    let resume: Vec<_> = TWO_WORKLOADS.iter().chain(&["--resume"]).copied().collect();
    // Nothing is there to go on with.
    let (_, said) = report(out.path(), &resume);
    assert_eq!((said.matches(" left\n").count(), said.matches("earlier run").count()), (8, 0));
    let (figures, journal) = (read(out.path(), "report.csv"), read(out.path(), "cases.jsonl"));
    assert_eq!(journal.lines().count(), 8);

    let (printed, said) = report(out.path(), &resume);
    assert_eq!((said.matches(" left\n").count(), said.matches("earlier run").count()), (0, 8));
    assert!(read(out.path(), "report.csv") == figures);
    assert!(printed.contains("| get, uniform | 300 | 2 | ebtree |"));

    // The second line is lost, and the last is not finished.
    let mut lines: Vec<_> = journal.lines().collect();
    lines.remove(1);
    let cut = lines.join("\n");
    std::fs::write(out.path().join("cases.jsonl"), &cut[..cut.len() - 9]).unwrap();
    let (_, said) = report(out.path(), &resume);
    assert_eq!((said.matches(" left\n").count(), said.matches("earlier run").count()), (2, 6));
    assert!(read(out.path(), "report.csv") != figures);

    // Other settings, and no wish to go on: all are run.
    let others: Vec<_> = resume.iter().chain(&["--huge-pages"]).copied().collect();
    let (_, said) = report(out.path(), &others);
    assert_eq!(said.matches("earlier run").count(), 0);
    let (_, said) = report(out.path(), TWO_WORKLOADS);
    assert_eq!(said.matches("earlier run").count(), 0);
}
