//! What the daemon serves over HTTP, and to whom.

use std::error::Error;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;

use stktable_integration::http::{Access, HttpServer, Settings};
use stktable_integration::{Clock, Node};

use crate::args::Args;

/// Bytes of a file of tokens.
const TOKENS_MAX: u64 = 1 << 20;

/// Who serves.
#[derive(Debug)]
pub(crate) struct Web {
    metrics: Option<HttpServer>,
    http: Option<HttpServer>,
}

impl Web {
    /// Listens where the command line says.
    pub(crate) async fn start(
        args: &Args,
        node: &Node,
        clock: Clock,
    ) -> Result<Self, Box<dyn Error>> {
        let start = async |option: &str, address: SocketAddr, access: Option<Access>| {
            let settings = Settings {
                tables: node.table_set(),
                peers: node.peers(),
                clock,
                tops: args.metrics_top.clone(),
                access,
            };
            let started = HttpServer::start(address, settings).await;
            started.map_err(|error| format!("{option} {address}: cannot listen: {error}"))
        };
        let metrics = match args.metrics {
            Some(address) => Some(start("--metrics", address, None).await?),
            None => None,
        };
        let http = match args.http {
            Some(address) => Some(start("--http", address, Some(access(args)?)).await?),
            None => None,
        };
        Ok(Self { metrics, http })
    }

    /// Says where that is.
    pub(crate) fn said(&self, built_in: bool) -> String {
        let mut said = String::new();
        if let Some(metrics) = &self.metrics {
            let before = if built_in { "\n  metrics      " } else { ", metrics on " };
            said += &format!("{before}http://{}/metrics", metrics.local_addr());
        }
        if let Some(http) = &self.http {
            let before = if built_in { "\n  page         " } else { ", page on " };
            said += &format!("{before}http://{}/", http.local_addr());
        }
        said
    }

    /// Reads the tokens again. A file that is wrong changes nothing.
    pub(crate) fn reload(&self, args: &Args) {
        let Some(http) = &self.http else { return };
        match access(args) {
            Ok(access) => http.set_access(access),
            Err(error) => tracing::error!("SIGHUP: the old tokens stay: {error}"),
        }
    }
}

/// Returns who may connect, and do what.
fn access(args: &Args) -> Result<Access, String> {
    let access =
        Access::new().networks(args.http_accept_from.clone()).names(args.http_name.clone());
    let access = match &args.http_tokens {
        Some(path) => {
            let failed = |error: &dyn Error| format!("--http-tokens {}: {error}", path.display());
            let about = fs::metadata(path).map_err(|error| failed(&error))?;
            if about.permissions().mode() & 0o007 != 0 {
                return Err(format!(
                    "--http-tokens {}: every user of this machine can read it; expected mode 0600 or 0640",
                    path.display()
                ));
            }
            if about.len() > TOKENS_MAX {
                return Err(format!("--http-tokens {}: more than 1 MiB", path.display()));
            }
            let text = fs::read_to_string(path).map_err(|error| failed(&error))?;
            access.tokens(&text).map_err(|error| failed(&error))?
        }
        None => access,
    };
    match args.http {
        Some(address) if access.is_open() && !address.ip().is_loopback() => Err(format!(
            "--http {address}: anybody could read the tables there; expected a loopback address, --http-tokens FILE or --http-accept-from CIDR"
        )),
        _ => Ok(access),
    }
}
