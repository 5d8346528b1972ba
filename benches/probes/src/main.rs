//! `probes OPERATION TIMES`: what valgrind counts.

use std::process::ExitCode;

use probes::Operation;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let operation = arguments.next().and_then(|name| Operation::named(&name));
    let times = arguments.next().and_then(|times| times.parse().ok());
    let (Some(operation), Some(times), None) = (operation, times, arguments.next()) else {
        let names: Vec<_> = Operation::ALL.into_iter().map(Operation::name).collect();
        eprintln!(
            "usage: probes OPERATION TIMES, where the operation is one of {}",
            names.join(", ")
        );
        return ExitCode::FAILURE;
    };
    operation.probe(times);
    ExitCode::SUCCESS
}
