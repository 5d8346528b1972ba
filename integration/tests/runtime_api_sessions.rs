//! Who may do what in the runtime API, entries by their number, and clients that misbehave.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use stktable::declare::{Declaration, Scope};
use stktable::{DataType, Key, Tick};
use stktable_integration::runtime_api::server::{Endpoint, Options, Server, Socket};
use stktable_integration::runtime_api::{Api, Level, Then};
use stktable_integration::{Clock, SharedTable};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(20);
const NOW: Tick = Tick(1_000);

fn table() -> Arc<SharedTable> {
    let line = "stick-table type integer size 1k expire 1h store gpc0";
    SharedTable::new(Declaration::parse(line, Scope::Proxy("t")).into_result().unwrap())
}

fn ask(api: &Api, command: &str, level: Level) -> String {
    String::from_utf8(api.execute(command.as_bytes(), level, NOW).read(NOW)).unwrap()
}

/// The number at the beginning of the line of a key.
fn ptr_of(api: &Api, key: u32) -> String {
    let shown = ask(api, &format!("show table t key {key}"), Level::Admin);
    let line = shown.lines().find(|line| line.starts_with("0x")).unwrap();
    line.split(':').next().unwrap().to_owned()
}

#[test]
fn an_entry_is_found_by_the_number_of_its_line() {
    let table = table();
    let api = Api::new(vec![Arc::clone(&table)], NOW);
    for key in 0..500_u32 {
        let entry = table.get_or_create(&Key::from(key), NOW).unwrap();
        entry.set(DataType::Gpc0, 0, key.into(), NOW).unwrap();
        entry.touch(NOW);
    }
    for key in [0, 7, 499] {
        let ptr = ptr_of(&api, key);
        let by_ptr = ask(&api, &format!("show table t ptr {ptr}"), Level::Operator);
        assert_eq!(by_ptr, ask(&api, &format!("show table t key {key}"), Level::Operator));
        assert_eq!(ask(&api, &format!("set table t ptr {ptr} data.gpc0 9"), Level::Operator), "\n");
        assert_eq!(table.fetch(&Key::from(key), DataType::Gpc0, 0, NOW), Some(9));
    }
    let ptr = ptr_of(&api, 7);
    let held = table.track(&Key::from(7), NOW).unwrap();
    let clear = format!("clear table t ptr {ptr}");
    assert_eq!(ask(&api, &clear, Level::Operator), "Entry currently in use, cannot remove\n\n");
    drop(held);
    assert_eq!(ask(&api, &clear, Level::Operator), "\n");
    assert_eq!(table.used(), 499);
    let gone = "No entry can be found matching ptr.\n\n";
    for command in [&clear, &format!("show table t ptr {ptr}"), &format!("set table t ptr {ptr}")] {
        assert_eq!(ask(&api, command, Level::Operator), gone, "{command}");
    }
}

#[test]
fn numbers_that_are_none_are_refused() {
    let api = Api::new(vec![table()], NOW);
    for verb in ["show", "set", "clear"] {
        for (text, said) in [
            ("", "Pointer expected (0xffff notation)"),
            ("12", "Pointer expected (0xffff notation)"),
            ("zz", "Pointer expected (0xffff notation)"),
            ("0x", "Malformed ptr"),
            ("0xxyz", "Malformed ptr"),
            ("0x-1", "Malformed ptr"),
            ("0x12", "No entry can be found matching ptr."),
            ("0xffffffffffffffff", "No entry can be found matching ptr."),
            ("0x10000000000000000", "No entry can be found matching ptr."),
        ] {
            let reply = ask(&api, &format!("{verb} table t ptr {text}"), Level::Operator);
            assert_eq!(reply, format!("{said}\n\n"), "{verb} {text}");
        }
        let reply = ask(&api, &format!("{verb} table t ptr 0x12"), Level::User);
        assert_eq!(reply, "Permission denied\n\n", "{verb}");
    }
}

#[test]
fn a_level_is_lowered_and_never_raised() {
    let api = Api::new(Vec::new(), NOW);
    let then = |command: &str, level| api.execute(command.as_bytes(), level, NOW).then();
    assert_eq!(ask(&api, "show cli level", Level::Admin), "admin\n\n");
    assert_eq!(then("operator", Level::Admin), Then::Level(Level::Operator));
    assert_eq!(then("user", Level::Operator), Then::Level(Level::User));
    assert_eq!(ask(&api, "operator", Level::User), "Permission denied\n\n");
    assert_eq!(then("operator", Level::User), Then::Next);
}

#[test]
fn the_state_is_saved_for_an_admin_where_there_is_a_file() {
    let api = Api::new(Vec::new(), NOW);
    assert_eq!(ask(&api, "save state", Level::Operator), "Permission denied\n\n");
    assert!(ask(&api, "save state", Level::Admin).starts_with("There is no state file; expected"));
}

async fn serve(socket: impl Into<Socket>, options: Options) -> Server {
    let clock = Clock::start();
    let api = Arc::new(Api::new(vec![table()], clock.now()));
    Server::start(socket, api, clock, options).await.unwrap()
}

async fn say(path: &Path, sent: &str) -> String {
    let asked = async {
        let mut stream = UnixStream::connect(path).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        reply
    };
    timeout(SOON, asked).await.expect("an answer")
}

#[tokio::test]
async fn a_socket_is_as_its_words_say() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.sock");
    let words = format!("{} mode 640 level user", path.display());
    let server = serve(words.parse::<Socket>().unwrap(), Options::default()).await;
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    assert_eq!(say(&path, "set table t key 1\n").await, "Permission denied\n\n");
    assert_eq!(say(&path, "show cli level\n").await, "user\n\n");
    server.stop().await;
    let words = format!("{} level admin", path.display());
    let _server = serve(words.parse::<Socket>().unwrap(), Options::default()).await;
    let lowered = say(&path, "show cli level;user;show cli level;set table t key 1\n").await;
    assert_eq!(lowered, "admin\n\n\nuser\n\nPermission denied\n\n");
}

/// Each costs a descriptor and little else, those beyond the limit are told so, and whoever has a seat is served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_idle_clients_hold_up_nobody() {
    let any = Endpoint::Tcp(([127, 0, 0, 1], 0).into());
    let server = serve(any, Options::default()).await;
    let Endpoint::Tcp(address) = *server.local() else { unreachable!("asked for TCP") };
    let mut seated = TcpStream::connect(address).await.unwrap();
    seated.write_all(b"prompt\n").await.unwrap();
    seated.read_exact(&mut [0; 3]).await.unwrap();
    let mut idle = Vec::new();
    for _ in 0..1_000 {
        let mut stream = timeout(SOON, TcpStream::connect(address)).await.unwrap().unwrap();
        if idle.len() % 3 == 0 {
            // Some begin a command and never end it, some say what is none.
            stream.write_all(b"show table t").await.unwrap();
        } else if idle.len() % 3 == 1 {
            stream.write_all(&[0xff, 0, 0x80, b';', 7]).await.unwrap();
        }
        idle.push(stream);
    }
    let mut told = 0;
    for stream in &mut idle {
        let mut reply = Vec::new();
        // Those with a seat say nothing.
        let read = timeout(Duration::from_millis(1), stream.read_buf(&mut reply)).await;
        told += usize::from(read.is_ok() && reply.starts_with(b"Too many clients"));
    }
    assert!(told > 900, "{told}");
    for _ in 0..100 {
        seated.write_all(b"show table\n").await.unwrap();
        let mut reply = Vec::new();
        while !reply.ends_with(b"> ") {
            timeout(SOON, seated.read_buf(&mut reply)).await.unwrap().unwrap();
        }
        assert!(reply.starts_with(b"# table: t"), "whoever has a seat is served");
    }
}
