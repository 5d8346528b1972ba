//! What was measured, whether the model holds, and what it predicts, in Markdown.

use super::model::{Design, TOLERANCE, holds};

/// A design, and what it did on one and two cores, in look-ups a nanosecond.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) name: &'static str,
    pub(super) design: Design,
    pub(super) measured: [f64; 2],
}

impl Checked {
    /// Whether the model says of two cores what was measured.
    pub(super) fn holds(&self) -> bool {
        holds(self.design.throughput(2), self.measured[1])
    }
}

/// Everything that was measured.
#[derive(Debug)]
pub(super) struct Findings {
    /// The part of the machine's processor time that others took.
    pub(super) others: f64,
    /// Names and nanoseconds.
    pub(super) quantities: Vec<(String, f64)>,
    pub(super) designs: Vec<Checked>,
}

/// What has to be true for a prediction to be.
const ASSUMPTIONS: [&str; 9] = [
    "Look-ups of 10,000 evenly spread `u64`s alone: nobody inserts or removes, and the maps fit into every core's caches, or into one that all \
     share as fast as two cores do here.",
    "As many threads as cores, each on its own, none of them stopped or moved. A mutex whose owner is stopped does nothing meanwhile.",
    "Every core is as fast as one here is when the other one rests, and memory and interconnect are not used up.",
    "A cache line comes from any core as fast as from the other one here. With several sockets or dies it takes two to five times as long: \
     locked designs lose more than is said here.",
    "Lock-free: a look-up writes to its own thread's hazard pointers only, so cores do not meet: cores ÷ cost. Nobody else pays for what \
     membarrier does, since nothing is removed.",
    "Mutex: one section at a time, as long as one core's look-up and what two cores lose to each other at a mutex around a section as \
     long that touches nothing. That this does not grow with more cores favours the mutex.",
    "RwLock: readers queue for the line of the lock's word. How long it keeps each is found from two cores that read-lock around a section as \
     long that touches nothing; that it does not grow favours the lock.",
    "64 shards: all are used alike, so waiting is rare, but the line of a shard's word was written last by another core in all \
     but 1 of N look-ups. What it costs to fetch it is found from two cores that read-lock one of 64 around a section as long.",
    "Queues are as mean value analysis has them: in the order of arrival, with exponentially distributed times.",
];

/// Prints all of it. What fails its check is not predicted.
pub(super) fn markdown(findings: &Findings, cores: &[u32]) -> String {
    let mut text = String::from("## Measured here\n\n| | ns |\n| --- | --- |\n");
    for (name, ns) in &findings.quantities {
        text += &format!("| {name} | {} |\n", figure(*ns, 2));
    }
    text += &format!(
        "\nOthers took {:.0} % of the machine's processor time meanwhile.\n",
        findings.others * 100.0
    );
    text += &format!(
        "\n## Check: from one core to two, within {:.0} %\n\n| design | 1 core, measured, Mops/s | 2 cores, measured | 2 cores, by \
         the model | off by | |\n| --- | --- | --- | --- | --- | --- |\n",
        TOLERANCE * 100.0
    );
    for one in &findings.designs {
        let [alone, both] = one.measured.map(|rate| rate * 1e3);
        let model = one.design.throughput(2) * 1e3;
        let off = (model / both - 1.0) * 100.0;
        let verdict = if one.holds() { "holds" } else { "fails" };
        let rates = [alone, both, model].map(|rate| figure(rate, 1)).join(" | ");
        let off = if off.is_nan() { "–".to_owned() } else { format!("{off:+.0} %") };
        text += &format!("| {} | {rates} | {off} | {verdict} |\n", code(one.name));
    }
    text += "\n## Prediction, not measurement: Mops/s\n\n| design |";
    text += &cores.iter().map(|cores| format!(" {cores} cores |")).collect::<String>();
    text += &format!("\n| --- |{}\n", " --- |".repeat(cores.len()));
    for one in &findings.designs {
        let cell = |cores: &u32| {
            if one.holds() {
                format!(" {:.0} |", one.design.throughput(*cores) * 1e3)
            } else {
                " refused |".to_owned()
            }
        };
        text += &format!("| {} |{}\n", code(one.name), cores.iter().map(cell).collect::<String>());
    }
    if !findings.designs.iter().all(Checked::holds) {
        text += "\nRefused: what fails its check on two cores says nothing of more. On a quieter machine it may hold: only slices count in which \
                 no thread waited for a processor, and of those there have to be five.\n";
    }
    text += "\nIt rests on this:\n\n";
    for assumption in ASSUMPTIONS {
        text += &format!("- {assumption}\n");
    }
    let list: Vec<_> = cores.iter().map(ToString::to_string).collect();
    text += &format!(
        "\nTo measure it, on a machine that has these cores:\n\n```sh\ncargo run --release -p benches --features rivals -- report \
         --workload get --entries 10000 --threads 1,2,{}\n```\n",
        list.join(",")
    );
    text
}

/// Writes what was measured, if it was.
fn figure(value: f64, digits: usize) -> String {
    if value.is_nan() { "not measured".to_owned() } else { format!("{value:.digits$}") }
}

fn code(name: &str) -> String {
    format!("`{name}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(both: f64) -> Findings {
        let design = Design::lock_free(50.0);
        Findings {
            others: 0.3,
            quantities: vec![("a line".to_owned(), 40.0)],
            designs: vec![Checked { name: "tree", design, measured: [0.02, both] }],
        }
    }

    #[test]
    fn what_holds_is_predicted() {
        let text = markdown(&findings(0.038), &[16, 64]);
        assert!(text.contains("| `tree` | 20.0 | 38.0 | 40.0 | +5 % | holds |"), "{text}");
        assert!(text.contains(
            "| design | 16 cores | 64 cores |\n| --- | --- | --- |\n| `tree` | 320 | 1280 |\n"
        ));
        assert!(text.contains("--threads 1,2,16,64\n") && !text.contains("efused"));
    }

    #[test]
    fn what_was_not_measured_is_refused() {
        let text = markdown(&findings(f64::NAN), &[16]);
        assert!(text.contains("| 20.0 | not measured | 40.0 | – | fails |"), "{text}");
        assert!(text.contains("| `tree` | refused |"));
    }

    #[test]
    fn what_fails_is_refused() {
        let text = markdown(&findings(0.025), &[16, 64]);
        assert!(
            text.contains("| +60 % | fails |") && text.contains("| `tree` | refused | refused |")
        );
        assert!(text.contains("Others took 30 %") && !text.contains("320"));
    }
}
