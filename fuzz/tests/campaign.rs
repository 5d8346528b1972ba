//! The campaign, on harnesses that stand here.

use std::process::{Command, Output};

use bolero::check;

/// Tells the harness below to fail.
const BREAKS: &str = "FUZZ_CAMPAIGN_BREAKS";

#[test]
fn a_harness_that_holds() {
    check!().with_type::<u32>().for_each(|number| assert_eq!(number ^ number, 0));
}

#[test]
fn a_harness_that_breaks_when_it_is_told_to() {
    let breaks = std::env::var_os(BREAKS).is_some();
    check!()
        .with_type::<u8>()
        .for_each(|number| assert!(!breaks || *number != 77, "seventy-seven"));
}

#[test]
fn no_harness_at_all() {}

fn campaign(arguments: &[&str], breaks: bool) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fuzz"));
    command.args(["campaign", "--binary"]).arg(std::env::current_exe().unwrap()).args(arguments);
    if breaks {
        command.env(BREAKS, "1");
    }
    command.output().unwrap()
}

#[test]
fn executions_are_counted_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.md");
    let arguments =
        ["--executions", "500", "--only", "harness", "--report", report.to_str().unwrap()];
    let ran = campaign(&arguments, false);
    let said = String::from_utf8(ran.stdout).unwrap();
    assert!(ran.status.success(), "{said}");
    assert!(said.contains("| `campaign::a_harness_that_holds` | 0 | 500 |"), "{said}");
    // A test that asks for no input is none.
    assert!(said.contains("\n2 harnesses, 1000 executions, 0 broke\n"), "{said}");
    assert!(!said.contains("no_harness_at_all"), "{said}");
    assert!(said.ends_with(&format!("{}\n", std::fs::read_to_string(report).unwrap())), "{said}");
}

#[test]
fn what_breaks_is_shown_again_by_the_command_that_is_told() {
    let ran = campaign(&["--executions", "100000", "--only", "a_harness_that"], true);
    let said = String::from_utf8(ran.stdout).unwrap();
    assert_eq!(ran.status.code(), Some(1), "{said}");
    assert!(said.contains("seventy-seven"), "{said}");
    assert!(said.contains("2 harnesses, ") && said.contains(", 1 broke"), "{said}");
    let again =
        said.lines().find_map(|line| line.strip_prefix("Again: `")?.strip_suffix('`')).unwrap();
    let (seed, command) = again.split_once(' ').unwrap();
    let name = "a_harness_that_breaks_when_it_is_told_to";
    assert_eq!(command, format!("cargo test -p fuzz --release --test campaign -- --exact {name}"));
    let (variable, seed) = seed.split_once('=').unwrap();
    assert_eq!(variable, "BOLERO_RANDOM_SEED");
    // The input of that seed, and no other.
    let ran = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .envs([(variable, seed), ("BOLERO_RANDOM_ITERATIONS", "0"), (BREAKS, "1")])
        .output()
        .unwrap();
    assert!(!ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

#[test]
fn what_cannot_be_run_is_said() {
    let ran = campaign(&["--only", "nothing of that name"], false);
    let said = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(
        (ran.status.code(), said.as_str()),
        (Some(1), "no test has `nothing of that name` in its name\n")
    );
    let ran = campaign(&["--minutes", "0"], false);
    assert_eq!(String::from_utf8(ran.stderr).unwrap(), "--minutes: expected more than nothing\n");
}
