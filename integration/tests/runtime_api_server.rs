//! The socket of the runtime API, from a client's side.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use stktable::declare::{Declaration, Scope};
use stktable_integration::peers::trace::Trace;
use stktable_integration::runtime_api::Api;
use stktable_integration::runtime_api::server::{Endpoint, Options, Server, StartError};
use stktable_integration::{Clock, SharedTable};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

/// Beyond this something hangs.
const SOON: Duration = Duration::from_secs(20);

const HEADER: &str = "# table: t, type: integer, size:1048576, used:0\n\n";

fn api() -> (Arc<Api>, Arc<SharedTable>, Clock) {
    let line = "stick-table type integer size 1m expire 1h store gpc0";
    let declaration = Declaration::parse(line, Scope::Proxy("t")).into_result().unwrap();
    let clock = Clock::start();
    let table = SharedTable::new(declaration);
    (Arc::new(Api::new(vec![Arc::clone(&table)], clock.now())), table, clock)
}

async fn serve(options: Options) -> (Server, std::net::SocketAddr, Arc<SharedTable>) {
    let (api, table, clock) = api();
    let any = Endpoint::Tcp(([127, 0, 0, 1], 0).into());
    let server = Server::start(any, api, clock, options).await.unwrap();
    let Endpoint::Tcp(address) = *server.local() else { unreachable!("asked for TCP") };
    (server, address, table)
}

/// Sends these bytes, and returns what comes until the end.
async fn ask(address: std::net::SocketAddr, sent: &[u8]) -> String {
    let asked = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(sent).await.unwrap();
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).await.unwrap();
        String::from_utf8(reply).unwrap()
    };
    timeout(SOON, asked).await.expect("an answer")
}

async fn expect(stream: &mut TcpStream, expected: &str) {
    let mut read = vec![0; expected.len()];
    timeout(SOON, stream.read_exact(&mut read)).await.expect("an answer").unwrap();
    assert_eq!(String::from_utf8_lossy(&read), expected);
}

#[tokio::test]
async fn a_session_answers_what_came_together_and_ends() {
    let (server, address, table) = serve(Options::default()).await;
    assert_eq!(ask(address, b"show table t\n").await, HEADER);
    assert_eq!(ask(address, b"show table t\r\n").await, HEADER);
    assert_eq!(
        ask(address, b"show table nope; show table t\n").await,
        format!("No such table\n\n{HEADER}")
    );
    assert_eq!(ask(address, b"show table t\nshow table t\n").await, HEADER.repeat(2));
    assert_eq!(ask(address, b"quit; show table t\n").await, "");
    assert!(ask(address, b"\n").await.contains("show table"), "an empty line shows the commands");
    // A browser that was made to post: nothing after its first line is heeded.
    let posted = ask(address, b"POST / HTTP/1.1\r\n\r\nset table t key 1\r\n").await;
    assert!(posted.starts_with("Unknown command."), "{posted}");
    assert_eq!(table.used(), 0);
    server.stop().await;
    assert!(TcpStream::connect(address).await.is_err(), "closed");
}

#[tokio::test]
async fn what_waits_for_lines_ends_by_any_key_or_by_silence() {
    let (api, _, clock) = api();
    let trace = Arc::<Trace>::default();
    let api = Arc::new(Arc::into_inner(api).unwrap().trace(Arc::clone(&trace)));
    let any = || Endpoint::Tcp(([127, 0, 0, 1], 0).into());
    let server = Server::start(any(), Arc::clone(&api), clock, Options::default()).await.unwrap();
    let Endpoint::Tcp(address) = *server.local() else { unreachable!("asked for TCP") };
    trace.ring().push("one".to_owned());
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"prompt\n").await.unwrap();
    expect(&mut stream, "\n> ").await;
    stream.write_all(b"show events buf0 -w\n").await.unwrap();
    expect(&mut stream, "one\n").await;
    trace.ring().push("two".to_owned());
    expect(&mut stream, "two\n").await;
    stream.write_all(b"x").await.unwrap();
    expect(&mut stream, "> ").await;
    // A key that came with the command ends it too, after what is there.
    stream.write_all(b"show events buf0 -w\n\n").await.unwrap();
    expect(&mut stream, "one\ntwo\n> ").await;
    stream.write_all(b"show events buf0 -nw\n").await.unwrap();
    stream.write_all(b"\n").await.unwrap();
    expect(&mut stream, "> ").await;

    // Who sends no more still reads, as `socat` does; but not for ever when nothing comes.
    let mut options = Options::default();
    options.idle = Duration::from_millis(300);
    let short = Server::start(any(), api, clock, options).await.unwrap();
    let Endpoint::Tcp(address) = *short.local() else { unreachable!("asked for TCP") };
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"show events buf0 -w\n").await.unwrap();
    stream.shutdown().await.unwrap();
    expect(&mut stream, "one\ntwo\n").await;
    trace.ring().push("three".to_owned());
    expect(&mut stream, "three\n").await;
    let mut rest = Vec::new();
    timeout(SOON, stream.read_to_end(&mut rest)).await.expect("an end").unwrap();
    assert_eq!(rest, b"");
    server.stop().await;
    short.stop().await;
}

#[tokio::test]
async fn the_end_of_input_ends_a_line() {
    let (_server, address, _) = serve(Options::default()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"show table t").await.unwrap();
    stream.shutdown().await.unwrap();
    expect(&mut stream, HEADER).await;
}

#[tokio::test]
async fn prompt_keeps_a_session_open() {
    let (_server, address, _) = serve(Options::default()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    for (sent, reply) in [
        ("prompt\n", "\n> ".to_owned()),
        ("show table nope\n", "No such table\n\n> ".to_owned()),
        ("set table t key 1\n", "\n> ".to_owned()),
        ("clear table t; show table t\n", format!("\n> {HEADER}> ")),
    ] {
        stream.write_all(sent.as_bytes()).await.unwrap();
        expect(&mut stream, &reply).await;
    }
    stream.write_all(b"quit\n").await.unwrap();
    assert_eq!(timeout(SOON, stream.read(&mut [0; 8])).await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn clients_lines_and_waits_are_bounded() {
    let mut options = Options::default();
    options.idle = Duration::from_millis(200);
    options.clients_max = 2;
    let (_server, address, _) = serve(options).await;
    let long = vec![b'x'; 16 * 1024 + 1];
    assert_eq!(ask(address, &long).await, "Command too long: a line has at most 16384 bytes\n\n");
    assert!(ask(address, b"").await.is_empty(), "silent for too long");
    let mut options = Options::default();
    options.clients_max = 2;
    let (_server, address, _) = serve(options).await;
    let mut seated = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"prompt\n").await.unwrap();
        expect(&mut stream, "\n> ").await;
        seated.push(stream);
    }
    assert_eq!(ask(address, b"show table t\n").await, "Too many clients, try again later\n\n");
}

/// A client that reads nothing is disconnected, and holds up nobody meanwhile.
#[tokio::test]
async fn a_client_that_reads_nothing_holds_up_nobody() {
    let mut options = Options::default();
    options.idle = Duration::from_millis(300);
    let (_server, address, table) = serve(options).await;
    let now = Clock::start().now();
    let key = |number: u32| table.declaration().key.key(&number.to_be_bytes()).unwrap();
    for number in 0..100_000 {
        drop(table.get_or_create(&key(number), now).unwrap());
    }
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"show table t\n").await.unwrap();
    assert!(ask(address, b"show table t key 1\n").await.contains("key=1 use=0 "));
    assert!(ask(address, b"clear table t\n").await == "\n");
    assert_eq!(table.used(), 0, "nothing is held for who does not read");
}

#[tokio::test]
async fn a_large_table_is_dumped_whole() {
    let (_server, address, table) = serve(Options::default()).await;
    let now = Clock::start().now();
    for number in 0..30_000_u32 {
        let key = table.declaration().key.key(&number.to_be_bytes()).unwrap();
        drop(table.get_or_create(&key, now).unwrap());
    }
    let dump = ask(address, b"show table t\n").await;
    assert_eq!(dump.lines().filter(|line| line.starts_with("0x")).count(), 30_000);
    assert!(dump.ends_with("\n\n"));
}

#[tokio::test]
async fn only_loopback_is_served() {
    let (api, _, clock) = api();
    for open in ["0.0.0.0:0", "[::]:0", "192.0.2.1:1"] {
        let endpoint: Endpoint = open.parse().unwrap();
        let refused = Server::start(endpoint, Arc::clone(&api), clock, Options::default()).await;
        let error = refused.unwrap_err();
        assert!(matches!(error, StartError::NotLoopback(_)));
        assert!(error.to_string().contains("is not a loopback address"), "{error}");
    }
}

async fn unix(path: &Path) -> Result<Server, StartError> {
    let (api, _, clock) = api();
    Server::start(Endpoint::Unix(path.to_owned()), api, clock, Options::default()).await
}

#[tokio::test]
async fn a_unix_socket_is_ours_alone_and_goes_with_us() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.sock");
    let server = unix(&path).await.unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(b"show table t\n").await.unwrap();
    let mut reply = String::new();
    timeout(SOON, stream.read_to_string(&mut reply)).await.unwrap().unwrap();
    assert_eq!(reply, HEADER);

    let error = unix(&path).await.unwrap_err();
    assert!(matches!(error, StartError::InUse(_)), "{error}");
    server.stop().await;
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");

    // A socket that nobody listens on is replaced; any other file is not.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let server = unix(&path).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "mine").unwrap();
    server.stop().await;
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine", "not our file any more");
    let error = unix(&path).await.unwrap_err();
    assert!(matches!(error, StartError::NotASocket(_)), "{error}");
    assert!(unix(&folder.path().join("no/such/folder.sock")).await.is_err());
}
