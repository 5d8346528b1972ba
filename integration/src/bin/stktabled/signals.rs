//! What ends the process, and what makes it read its certificates again.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Ends us once a successor has been taught.
pub(crate) const SOFT_STOP: &str = "SIGUSR1";

/// The signals that we heed.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    soft_stop: Signal,
    hang_up: Signal,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// To end, by the signal of this name.
    Stop(&'static str),
    /// To read certificates and keys again.
    Reload,
}

impl Signals {
    /// Takes the signals over: from now on they are waited for.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            soft_stop: signal(SignalKind::user_defined1())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for one that ends us.
    pub(crate) async fn stop(&mut self) {
        while self.next().await == Asked::Reload {}
    }

    /// Waits for the next.
    pub(crate) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => Asked::Stop("SIGINT"),
            _ = self.terminate.recv() => Asked::Stop("SIGTERM"),
            _ = self.soft_stop.recv() => Asked::Stop(SOFT_STOP),
            _ = self.hang_up.recv() => Asked::Reload,
        }
    }
}
