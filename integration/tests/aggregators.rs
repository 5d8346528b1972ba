//! Aggregators of aggregators, and two beside each other: nodes of ours over real sockets, made by their configuration.

#[path = "support/wait.rs"]
mod wait;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;
use wait::until;

use stktable::{DataType, Key, KeySpec};
use stktable_integration::aggregate::LEASE_KEY_LEN;
use stktable_integration::config::{self, Context};
use stktable_integration::runtime_api::{Api, Level};
use stktable_integration::{Clock, Node, SharedTable};

const STORE: &str = "type integer size 1k expire 5m store gpc0,http_req_cnt";
const LEASE: &str = "table lease type string len 64 size 100 expire 2s store gpt0,gpc0,gpc1";

/// Names and ports of processes that run in this one.
struct Lab {
    ports: BTreeMap<&'static str, u16>,
    clock: Clock,
}

impl Lab {
    fn new(names: &[&'static str]) -> Self {
        let listeners: Vec<_> =
            names.iter().map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        let ports = names.iter().copied().zip(listeners.iter().map(port)).collect();
        Self { ports, clock: Clock::start() }
    }

    fn peer(&self, name: &str, word: &str) -> String {
        format!(" peer {name} 127.0.0.1:{} {word}\n", self.ports[name])
    }

    async fn start(&self, name: &str, text: &str) -> Node {
        let config = config::parse(&[("lab", text.as_bytes())], &Context::EMPTY).unwrap();
        Node::start(&config, name, self.clock).await.unwrap()
    }

    /// A process as HAProxy is one: it counts, and learns what the aggregators tell.
    async fn source(&self, name: &str, aggregators: &[&str], tables: &[&str]) -> Node {
        let mut text = format!("peers lab\n{}", self.peer(name, ""));
        aggregators.iter().for_each(|aggregator| text += &self.peer(aggregator, ""));
        tables.iter().for_each(|table| text += &format!(" table {table} {STORE}\n"));
        text += &format!(" {LEASE}\n");
        self.start(name, &text).await
    }

    async fn aggregator(&self, name: &str, peers: &[(&str, &str)], lines: &str) -> Node {
        // Which peer we are is said by the file.
        self.start("elsewhere", &self.text_of(name, peers, lines)).await
    }

    fn text_of(&self, name: &str, peers: &[(&str, &str)], lines: &str) -> String {
        let mut text = format!("aggregations lab\n{}", self.peer(name, "local"));
        peers.iter().for_each(|(peer, word)| text += &self.peer(peer, word));
        text += lines;
        text
    }

    fn count(&self, node: &Node, key: u32, n: u64) {
        let now = self.clock.now();
        let entry = table(node, "st.local").get_or_create(&Key::from(key), now).unwrap();
        entry.add(DataType::Gpc0, 0, n, now);
        entry.touch(now);
    }

    fn reads(&self, node: &Node, name: &str, key: u32) -> Option<i64> {
        let now = self.clock.now();
        table(node, name).get(&Key::from(key), now)?.read(DataType::Gpc0, 0, now)
    }

    /// Whether a node may take the sums in this table for whole.
    fn is_whole(&self, node: &Node, name: &str) -> bool {
        let key = KeySpec::string(LEASE_KEY_LEN).unwrap().key(name.as_bytes()).unwrap();
        table(node, "lease").fetch(&key, DataType::Gpt0, 0, self.clock.now()) == Some(1)
    }
}

fn table<'n>(node: &'n Node, name: &str) -> &'n Arc<SharedTable> {
    node.table(&format!("lab/{name}")).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sites_make_a_region_which_is_whole_only_while_they_are() {
    let lab = Lab::new(&["a", "b", "c", "north", "south", "region"]);
    let tables = ["st.local", "st.site", "st.region"];
    let a = lab.source("a", &["north", "region"], &tables).await;
    let b = lab.source("b", &["north", "region"], &tables).await;
    let c = lab.source("c", &["south", "region"], &tables).await;
    let site = format!(
        " table st.local {STORE}\n from .local to .site\n source-timeout 2500ms\n publish-every 20ms\n"
    );
    let north = [("a", "down"), ("b", "down"), ("region", "up")];
    let north = lab.aggregator("north", &north, &site).await;
    let south = lab.aggregator("south", &[("c", "down"), ("region", "up")], &site).await;
    let region = [
        ("north", "down aggregator"),
        ("south", "down aggregator"),
        ("a", "up"),
        ("b", "up"),
        ("c", "up"),
    ];
    let lines = format!(" table st.site {STORE}\n from .site to .region\n publish-every 20ms\n");
    let region = lab.aggregator("region", &region, &lines).await;

    for (node, n) in [(&a, 1), (&b, 10), (&c, 100)] {
        lab.count(node, 7, n);
    }
    until("everybody reads the sum of the region", || {
        [&a, &b, &c].iter().all(|node| {
            lab.reads(node, "st.region", 7) == Some(111) && lab.is_whole(node, "st.region")
        })
    })
    .await;
    assert_eq!(lab.reads(&a, "st.site", 7), Some(11));
    assert_eq!(lab.reads(&c, "st.site", 7), Some(100));
    assert!(lab.is_whole(&c, "st.site"));

    // A source of one site is lost: the region is not whole, though both sites are connected; and before anything of it is
    // missing in a sum.
    b.stop().await;
    let mut seen_whole_and_less = false;
    until("the sum of the region lacks what the site lacks", || {
        let sum = lab.reads(&c, "st.region", 7);
        seen_whole_and_less |= lab.is_whole(&c, "st.region") && sum != Some(111);
        sum == Some(101)
    })
    .await;
    assert!(!seen_whole_and_less, "a part was shown as the whole");
    assert!(!lab.is_whole(&c, "st.region"));
    assert!(lab.is_whole(&c, "st.site"), "its own site lacks nothing");
    let status: Vec<_> = region.aggregates().collect();
    let of = |peer: &str| status[0].sources.iter().find(|source| source.peer == peer).unwrap();
    assert!(of("south").is_in() && of("north").up && !of("north").whole, "{:?}", status[0]);
    for node in [a, c, north, south, region] {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_beside_each_other_publish_each_its_own() {
    let lab = Lab::new(&["a", "b", "one", "two"]);
    let tables = ["st.local", "st.agg1", "st.agg2"];
    let a = lab.source("a", &["one", "two"], &tables).await;
    let b = lab.source("b", &["one", "two"], &tables).await;
    let lines =
        |to: &str| format!(" table st.local {STORE}\n from .local to {to}\n publish-every 20ms\n");
    let peers = [("a", ""), ("b", "")];
    let one = lab.aggregator("one", &peers, &lines(".agg1")).await;
    let two = lab.aggregator("two", &peers, &lines(".agg2")).await;
    lab.count(&a, 3, 5);
    lab.count(&b, 3, 6);
    let both = |name: &str| {
        [&a, &b].iter().all(|node| lab.reads(node, name, 3) == Some(11) && lab.is_whole(node, name))
    };
    until("both say the same", || both("st.agg1") && both("st.agg2")).await;
    // Nobody makes a sum untrue by hand.
    let api = Api::over(one.table_set(), lab.clock.now());
    for name in ["st.local", "st.local@a", "st.agg1", "lease"] {
        for command in ["set table lab/NAME key 3 data.gpc0 1", "clear table lab/NAME"] {
            let command = command.replace("NAME", name);
            let mut reply = api.execute(command.as_bytes(), Level::Admin, lab.clock.now());
            let mut said = Vec::new();
            while reply.next(lab.clock.now(), &mut said) {}
            let said = String::from_utf8(said).unwrap();
            assert!(said.starts_with("This table is made of what peers say"), "{command}: {said}");
        }
    }
    assert!(both("st.agg1"));
    one.stop().await;
    until("who relied on the first takes the second", || !lab.is_whole(&a, "st.agg1")).await;
    lab.count(&a, 3, 1);
    until("the second goes on", || {
        lab.reads(&b, "st.agg2", 3) == Some(12) && lab.is_whole(&b, "st.agg2")
    })
    .await;
    assert_eq!(lab.reads(&b, "st.agg1", 3), Some(11));
    for node in [a, b, two] {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_says_of_a_source_that_it_makes_sums_itself() {
    let lab = Lab::new(&["a", "site", "region"]);
    let tables = ["st.local", "st.site", "st.region"];
    let a = lab.source("a", &["site"], &tables).await;
    let lines = format!(" table st.local {STORE}\n from .local to .site\n publish-every 20ms\n");
    let site = lab.aggregator("site", &[("a", "down"), ("region", "up")], &lines).await;
    let lines = format!(" table st.site {STORE}\n from .site to .region\n publish-every 20ms\n");
    // What the site says of itself is not asked for, so what it tells is the whole even when a source of its is lost.
    let mut region = lab.aggregator("region", &[("site", "down")], &lines).await;
    lab.count(&a, 7, 5);
    let sums = |region: &Node| lab.reads(region, "st.region", 7) == Some(5);
    until("the region has the sum", || sums(&region)).await;
    a.stop().await;
    let lacks = |region: &Node| {
        let status: Vec<_> = region.aggregates().collect();
        let source = status[0].sources.iter().find(|source| source.peer == "site");
        source.is_some_and(|source| source.up && !source.whole)
    };
    assert!(!lacks(&region));

    let config = lab.text_of("region", &[("site", "down aggregator")], &lines);
    let config = config::parse(&[("lab", config.as_bytes())], &Context::EMPTY).unwrap();
    let setup = config.resolve("elsewhere").unwrap();
    let reloaded = region.reload(&setup).unwrap();
    assert_eq!(reloaded.changed, ["lab/site"]);
    assert!(reloaded.restart.is_empty(), "{:?}", reloaded.restart);
    until("the site is up, and says that it lacks one", || lacks(&region)).await;
    // What was known of it is told anew.
    until("the region has the sum again", || sums(&region)).await;
    assert!(region.reload(&setup).unwrap().changed.is_empty());
    for node in [site, region] {
        node.stop().await;
    }
}
