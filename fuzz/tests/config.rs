//! Any configuration is read or refused, and whatever is said of it names a line that is there.

use bolero::{check, produce};
use fuzz::grammar::{self, Line};
use stktable::declare::Declaration;
use stktable_integration::config::{self, ConfigError, Context, Diagnostic};

fn environment(name: &str) -> Option<String> {
    match name {
        "ADDRESS" => Some("192.0.2.7:9".into()),
        "LIST" => Some("b 192.0.2.7:7  ".into()),
        "X" => Some(String::new()),
        _ => None,
    }
}

/// Asserts that a diagnostic can be found in the files.
fn is_placed(diagnostic: &Diagnostic, files: &[(&str, &[u8])]) {
    let shown = diagnostic.to_string();
    assert!(!shown.contains('\n') && !diagnostic.message.is_empty(), "{shown:?}");
    let at = &diagnostic.at;
    let Some((_, contents)) = files.iter().find(|(name, _)| *name == &*at.file) else {
        panic!("{shown}: of no file")
    };
    if at.line == 0 {
        return;
    }
    let lines = contents.split(|byte| *byte == b'\n').count();
    assert!(usize::try_from(at.line).is_ok_and(|line| line <= lines), "{shown}: of {lines} lines");
    let line = contents.split(|byte| *byte == b'\n').nth(at.line as usize - 1).unwrap_or_default();
    // A word may begin after the last character: one that is missing.
    let width = String::from_utf8_lossy(line).chars().count();
    assert!(at.column >= 1, "{shown}");
    // What a variable stands for may be longer than its name.
    if !line.contains(&b'$') {
        assert!(at.column as usize <= width + 1, "{shown}: of {width} columns");
    }
}

fn refused(error: &ConfigError, files: &[(&str, &[u8])]) {
    assert!(error.errors().next().is_some());
    error.diagnostics.iter().for_each(|found| is_placed(found, files));
}

/// Reads it, and runs what is taken as each of the peers.
fn read(bytes: &[u8]) {
    let context = Context { environment: &environment, argument: None, host_name: Some("a") };
    let files: [(&str, &[u8]); 2] = [("one.cfg", bytes), ("two.cfg", b"global\n# nothing\n")];
    let config = match config::parse(&files, &context) {
        Ok(config) => config,
        Err(error) => return refused(&error, &files),
    };
    config.warnings.iter().for_each(|found| is_placed(found, &files));
    assert_eq!(config::parse(&files, &context).as_ref(), Ok(&config), "the same twice");
    for table in config.tables() {
        let line = table.declaration.to_string();
        let again = Declaration::parse(&line, table.declaration.scope()).into_result();
        assert_eq!(again.as_ref(), Ok(&table.declaration), "{line}");
    }
    for name in ["a", "b", "lab", "nobody"] {
        match config.resolve(name) {
            Err(error) => refused(&error, &files),
            Ok(setup) => {
                assert_eq!(setup.tables.len(), config.tables().len());
                for section in &setup.sections {
                    assert!(!section.listen.is_empty());
                    assert!(section.remotes.iter().all(|remote| remote.name != name));
                }
            }
        }
    }
}

#[test]
fn any_lines_are_read_or_refused() {
    let lines = produce::<Vec<Line>>().with().len(0..=24_usize);
    check!()
        .with_max_len(1 << 12)
        .with_generator(lines)
        .for_each(|lines: &Vec<Line>| read(&grammar::text(lines)));
}

#[test]
fn any_bytes_are_read_or_refused() {
    check!().with_max_len(1 << 12).for_each(read);
}

/// The recorded configurations with a few bytes changed, removed or put in.
#[test]
fn recorded_files_with_changes_are_read_or_refused() {
    const FILES: [&[u8]; 2] = [
        include_bytes!("../../integration/tests/fixtures/config/A.cfg"),
        include_bytes!("../../integration/tests/fixtures/config/B.cfg"),
    ];
    check!().with_type::<(bool, Vec<(u16, u8, u8)>)>().for_each(|(other, changes)| {
        let mut bytes = FILES[usize::from(*other)].to_vec();
        for (at, byte, how) in changes.iter().take(8) {
            let Some(at) = usize::from(*at).checked_rem(bytes.len()) else { return };
            match how % 4 {
                0 => bytes[at] = *byte,
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, *byte),
                _ => bytes.truncate(at.max(1)),
            }
        }
        read(&bytes);
    });
}
