//! The torture, for a short while, and that it finds what is wrong.

use std::process::{Command, Output};

fn torture(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fuzz")).arg("torture").args(arguments).output().unwrap()
}

#[test]
fn nothing_is_wrong() {
    let ran = torture(&["--operations", "150000"]);
    let said = String::from_utf8(ran.stdout).unwrap();
    assert!(ran.status.success() && said.ends_with("nothing is wrong\n"), "{said}");
    for structure in ["Tree", "Fanned", "Multi", "Table"] {
        let line = said
            .lines()
            .find(|line| line.starts_with(structure))
            .unwrap_or_else(|| panic!("{said}"));
        let operations = line.split(' ').nth(3).unwrap().parse::<u64>().unwrap();
        assert!(operations >= 150_000 && line.contains(" 0 violations"), "{line}");
        // Many more than there are at one time.
        let threads: u64 = line.split(' ').nth(5).unwrap().parse().unwrap();
        assert!(threads > 64, "{line}");
    }
}

#[test]
fn what_is_wrong_is_found_and_can_be_run_again() {
    for structure in ["tree", "fanned", "multi", "table"] {
        for sabotage in ["lost-insert", "stale-answer", "leak"] {
            // Its answers are not judged one by one.
            if (structure, sabotage) == ("multi", "stale-answer") {
                continue;
            }
            let ran = torture(&[
                "--operations",
                "1",
                "--threads",
                "4",
                "--seed",
                "7",
                "--structure",
                structure,
                "--sabotage",
                sabotage,
            ]);
            let said = String::from_utf8(ran.stdout).unwrap();
            assert_eq!(ran.status.code(), Some(1), "{structure}, {sabotage}: {said}");
            assert!(said.contains(&format!("VIOLATION in {structure}: ")), "{said}");
            let again =
                format!("torture --structure {structure} --seed 7 --threads 4 --operations ");
            assert!(said.contains(&again), "{said}");
        }
    }
}
