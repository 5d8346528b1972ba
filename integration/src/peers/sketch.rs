//! What two tables have and the other has not, from a few thousand numbers of each: an invertible Bloom filter, as of Eppstein, Goodrich,
//! Uyeda and Varghese, *What's the Difference?* (SIGCOMM 2011).
//!
//! ```text
//! level 0   every key          1536 cells     lists up to a thousand differences exactly
//! level 1   every second key    258 cells     lists some 170 of them; so
//! level n   one key of 2^n      258 cells     2^n times what it lists is an estimate
//! ```
//!
//! Each key is added to three cells of its levels by its hash: a count, and sums of hashes without carry. What both tables have cancels; a cell in
//! which one hash is left gives it away, and its two other cells lose it. The size is the same whatever the tables' sizes are.

/// How many cells there are.
pub(super) const CELLS: usize = LISTED + (LEVELS - 1) * SAMPLED;

/// Cells of level 0.
const LISTED: usize = 1536;
/// Cells of every other level.
const SAMPLED: usize = 258;
/// The last is of one key in sixteen million.
const LEVELS: usize = 25;
/// Cells that a key is added to.
const WAYS: usize = 3;

/// A cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cell {
    /// Keys of ours less keys of theirs.
    pub(super) count: i32,
    /// Of their hashes.
    pub(super) hashes: u64,
    /// Of what tells one hash from several that look like one.
    pub(super) checks: u32,
}

impl Cell {
    fn add(&mut self, hash: u64, count: i32) {
        self.count = self.count.wrapping_add(count);
        self.hashes ^= hash;
        self.checks ^= check(hash);
    }

    const fn is_empty(self) -> bool {
        self.count == 0 && self.hashes == 0 && self.checks == 0
    }

    /// Whether one hash is left.
    const fn is_one(self) -> bool {
        (self.count == 1 || self.count == -1) && self.checks == check(self.hashes)
    }
}

/// How two tables differ in their keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Keys that the peer lacks.
    pub lacks: u64,
    /// Keys that we lack.
    pub exceeds: u64,
    /// They were counted one by one; otherwise they are estimated, from a hundred of them or so.
    pub is_exact: bool,
}

/// The keys of a table, or of two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sketch {
    cells: Box<[Cell]>,
}

impl Sketch {
    pub(super) fn new() -> Self {
        Self { cells: vec![Cell::default(); CELLS].into() }
    }

    /// Adds a key by its hash.
    pub(super) fn add(&mut self, hash: u64) {
        let last = (hash.trailing_zeros() as usize).min(LEVELS - 1);
        for level in 0..=last {
            for way in 0..WAYS {
                if let Some(cell) = self.cells.get_mut(place(level, way, hash)) {
                    cell.add(hash, 1);
                }
            }
        }
    }

    /// Returns the cells.
    pub(super) const fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// Takes a cell of the other table away.
    pub(super) fn subtract(&mut self, at: usize, theirs: Cell) {
        if let Some(cell) = self.cells.get_mut(at) {
            cell.count = cell.count.wrapping_sub(theirs.count);
            cell.hashes ^= theirs.hashes;
            cell.checks ^= theirs.checks;
        }
    }

    /// Returns how the tables differ; `None` when no level says so, which is what wrong cells come to.
    pub(super) fn difference(&self) -> Option<Difference> {
        (0..LEVELS).find_map(|level| {
            let (lacks, exceeds) = self.list(level)?;
            let is_exact = level == 0;
            Some(Difference { lacks: lacks << level, exceeds: exceeds << level, is_exact })
        })
    }

    /// Lists the keys of a level. `None` if there are too many.
    fn list(&self, level: usize) -> Option<(u64, u64)> {
        let first = first(level);
        let size = WAYS * way_size(level);
        let mut cells: Vec<Cell> = self.cells.get(first..first + size)?.to_vec();
        let mut ones: Vec<usize> = (0..size).collect();
        let (mut lacks, mut exceeds) = (0, 0);
        // Each turn that finds a hash empties a cell; more than there are cells are no true ones.
        while let Some(at) = ones.pop() {
            let one = *cells.get(at)?;
            if !one.is_one() {
                continue;
            }
            let found = if one.count > 0 { &mut lacks } else { &mut exceeds };
            *found += 1;
            if lacks + exceeds > size as u64 {
                return None;
            }
            for way in 0..WAYS {
                let at = place(level, way, one.hashes) - first;
                if let Some(cell) = cells.get_mut(at) {
                    cell.add(one.hashes, -one.count);
                    ones.push(at);
                }
            }
        }
        cells.iter().all(|cell| cell.is_empty()).then_some((lacks, exceeds))
    }
}

/// Where the cells of a level begin.
const fn first(level: usize) -> usize {
    if level == 0 { 0 } else { LISTED + (level - 1) * SAMPLED }
}

/// Cells of a level for each way.
const fn way_size(level: usize) -> usize {
    if level == 0 { LISTED / WAYS } else { SAMPLED / WAYS }
}

/// Returns the cell of a hash.
const fn place(level: usize, way: usize, hash: u64) -> usize {
    let size = way_size(level);
    let mixed = mix(hash ^ (way as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    first(level) + way * size + (((mixed >> 32) * size as u64) >> 32) as usize
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half")]
const fn check(hash: u64) -> u32 {
    mix(hash.wrapping_add(0x5851_f42d_4c95_7f2d)) as u32
}

/// The finalizer of SplitMix64.
const fn mix(mut x: u64) -> u64 {
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sketch(keys: impl Iterator<Item = u64>) -> Sketch {
        let mut sketch = Sketch::new();
        keys.for_each(|key| sketch.add(mix(key)));
        sketch
    }

    /// How a table with these keys differs from another one.
    fn differ(ours: impl Iterator<Item = u64>, theirs: impl Iterator<Item = u64>) -> Difference {
        let mut sketch = sketch(ours);
        let theirs = self::sketch(theirs);
        theirs.cells().iter().enumerate().for_each(|(at, cell)| sketch.subtract(at, *cell));
        sketch.difference().unwrap()
    }

    #[test]
    fn differences_are_counted() {
        assert_eq!(differ(0..0, 0..0), Difference { is_exact: true, ..Difference::default() });
        assert_eq!(differ(0..100_000, 0..100_000).lacks, 0);
        let counted = Difference { lacks: 312, exceeds: 5, is_exact: true };
        assert_eq!(differ(0..50_000, 312..50_005), counted);
        assert_eq!(differ(0..900, 0..0), Difference { lacks: 900, exceeds: 0, is_exact: true });
    }

    #[test]
    fn many_differences_are_estimated() {
        for (ours, theirs) in [(200_000_u64, 0_u64), (50_000, 20_000)] {
            let found = differ(0..1000 + ours, (0..1000).chain(1_000_000..1_000_000 + theirs));
            assert!(!found.is_exact);
            for (found, real) in [(found.lacks, ours), (found.exceeds, theirs)] {
                assert!(found.abs_diff(real) * 2 <= real, "{found}, not {real}");
            }
        }
    }

    #[test]
    fn wrong_cells_say_nothing() {
        let mut wrong = sketch(0..10);
        for at in 0..CELLS {
            let hashes = mix(at as u64);
            // Each looks like one hash that is in no other cell.
            wrong.subtract(at, Cell { count: -1, hashes, checks: check(hashes) });
        }
        assert_eq!(wrong.difference(), None);
    }
}
