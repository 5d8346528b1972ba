//! The daemon: tables, peers and the runtime API, until a signal.

use std::error::Error;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use sd_notify::NotifyState;
use stktable_integration::config::{Setup, StatsSocket};
use stktable_integration::node::StartError;
use stktable_integration::peers::driver;
use stktable_integration::runtime_api::Api;
use stktable_integration::runtime_api::server::{self, Endpoint, Options, Server, Socket};
use stktable_integration::{Clock, Node};

use crate::args::Args;
use crate::signals::{Asked, SOFT_STOP, Signals};
use crate::state::{Kept, OnDemand, StateFile};
use crate::web::Web;
use crate::{check, say, supervisor};

/// How long the process that we follow may hold what we need.
const HELD_MAX_MS: u32 = 5_000;
const AGAIN: Duration = Duration::from_millis(20);

/// Runs until a signal ends it.
pub(crate) async fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    // First of all: a signal during the start is not lost.
    let mut signals = Signals::listen()?;
    let setup = check::setup(args)?;
    supervisor::adopt_sockets();
    let stats_sockets = setup.stats_sockets.clone();
    let clock = Clock::start();
    stktable::advise_huge_pages(args.huge_pages);
    let built_in = args.files.is_empty();
    let state = args.state.clone().map(|path| StateFile::new(path, args.state_every, clock));
    let mut node = if built_in {
        start_built_in(setup, clock, state.as_ref()).await?
    } else {
        start(&setup, clock, args.take_over.is_some(), state.as_ref()).await?
    };
    if let Some(process) = args.take_over {
        take_over(process);
    }
    let sockets = setup_sockets(args, &stats_sockets, built_in);
    let kept: Kept = Arc::new(ArcSwap::from_pointee(node.tables().to_vec()));
    let mut api = Api::over(node.table_set(), clock.now())
        .peers(node.peers())
        .trace(Arc::clone(node.trace()));
    if let Some(file) = &state {
        api = api.state(OnDemand { file: file.clone(), tables: Arc::clone(&kept) });
    }
    let servers = serve(
        sockets,
        args.runtime_api.is_some() || built_in,
        &Arc::new(api),
        clock,
        args.take_over.is_some(),
    )
    .await?;
    let web = Web::start(args, &node, clock).await?;
    supervisor::tell_left();
    let local = servers.first().map(Server::local);
    if !args.quiet {
        let mut said = if built_in { welcome(&node, local) } else { started(&node, local) };
        said += &web.said(built_in);
        say(&said);
    }
    let signal = wait(&mut signals, &mut node, args, state.as_ref(), &kept, &web).await;
    tracing::info!(signal, "stopping");
    supervisor::say(&[NotifyState::Stopping]);
    for server in servers {
        server.stop().await;
    }
    let tables = node.tables().to_vec();
    if signal == SOFT_STOP {
        node.hand_over().await
    } else {
        node.stop().await
    }
    // Last of all: nothing changes any more.
    if let Some(state) = state {
        state.save(&tables).await;
    }
    Ok(())
}

/// Where to serve the runtime API: as the command line says, or else the configuration.
fn setup_sockets(args: &Args, configured: &[StatsSocket], built_in: bool) -> Vec<Socket> {
    match &args.runtime_api {
        Some(socket) => vec![socket.clone()],
        None if built_in => vec![Endpoint::Tcp((Ipv4Addr::LOCALHOST, 0).into()).into()],
        None => configured.iter().map(|configured| configured.socket.clone()).collect(),
    }
}

/// Serves the runtime API. A `stats socket` that another process serves is HAProxy's, whose file this is: it is left to it.
async fn serve(
    sockets: Vec<Socket>,
    asked_for: bool,
    api: &Arc<Api>,
    clock: Clock,
    patient: bool,
) -> Result<Vec<Server>, Box<dyn Error>> {
    let mut servers = Vec::new();
    for socket in sockets {
        match serve_one(socket, api, clock, patient).await {
            Ok(server) => servers.push(server),
            Err(error) if asked_for => return Err(error.into()),
            Err(error) => {
                tracing::warn!("a `stats socket` of the configuration is not served: {error}");
            }
        }
    }
    Ok(servers)
}

/// Tells the process that we follow to stop. It teaches us by itself.
fn take_over(process: i32) {
    let told = rustix::process::Pid::from_raw(process)
        .ok_or(rustix::io::Errno::SRCH)
        .and_then(|id| rustix::process::kill_process(id, rustix::process::Signal::USR1));
    if let Err(error) = told {
        tracing::warn!(process, %error, "--take-over: the process cannot be told to stop");
    }
}

/// Serves the runtime API, where a process that we follow may do so a little longer.
async fn serve_one(
    socket: Socket,
    api: &Arc<Api>,
    clock: Clock,
    patient: bool,
) -> Result<Server, server::StartError> {
    let end = clock.now() + HELD_MAX_MS;
    loop {
        let started = Server::start(socket.clone(), Arc::clone(api), clock, Options::default());
        match started.await {
            Err(error) if patient && clock.now() < end => {
                tracing::debug!(%error, "--take-over: the runtime API is tried again");
                tokio::time::sleep(AGAIN).await;
            }
            started => return started,
        }
    }
}

/// Starts a node whose tables hold what the state file has.
async fn start(
    setup: &Setup,
    clock: Clock,
    successor: bool,
    state: Option<&StateFile>,
) -> Result<Node, StartError> {
    Node::run_as(setup, clock, successor, async |tables| {
        if let Some(state) = state {
            state.load(tables).await;
        }
    })
    .await
}

/// Keeps the state, and heeds signals until one ends us; returns its name.
async fn wait(
    signals: &mut Signals,
    node: &mut Node,
    args: &Args,
    state: Option<&StateFile>,
    tables: &Kept,
    web: &Web,
) -> &'static str {
    let kept = async {
        if let Some(state) = state {
            state.keep(tables).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::pin!(kept);
    loop {
        let asked = {
            let telling = async {
                supervisor::keep_told(node).await;
                std::future::pending::<()>().await;
            };
            tokio::select! {
                asked = signals.next() => asked,
                () = &mut kept => continue,
                () = telling => continue,
            }
        };
        match asked {
            Asked::Stop(signal) => return signal,
            Asked::Reload => {
                supervisor::say(&[NotifyState::Status("reading the configuration again")]);
                reload(node, args);
                web.reload(args);
                tables.store(Arc::new(node.tables().to_vec()));
            }
        }
    }
}

/// Reads the configuration again. One that is wrong changes nothing.
fn reload(node: &mut Node, args: &Args) {
    let reloaded = check::setup(args).and_then(|setup| node.reload(&setup));
    match reloaded {
        Ok(reloaded) => {
            for diagnostic in &reloaded.restart {
                tracing::warn!("SIGHUP: {diagnostic}");
            }
            tracing::info!(
                added = reloaded.added.join(" "),
                removed = reloaded.removed.join(" "),
                changed = reloaded.changed.join(" "),
                tables_added = reloaded.tables_added.join(" "),
                kept = reloaded.kept,
                "SIGHUP: configuration read again"
            );
        }
        Err(error) => tracing::error!("SIGHUP: the old configuration stays: {error}"),
    }
}

/// Starts the built-in configuration, whose port may be taken.
async fn start_built_in(
    mut setup: Setup,
    clock: Clock,
    state: Option<&StateFile>,
) -> Result<Node, StartError> {
    match start(&setup, clock, false, state).await {
        Err(StartError::Section {
            error: driver::StartError::Listen { address, error, .. },
            ..
        }) if error.kind() == io::ErrorKind::AddrInUse => {
            tracing::warn!(%address, "in use by another process, so another port is used for peers");
            let listen = setup.sections.iter_mut().flat_map(|section| &mut section.listen);
            listen.for_each(|address| address.port = 0);
            start(&setup, clock, false, state).await
        }
        other => other,
    }
}

fn listening(node: &Node) -> Vec<SocketAddr> {
    node.sections().flat_map(|section| section.local_addrs()).collect()
}

/// What is said when a file was given.
fn started(node: &Node, api: Option<&Endpoint>) -> String {
    let mut peers = String::new();
    for address in listening(node) {
        peers += &format!(", peers on {address}");
    }
    let api = api.map_or(String::new(), |local| format!(", runtime API on {local}"));
    let (count, tables) = match node.tables().len() {
        1 => (1, "table"),
        count => (count, "tables"),
    };
    format!("stktabled runs: {count} {tables}{peers}{api}")
}

/// What is said when none was: what there is, and how to try it.
fn welcome(node: &Node, api: Option<&Endpoint>) -> String {
    let mut lines = vec![format!(
        "stktabled {} runs its built-in configuration. Ctrl-C ends it.",
        env!("CARGO_PKG_VERSION")
    )];
    let names = node.tables().iter().map(|table| table.declaration().local_name());
    lines.push(format!("  tables       {}", names.collect::<Vec<_>>().join(" ")));
    let peers = listening(node);
    for address in &peers {
        lines.push(format!("  peers        {address}, as peer `local`"));
    }
    if let Some(local) = api {
        lines.push(format!("  runtime API  {local}"));
        let (socat, nc) = match local {
            Endpoint::Tcp(address) => {
                (format!("TCP:{address}"), format!("nc {} {}", address.ip(), address.port()))
            }
            Endpoint::Unix(path) => {
                (format!("UNIX:{}", path.display()), format!("nc -U {}", path.display()))
            }
        };
        lines.push("Try it:".to_owned());
        lines.push(format!(
            "  echo 'set table local/ip key 192.0.2.1 data.gpc0 7; show table local/ip' | socat - {socat}"
        ));
        lines.push(format!("  echo 'show table' | {nc}"));
    }
    if let (Some(address), Some(table)) = (peers.first(), node.tables().first()) {
        let port = if address.port() == u16::MAX { 1024 } else { address.port() + 1 };
        lines.push(format!(
            "With HAProxy on this host, both reading these lines (-f FILE; here -L local, there -L haproxy):\n\
             \x20 peers local\n\
             \x20     peer local {address}\n\
             \x20     peer haproxy {}\n\
             \x20     {}",
            SocketAddr::new(address.ip(), port),
            table.declaration()
        ));
    }
    lines.join("\n")
}
