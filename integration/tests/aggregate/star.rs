//! An aggregator and its sources in one thread: simulated time, and byte pipes that deliver as much as they are told to.

use std::collections::VecDeque;
use std::sync::Arc;

use stktable::declare::{Declaration, Scope};
use stktable::{DataType, Key, Tick};
use stktable_integration::SharedTable;
use stktable_integration::aggregate::{
    self, Aggregate, Combine, LEASE_KEY_LEN, Rule, Settings, Sources,
};
use stktable_integration::peers::session::{Event, PeerMemory, Roster, Session};
use stktable_integration::shared::Part;

/// 30 s before the low 32 bits of the time wrap.
const START: Tick = Tick((1 << 32) - 30_000);
/// A sender is held up when this much of what it sent is on its way.
const WINDOW: usize = 2048;

pub(crate) const LOCAL: &str = "table st.local type integer size 16k expire 10s \
     store gpt0,server_key,gpc0,conn_cur,http_req_rate(4s),bytes_in_cnt";

/// A process that shares three tables with the aggregator, as a HAProxy does.
pub(crate) struct Node {
    pub(crate) local: Arc<SharedTable>,
    pub(crate) agg: Arc<SharedTable>,
    pub(crate) lease: Arc<SharedTable>,
    roster: Arc<Roster>,
    memory: Arc<PeerMemory>,
}

/// A connection between the aggregator (end 0) and a source (end 1).
pub(crate) struct Link {
    ends: [Session; 2],
    to: [VecDeque<u8>; 2],
    input: [Vec<u8>; 2],
}

/// What passes between the aggregator and a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Path {
    #[default]
    Open,
    /// Nothing: what is sent waits, and who listens hears nothing.
    Closed,
    /// Only what goes to this end.
    OneWay(usize),
}

pub(crate) struct Star {
    pub(crate) now: Tick,
    pub(crate) names: Vec<String>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) links: Vec<Option<Link>>,
    pub(crate) paths: Vec<Path>,
    pub(crate) sources: Arc<Sources>,
    pub(crate) aggregate: Aggregate,
    pub(crate) into: Arc<SharedTable>,
    roster: Arc<Roster>,
    memories: Vec<Arc<PeerMemory>>,
}

fn table(line: &str) -> Declaration {
    Declaration::parse(line, Scope::Peers("lab")).into_result().unwrap()
}

/// What the sources count in, with entries that live for so long.
fn local(expire_ms: u32) -> Declaration {
    let mut declaration = table(LOCAL);
    declaration.expire_ms = expire_ms;
    declaration
}

pub(crate) fn settings() -> Settings {
    Settings {
        combine: vec![Combine {
            from: DataType::ConnCur,
            rule: Rule::Sum,
            into: Some(DataType::Gpc1),
        }],
        source_timeout_ms: 5_000,
        ..Settings::default()
    }
}

pub(crate) fn lease_key() -> Key {
    stktable::KeySpec::string(LEASE_KEY_LEN).unwrap().key(b"st.agg").unwrap()
}

impl Node {
    fn new(name: &str, expire_ms: u32) -> Self {
        let local = local(expire_ms);
        let agg = aggregate::declaration(&local, "st.agg", &settings()).unwrap();
        let [local, agg] = [local, agg].map(SharedTable::new);
        let lease = SharedTable::new(aggregate::lease_declaration("lab", "lease"));
        let tables = [&local, &agg, &lease].map(Arc::clone).to_vec();
        let roster = Roster::new("lab", name, &["aggregator"], tables).unwrap();
        roster.set_up_to_date();
        let memory = PeerMemory::new(&roster, b"aggregator");
        Self { local, agg, lease, roster, memory }
    }

    /// What the node knows of the sums of a key: a type's reading.
    pub(crate) fn reads(&self, key: u32, data_type: DataType, now: Tick) -> Option<i64> {
        self.agg.get(&Key::from(key), now)?.read(data_type, 0, now)
    }

    /// Whether it may take the sums for whole.
    pub(crate) fn is_complete(&self, now: Tick) -> bool {
        self.lease.fetch(&lease_key(), DataType::Gpt0, 0, now) == Some(1)
    }
}

impl Star {
    pub(crate) fn new(count: usize) -> Self {
        Self::living(count, 10_000)
    }

    /// With entries that live for so long.
    pub(crate) fn living(count: usize, expire_ms: u32) -> Self {
        let names: Vec<_> = (0..count).map(|at| format!("s{at}")).collect();
        let texts: Vec<_> = names.iter().map(String::as_str).collect();
        let local = SharedTable::new(local(expire_ms));
        let sources = Sources::new(local.declaration(), texts.iter().copied());
        local.set_part(Part::Apart(Arc::clone(&sources)));
        let into = aggregate::declaration(local.declaration(), "st.agg", &settings()).unwrap();
        let into = SharedTable::new(into);
        into.set_part(Part::Told);
        let lease = SharedTable::new(aggregate::lease_declaration("lab", "lease"));
        lease.set_part(Part::ToldLast);
        let tables = [&local, &into, &lease].map(Arc::clone).to_vec();
        let roster = Roster::new("lab", "aggregator", &texts, tables).unwrap();
        roster.set_up_to_date();
        let aggregate = Aggregate::new(
            "lab",
            &local,
            Arc::clone(&sources),
            Arc::clone(&into),
            Some(lease),
            settings(),
        );
        let memory = |name: &String| PeerMemory::new(&roster, name.as_bytes());
        Self {
            now: START,
            nodes: names.iter().map(|name| Node::new(name, expire_ms)).collect(),
            links: names.iter().map(|_| None).collect(),
            paths: vec![Path::default(); count],
            memories: names.iter().map(memory).collect(),
            names,
            sources,
            aggregate,
            into,
            roster,
        }
    }

    /// The aggregator calls a source, unless there is a connection.
    pub(crate) fn connect(&mut self, at: usize) {
        if self.links[at].is_some() {
            return;
        }
        let memory = Arc::clone(&self.memories[at]);
        let ours = Session::caller(self.now, Arc::clone(&self.roster), memory, 1);
        let theirs = Session::called(self.now, Arc::clone(&self.nodes[at].roster));
        self.links[at] =
            Some(Link { ends: [ours, theirs], to: Default::default(), input: Default::default() });
    }

    /// A source asks the aggregator for everything.
    pub(crate) fn ask(&mut self, at: usize) {
        self.ask_again(at, 1);
    }

    /// One end asks the other for everything, be it that it did so before.
    pub(crate) fn ask_again(&mut self, at: usize, end: usize) {
        if let Some(link) = &mut self.links[at] {
            link.ends[end].request_resync();
        }
    }

    /// What is on its way is lost.
    pub(crate) fn cut(&mut self, at: usize) {
        self.links[at] = None;
    }

    /// A source dies and starts anew, knowing nothing.
    pub(crate) fn restart(&mut self, at: usize) {
        self.cut(at);
        let expire_ms = self.into.declaration().expire_ms;
        self.nodes[at] = Node::new(&self.names[at], expire_ms);
    }

    /// Lets one end do what it can without more input, and delivers some of what it wrote to the other.
    pub(crate) fn deliver(&mut self, at: usize, end: usize, most: usize) -> bool {
        let now = self.now;
        let Some(link) = &mut self.links[at] else { return false };
        let Link { ends, to, input } = link;
        let mut busy = false;
        for side in [end, 1 - end] {
            let session = &mut ends[side];
            if session.poll_timeout().is_some_and(|due| due <= now) {
                session.handle_timeout(now);
            }
            while let Some(event) = session.poll_event() {
                busy = true;
                match event {
                    Event::Hello { .. } => {
                        session.accept(now, Arc::clone(&self.nodes[at].memory), false);
                    }
                    Event::Closed(_) => {
                        self.links[at] = None;
                        return true;
                    }
                    _ => {}
                }
            }
            let mut out = Vec::new();
            while to[1 - side].len() < WINDOW && session.poll_transmit(now, &mut out) {
                to[1 - side].extend(out.drain(..));
                busy = true;
            }
        }
        let passes = match self.paths[at] {
            Path::Open => true,
            Path::Closed => false,
            Path::OneWay(to) => to == end,
        };
        let most = if passes { most.min(to[end].len()) } else { 0 };
        busy |= most > 0;
        input[end].extend(to[end].drain(..most));
        let used = ends[end].handle_input(now, &input[end]).unwrap();
        input[end].drain(..used);
        busy | (used > 0)
    }

    /// Lets the aggregator finish a pass.
    pub(crate) fn pass(&mut self) {
        while self.aggregate.step(self.now) {}
    }

    /// Lets everything happen that needs no time.
    pub(crate) fn settle(&mut self) {
        for step in 0.. {
            let mut busy = false;
            for at in 0..self.links.len() {
                busy |= self.deliver(at, 0, usize::MAX) | self.deliver(at, 1, usize::MAX);
            }
            let before = self.into.last_update();
            self.pass();
            if !busy && self.into.last_update() == before {
                return;
            }
            assert!(step < 10_000, "it never comes to rest");
        }
    }

    /// Lets time go by, and everything that happens meanwhile.
    pub(crate) fn wait(&mut self, ms: u64) {
        for _ in 0..ms / 100 {
            self.now = Tick(self.now.0 + 100);
            self.settle();
            for node in &self.nodes {
                for table in [&node.local, &node.agg, &node.lease] {
                    table.expire(self.now, u32::MAX);
                }
            }
            self.into.expire(self.now, u32::MAX);
            for source in self.sources.all().iter() {
                source.table().expire(self.now, u32::MAX);
            }
        }
    }

    pub(crate) fn connect_all(&mut self) {
        (0..self.links.len()).for_each(|at| self.connect(at));
        self.settle();
    }

    /// Events at a source.
    pub(crate) fn count(&mut self, at: usize, key: u32, n: u64) {
        let now = self.now;
        let entry = self.nodes[at].local.get_or_create(&Key::from(key), now).unwrap();
        for data_type in
            [DataType::Gpc0, DataType::ConnCur, DataType::HttpReqRate, DataType::BytesInCnt]
        {
            entry.add(data_type, 0, n, now);
        }
        entry.touch(now);
    }

    /// What the aggregator was last told by a source of a key.
    pub(crate) fn told(&self, at: usize, key: u32) -> i64 {
        let all = self.sources.all();
        let source = all.iter().find(|source| source.peer() == self.names[at]).unwrap();
        source.table().fetch(&Key::from(key), DataType::BytesInCnt, 0, self.now).unwrap_or(0)
    }
}
