//! What is wrong, and where.

use std::fmt;
use std::sync::Arc;

/// A place in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// The file, as it was named to the reader.
    pub file: Arc<str>,
    /// The line, from 1; 0 for the file as a whole.
    pub line: u32,
    /// The column, from 1, in characters; 0 for the file as a whole.
    pub column: u32,
}

impl Location {
    /// Returns the place of a file as a whole.
    #[must_use]
    pub fn of_file(file: &str) -> Self {
        Self { file: file.into(), line: 0, column: 0 }
    }
}

/// Writes `file:line:column`, or just the file.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.file.escape_debug()),
            line => write!(f, "{}:{line}:{}", self.file.escape_debug(), self.column),
        }
    }
}

/// Whether a diagnostic stops the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It is read, but perhaps not as it was meant.
    Warning,
    /// It is refused.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// One thing to tell the operator about a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether it stops the start.
    pub severity: Severity,
    /// Where it is.
    pub at: Location,
    /// The offending word.
    pub word: String,
    /// What is wrong with it, and what was expected.
    pub message: String,
}

impl Diagnostic {
    /// Returns an error.
    #[must_use]
    pub fn error(at: Location, word: &str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, at, word: word.to_owned(), message: message.into() }
    }

    /// Returns a warning.
    #[must_use]
    pub fn warning(at: Location, word: &str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(at, word, message) }
    }
}

/// Writes one line, control characters escaped.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN_MAX: usize = 200;

        let Self { severity, at, word, message } = self;
        write!(f, "{at}: {severity}: ")?;
        if !word.is_empty() {
            let shown: String = word.chars().take(SHOWN_MAX).collect();
            let more = if shown.len() < word.len() { "..." } else { "" };
            write!(f, "`{}{more}`: ", shown.escape_debug())?;
        }
        write!(f, "{message}")
    }
}

/// Why a configuration was refused: everything that was found, at least one error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Errors and warnings, in the order they were found.
    pub diagnostics: Vec<Diagnostic>,
}

impl ConfigError {
    /// Returns the errors without the warnings.
    pub fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics.iter().filter(|found| found.severity == Severity::Error)
    }
}

/// Writes a line for each diagnostic.
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, diagnostic) in self.diagnostics.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{diagnostic}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
