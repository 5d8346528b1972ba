//! Operations on a map that keeps duplicates.

use bolero::TypeGenerator;

/// One step on a map of queues, of few keys.
#[derive(Clone, Copy, Debug, TypeGenerator)]
#[expect(missing_docs, reason = "numbers that a fuzzer picks")]
pub enum Operation {
    Insert {
        key: u8,
        hold: bool,
    },
    Get {
        key: u8,
        hold: bool,
    },
    /// The entries of one key, from both ends.
    GetAll {
        key: u8,
        turns: u8,
        nested: Nested,
    },
    RemoveFirst {
        key: u8,
        hold: bool,
    },
    RemoveAll {
        key: u8,
    },
    /// An entry that is held, and may be gone for long.
    RemoveHeld {
        at: u8,
    },
    /// The first key at or above, above, at or below, below.
    Search {
        key: u8,
        which: u8,
        hold: bool,
    },
    Ends {
        last: bool,
        hold: bool,
    },
    Pop {
        last: bool,
        hold: bool,
    },
    PopFirstIf {
        yes: bool,
        nested: Nested,
        panics: bool,
    },
    /// A walk that rests while other things happen.
    Walk {
        from: u8,
        steps: u8,
        nested: Nested,
    },
    DrainUntil {
        end: u8,
        steps: u8,
        nested: Nested,
    },
    Retain {
        modulus: u8,
        nested: Nested,
    },
    Clear {
        seldom: u8,
    },
    Release {
        at: u8,
    },
    Flush,
}

/// What happens in the middle of another operation.
#[derive(Clone, Copy, Debug, TypeGenerator)]
#[expect(missing_docs, reason = "numbers that a fuzzer picks")]
pub enum Nested {
    Nothing,
    Insert { key: u8 },
    RemoveFirst { key: u8 },
    PopLast,
    RemoveHeld { at: u8 },
    Flush,
}
