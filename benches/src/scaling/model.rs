//! The model: how many look-ups a second so many cores do, from times measured on one and two. Nothing here measures.
//!
//! Each core looks up without pause. A look-up takes `delay`, in which nobody disturbs it, and `service` at one of `stations`, which serve
//! one core at a time: the section of a mutex, or the cache line of a lock's word. How long it waits there is what mean value analysis
//! of a closed network says (Reiser and Lavenberg, 1980): who comes finds the queue that there would be without him.

/// How a design spends the time of a look-up, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Design {
    /// Undisturbed.
    pub delay: f64,
    /// At a station, with one core.
    pub alone: f64,
    /// At a station, with more cores than one: its cache line comes from another core.
    pub contended: f64,
    /// How many stations there are, each as often visited as any other.
    pub stations: u32,
    /// To fetch a line of which another core had written last, on the way.
    pub transfer: f64,
}

impl Design {
    /// Look-ups that write nothing that others read.
    #[must_use]
    pub const fn lock_free(cost: f64) -> Self {
        Self { delay: cost, alone: 0.0, contended: 0.0, stations: 1, transfer: 0.0 }
    }

    /// Returns look-ups in a nanosecond by so many cores.
    #[must_use]
    pub fn throughput(&self, cores: u32) -> f64 {
        let service = if cores == 1 { self.alone } else { self.contended };
        // Of so many cores that come in no order, this part comes after another one than itself.
        let others = 1.0 - 1.0 / f64::from(cores.max(1));
        closed(self.delay + others * self.transfer, service, self.stations, cores)
    }
}

/// Returns the throughput of `cores` that spend `delay` by themselves and `service` at one of `stations`, in turn.
fn closed(delay: f64, service: f64, stations: u32, cores: u32) -> f64 {
    let stations = f64::from(stations.max(1));
    let (mut queue, mut throughput) = (0.0, 0.0);
    for core in 1..=cores {
        // At one station, of what it is asked for by a look-up on average.
        let there = service / stations * (1.0 + queue);
        throughput = f64::from(core) / (delay + stations * there);
        queue = throughput * there;
    }
    throughput
}

/// Returns the service time at one station with which two cores that spend `delay` elsewhere take `taken` each for a look-up.
#[must_use]
pub fn service(delay: f64, taken: f64) -> f64 {
    let (mut low, mut high) = (0.0, taken.max(0.0));
    // Halved until nothing is left to halve.
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        // What it takes grows with the service time.
        if 2.0 / closed(delay, middle, 1, 2) < taken {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

/// By how much a prediction may be off before nothing further is predicted.
pub const TOLERANCE: f64 = 0.15;

/// Whether a prediction is near enough to what was measured.
#[must_use]
pub fn holds(predicted: f64, measured: f64) -> bool {
    (predicted / measured - 1.0).abs() <= TOLERANCE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(one: f64, other: f64) {
        assert!((one / other - 1.0).abs() < 1e-6, "{one} is not {other}");
    }

    const MUTEX: Design =
        Design { delay: 3.0, alone: 60.0, contended: 90.0, stations: 1, transfer: 0.0 };
    const SHARDED: Design =
        Design { delay: 40.0, alone: 20.0, contended: 20.0, stations: 64, transfer: 50.0 };

    #[test]
    fn one_core_takes_the_sum() {
        near(MUTEX.throughput(1), 1.0 / 63.0);
        near(SHARDED.throughput(1), 1.0 / 60.0);
        near(Design::lock_free(30.0).throughput(1), 1.0 / 30.0);
    }

    #[test]
    fn a_mutex_saturates() {
        for cores in [2, 16, 64, 128] {
            assert!(MUTEX.throughput(cores) <= 1.0 / 90.0);
        }
        near(MUTEX.throughput(64), 1.0 / 90.0);
        near(MUTEX.throughput(128), MUTEX.throughput(64));
    }

    #[test]
    fn lock_free_look_ups_grow_with_the_cores() {
        let design = Design::lock_free(30.0);
        for cores in 1..200 {
            assert!(design.throughput(cores + 1) > design.throughput(cores));
            near(design.throughput(cores), f64::from(cores) / 30.0);
        }
    }

    #[test]
    fn closed_forms() {
        // Nothing but stations: who comes meets each of the others at his own with the same chance.
        for (stations, cores) in [(1, 1), (1, 9), (64, 8), (64, 640)] {
            let (k, n) = (f64::from(stations), f64::from(cores));
            near(closed(0.0, 20.0, stations, cores), n * k / (20.0 * (n + k - 1.0)));
        }
        // Two cores, one station.
        let (d, s) = (50.0, 20.0);
        near(closed(d, s, 1, 2), 2.0 / (d + s + s * s / (d + s)));
        // So many stations that nobody meets anybody, and so many cores that all stations are busy.
        near(closed(d, s, u32::MAX, 16), 16.0 / (d + s));
        assert!((closed(d, s, 4, 100_000) / (4.0 / s) - 1.0).abs() < 1e-3);
    }

    #[test]
    fn shards_lose_a_transfer_and_little_more() {
        let two = SHARDED.throughput(2);
        assert!(two < 2.0 / (60.0 + 25.0) && two > 0.98 * 2.0 / (60.0 + 25.0));
        // More of them are never slower.
        let more = Design { stations: 128, ..SHARDED };
        for cores in [2, 16, 64, 128] {
            assert!(more.throughput(cores) >= SHARDED.throughput(cores));
            assert!(SHARDED.throughput(cores) < 64.0 / 20.0);
        }
    }

    #[test]
    fn a_service_time_is_found_again() {
        for (delay, expected) in [(50.0, 20.0), (0.0, 35.0), (10.0, 200.0)] {
            near(service(delay, 2.0 / closed(delay, expected, 1, 2)), expected);
        }
        // Two do not disturb each other at all.
        assert!(service(50.0, 50.0) < 1e-6);
    }

    #[test]
    fn what_holds() {
        assert!(holds(1.14, 1.0) && holds(0.86, 1.0) && !holds(1.16, 1.0) && !holds(0.84, 1.0));
        assert!(!holds(1.0, 0.0) && !holds(f64::NAN, 1.0));
    }
}
