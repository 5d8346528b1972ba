//! `trace peers` and `show events`, on nodes of ours over real sockets.

#[path = "support/wait.rs"]
mod wait;

use std::net::TcpListener;
use std::sync::Arc;

use stktable::{DataType, Key};
use stktable_integration::config::{self, Context};
use stktable_integration::peers::trace::Event;
use stktable_integration::runtime_api::{Api, Level};
use stktable_integration::{Clock, Node, SharedTable};
use wait::until;

async fn pair() -> (Node, Node, Clock) {
    let ports = [0; 2].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    let [a, b] = ports.map(|listener| listener.local_addr().unwrap().port());
    let text = format!(
        "peers p\n peer a 127.0.0.1:{a}\n peer b 127.0.0.1:{b}\n \
         table t type integer size 100k expire 5m store gpc0,http_req_rate(10s)\n"
    );
    let clock = Clock::start();
    let config = config::parse(&[("x.cfg", text.as_bytes())], &Context::EMPTY).unwrap();
    let a = Node::start(&config, "a", clock).await.unwrap();
    let b = Node::start(&config, "b", clock).await.unwrap();
    (a, b, clock)
}

fn table(node: &Node) -> &Arc<SharedTable> {
    node.table("p/t").unwrap()
}

fn count(node: &Node, key: u32, clock: Clock) {
    let now = clock.now();
    let entry = table(node).get_or_create(&Key::from(key), now).unwrap();
    entry.add(DataType::Gpc0, 0, 1, now);
    entry.touch(now);
}

fn api(node: &Node, clock: Clock) -> Api {
    Api::over(node.table_set(), clock.now()).peers(node.peers()).trace(Arc::clone(node.trace()))
}

fn ask(api: &Api, clock: Clock, line: &str) -> String {
    let mut reply = api.execute(line.as_bytes(), Level::Operator, clock.now());
    let mut out = Vec::new();
    while reply.next(clock.now(), &mut out) {}
    String::from_utf8(out).unwrap()
}

fn has(node: &Node, key: u32, clock: Clock) -> bool {
    table(node).get(&Key::from(key), clock.now()).is_some()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_passes_is_shown_as_much_as_is_wanted() {
    let (a, b, clock) = pair().await;
    count(&a, 1, clock);
    until("they are connected", || has(&b, 1, clock)).await;
    let api = api(&b, clock);
    let ask = |line: &str| ask(&api, clock, line);
    // In the midst of a session of which nothing was shown before.
    assert_eq!(ask("trace peers sink buf0 level proto verbosity complete start now"), "\n");
    assert!(ask("show trace").contains("[R] peers      -> buf0"));
    count(&a, 77, clock);
    until("the update is shown", || ask("show events buf0").contains(" of /t key=77 ")).await;
    let shown = ask("show events buf0");
    let update = shown.lines().find(|line| line.contains("key=77")).unwrap();
    assert!(update.starts_with("<0>20"), "{update}");
    assert!(update.contains("[00|peers|2|proto_update] p/a rx update "), "{update}");
    assert!(update.contains(" gpc0=1 http_req_rate=0+0@"), "{update}");
    until("and its ack", || ask("show events buf0").contains("p/a tx ack 1 update ")).await;

    // Keys are not shown below that.
    ask("trace peers verbosity simple event none +updtmsg");
    count(&a, 78, clock);
    until("it has come", || has(&b, 78, clock)).await;
    count(&b, 79, clock);
    until("ours is shown", || ask("show events buf0").contains("p/a tx update ")).await;
    let shown = ask("show events buf0");
    assert!(!shown.contains("key=78") && !shown.contains("key=79"), "{shown}");
    assert_eq!(ask("trace 0"), "All traces now stopped\n\n");
    let before = ask("show events buf0");
    count(&a, 80, clock);
    until("it has come", || has(&b, 80, clock)).await;
    assert_eq!(ask("show events buf0"), before);
    assert_eq!(ask("show events buf0 -n"), "\n");
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_word_is_said() {
    let (a, b, clock) = pair().await;
    let api = api(&a, clock);
    for (line, expected) in [
        ("trace foo", "No such trace source\n\n"),
        ("trace peers bogus", "Unknown trace keyword\n\n"),
        ("trace peers event bogus", "No such trace event\n\n"),
        ("trace peers level bogus", "No such trace level\n\n"),
        ("trace peers sink bogus", "No such sink\n\n"),
        ("trace peers lock bogus", "Unsupported lock-on criterion\n\n"),
        ("trace peers verbosity bogus", "No such verbosity level\n\n"),
        ("show trace foo", "No such trace source\n\n"),
        ("show events bogus", "No such event sink\n\n"),
        ("show events buf0 -x", "Unknown option; expected -w or -n\n\n"),
    ] {
        assert_eq!(ask(&api, clock, line), expected, "{line}");
    }
    for (line, expected) in [
        ("trace", " [.] peers      : Peers protocol\n"),
        ("trace peers", "  verbosity : list/set trace output verbosity\n"),
        ("trace peers event", "  + proto_update : update message\n"),
        ("trace peers start", "  - now          : don't wait"),
        ("trace peers level", "  * user       : also"),
        ("trace peers verbosity", "  * simple     : also"),
        ("trace peers lock", "  * nothing    : do not"),
        ("trace peers sink", "  * none       : no sink"),
        ("show trace peers", "    proto_update :        +        -        -       -\n"),
        ("show events", "    buf0       : type=buffer, 0 dropped"),
    ] {
        let said = ask(&api, clock, line);
        assert!(said.contains(expected), "{line}: {said}");
    }
    let mut refused = api.execute(b"trace peers start now", Level::User, clock.now());
    let mut out = Vec::new();
    while refused.next(clock.now(), &mut out) {}
    assert_eq!(out, b"Permission denied\n\n");
    assert!(!a.trace().is_on());
    a.stop().await;
    b.stop().await;
}

/// In 3.0-dev7 that took sessions down.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn switching_every_event_under_load_disturbs_no_session() {
    let (a, b, clock) = pair().await;
    count(&a, 0, clock);
    until("they are connected", || has(&b, 0, clock)).await;
    let sessions = |node: &Node| node.peers().status()[0].peers[0].sessions;
    // Both may have called, and it takes a moment until one of the two sessions is over.
    let (mut before, mut same) = ((0, 0), 0);
    until("they have settled on a session", || {
        let now = (sessions(&a), sessions(&b));
        same = if now == before { same + 1 } else { 0 };
        before = now;
        same == 100
    })
    .await;
    let apis = [api(&a, clock), api(&b, clock)];
    let words = ["clean", "simple", "advanced", "complete"];
    let levels = ["error", "user", "proto", "state", "data", "developer"];
    for key in 1..4_000 {
        count(&a, key, clock);
        count(&b, 10_000 + key, clock);
        let event = Event::ALL[key as usize % 16].words().0;
        let line = match key % 8 {
            0 => "trace peers sink buf0 start now".to_owned(),
            1 => format!("trace peers event -{event}"),
            2 => format!("trace peers event +{event} level {}", levels[key as usize / 8 % 6]),
            3 => format!("trace peers verbosity {} lock peers", words[key as usize / 8 % 4]),
            4 => format!("trace peers pause {event} start any"),
            5 => "trace peers lock nothing start now pause none".to_owned(),
            6 if key % 16 == 6 => format!("trace peers stop {event}"),
            6 => "trace peers stop none event any".to_owned(),
            _ => "trace peers stop now".to_owned(),
        };
        for api in &apis {
            assert_eq!(ask(api, clock, &line), "\n", "{line}");
        }
        if key % 64 == 0 {
            tokio::task::yield_now().await;
            assert!(ask(&apis[0], clock, "show events buf0").ends_with('\n'));
        }
    }
    let all =
        |node: &Node| (1..4_000).all(|key| has(node, key, clock) && has(node, 10_000 + key, clock));
    until("both have everything", || all(&a) && all(&b)).await;
    assert_eq!((sessions(&a), sessions(&b)), before);
    assert!(a.trace().ring().next() > 0 && b.trace().ring().next() > 0);
    a.stop().await;
    b.stop().await;
}
