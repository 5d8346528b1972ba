//! Operations on a tree, and a run of them beside a model.

mod changes;
pub mod counted;
pub mod key;
pub mod multi;
pub mod prefix;
mod run;
mod walks;

use bolero::TypeGenerator;

pub use run::{Shape, compare};

/// One step on a map. Keys are drawn from few values, so that operations meet.
#[derive(Clone, Copy, Debug, TypeGenerator)]
#[expect(missing_docs, reason = "numbers that a fuzzer picks")]
pub enum Operation {
    Insert {
        key: u8,
        hold: bool,
    },
    TryInsert {
        key: u8,
        hold: bool,
    },
    GetOrInsert {
        key: u8,
        hold: bool,
    },
    Remove {
        key: u8,
        hold: bool,
    },
    /// With operations of the predicate's own, and perhaps a panic of it.
    RemoveIf {
        key: u8,
        yes: bool,
        nested: Nested,
        panics: bool,
    },
    Get {
        key: u8,
        hold: bool,
    },
    /// With operations of the visitor's own, and perhaps a panic of it.
    GetWith {
        key: u8,
        nested: Nested,
        panics: bool,
    },
    /// A search: the first key at or above, above, at or below, below.
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
    },
    /// A walk that rests while other things happen: it goes on by some steps.
    Walk {
        from: u8,
        steps: u8,
        nested: Nested,
    },
    /// A walk from both ends, which rests too: a bit of `turns` says which end is next.
    BothEnds {
        range: Ends,
        turns: u16,
        nested: Nested,
    },
    /// A walk that calls a visitor, with operations of its own, and perhaps a panic of it.
    Visit {
        range: Ends,
        back: bool,
        steps: u8,
        nested: Nested,
        panics: bool,
    },
    /// A place that goes back and forth, and is looked from in either direction.
    Cursor {
        from: u8,
        which: u8,
        turns: u8,
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
    /// With operations of the closure's own, and perhaps a panic of it; so are the next two.
    Update {
        key: u8,
        nested: Nested,
        panics: bool,
        hold: bool,
    },
    Compute {
        key: u8,
        some: bool,
        nested: Nested,
        panics: bool,
        hold: bool,
    },
    ReplaceIf {
        key: u8,
        yes: bool,
        nested: Nested,
        panics: bool,
        hold: bool,
    },
    /// Of an entry that is held, and may be gone for long.
    CompareExchange {
        at: u8,
        hold: bool,
    },
    RemoveEntry {
        at: u8,
    },
    /// Keys at equal distances.
    GetMany {
        from: u8,
        step: u8,
        count: u8,
        hold: bool,
    },
    GetManyWith {
        from: u8,
        step: u8,
        count: u8,
        nested: Nested,
    },
    InsertMany {
        from: u8,
        step: u8,
        count: u8,
    },
    Release {
        at: u8,
    },
    Flush,
}

/// Between which keys a walk goes, and whether those count.
#[derive(Clone, Copy, Debug, TypeGenerator)]
#[expect(missing_docs, reason = "numbers that a fuzzer picks")]
pub struct Ends {
    pub from: u8,
    pub to: u8,
    pub bounds: u8,
}

/// What a visitor does to the tree that it was called by.
#[derive(Clone, Copy, Debug, TypeGenerator)]
#[expect(missing_docs, reason = "numbers that a fuzzer picks")]
pub enum Nested {
    Nothing,
    Insert { key: u8 },
    Remove { key: u8 },
    RemoveIf { key: u8, yes: bool },
    First,
    Flush,
    Walk,
}

/// How the small numbers are spread over the keys of a tree.
#[derive(Clone, Copy, Debug, TypeGenerator)]
pub enum Spread {
    /// 0, 1, 2, and so on.
    Near,
    /// One bit each.
    OneBit,
    /// All the high bits down to one.
    HighBits,
    /// All over.
    Far,
}

impl Spread {
    /// Returns the key of a number.
    #[must_use]
    pub const fn wide(self, number: u8) -> u64 {
        let number = number as u64;
        match self {
            Self::Near => number % 16,
            Self::OneBit => 1 << (number % 64),
            Self::HighBits => u64::MAX << (number % 64),
            Self::Far => (number % 32).wrapping_mul(0x9e37_79b9_7f4a_7c15),
        }
    }

    /// Returns the key of a number, in 32 bits.
    #[must_use]
    pub const fn narrow(self, number: u8) -> u32 {
        let number = number as u32;
        match self {
            Self::Near => number % 16,
            Self::OneBit => 1 << (number % 32),
            Self::HighBits => u32::MAX << (number % 32),
            Self::Far => (number % 32).wrapping_mul(0x9e37_79b9),
        }
    }
}

/// One step of a thread, on few keys.
#[derive(Clone, Copy, Debug, TypeGenerator)]
#[expect(missing_docs, reason = "numbers that a fuzzer picks")]
pub enum Shared {
    TryInsert { key: u8 },
    Insert { key: u8 },
    GetOrInsert { key: u8 },
    Remove { key: u8 },
    RemoveIf { key: u8, own: bool },
    PopFirst,
    PopLast,
    Get { key: u8 },
    Walk,
    Flush,
}
