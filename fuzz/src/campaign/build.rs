//! The tests of this package, as cargo builds and lists them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// A test in an executable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The file of tests.
    pub(super) file: String,
    pub(super) path: PathBuf,
    pub(super) test: String,
}

impl Target {
    /// Returns the command that runs it once more, on the input with this seed.
    pub(super) fn again(&self, seed: Option<&str>) -> String {
        let seed = seed.map_or(String::new(), |seed| format!("BOLERO_RANDOM_SEED={seed} "));
        format!("{seed}cargo test -p fuzz --release --test {} -- --exact {}", self.file, self.test)
    }
}

/// Returns the cargo that runs us, or the one in the path.
pub(super) fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Builds all files of tests; returns their names and executables.
pub(super) fn binaries() -> Result<Vec<(String, PathBuf)>, String> {
    let built = Command::new(cargo())
        .args(["test", "-p", "fuzz", "--release", "--no-run", "--tests", "--message-format=json"])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cargo: {error}"))?;
    if !built.status.success() {
        return Err("the harnesses cannot be built".to_owned());
    }
    Ok(String::from_utf8_lossy(&built.stdout).lines().filter_map(binary).collect())
}

/// Reads a message of cargo: the name and the executable of a file of tests.
fn binary(message: &str) -> Option<(String, PathBuf)> {
    let message: Value = serde_json::from_str(message).ok()?;
    let target = &message["target"];
    let is_test = target["kind"].as_array()?.iter().any(|kind| kind == "test");
    let name = target["name"].as_str()?.to_owned();
    let path = message["executable"].as_str().filter(|_| is_test)?;
    Some((name, path.into()))
}

/// Those that are built already. Cargo puts a hash behind their names.
pub(super) fn given(paths: &[PathBuf]) -> Vec<(String, PathBuf)> {
    let named = paths.iter().map(|path| {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let name = stem.rsplit_once('-').map_or(&*stem, |(name, _)| name);
        (name.to_owned(), path.clone())
    });
    named.collect()
}

/// Lists the tests of an executable.
pub(super) fn list(file: &str, path: &Path) -> Result<Vec<Target>, String> {
    let listed =
        Command::new(path).args(["--list", "--format", "terse"]).stdin(Stdio::null()).output();
    let listed = listed.map_err(|error| format!("{}: {error}", path.display()))?;
    let text = String::from_utf8_lossy(&listed.stdout);
    let tests = text.lines().filter_map(|line| line.strip_suffix(": test"));
    let target =
        |test: &str| Target { file: file.to_owned(), path: path.to_owned(), test: test.to_owned() };
    Ok(tests.map(target).collect())
}

/// Fails, and says what to do, where `cargo bolero` is not installed.
pub(super) fn find_cargo_bolero() -> Result<(), String> {
    let found = Command::new(cargo()).args(["bolero", "--version"]).output();
    match found {
        Ok(found) if found.status.success() => Ok(()),
        _ => {
            Err("--engine libfuzzer needs cargo-bolero: cargo install --locked cargo-bolero"
                .to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_cargo_are_read() {
        let test = r#"{"reason":"compiler-artifact","target":{"kind":["test"],"name":"session"},"executable":"/x/session-1"}"#;
        assert_eq!(binary(test), Some(("session".to_owned(), "/x/session-1".into())));
        for other in [
            r#"{"target":{"kind":["lib"],"name":"fuzz"},"executable":"/x/fuzz-1"}"#,
            r#"{"target":{"kind":["test"],"name":"session"},"executable":null}"#,
            "{}",
            "nonsense",
        ] {
            assert_eq!(binary(other), None, "{other}");
        }
        assert_eq!(
            given(&["/x/tree_ops-0f".into()]),
            [("tree_ops".to_owned(), "/x/tree_ops-0f".into())]
        );
    }
}
