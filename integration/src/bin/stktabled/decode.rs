//! `stktabled decode`: what one side of a recorded session said.

use std::error::Error;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use stktable_integration::peers::inspect::{Inspector, What};

/// Prints what one side of a recorded peers session said, a line for each message: where it begins, its bytes, and what it is.
#[derive(Debug, Args)]
pub(crate) struct Decode {
    /// The bytes that one side sent, from its hello or status line on; `-` reads them from stdin.
    file: PathBuf,

    /// Prints a JSON object for each message.
    #[arg(long)]
    json: bool,
}

/// Bytes that are read at once.
const PIECE: usize = 64 << 10;

pub(crate) fn run(wanted: &Decode) -> Result<ExitCode, Box<dyn Error>> {
    let named = |error| format!("{}: {error}", wanted.file.display());
    let mut file: Box<dyn Read> = match wanted.file.to_str() {
        Some("-") => Box::new(io::stdin().lock()),
        _ => Box::new(File::open(&wanted.file).map_err(named)?),
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let mut inspector = Inspector::new();
    let mut piece = vec![0; PIECE];
    let mut whole = true;
    loop {
        let read = match file.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(named(error).into()),
        };
        let mut wrote = Ok(());
        inspector.read(&piece[..read], |seen| {
            whole &= !matches!(seen.what, What::Malformed(_));
            if wrote.is_ok() {
                wrote = match wanted.json {
                    true => writeln!(out, "{}", seen.json()),
                    false => writeln!(out, "{seen}"),
                };
            }
        });
        if wrote.is_err() || !whole {
            break;
        }
    }
    // Whoever reads it may have seen enough.
    let _ = out.flush();
    if inspector.pending() > 0 {
        let text = format!("the last {} bytes are no whole message", inspector.pending());
        return Err(named(io::Error::new(io::ErrorKind::UnexpectedEof, text)).into());
    }
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
