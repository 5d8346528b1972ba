//! Configurations of a few lines, and what is said of them.
#![allow(dead_code, reason = "each test file uses a part")]

use stktable_integration::config::{self, Config, ConfigError, Context};

pub(crate) fn environment(name: &str) -> Option<String> {
    match name {
        "NAME" => Some("bar".into()),
        "ADDRESS" => Some("192.0.2.7".into()),
        "LIST" => Some("b 192.0.2.7:7  ".into()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

pub(crate) fn read(text: &str) -> Result<Config, ConfigError> {
    let context = Context { environment: &environment, argument: None, host_name: None };
    config::parse(&[("x.cfg", text.as_bytes())], &context)
}

#[track_caller]
pub(crate) fn good(text: &str) -> Config {
    read(text).unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
pub(crate) fn quiet(text: &str) -> Config {
    let config = good(text);
    assert_eq!(config.warnings, []);
    config
}

/// The place and word of each error, as `line:column word`.
pub(crate) fn places(error: &ConfigError) -> Vec<String> {
    error.errors().map(|e| format!("{}:{} {}", e.at.line, e.at.column, e.word)).collect()
}

#[track_caller]
pub(crate) fn refused(text: &str, expected: &[&str]) -> String {
    let error = read(text).expect_err(text);
    assert_eq!(places(&error), expected, "{error}");
    error.to_string()
}

#[track_caller]
pub(crate) fn unresolved(text: &str, local: &str, expected: &[&str]) -> String {
    let error = good(text).resolve(local).expect_err(text);
    assert_eq!(places(&error), expected, "{error}");
    error.to_string()
}

/// Puts a line into the `peers` section `p`, as line 4.
pub(crate) fn in_peers(line: &str) -> String {
    format!("peers p\n  peer a 127.0.0.1:1\n  peer b 127.0.0.1:2\n  {line}\n")
}
