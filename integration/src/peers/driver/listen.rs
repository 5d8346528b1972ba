//! Accepts connections, not too many.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use super::connection;
use super::hub::Hub;

/// How long to wait when there are no descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections until the section stops. Above the limit they are closed at once.
pub(super) async fn run(hub: Arc<Hub>, listener: TcpListener) {
    let stopped = hub.stopped();
    tokio::pin!(stopped);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stopped => return,
        };
        match accepted {
            Ok((stream, address)) => match Arc::clone(&hub.permits).try_acquire_owned() {
                Ok(permit) => {
                    tracing::debug!(section = hub.roster.section(), %address, "called");
                    let seat = hub.accepted();
                    hub.spawn(connection::run(Arc::clone(&hub), seat, stream, Some(permit)));
                }
                Err(_) => {
                    hub.connection_refused();
                    tracing::warn!(section = hub.roster.section(), %address, "too many connections");
                }
            },
            Err(error) => {
                tracing::warn!(section = hub.roster.section(), %error, "cannot accept");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
