//! A process of an example, and how to ask it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Beyond this something hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(20);

/// A process that is killed when this is dropped.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(
            command
                .stdin(Stdio::null())
                .spawn()
                .unwrap_or_else(|error| panic!("{command:?}: {error}")),
        )
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An example that listens.
pub(crate) struct Example {
    #[expect(dead_code, reason = "for its end")]
    process: Running,
    pub(crate) address: SocketAddr,
}

/// Returns the program of an example, which cargo builds beside this one.
fn program(name: &str) -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let folder = this.parent().and_then(|deps| deps.parent()).unwrap().join("examples");
    let program = folder.join(name).with_extension(std::env::consts::EXE_EXTENSION);
    assert!(program.exists(), "{} is not built: cargo build --examples", program.display());
    program
}

impl Example {
    /// Starts an example, and waits until it says where it listens.
    pub(crate) fn start(name: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program(name));
        command.args(arguments).stdout(Stdio::piped());
        let mut process = Running::start(&mut command);
        let lines = BufReader::new(process.0.stdout.take().unwrap()).lines();
        let (send, receive) = mpsc::channel();
        std::thread::spawn(move || {
            // Reads to the end, so that the process never waits for us.
            for line in lines.map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        let line = receive.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{name} says nothing"));
        let address =
            line.strip_prefix("listening on ").unwrap_or_else(|| panic!("{name}: {line}"));
        Self { process, address: address.parse().unwrap() }
    }

    /// Asks for a path in a connection of its own, with more header fields.
    pub(crate) fn get(&self, path: &str, fields: &[&str]) -> Reply {
        get(self.address, path, fields)
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    /// The value of a header field.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

pub(crate) fn get(address: SocketAddr, path: &str, fields: &[&str]) -> Reply {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{fields}\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Reply { status: status.unwrap(), head: head.to_owned(), body: body.to_owned() }
}

/// Returns ports that nobody listens on, as far as one can know.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    let listeners: Vec<_> = (0..N).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    std::array::from_fn(|at| listeners[at].local_addr().unwrap().port())
}

/// Looks until there is no complaint, and fails with the last one.
#[expect(clippy::disallowed_methods, reason = "other processes cannot be waited for otherwise")]
pub(crate) fn until(what: &str, mut look: impl FnMut() -> Result<(), String>) {
    let began = Instant::now();
    loop {
        let Err(complaint) = look() else { return };
        assert!(began.elapsed() < PATIENCE, "not in {PATIENCE:?}: {what}: {complaint}");
        std::thread::sleep(STEP);
    }
}
