//! Lines that begin with a dot: conditional blocks, and messages of the file to its reader.

use super::condition;
use super::conditional::Ended;
use super::diagnostic::{Diagnostic, Location};
use super::line::Line;
use super::reader::{Reader, Section};

impl Reader<'_> {
    /// Reads a directive that begins at `begin`.
    pub(super) fn directive(
        &mut self,
        line: &Line,
        keyword: &str,
        begin: &Location,
        variable: &dyn Fn(&str) -> Option<String>,
    ) {
        self.config.ignored_lines += 1;
        let words = line.words();
        let first = words.as_ref().ok().and_then(|words| words.first());
        let at = begin.beside(begin.line, first.map_or(1, |first| first.column));
        let asks = match keyword {
            ".if" => self.blocks.asks(false),
            ".elif" => self.blocks.asks(true),
            ".else" | ".endif" => true,
            ".alert" | ".warning" if self.blocks.counts() == Some(true) => true,
            // Of the others none is for us.
            _ => return,
        };
        let words = match words {
            Ok(words) => words,
            Err(error) => {
                if asks {
                    self.line_error(begin, error);
                }
                Vec::new()
            }
        };
        let arguments = words.get(1..).unwrap_or_default();
        let mut condition = if asks { None } else { Some(false) };
        if matches!(keyword, ".if" | ".elif") && asks && !words.is_empty() {
            let texts: Vec<_> = arguments.iter().map(|word| word.text).collect();
            match condition::evaluate(&texts.join(" "), variable) {
                Ok(value) => condition = value,
                // Where the line may not count, neither does the error.
                Err(_) if self.blocks.counts().is_none() => {}
                Err(wrong) => {
                    let mut passed = 0;
                    let found = arguments.iter().find(|word| {
                        passed += word.text.len() + 1;
                        wrong.at < passed
                    });
                    match found.or(arguments.last()).or(words.first()) {
                        Some(word) => self.error(*word, wrong.message),
                        None => self.report(Diagnostic::error(at.clone(), keyword, wrong.message)),
                    }
                    self.blocks.reported();
                }
            }
        }
        let done = match keyword {
            ".if" => {
                self.blocks.begin(at.clone(), condition);
                Ok(())
            }
            ".elif" => self.blocks.branch(condition, false),
            ".else" => self.blocks.branch(Some(true), true),
            ".endif" => self.blocks.finish().map(|ended| {
                if let Ended::LeftSection(start) = ended {
                    self.section = start.map_or(Section::Skipped, Section::Conditional);
                }
            }),
            message => {
                let text = arguments.first().map_or("", |word| word.text);
                let diagnostic = match message {
                    ".alert" => {
                        Diagnostic::error(at.clone(), message, format!("the file says: {text}"))
                    }
                    _ => Diagnostic::warning(at.clone(), message, format!("the file says: {text}")),
                };
                self.report(diagnostic);
                Ok(())
            }
        };
        if let Err(message) = done {
            self.report(Diagnostic::error(at, keyword, message));
            return;
        }
        let (".else" | ".endif" | ".alert" | ".warning", Some(extra)) =
            (keyword, arguments.get(usize::from(!matches!(keyword, ".else" | ".endif"))))
        else {
            return;
        };
        self.error(*extra, "is one word too many; expected the end of the line");
    }
}
