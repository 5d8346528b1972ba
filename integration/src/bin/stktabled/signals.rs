//! What ends the process.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that end us.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    soft_stop: Signal,
}

impl Signals {
    /// Takes the signals over: from now on they are waited for.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            soft_stop: signal(SignalKind::user_defined1())?,
        })
    }

    /// Waits for the first, and returns its name.
    pub(crate) async fn stop(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.soft_stop.recv() => "SIGUSR1",
        }
    }
}
