//! Reading the configuration, and `-c`.

use std::io::{self, Write as _};

use stktable_integration::config::{self, ConfigError, Context, Diagnostic, Setup};
use stktable_integration::node::check_tls;

use crate::args::Args;
use crate::say;

/// Checks what would be run. Every error is returned at once, warnings go to stderr.
pub(crate) fn run(args: &Args) -> Result<(), ConfigError> {
    check_tls(&setup(args)?)?;
    if !args.quiet {
        say("Configuration file is valid");
    }
    Ok(())
}

/// Reads the files, and finds out which peer we are.
pub(crate) fn setup(args: &Args) -> Result<Setup, ConfigError> {
    let host = host_name();
    let context = Context {
        environment: &|name| std::env::var(name).ok(),
        argument: args.local_peer.as_deref(),
        host_name: host.as_deref(),
    };
    let config = config::load(&args.files, &context)?;
    let local_peer = context.local_peer_name(config.localpeer.as_deref());
    // Without any name, only a configuration without enabled sections can be run; the others say what they miss.
    let setup = config.resolve(local_peer.unwrap_or_default())?;
    if !args.quiet {
        config.warnings.iter().chain(&setup.warnings).for_each(report);
    }
    Ok(setup)
}

fn report(diagnostic: &Diagnostic) {
    // Nobody may read it.
    let _ = writeln!(io::stderr(), "{diagnostic}");
}

/// Returns the host's name where Linux tells it.
fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}
