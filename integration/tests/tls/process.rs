//! Processes that a test starts, and that end with it.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A process that is killed when this is dropped.
pub(crate) struct Running {
    pub(crate) child: Child,
    socket: PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    pub(crate) fn start(mut command: Command, folder: &Path, name: &str) -> Self {
        let log = std::fs::File::create(folder.join(format!("{name}.log"))).unwrap();
        let output = log.try_clone().unwrap();
        let child = command.stdin(Stdio::null()).stdout(output).stderr(log).spawn().unwrap();
        Self { child, socket: folder.join(format!("{name}.sock")) }
    }

    pub(crate) fn ask(&self, command: &str) -> Option<String> {
        let mut stream = UnixStream::connect(&self.socket).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        stream.write_all(format!("{command}\n").as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }
}

#[expect(clippy::disallowed_methods, reason = "other processes cannot be waited for otherwise")]
pub(crate) fn until(what: &str, folder: &Path, mut is_true: impl FnMut() -> bool) {
    for _ in 0..600 {
        if is_true() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let log = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
    panic!("not in time: {what}\n{}\n{}", log("stock.log"), log("ours.log"));
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub(crate) fn is_missing() -> bool {
    let missing = Command::new("haproxy").arg("-v").stdout(Stdio::null()).status().is_err();
    if missing {
        assert!(
            std::env::var_os("STKTABLED_REQUIRE_HAPROXY").is_none(),
            "haproxy is not in the path"
        );
        eprintln!("SKIPPED: haproxy is not in the path; nothing was checked");
    }
    missing
}
