//! Conditional blocks, `.if` to `.endif`: found, not evaluated.
//!
//! Which lines of a block count is HAProxy's to know, so a line that we read must not stand in one. A
//! block that changes the section leaves us in no section we know ([`Directive::LeftSection`]).

use super::diagnostic::{Diagnostic, Location};

/// The blocks that are open.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    /// Where each begins, the outermost first.
    open: Vec<Location>,
    /// Whether the outermost has been reported.
    reported: bool,
    /// Whether a section began in the outermost.
    section: bool,
}

/// What a directive did.
pub(super) enum Directive {
    /// Nothing that concerns us.
    None,
    /// It ended the outermost block, in which a section began. The block's start, unless it was reported.
    LeftSection(Option<Location>),
    /// It is out of place.
    Misplaced(Diagnostic),
}

impl Blocks {
    pub(super) fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Takes note of a line that begins with a dot.
    pub(super) fn directive(&mut self, word: &str, at: Location) -> Directive {
        match word {
            ".if" => self.open.push(at),
            ".elif" | ".else" if !self.is_open() => {
                let message = "no block is open; expected `.if` before";
                return Directive::Misplaced(Diagnostic::error(at, word, message));
            }
            ".endif" => match self.open.pop() {
                None => {
                    let message = "no block is open; expected `.if` before";
                    return Directive::Misplaced(Diagnostic::error(at, word, message));
                }
                Some(start) if self.open.is_empty() => {
                    let reported = core::mem::take(&mut self.reported);
                    if core::mem::take(&mut self.section) {
                        return Directive::LeftSection(Some(start).filter(|_| !reported));
                    }
                }
                Some(_) => {}
            },
            _ => {}
        }
        Directive::None
    }

    /// Takes note of a section that begins.
    pub(super) fn section(&mut self) {
        self.section = self.is_open();
    }

    /// Takes note of a line that is read; returns the error, once for each outermost block.
    pub(super) fn read(&mut self, keyword: &str, line: u32) -> Option<Diagnostic> {
        let start = self.open.first().filter(|_| !self.reported)?;
        self.reported = true;
        Some(conditional(start.clone(), keyword, line))
    }

    /// Ends a file; returns the error if a block is still open.
    pub(super) fn end(&mut self) -> Option<Diagnostic> {
        let open = core::mem::take(self).open;
        let start = open.into_iter().next()?;
        Some(Diagnostic::error(
            start,
            ".if",
            "the block has no end; expected `.endif` in this file",
        ))
    }
}

/// Returns the error for a line whose reading depends on a condition.
pub(super) fn conditional(start: Location, keyword: &str, line: u32) -> Diagnostic {
    let keyword = keyword.escape_debug();
    let message = format!(
        "conditions are not evaluated yet, and `{keyword}` on line {line} depends on this one; expected it \
         outside any block"
    );
    Diagnostic::error(start, ".if", message)
}
