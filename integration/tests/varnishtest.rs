//! Our `.vtc` files, run by Debian's `varnishtest`: HAProxy on one side, `stktabled` on the other.
//!
//! Needs `varnishtest` and `haproxy` in the path. Where there are none the tests say so and check nothing, unless
//! `STKTABLED_REQUIRE_VARNISHTEST` is set: then they fail.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vtc")
}

/// Where a program is, if it is in the path.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Returns two ports that nobody listens on, as far as one can know.
fn free_ports() -> [u16; 2] {
    let listeners = [0; 2].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

fn run(name: &str) {
    let (Some(varnishtest), Some(haproxy)) = (find("varnishtest"), find("haproxy")) else {
        let required = std::env::var_os("STKTABLED_REQUIRE_VARNISHTEST").is_some();
        assert!(!required, "varnishtest and haproxy are not both in the path");
        eprintln!("SKIPPED: varnishtest and haproxy are not both in the path; nothing was checked");
        return;
    };
    let [port, api] = free_ports();
    let mut command = Command::new(varnishtest);
    command.env("HAPROXY_PROGRAM", haproxy).stdin(Stdio::null());
    // It ends what it started, and whatever hangs for a minute.
    command.args(["-t", "60"]);
    for definition in [
        format!("port={port}"),
        format!("api={api}"),
        format!("ask={}", folder().join("ask.sh").display()),
        format!("stktabled={}", env!("CARGO_BIN_EXE_stktabled")),
    ] {
        command.arg("-D").arg(definition);
    }
    let output = command.arg(folder().join(name).with_extension("vtc")).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{name}.vtc: {}\n{printed}", output.status);
}

macro_rules! files {
    ($($name:ident),*) => {
        $(#[test] fn $name() { run(stringify!($name)); })*

        /// Every file of the folder has a test.
        #[test]
        fn no_file_is_forgotten() {
            let files = std::fs::read_dir(folder()).unwrap().map(|file| file.unwrap().path());
            let files = files.filter(|file| file.extension().is_some_and(|end| end == "vtc"));
            let found: BTreeSet<_> =
                files.map(|file| file.file_stem().unwrap().to_string_lossy().into_owned()).collect();
            let run: BTreeSet<_> = [$(stringify!($name)),*].map(str::to_owned).into();
            assert_eq!(found, run);
        }
    };
}

files!(both_ways, names, taught_anew, types);
