//! Operations on a table of prefixes.

use bolero::TypeGenerator;

/// One step on a table, of few prefixes, which cover each other.
#[derive(Clone, Copy, Debug, TypeGenerator)]
#[expect(missing_docs, reason = "numbers that a fuzzer picks")]
pub enum Operation {
    Insert {
        of: Network,
        hold: bool,
    },
    TryInsert {
        of: Network,
        hold: bool,
    },
    GetOrInsert {
        of: Network,
        hold: bool,
    },
    /// With operations of the closure's own, and perhaps a panic of it; so is the next one.
    Update {
        of: Network,
        nested: Nested,
        panics: bool,
    },
    RemoveIf {
        of: Network,
        yes: bool,
        nested: Nested,
        panics: bool,
    },
    Remove {
        of: Network,
        hold: bool,
    },
    Get {
        of: Network,
        hold: bool,
    },
    LongestMatch {
        of: Network,
        hold: bool,
    },
    LongestMatchWith {
        of: Network,
        nested: Nested,
        panics: bool,
    },
    /// A walk that rests while other things happen: over the covers, over what is covered, over the outermost of those.
    Walk {
        of: Network,
        which: u8,
        nested: Nested,
    },
    Ends,
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
    Insert { of: Network },
    Remove { of: Network },
    LongestMatch { of: Network },
    Flush,
}

/// Which prefix: few bits, and a length.
#[derive(Clone, Copy, Debug, TypeGenerator)]
#[expect(missing_docs, reason = "numbers that a fuzzer picks")]
pub struct Network {
    pub bits: u8,
    pub length: u8,
}
