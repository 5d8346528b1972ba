//! `cargo bench -p benches`: one case of the tree at a time, by criterion, to drill into. Comparisons are the report's: its contestants
//! take turns, which criterion's cases do not.

use std::ops::ControlFlow;

use benches::random::{Random, mix};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ebtree::{Domain, EbMultiTree, EbPrefixTree, EbTree, Ipv4Prefix};

const SIZES: [u64; 2] = [10_000, 1_000_000];

fn tree(n: u64, bits: u32) -> EbTree<u64, u64> {
    let tree = EbTree::builder().domain(Domain::new()).fan_out(bits).build();
    tree.insert_many((0..n).map(|number| (mix(number), number)));
    tree
}

/// A root for each entry.
const fn fan_out(n: u64) -> u32 {
    n.next_power_of_two().ilog2()
}

fn look_ups(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("get");
    for n in SIZES {
        for (name, bits) in [("plain", 0), ("fanned out", fan_out(n))] {
            let tree = tree(n, bits);
            let mut random = Random::new(1);
            group.throughput(Throughput::Elements(1));
            group.bench_function(BenchmarkId::new(name, n), |bencher| {
                bencher.iter(|| tree.get_with(&mix(random.below(n)), |value| *value));
            });
            group.throughput(Throughput::Elements(16));
            group.bench_function(BenchmarkId::new(format!("{name}, 16 at once"), n), |bencher| {
                bencher.iter(|| {
                    let keys: [u64; 16] = std::array::from_fn(|_| mix(random.below(n)));
                    let mut sum = 0_u64;
                    tree.get_many_with(&keys, |_, value| sum ^= value.copied().unwrap_or(0));
                    sum
                });
            });
        }
    }
    group.finish();
}

fn changes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("change");
    for n in SIZES {
        let tree = tree(n, fan_out(n));
        let mut next = n;
        group.bench_function(BenchmarkId::new("insert one, remove one", n), |bencher| {
            bencher.iter(|| {
                tree.insert(mix(next), next);
                tree.remove(&mix(next - n));
                next += 1;
            });
        });
        group.bench_function(BenchmarkId::new("update", n), |bencher| {
            bencher.iter(|| tree.update(&mix(next - 1), |value| value + 1).map(|new| *new));
        });
    }
    group.finish();
}

fn timers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("timers");
    for n in SIZES {
        let tree = EbMultiTree::new_in(Domain::new());
        // Eight due at once.
        let mut insert = |at: u64| {
            let Ok(_) = tree.insert(at / 8, at);
        };
        (0..n).for_each(&mut insert);
        let mut next = n;
        group.bench_function(BenchmarkId::new("insert one, pop one", n), |bencher| {
            bencher.iter(|| {
                insert(next);
                next += 1;
                tree.pop_first_if(|due, _| *due <= next).map(|entry| *entry)
            });
        });
    }
    group.finish();
}

fn walks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("walk of 100");
    group.throughput(Throughput::Elements(100));
    for n in SIZES {
        let tree = tree(n, 0);
        let mut random = Random::new(1);
        group.bench_function(BenchmarkId::new("range_with", n), |bencher| {
            bencher.iter(|| {
                let (mut sum, mut left) = (0_u64, 100);
                let _ = tree.range_with(mix(random.below(n)).., |_, value| {
                    sum ^= value;
                    left -= 1;
                    if left > 0 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                });
                sum
            });
        });
        group.bench_function(BenchmarkId::new("range", n), |bencher| {
            bencher.iter(|| {
                tree.range(mix(random.below(n))..).take(100).fold(0, |sum, entry| sum ^ *entry)
            });
        });
    }
    group.finish();
}

fn networks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("longest match");
    for n in SIZES {
        let tree = EbPrefixTree::new_in(Domain::new());
        let (mut random, mut lengths) = (Random::new(1), Random::new(2));
        let mut address = move || u32::try_from(random.next() >> 32).expect("32 bits").into();
        for _ in 0..n {
            let length = u8::try_from(8 + lengths.below(21)).expect("at most 28");
            let prefix = Ipv4Prefix::new(address(), length).expect("at most 32");
            tree.insert(prefix, ());
        }
        group.bench_function(BenchmarkId::new("IPv4, /8 to /28", n), |bencher| {
            bencher.iter(|| tree.longest_match_with(address(), |prefix, ()| *prefix));
        });
    }
    group.finish();
}

criterion_group!(all, look_ups, changes, timers, walks, networks);
criterion_main!(all);
