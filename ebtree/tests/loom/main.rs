//! Models: every schedule of a few operations that meet, up to a bound on preemptions.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=2 LOOM_MAX_BRANCHES=10000 \
//!   cargo test --release -p ebtree --test loom -- --nocapture
//! ```
//!
//! Freed objects are kept and marked, so a read that is not ordered before the end of what it reads fails as a
//! causality violation. Only the fence form of the barrier is modelled. `without_…` in a model is the same
//! model run without one protection of the source, which must fail.
#![cfg(all(loom, not(shuttle)))]

mod batch;
mod domain;
mod guards;
mod leaf;
mod ordered;
mod pairs;
mod prefix;
mod three;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use ebtree::{Domain, EbTree, Mutant};
use loom::sync::Arc;

type Tree = EbTree<u64, u64>;

/// Explores every schedule of `model`, without one protection of the code if `mutant` says so.
fn explore(path: &str, mutant: Option<Mutant>, model: impl Fn() + Send + Sync + 'static) {
    let three = path.contains("three");
    let name = path.rsplit("::").next().unwrap_or(path);
    /// Says how far it got, also when a mutant is caught.
    struct Report<'n>(&'n str, Option<Mutant>, std::sync::Arc<AtomicUsize>, Instant);
    impl Drop for Report<'_> {
        fn drop(&mut self) {
            let without = self.1.map(|mutant| format!(" without {mutant:?}")).unwrap_or_default();
            let executions = self.2.load(Ordering::Relaxed);
            let seconds = self.3.elapsed().as_secs_f64();
            println!("{}{without}: {executions} executions, {seconds:.2} s", self.0);
        }
    }
    let executions = std::sync::Arc::new(AtomicUsize::new(0));
    let _report = Report(name, mutant, std::sync::Arc::clone(&executions), Instant::now());
    // From the environment, but for three threads, which have some thirty times as many schedules for each step.
    let mut builder = loom::model::Builder::new();
    if three {
        let bound = std::env::var("LOOM_THREE_PREEMPTIONS").ok();
        builder.preemption_bound = Some(bound.and_then(|bound| bound.parse().ok()).unwrap_or(1));
    }
    // One preemption more than others, or the mutant lives.
    if path.starts_with("batch") {
        builder.preemption_bound = builder.preemption_bound.map(|bound| bound.max(3));
    }
    ebtree::with_mutant(mutant, || {
        builder.check(move || {
            executions.fetch_add(1, Ordering::Relaxed);
            model();
        });
    });
}

/// A tree with these keys, each its own value, in a domain that scans at the end of each operation that
/// retires. There is a record for this thread, and one for each of `others`.
fn tree(others: usize, keys: &[u64]) -> Arc<Tree> {
    let domain = Domain::with_batch(1);
    domain.reserve(1 + others);
    // This thread's is the first.
    domain.flush();
    let tree = Tree::new_in(domain);
    for key in keys {
        tree.insert(*key, *key);
    }
    Arc::new(tree)
}

/// Runs `body` with what it shares in a thread of its own.
fn spawn<S: 'static, T: 'static>(
    shared: &Arc<S>,
    body: impl FnOnce(Arc<S>) -> T + 'static,
) -> loom::thread::JoinHandle<T> {
    /// Loom cannot drop what a thread was to be given when the model fails before the thread has begun.
    struct Given<S>(Option<Arc<S>>);
    impl<S> Drop for Given<S> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                std::mem::forget(self.0.take());
            }
        }
    }
    let mut given = Given(Some(Arc::clone(shared)));
    loom::thread::spawn(move || body(given.0.take().expect("given once")))
}

/// Runs `others` in threads of their own beside `here`.
fn beside(tree: &Arc<Tree>, others: &[fn(&Tree)], here: impl FnOnce(&Tree)) {
    let threads: Vec<_> = others
        .iter()
        .enumerate()
        .map(|(index, other)| {
            let other = *other;
            spawn(tree, move |tree| {
                ebtree::attach_to(tree.domain(), 1 + index);
                other(&tree);
            })
        })
        .collect();
    here(tree);
    for thread in threads {
        thread.join().unwrap();
    }
}

/// Returns the value of a key, having read it under its guard.
fn value(tree: &Tree, key: u64) -> Option<u64> {
    tree.get(&key).map(|entry| {
        assert_eq!(*entry.key(), key);
        *entry.value()
    })
}

fn remove(tree: &Tree, key: u64) -> bool {
    tree.remove_if(&key, |_| true)
}

fn keys(tree: &Tree) -> Vec<u64> {
    tree.iter().map(|entry| *entry.key()).collect()
}

/// A model, and the same one without a protection, which must fail.
macro_rules! models {
    ($($(#[$doc:meta])* $name:ident $body:block $([$($mutant:ident)+])?)*) => {$(
        $(#[$doc])*
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            fn model() $body

            #[test]
            fn holds() {
                crate::explore(module_path!(), None, model);
            }

            $($(
                #[test]
                #[should_panic]
                #[allow(non_snake_case)]
                fn $mutant() {
                    crate::explore(module_path!(), Some(ebtree::Mutant::$mutant), model);
                }
            )+)?
        }
    )*};
}
pub(crate) use models;
