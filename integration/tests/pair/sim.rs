//! Sections in one thread: simulated time, and byte pipes that deliver as much as they are told to.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use stktable::declare::{Declaration, Scope};
use stktable::table::Options;
use stktable::{DataType, Tick};
use stktable_integration::SharedTable;
use stktable_integration::peers::resync::{Action, Coordinator, ResyncState, SessionId, Verdict};
use stktable_integration::peers::session::{Event, Reason, Role, Roster, Session, Stage};

/// 30 s before the low 32 bits of the time wrap.
const START: Tick = Tick((1 << 32) - 30_000);

/// A sender is held up when this much of what it sent is on its way.
const WINDOW: usize = 4096;

pub(crate) const TABLES: [&str; 2] = [
    "table t type integer size 1k expire 1h store gpc0,conn_cur,http_req_cnt",
    "table u type string len 20 size 1k expire 1h store gpc0,gpc1,http_req_rate(10s)",
];

struct Conn {
    session: Session,
    link: usize,
    side: usize,
    input: Vec<u8>,
}

pub(crate) struct Node {
    name: &'static str,
    pub(crate) roster: Arc<Roster>,
    pub(crate) tables: Vec<Arc<SharedTable>>,
    pub(crate) coordinator: Coordinator,
    conns: BTreeMap<SessionId, Conn>,
    /// It follows HAProxy's rule: of several sessions with a peer only the one with the last good hello is kept.
    pub(crate) stock: bool,
    /// How sessions ended.
    pub(crate) ends: Vec<Reason>,
    pub(crate) ups: usize,
}

/// A connection. What is on its way to each end, and whether the other end has closed.
struct Link {
    nodes: [usize; 2],
    to: [VecDeque<u8>; 2],
    open: [bool; 2],
}

pub(crate) struct World {
    pub(crate) now: Tick,
    pub(crate) nodes: Vec<Node>,
    links: Vec<Link>,
    names: Vec<&'static str>,
    lives: u64,
}

impl Node {
    /// What HAProxy does about a good hello.
    fn give_up_others(&mut self, now: Tick, id: SessionId) {
        let Self { conns, coordinator, .. } = self;
        for (other, conn) in conns.iter_mut().filter(|(other, _)| **other != id) {
            let status = conn.session.status();
            if status.role == Role::Caller || status.stage == Stage::Up {
                conn.session.close(Reason::Replaced);
                coordinator.ended(now, *other, Some(&Reason::Replaced));
            }
        }
    }
}

impl World {
    /// Starts sections that all know each other. Their updates are numbered from near the wrap on, each from
    /// elsewhere.
    pub(crate) fn new(names: &[&'static str]) -> Self {
        let mut world = Self {
            now: START,
            nodes: Vec::new(),
            links: Vec::new(),
            names: names.to_vec(),
            lives: 0,
        };
        for _ in names {
            let node = world.node(world.nodes.len());
            world.nodes.push(node);
        }
        world
    }

    fn node(&mut self, at: usize) -> Node {
        self.lives += 1;
        let lives = self.lives;
        let table = |line| {
            let declaration = Declaration::parse(line, Scope::Peers("lab")).into_result().unwrap();
            let options = Options::new().last_update(u64::from(u32::MAX) - 3 * lives);
            SharedTable::with(declaration, options)
        };
        let tables: Vec<_> = TABLES.iter().map(|line| table(line)).collect();
        let name = self.names[at];
        let others: Vec<_> = self.names.iter().copied().filter(|other| *other != name).collect();
        let roster = Roster::new("lab", name, &others, tables.clone()).unwrap();
        let coordinator = Coordinator::new(self.now, Arc::clone(&roster), false, lives);
        Node {
            name,
            roster,
            tables,
            coordinator,
            conns: BTreeMap::new(),
            stock: false,
            ends: Vec::new(),
            ups: 0,
        }
    }

    /// A process dies and starts anew, knowing nothing.
    pub(crate) fn restart(&mut self, at: usize) {
        for link in 0..self.links.len() {
            if self.links[link].nodes.contains(&at) {
                self.cut(link);
            }
        }
        let node = self.node(at);
        self.nodes[at] = node;
    }

    /// Lets a node do all it can without more input or time. Returns whether it did anything.
    pub(crate) fn turn(&mut self, at: usize) -> bool {
        let mut busy = false;
        let node = &mut self.nodes[at];
        if node.coordinator.poll_timeout().is_some_and(|due| due <= self.now) {
            node.coordinator.handle_timeout(self.now);
            busy = true;
        }
        busy |= self.act(at);
        let ids: Vec<_> = self.nodes[at].conns.keys().copied().collect();
        for id in ids {
            busy |= self.listen(at, id) | self.serve(at, id);
        }
        busy
    }

    /// Lets a session that was deaf use what has come meanwhile.
    fn listen(&mut self, at: usize, id: SessionId) -> bool {
        let Some(conn) = self.nodes[at].conns.get_mut(&id) else { return false };
        let before = conn.input.len();
        if conn.session.is_deaf() && before > 0 {
            digest(conn, self.now);
        }
        conn.input.len() < before
    }

    fn act(&mut self, at: usize) -> bool {
        let mut busy = false;
        while let Some(action) = self.nodes[at].coordinator.poll_action() {
            busy = true;
            match action {
                Action::Call { peer, session } => self.call(at, &peer, session),
                Action::Close { session, reason } => {
                    if let Some(conn) = self.nodes[at].conns.get_mut(&session) {
                        conn.session.close(reason);
                    }
                }
                Action::Request { session } => {
                    if let Some(conn) = self.nodes[at].conns.get_mut(&session) {
                        conn.session.request_resync();
                    }
                }
                Action::Hold { session } => {
                    if let Some(conn) = self.nodes[at].conns.get_mut(&session) {
                        conn.session.hold();
                    }
                }
                Action::Promote { session } => {
                    if let Some(conn) = self.nodes[at].conns.get_mut(&session) {
                        conn.session.promote();
                    }
                }
                other => panic!("{other:?}"),
            }
        }
        busy
    }

    fn call(&mut self, at: usize, name: &[u8], id: SessionId) {
        let other = self.nodes.iter().position(|node| *node.name.as_bytes() == *name).unwrap();
        let link = self.links.len();
        let node = &mut self.nodes[at];
        let memory = node.coordinator.connected(id).expect("a call that was just made");
        let session = Session::caller(self.now, Arc::clone(&node.roster), memory, 1);
        node.conns.insert(id, Conn { session, link, side: 0, input: Vec::new() });
        let node = &mut self.nodes[other];
        let id = node.coordinator.accepted();
        let session = Session::called(self.now, Arc::clone(&node.roster));
        node.conns.insert(id, Conn { session, link, side: 1, input: Vec::new() });
        self.links.push(Link {
            nodes: [at, other],
            to: [VecDeque::new(), VecDeque::new()],
            open: [true, true],
        });
    }

    fn serve(&mut self, at: usize, id: SessionId) -> bool {
        let now = self.now;
        let mut busy = false;
        loop {
            let node = &mut self.nodes[at];
            let Some(conn) = node.conns.get_mut(&id) else { return true };
            if conn.session.poll_timeout().is_some_and(|due| due <= now) {
                conn.session.handle_timeout(now);
            }
            let Some(event) = conn.session.poll_event() else { break };
            busy = true;
            match event {
                Event::Hello { caller, .. } => {
                    if node.stock {
                        node.give_up_others(now, id);
                    }
                    let Some(conn) = node.conns.get_mut(&id) else { return true };
                    match node.coordinator.called(id, &caller) {
                        Verdict::Accept { memory, beside } => {
                            conn.session.accept(now, memory, beside);
                        }
                        Verdict::Unknown => conn.session.deny("unknown".to_owned()),
                        Verdict::TryAgain => conn.session.refuse(),
                    }
                    digest(conn, now);
                }
                Event::Proved => node.coordinator.proved(id),
                Event::Up => {
                    node.ups += 1;
                    if conn.session.status().role == Role::Caller {
                        match node.coordinator.answered(id) {
                            None => conn.session.close(Reason::Replaced),
                            Some(_) => conn.session.ask_heartbeat(),
                        }
                    }
                }
                Event::LessonEnded { finished, .. } => {
                    node.coordinator.lesson_ended(now, id, finished);
                }
                Event::Closed(reason) => {
                    assert!(!matches!(reason, Reason::Error(_)), "{reason}");
                    node.coordinator.ended(now, id, Some(&reason));
                    node.ends.push(reason);
                    self.transmit(at, id);
                    if let Some(conn) = self.nodes[at].conns.remove(&id) {
                        self.links[conn.link].open[conn.side] = false;
                    }
                }
                _ => {}
            }
            self.act(at);
        }
        busy | self.transmit(at, id)
    }

    fn transmit(&mut self, at: usize, id: SessionId) -> bool {
        let Some(conn) = self.nodes[at].conns.get_mut(&id) else { return false };
        let link = &mut self.links[conn.link];
        let mut busy = false;
        let mut out = Vec::new();
        while link.to[1 - conn.side].len() < WINDOW
            && conn.session.poll_transmit(self.now, &mut out)
        {
            link.to[1 - conn.side].extend(out.drain(..));
            busy = true;
        }
        busy
    }

    /// Delivers some of what is on its way to one end of a connection. Returns whether there was anything.
    pub(crate) fn deliver(&mut self, link: usize, side: usize, most: usize) -> bool {
        let now = self.now;
        let Link { nodes, to, open } = &mut self.links[link];
        let node = &mut self.nodes[nodes[side]];
        let conn = node.conns.values_mut().find(|conn| (conn.link, conn.side) == (link, side));
        let Some(conn) = conn else {
            let lost = !to[side].is_empty();
            to[side].clear();
            return lost;
        };
        if to[side].is_empty() {
            let ended = !open[1 - side];
            if ended {
                conn.session.handle_end();
            }
            return ended;
        }
        let most = most.min(to[side].len());
        conn.input.extend(to[side].drain(..most));
        digest(conn, now);
        true
    }

    /// Delivers what is on its way to one end, and lets that end do what it can.
    pub(crate) fn step(&mut self, link: usize, side: usize) {
        self.deliver(link, side, usize::MAX);
        self.turn(self.links[link].nodes[side]);
    }

    /// A connection of which one end has come and gone without a word, as when a cable is pulled: the other end goes on.
    pub(crate) fn forget(&mut self, at: usize) {
        let now = self.now;
        let node = &mut self.nodes[at];
        for (id, conn) in std::mem::take(&mut node.conns) {
            node.coordinator.ended(now, id, Some(&Reason::Disconnected));
            // Its bytes go nowhere, and nobody hears that it has ended.
            self.links[conn.link].to.iter_mut().for_each(VecDeque::clear);
        }
    }

    /// The connection of the session that is live at a node with the first of its peers.
    pub(crate) fn live(&self, at: usize) -> Option<usize> {
        let node = &self.nodes[at];
        let live = node.coordinator.peer(0).unwrap().live?;
        Some(node.conns.get(&live)?.link)
    }

    /// Breaks a connection; what is on its way is lost.
    pub(crate) fn cut(&mut self, link: usize) {
        let Link { nodes, to, open } = &mut self.links[link];
        to.iter_mut().for_each(VecDeque::clear);
        *open = [false, false];
        for at in *nodes {
            for conn in self.nodes[at].conns.values_mut().filter(|conn| conn.link == link) {
                conn.session.handle_end();
            }
        }
    }

    pub(crate) fn link_count(&self) -> usize {
        self.links.len()
    }

    /// Lets everything happen that needs no time.
    pub(crate) fn settle(&mut self) {
        for step in 0.. {
            let mut busy = false;
            for at in 0..self.nodes.len() {
                busy |= self.turn(at);
            }
            for link in 0..self.links.len() {
                busy |= self.deliver(link, 0, usize::MAX) | self.deliver(link, 1, usize::MAX);
            }
            if !busy {
                return;
            }
            assert!(step < 100_000, "it never comes to rest");
        }
    }

    /// Lets time go by, and everything that happens meanwhile.
    pub(crate) fn wait(&mut self, ms: u64) {
        let end = Tick(self.now.0 + ms);
        loop {
            self.settle();
            let due = self.nodes.iter().flat_map(|node| {
                let sessions = node.conns.values().filter_map(|conn| conn.session.poll_timeout());
                sessions.chain(node.coordinator.poll_timeout())
            });
            match due.min() {
                Some(due) if due <= end => {
                    assert!(due > self.now, "what is due does not go away");
                    self.now = due;
                }
                _ => break,
            }
        }
        self.now = end;
        self.settle();
    }

    /// Waits until something is true, and returns how long that took.
    pub(crate) fn until(&mut self, what: &str, is_true: impl Fn(&Self) -> bool) -> u64 {
        let begin = self.now;
        self.settle();
        while !is_true(self) {
            assert!(self.now.since(begin) < 120_000, "not within two minutes: {what}");
            self.wait(10);
        }
        self.now.since(begin)
    }

    pub(crate) fn all_finished(&self) -> bool {
        let mut nodes = self.nodes.iter();
        nodes.all(|node| node.coordinator.resync_state() == ResyncState::Finished)
    }

    /// Whether every pair has one session, the same at both ends, and there is nothing else.
    pub(crate) fn is_meshed(&self) -> bool {
        let live = |node: &Node| {
            let peers = 0..node.roster.remote_peers().len();
            let links = peers.map(|peer| {
                let live = node.coordinator.peer(peer).unwrap().live?;
                Some(node.conns.get(&live)?.link)
            });
            links.collect::<Option<Vec<_>>>()
        };
        let mut ends = BTreeMap::<usize, usize>::new();
        for node in &self.nodes {
            let Some(links) = live(node) else { return false };
            if links.len() != node.conns.len() {
                return false;
            }
            links.into_iter().for_each(|link| *ends.entry(link).or_default() += 1);
        }
        ends.values().all(|ends| *ends == 2)
    }

    /// A local change.
    pub(crate) fn count(&mut self, at: usize, table: usize, key: u32, n: u64) {
        let table = &self.nodes[at].tables[table];
        let key = table.declaration().key.parse(&key.to_string()).unwrap();
        let entry = table.get_or_create(&key, self.now).unwrap();
        entry.add(DataType::Gpc0, 0, n, self.now);
        entry.add(DataType::ConnCur, 0, 1, self.now);
        entry.touch(self.now);
    }

    /// What a node holds, `conn_cur` and rates aside: `table key gpc0`.
    pub(crate) fn entries(&self, at: usize) -> BTreeMap<(usize, String), i64> {
        let mut found = BTreeMap::new();
        for (number, table) in self.nodes[at].tables.iter().enumerate() {
            for entry in table.entries(self.now) {
                let value = entry.read(DataType::Gpc0, 0, self.now).unwrap();
                found.insert((number, entry.key().to_string()), value);
            }
        }
        found
    }

    pub(crate) fn are_equal(&self) -> bool {
        (1..self.nodes.len()).all(|at| self.entries(at) == self.entries(0))
    }

    /// Counts of the sessions of a node that are there now.
    pub(crate) fn updates_sent(&self, at: usize) -> u64 {
        let conns = self.nodes[at].conns.values();
        conns.map(|conn| conn.session.status().counters.updates_sent).sum()
    }

    pub(crate) fn lag(&self, at: usize) -> u64 {
        let sessions = self.nodes[at].conns.values().map(|conn| conn.session.status());
        sessions.flat_map(|session| session.tables).map(|table| table.lag).sum()
    }
}

fn digest(conn: &mut Conn, now: Tick) {
    // An error is an event too.
    let used = conn.session.handle_input(now, &conn.input).unwrap_or(conn.input.len());
    conn.input.drain(..used);
}
