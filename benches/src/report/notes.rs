//! What a reader has to know, on the page and in the summary alike.

use super::Results;
use super::record::Record;

/// The part of the machine's time that others may take before figures are called noisy.
const QUIET: f64 = 0.05;

/// Says how things were measured, sentence by sentence.
pub(super) fn method(results: &Results) -> Vec<String> {
    let settings = &results.settings;
    let mut notes = vec![
        format!(
            "Contestants take turns, slice by slice, in one process: {} slices of {} ms each. Throughput is the upper \
             quartile of a contestant's slices; the lower quartile stands beside it.",
            settings.slices,
            settings.slice.as_millis()
        ),
        format!(
            "How long single steps take is sampled in {} further slices, so that throughput is not disturbed. Each holds \
             the reading of the clock, and with more threads than cores whatever the scheduler did meanwhile.",
            settings.samples
        ),
        "A step is what the program asks for at once: a look-up, sixteen of them, an insert and a removal. Processor time is \
         that of the whole process, divided by the operations."
            .to_owned(),
        "A ratio is ours ÷ theirs in throughput, theirs ÷ ours in times and bytes: above 1 ours is ahead, below 1 it loses. \
         Trees with another reclaimer are compared with the same tree with ours alone."
            .to_owned(),
        "Memory of an entry is what a process has in memory with a full map less what it had before, each in a process of \
         its own."
            .to_owned(),
        "No thread is stopped while it holds a lock here: what that does to locked maps is shown by \
         ebtree/tests/parked.rs.".to_owned(),
    ];
    if results.resumed > 0 {
        notes.push(format!("{} results are from earlier runs that were resumed.", results.resumed));
    }
    notes
}

/// Says how much else the machine did.
pub(super) fn noise(results: &Results) -> String {
    let others = results.records.iter().filter_map(|record| match record {
        Record::Compared { others, .. } => Some(*others),
        _ => None,
    });
    let others: Vec<_> = others.collect();
    if others.is_empty() {
        return "Nothing was compared.".to_owned();
    }
    let (middle, most) =
        (crate::interleave::quantile(&others, 0.5), crate::interleave::quantile(&others, 1.0));
    let verdict = if middle > QUIET {
        "That is noisy: read orders of magnitude here, not percents."
    } else if most > QUIET {
        "Some cases are noisy."
    } else {
        "That is quiet."
    };
    format!(
        "Other processes, the kernel's threads and other machines on the same hardware took {:.0} % of the processor time \
         while the middle case ran, and {:.0} % at most. {verdict}",
        middle * 100.0,
        most * 100.0
    )
}
