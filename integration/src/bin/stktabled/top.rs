//! `stktabled top`: tables, who talks most, and peers of a running process, in a terminal.
//!
//! ```text
//! keys --> State --Wanted--> sampler (a thread that asks the runtime API) --Sample--> State --> view
//! ```

mod client;
mod model;
mod sampler;
mod state;
mod view;

use std::error::Error;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use stktable_integration::Clock;
use stktable_integration::runtime_api::server::Endpoint;

use self::sampler::Sampler;
use self::state::{State, Wanted};
use crate::say;

/// How long a key may wait for its effect.
const TURN: Duration = Duration::from_millis(50);

/// Shows tables, who talks most, and peers of a running stktabled, as they change. Of a running HAProxy too, as far as it tells.
#[derive(Debug, Args)]
pub(crate) struct Top {
    /// The runtime API: ADDRESS:PORT, or the path of a Unix socket.
    #[arg(value_name = "SOCKET", default_value = "/run/stktabled/api.sock")]
    connect: Endpoint,

    /// How often to look [default: 1s].
    #[arg(long, value_name = "DURATION", value_parser = crate::args::duration)]
    every: Option<Duration>,

    /// The table to begin with [default: the first].
    #[arg(long, value_name = "NAME")]
    table: Option<String>,

    /// The data type whose largest values are shown [default: a rate, if there is one].
    #[arg(long, value_name = "TYPE")]
    by: Option<String>,

    /// Only keys of this network, or that begin so.
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,

    /// Prints it once, as text, and exits; so it does where there is no terminal.
    #[arg(long)]
    once: bool,
}

pub(crate) fn run(args: &Top) -> Result<ExitCode, Box<dyn Error>> {
    let wanted =
        Wanted { table: args.table.clone(), by: args.by.clone(), prefix: args.prefix.clone() };
    if args.once || !io::stdout().is_terminal() {
        let sample = sampler::look(&args.connect, &wanted, Clock::start())?;
        let mut state = State::new(args.connect.to_string(), wanted);
        state.take(Ok(sample));
        say(view::text(&state).trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    let every = args.every.unwrap_or(Duration::from_secs(1));
    let sampler = Sampler::start(args.connect.clone(), wanted.clone(), every);
    let mut state = State::new(args.connect.to_string(), wanted);
    // Put back by a panic, too.
    let mut terminal = ratatui::try_init()?;
    let shown = show(&mut terminal, &mut state, &sampler);
    ratatui::try_restore()?;
    shown?;
    Ok(ExitCode::SUCCESS)
}

/// Draws and listens until it is asked to end.
fn show(
    terminal: &mut ratatui::DefaultTerminal,
    state: &mut State,
    sampler: &Sampler,
) -> io::Result<()> {
    let mut stale = true;
    loop {
        for sample in sampler.samples() {
            stale = true;
            state.take(sample);
        }
        if std::mem::take(&mut stale) {
            terminal.draw(|frame| view::draw(state, frame))?;
        }
        if !event::poll(TURN)? {
            continue;
        }
        stale = true;
        match event::read()? {
            Event::Key(key) if key.kind != KeyEventKind::Release => {
                let before = state.wanted().clone();
                if state.press(key) {
                    return Ok(());
                }
                if *state.wanted() != before {
                    sampler.want(state.wanted().clone());
                }
            }
            _ => {}
        }
    }
}
