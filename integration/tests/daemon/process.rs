//! A process of the binary, and how to talk to it.
#![allow(dead_code, reason = "each test file uses a part")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// Beyond this something hangs.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// A child that does not outlive the test.
pub(crate) struct Daemon(pub(crate) Child);

impl Daemon {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, &[])
    }

    /// With these in its environment.
    pub(crate) fn start_with(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_stktabled"))
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self(child)
    }

    /// Returns the first line of its output that has this in it, and all those before.
    pub(crate) fn until(&mut self, mark: &str) -> Vec<String> {
        let output = BufReader::new(self.0.stdout.take().unwrap());
        let (send, receive) = mpsc::channel();
        std::thread::spawn(move || {
            // Reads to the end, so that the child never waits for us.
            for line in output.lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        let mut lines = Vec::new();
        loop {
            let line = receive.recv_timeout(SOON).expect("a line");
            let found = line.contains(mark);
            lines.push(line);
            if found {
                return lines;
            }
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Waits for the end, but not for ever.
    pub(crate) fn end(mut self) -> Output {
        let (mut out, mut err) = (self.0.stdout.take(), self.0.stderr.take());
        let (send, receive) = mpsc::channel();
        std::thread::spawn(move || {
            let mut texts = [Vec::new(), Vec::new()];
            // What cannot be read is missing, and the assertions see that.
            let _ = out.as_mut().map(|out| out.read_to_end(&mut texts[0]));
            let _ = err.as_mut().map(|err| err.read_to_end(&mut texts[1]));
            let _ = send.send(texts);
        });
        let [stdout, stderr] = receive.recv_timeout(SOON).expect("the end of its output");
        let status: ExitStatus = self.0.wait().unwrap();
        Output { status, stdout, stderr }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Over already, or to be ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The body of what is answered, and its status line.
pub(crate) fn http_get(address: &str, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}
