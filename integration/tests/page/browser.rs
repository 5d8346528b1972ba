//! A headless Chromium, told what to do through its DevTools protocol.

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

/// Beyond this something hangs.
const SOON: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(50);
const LOOKS_MAX: u32 = 1_200;

/// Returns the program, if there is one.
fn program() -> Option<&'static str> {
    let found = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|name| {
        let ran = Command::new(name).arg("--version").output();
        ran.is_ok_and(|ran| ran.status.success())
    });
    let required = std::env::var_os("STKTABLED_REQUIRE_CHROMIUM").is_some();
    assert!(found.is_some() || !required, "chromium is not installed");
    found
}

/// One tab. The browser does not outlive it.
pub(crate) struct Browser {
    process: Child,
    #[expect(dead_code, reason = "for its end")]
    folder: tempfile::TempDir,
    socket: WebSocket<TcpStream>,
    last: u64,
}

impl Browser {
    /// Opens a page; or says that there is no browser here.
    pub(crate) fn open(url: &str) -> Option<Self> {
        let Some(program) = program() else {
            eprintln!("SKIPPED: no chromium");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let mut process = Command::new(program)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
            ])
            .args([
                "--disable-extensions",
                "--disable-background-networking",
                "--remote-debugging-port=0",
            ])
            .args(["--window-size=1280,800", "--hide-scrollbars"])
            .arg(format!("--user-data-dir={}", folder.path().display()))
            .arg("about:blank")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let browser = lines.find_map(|line| {
            let line = line.ok()?;
            Some(line.strip_prefix("DevTools listening on ws://")?.split('/').next()?.to_owned())
        });
        let browser = browser.expect("where chromium listens");
        // Read to the end, so that it never waits for us.
        thread::spawn(move || lines.for_each(drop));
        let tab = ureq::put(format!("http://{browser}/json/new?about:blank")).send_empty().unwrap();
        let tab: Value = serde_json::from_str(&tab.into_body().read_to_string().unwrap()).unwrap();
        let address = tab["webSocketDebuggerUrl"].as_str().unwrap();
        let stream = TcpStream::connect(&browser).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let (socket, _) = tungstenite::client(address, stream).unwrap();
        let mut opened = Self { process, folder, socket, last: 0 };
        opened.go(url);
        Some(opened)
    }

    pub(crate) fn go(&mut self, url: &str) {
        self.tell("Page.navigate", &json!({ "url": url }));
    }

    /// Sends a command, and returns what is answered.
    pub(crate) fn tell(&mut self, method: &str, parameters: &Value) -> Value {
        self.last += 1;
        let id = self.last;
        let command = json!({ "id": id, "method": method, "params": parameters });
        self.socket.send(Message::text(command.to_string())).unwrap();
        loop {
            let Message::Text(said) = self.socket.read().unwrap() else { continue };
            let said: Value = serde_json::from_str(&said).unwrap();
            if said["id"] == id {
                assert!(said["error"].is_null(), "{method}: {said}");
                return said["result"].clone();
            }
        }
    }

    /// Returns what an expression of the page is.
    pub(crate) fn read(&mut self, expression: &str) -> Value {
        let asked =
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let said = self.tell("Runtime.evaluate", &asked);
        assert!(said["exceptionDetails"].is_null(), "{expression}: {said}");
        said["result"]["value"].clone()
    }

    /// Waits until an expression of the page is this.
    pub(crate) fn until(&mut self, expression: &str, is: impl Into<Value>) {
        let (is, mut left) = (is.into(), LOOKS_MAX);
        loop {
            let found = self.read(&format!(
                "(() => {{ try {{ return {expression} }} catch (e) {{ return String(e) }} }})()"
            ));
            if found == is {
                return;
            }
            left -= 1;
            if left == 0 {
                let text = self.read("document.body.innerText");
                panic!("{expression} is {found}, not {is}: {text}");
            }
            thread::park_timeout(STEP);
        }
    }

    /// Presses a key: one that is named, or a character.
    pub(crate) fn press(&mut self, key: &str) {
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            _ => 0,
        };
        let text = if key == "Enter" {
            "\r"
        } else if code == 0 {
            key
        } else {
            ""
        };
        let down =
            json!({ "type": "keyDown", "key": key, "windowsVirtualKeyCode": code, "text": text });
        self.tell("Input.dispatchKeyEvent", &down);
        let up = json!({ "type": "keyUp", "key": key, "windowsVirtualKeyCode": code });
        self.tell("Input.dispatchKeyEvent", &up);
    }

    pub(crate) fn write(&mut self, text: &str) {
        self.tell("Input.insertText", &json!({ "text": text }));
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Over already, or to be ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
