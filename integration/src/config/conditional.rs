//! Conditional blocks, `.if` to `.endif`: which lines count.
//!
//! Where that is HAProxy's to know (see [`condition`](super::condition)), a line that we read must not stand. Such
//! a block that changes the section leaves us in no section we know ([`Ended::LeftSection`]).

use super::condition::{and, or};
use super::diagnostic::{Diagnostic, Location};

/// The blocks that are open, the outermost first.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    open: Vec<Block>,
    /// Whether the outermost that is unsure has been reported.
    reported: bool,
    /// Whether a section began in it.
    section: bool,
}

#[derive(Debug)]
struct Block {
    start: Location,
    /// Whether the lines of this branch count; `None` where we cannot know.
    counts: Option<bool>,
    /// Whether the lines of a branch did so far.
    taken: Option<bool>,
    /// Whether a branch of it was one of which we cannot know.
    unsure: bool,
    /// Whether the branch is the one of `.else`.
    last: bool,
}

/// What an `.endif` ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// Nothing that concerns us.
    Nothing,
    /// The outermost block of which we were not sure, in which a section began. The block's start, unless it was reported.
    LeftSection(Option<Location>),
}

impl Blocks {
    /// Whether lines count here: `None` where we cannot know.
    pub(super) fn counts(&self) -> Option<bool> {
        let mut counts = Some(true);
        for block in &self.open {
            counts = and(counts, block.counts);
        }
        counts
    }

    /// Whether the condition of an `.if` matters, or with `again` that of an `.elif`.
    pub(super) fn asks(&self, again: bool) -> bool {
        match self.open.split_last() {
            Some((last, outer)) if again => {
                outer.iter().all(|block| block.counts != Some(false)) && last.taken != Some(true)
            }
            _ => self.counts() != Some(false),
        }
    }

    /// Begins a block.
    pub(super) fn begin(&mut self, start: Location, condition: Option<bool>) {
        let counts = condition;
        self.open.push(Block {
            start,
            counts,
            taken: counts,
            unsure: counts.is_none(),
            last: false,
        });
    }

    /// Goes on with another branch of the block, the last one with `last`.
    pub(super) fn branch(
        &mut self,
        condition: Option<bool>,
        last: bool,
    ) -> Result<(), &'static str> {
        let Some(block) = self.open.last_mut() else {
            return Err("no block is open; expected `.if` before");
        };
        if block.last {
            return Err("comes after `.else`; expected `.endif`");
        }
        block.counts = and(block.taken.map(|taken| !taken), condition);
        block.taken = or(block.taken, condition);
        block.unsure |= block.counts.is_none();
        block.last = last;
        Ok(())
    }

    /// Ends a block.
    pub(super) fn finish(&mut self) -> Result<Ended, &'static str> {
        let Some(block) = self.open.pop() else {
            return Err("no block is open; expected `.if` before");
        };
        if block.unsure && self.unsure().is_none() {
            let reported = core::mem::take(&mut self.reported);
            if core::mem::take(&mut self.section) {
                return Ok(Ended::LeftSection(Some(block.start).filter(|_| !reported)));
            }
        }
        Ok(Ended::Nothing)
    }

    /// The outermost block of which we are not sure.
    fn unsure(&self) -> Option<&Block> {
        self.open.iter().find(|block| block.unsure)
    }

    /// What is wrong with the block has been said.
    pub(super) const fn reported(&mut self) {
        self.reported = true;
    }

    /// Takes note of a section that begins.
    pub(super) fn section(&mut self) {
        self.section = self.counts().is_none();
    }

    /// Takes note of a line that is read where we cannot know whether it counts; returns the error, once for each
    /// outermost block.
    pub(super) fn read(&mut self, keyword: &str, line: u32) -> Option<Diagnostic> {
        let start = self.unsure().filter(|_| !self.reported)?.start.clone();
        self.reported = true;
        Some(conditional(start, keyword, line))
    }

    /// Ends a file; returns the error if a block is still open.
    pub(super) fn end(&mut self) -> Option<Diagnostic> {
        let open = core::mem::take(self).open;
        let start = open.into_iter().next()?.start;
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
        "only HAProxy knows whether this is true, and `{keyword}` on line {line} depends on it; expected it \
         outside any such block"
    );
    Diagnostic::error(start, ".if", message)
}
