//! The TLS of a configuration: its files, and which word is to blame when one cannot be used.

use std::sync::Arc;

use crate::config::{ConfigError, Diagnostic, Setup, SetupSection, Tls};
use crate::tls::{Acceptor, Connector, Verify, can_name};

/// The TLS of one section.
#[derive(Debug)]
pub(super) struct SectionTls {
    pub(super) listen: Option<Arc<Acceptor>>,
    /// In the order of the remote peers.
    pub(super) calls: Vec<Option<Arc<Connector>>>,
}

/// Reads every certificate and key that a configuration names, and says what is wrong with them.
///
/// # Errors
/// When a file cannot be used: all of them.
pub fn check(setup: &Setup) -> Result<(), ConfigError> {
    load(setup).map(drop)
}

/// Returns the TLS of each section, in order.
pub(super) fn load(setup: &Setup) -> Result<Vec<SectionTls>, ConfigError> {
    let mut wrong = Vec::new();
    let loaded = setup.sections.iter().map(|section| of_section(section, &mut wrong)).collect();
    if wrong.is_empty() { Ok(loaded) } else { Err(ConfigError { diagnostics: wrong }) }
}

fn of_section(section: &SetupSection, wrong: &mut Vec<Diagnostic>) -> SectionTls {
    // A word of `default-server` would be reported for each line.
    let mut report = |found: Diagnostic| {
        if !wrong.contains(&found) {
            wrong.push(found);
        }
    };
    let listen = section.tls.as_ref().and_then(|tls| {
        let loaded = Acceptor::load(tls.settings.clone());
        loaded.map_err(|error| report(tls.diagnostic(&error))).ok()
    });
    if section.own.bind_names
        && section.tls.as_ref().is_some_and(|tls| tls.settings.verify != Verify::None)
    {
        for remote in &section.remotes {
            let tls = remote.tls.as_ref();
            let named =
                tls.and_then(|tls| tls.settings.verify_host.as_ref()).unwrap_or(&remote.name);
            if !can_name(named) {
                let message = "no certificate can have this name, and callers have to have theirs there; expected \
                               `verifyhost NAME` on this line, or `#stktabled: verify-peer-names off`";
                report(Diagnostic::error(remote.at.clone(), named, message));
            }
        }
    }
    let mut call = |tls: &Tls| {
        let loaded = Connector::load(tls.settings.clone());
        loaded.map_err(|error| report(tls.diagnostic(&error))).ok()
    };
    let calls =
        section.remotes.iter().map(|remote| remote.tls.as_ref().and_then(&mut call)).collect();
    SectionTls { listen, calls }
}
