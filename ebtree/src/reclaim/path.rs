//! The path of an operation: where it has come by.

use crate::edge::{AtomicEdge, Edge};

/// One level of a path: where an edge is, and what was read from it while its child was protected.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub(crate) edge: *const AtomicEdge,
    pub(crate) value: Edge,
}

#[cfg(all(
    any(feature = "crossbeam-epoch", feature = "haphazard", feature = "leak", feature = "seize"),
    not(loom)
))]
pub(super) use kept::Path;

#[cfg(all(
    any(feature = "crossbeam-epoch", feature = "haphazard", feature = "leak", feature = "seize"),
    not(loom)
))]
mod kept {
    use core::cell::{Cell, UnsafeCell};

    use super::Step;

    thread_local! {
        /// The memory of the last path.
        static KEPT: Cell<Vec<Step>> = const { Cell::new(Vec::new()) };
    }

    /// A path for reclaimers that have no place for it. Its memory is taken at the first step, and left to the next operation
    /// of the thread.
    #[derive(Debug)]
    pub struct Path {
        steps: UnsafeCell<Vec<Step>>,
    }

    impl Path {
        pub(in crate::reclaim) const fn new() -> Self {
            Self { steps: UnsafeCell::new(Vec::new()) }
        }

        /// Calls `f` with the steps. `f` never calls anything that could come back here.
        #[inline]
        fn with<T>(&self, f: impl FnOnce(&mut Vec<Step>) -> T) -> T {
            // SAFETY: not `Sync`, and no other borrow is live: every borrow is made here, and no `f` comes back.
            f(unsafe { &mut *self.steps.get() })
        }

        #[inline]
        pub(in crate::reclaim) fn set_step(&self, index: usize, step: Step) {
            self.with(|steps| {
                if let Some(place) = steps.get_mut(index) {
                    *place = step;
                } else {
                    Self::lengthen(steps, index, step);
                }
            });
        }

        #[cold]
        #[inline(never)]
        fn lengthen(steps: &mut Vec<Step>, index: usize, step: Step) {
            if steps.is_empty() {
                // At the thread's end there is nothing left.
                *steps = KEPT.try_with(Cell::take).unwrap_or_default();
            }
            if index >= steps.len() {
                steps.resize(index + 1, step);
            }
            steps[index] = step;
        }

        #[inline]
        pub(in crate::reclaim) fn step(&self, index: usize) -> Step {
            self.with(|steps| steps[index])
        }

        #[inline]
        pub(in crate::reclaim) fn with_path<T>(&self, look: impl FnOnce(&[Step]) -> T) -> T {
            self.with(|steps| look(steps))
        }
    }

    impl Drop for Path {
        #[inline]
        fn drop(&mut self) {
            let steps = core::mem::take(self.steps.get_mut());
            if steps.capacity() > 0 {
                // Fails at the thread's end only.
                let _ = KEPT.try_with(|kept| kept.set(steps));
            }
        }
    }
}
