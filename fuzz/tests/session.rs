//! A session, whatever its peer sends and whatever happens beside: it neither panics nor hangs, its memory is bounded, and what
//! it complains of has a name.

use std::sync::Arc;

use bolero::{TypeGenerator, check};
use fuzz::codec::{Sent, Table, Writer};
use fuzz::memory::{Counting, measured};
use stktable::{DataType, Declaration, Tick};
use stktable_integration::SharedTable;
use stktable_integration::peers::codec::{
    Decoder, Definition, ErrorMessage, Message, SenderTable, integer,
};
use stktable_integration::peers::session::{
    Event, OUT_MAX, PeerMemory, Reason, Roster, Session, SessionErrorKind,
};

#[global_allocator]
static COUNTING: Counting = Counting;

/// No piece that a call allocates is larger, but for the output: a row of updates, a line of the hello as it grows, a page of nodes.
const LARGEST: usize = 64 << 10;
/// The most that a session and three small tables may hold.
const LIVE: isize = 4 << 20;
/// Entries of a table.
const SIZE: u32 = 40;

/// Something that happens to a session.
#[derive(Clone, Debug, TypeGenerator)]
enum Step {
    /// The peer sends something.
    Sent(Sent),
    /// The peer announces one of our tables, rightly.
    Define(u8),
    /// Bits of what was sent and not received are flipped.
    Flip {
        at: u16,
        bits: u8,
    },
    /// So many bytes arrive.
    Arrive(u16),
    /// All that was sent arrives.
    ArriveAll,
    /// Time goes by, or it does not and the timer runs all the same.
    Wait(u16),
    /// There is room for output, or not.
    Transmit {
        is_full: bool,
    },
    /// An entry of ours changes.
    Count {
        table: u8,
        key: [u8; 4],
    },
    /// What the coordinator may order at any time.
    Request,
    Heartbeat,
    UpToDate,
    Close,
    End,
}

/// How a session begins.
#[derive(Clone, Copy, Debug, TypeGenerator)]
struct Start {
    calls: bool,
    old: bool,
    refused: bool,
    local: bool,
    tables: [Table; 3],
}

/// A session, its unread input and its peer.
struct Lab {
    roster: Arc<Roster>,
    tables: Vec<Arc<SharedTable>>,
    memory: Arc<PeerMemory>,
    session: Session,
    writer: Writer,
    /// What has arrived and was not used.
    input: Vec<u8>,
    output: Vec<u8>,
    now: Tick,
    refuse: bool,
}

fn declaration(at: usize, announced: &SenderTable) -> Declaration {
    let name = ["a", "b", "c"][at];
    let mut builder =
        Declaration::builder(name, announced.key()).section("lab").size(SIZE).expire_ms(60_000);
    for ty in announced.data_types() {
        // A table of ours has either of the two.
        if ty.in_array().is_some_and(|(array, _)| announced.elements(array) > 0) {
            continue;
        }
        let elements = u32::try_from(announced.elements(ty)).unwrap();
        let period = u32::try_from(announced.period_ms(ty)).unwrap();
        builder = match (ty.is_array(), ty.is_rate()) {
            (true, true) => builder.store_rate_array(ty, elements, period),
            (true, false) => builder.store_array(ty, elements),
            (false, true) => builder.store_rate(ty, period),
            (false, false) => builder.store(ty),
        };
    }
    builder.build().unwrap()
}

impl Lab {
    fn new(start: &Start) -> Self {
        let tables: Vec<_> = start
            .tables
            .iter()
            .enumerate()
            .map(|(at, table)| SharedTable::new(declaration(at, &table.announced())))
            .collect();
        Self::with(start, tables)
    }

    fn with(start: &Start, tables: Vec<Arc<SharedTable>>) -> Self {
        let roster = Roster::new("lab", "A", &["B"], tables.clone()).unwrap();
        let name: &[u8] = if start.local { b"A" } else { b"B" };
        let memory = PeerMemory::new(&roster, name);
        let now = Tick((1 << 32) - 3_000);
        let mut writer = Writer::default();
        let session = if start.calls {
            writer.bytes.extend_from_slice(if start.old { b"502\n" } else { b"200\n" });
            Session::caller(now, Arc::clone(&roster), Arc::clone(&memory), 1)
        } else {
            let version: &[u8] = if start.old { b"2.0" } else { b"2.1" };
            let lines: [&[u8]; 5] = [b"HAProxyS ", version, b"\nA\n", name, b" 1 1\n"];
            writer.bytes.extend_from_slice(&lines.concat());
            Session::called(now, Arc::clone(&roster))
        };
        let (input, output) = (Vec::new(), Vec::with_capacity(2 * OUT_MAX));
        let refuse = start.refused;
        Self { roster, tables, memory, session, writer, input, output, now, refuse }
    }

    /// Calls into the session, and bounds what that allocates.
    fn call<T>(&mut self, call: impl FnOnce(&mut Session, Tick, &mut Vec<u8>) -> T) -> T {
        let Self { session, now, output, .. } = self;
        let (result, counts) = measured(|| call(session, *now, output));
        assert!(counts.largest <= LARGEST, "{} bytes at once", counts.largest);
        result
    }

    /// Hands over what has arrived, and does what the events ask for.
    fn read(&mut self) {
        loop {
            let input = std::mem::take(&mut self.input);
            let was_over = self.session.is_over();
            let read = self.call(|session, now, _| session.handle_input(now, &input));
            let used = match &read {
                Ok(used) => *used,
                Err(error) => {
                    let text = error.to_string();
                    assert!(text.contains("peer") && text.contains(" byte "), "{text}");
                    assert!(!was_over && self.session.is_over());
                    input.len()
                }
            };
            assert!(!was_over || used == input.len(), "what comes after the end is dropped");
            self.input = input[used..].to_vec();
            let decided = self.events(read.err().map(|error| error.kind));
            if used == 0 && !decided {
                assert!(self.input.len() < self.session.input_max() || !self.output.is_empty());
                return;
            }
        }
    }

    /// Takes the events. Returns whether a hello was answered.
    fn events(&mut self, failed: Option<SessionErrorKind>) -> bool {
        let mut decided = false;
        let mut closed = 0;
        for count in 0.. {
            // A few for each message of the input, which is bounded.
            assert!(count < 40_000, "events without end");
            let Some(event) = self.session.poll_event() else { break };
            match event {
                Event::Hello { .. } => {
                    decided = true;
                    let (memory, refuse) = (Arc::clone(&self.memory), self.refuse);
                    self.call(|session, now, _| {
                        if refuse { session.refuse() } else { session.accept(now, memory, true) }
                    });
                }
                Event::Closed(reason) => {
                    closed += 1;
                    assert!(!reason.to_string().is_empty());
                    assert_eq!(matches!(reason, Reason::Error(_)), failed.is_some());
                    if let Some(SessionErrorKind::Message(error)) = &failed {
                        // The peer is told, and nothing after that.
                        self.output.clear();
                        self.call(|session, now, out| session.poll_transmit(now, out));
                        let mut told = Vec::new();
                        error.answer().encode(&mut told);
                        assert!(self.output.ends_with(&told));
                        assert!(matches!(
                            error.answer(),
                            ErrorMessage::Protocol | ErrorMessage::SizeLimit
                        ));
                    }
                }
                _ => {}
            }
        }
        assert!(closed <= 1, "it ends once");
        decided
    }

    fn arrive(&mut self, count: usize) {
        let count = count.min(self.writer.bytes.len());
        self.input.extend(self.writer.bytes.drain(..count));
        self.read();
    }

    fn transmit(&mut self, is_full: bool) {
        self.output.clear();
        if is_full {
            self.output.resize(OUT_MAX, 0);
        }
        for turns in 0.. {
            assert!(turns < 10_000, "output without end");
            let wrote = self.call(|session, now, out| session.poll_transmit(now, out));
            // One message may begin below the mark.
            assert!(self.output.len() < OUT_MAX + self.session.input_max());
            if !wrote || self.output.len() >= OUT_MAX {
                return;
            }
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Sent(sent) => self.writer.write(sent),
            Step::Define(at) => {
                let at = usize::from(*at) % self.tables.len();
                let declaration = self.tables[at].declaration();
                let (key, columns) = (declaration.key, &declaration.columns);
                let announced = SenderTable::new(key, declaration.expire_ms, columns);
                self.writer.define(at as u64 + 1, u8::try_from(at).unwrap(), announced);
            }
            Step::Flip { at, bits } => {
                if let Some(at) = usize::from(*at).checked_rem(self.writer.bytes.len()) {
                    self.writer.bytes[at] ^= bits;
                }
            }
            Step::Arrive(count) => self.arrive(usize::from(*count) % 200),
            Step::ArriveAll => self.arrive(usize::MAX),
            Step::Wait(ms) => {
                self.now = self.now + u32::from(ms % 8192);
                self.call(|session, now, _| session.handle_timeout(now));
                self.events(None);
            }
            Step::Transmit { is_full } => self.transmit(*is_full),
            Step::Count { table, key } => {
                let table = &self.tables[usize::from(*table) % self.tables.len()];
                let spec = table.declaration().key;
                let mut bytes = key.to_vec();
                bytes.resize((spec.size() as usize).min(4).max(bytes.len().min(4)), 1);
                let wide = [bytes.as_slice(), &[7; 12]].concat();
                let key = spec.key(&bytes).or_else(|_| spec.key(&wide)).unwrap();
                if let Ok(entry) = table.get_or_create(&key, self.now) {
                    entry.add(DataType::Gpc0, 0, 1, self.now);
                    entry.touch(self.now);
                }
            }
            Step::Request => self.call(|session, _, _| session.request_resync()),
            Step::Heartbeat => self.call(|session, _, _| session.ask_heartbeat()),
            Step::UpToDate => self.roster.set_up_to_date(),
            Step::Close => {
                self.call(|session, _, _| session.close(Reason::Replaced));
                self.events(None);
            }
            Step::End => {
                self.call(|session, _, _| session.handle_end());
                self.events(None);
            }
        }
        assert_eq!(self.session.poll_timeout().is_none(), self.session.is_over());
        assert!(self.tables.iter().all(|table| table.used() <= SIZE));
    }

    fn finish(mut self) {
        self.arrive(usize::MAX);
        // A lesson that was asked for ends, whatever came before.
        for _ in 0..200 {
            self.transmit(false);
            if self.output.is_empty() {
                let status = self.session.status();
                let sum = status.counters;
                let heard = sum.updates_learned + sum.updates_over + sum.updates_refused;
                assert!(heard + sum.updates_skipped <= sum.messages_received);
                assert!(sum.errors_found <= 1);
                return;
            }
        }
        panic!("output without end");
    }
}

#[test]
fn any_sequence_of_events_is_survived() {
    check!().with_max_len(1 << 12).with_type::<(Start, Vec<Step>)>().for_each(|(start, steps)| {
        let ((), counts) = measured(|| {
            let mut lab = Lab::new(start);
            for step in steps.iter().take(120) {
                lab.step(step);
            }
            let ((), held) = measured(|| ());
            assert_eq!(held.live, 0);
            lab.finish();
        });
        assert!(counts.live <= LIVE, "{} bytes are left", counts.live);
    });
}

/// The first table of the recordings that is ours, and a session that has got so far.
fn at(context: &[u8], table: &SenderTable) -> Lab {
    let start = Start { calls: true, old: false, refused: false, local: false, tables: TABLES };
    let mut lab = Lab::with(&start, vec![SharedTable::new(declaration(0, table))]);
    lab.writer.bytes.extend_from_slice(context);
    lab.arrive(usize::MAX);
    assert!(!lab.session.is_over());
    lab.transmit(false);
    lab
}

const TABLES: [Table; 3] = [Table::EMPTY; 3];

/// Each kind of message that HAProxy sent in the recordings, a few times, with the table that was selected.
fn recorded() -> Vec<(Vec<u8>, SenderTable)> {
    const RECORDED: [(&[u8], usize); 6] = [
        (include_bytes!("../../integration/tests/fixtures/peers-2.6/full-resync.s2c.bin"), 1),
        (include_bytes!("../../integration/tests/fixtures/peers-2.6/live-updates.c2s.bin"), 3),
        (include_bytes!("../../integration/tests/fixtures/peers-2.6/acks.c2s.bin"), 3),
        (include_bytes!("../../integration/tests/fixtures/peers-2.6/ignored-messages.c2s.bin"), 3),
        (
            include_bytes!(
                "../../integration/tests/fixtures/peers-2.6/dictionary-rollover.s2c.bin"
            ),
            1,
        ),
        (include_bytes!("../../integration/tests/fixtures/peers-2.6/reload-local.c2s.bin"), 3),
    ];
    let mut seen = std::collections::HashMap::new();
    let mut found = Vec::new();
    for (bytes, lines) in RECORDED {
        let mut rest = bytes;
        for _ in 0..lines {
            let end = rest.iter().position(|byte| *byte == b'\n').expect("a handshake");
            rest = &rest[end + 1..];
        }
        let mut table: Option<SenderTable> = None;
        while let Some((message, size)) = Decoder::new().decode(rest).expect("well-formed") {
            if let Message::Definition(definition) = message {
                table = Some(definition.table().expect("well-formed").expect("of use"));
            }
            if let Some(table) = &table {
                let kind = (rest[1], size, table.key(), table.data_type_bits());
                let count = seen.entry(kind).or_insert(0);
                *count += 1;
                if *count <= 2 {
                    found.push((rest[..size].to_vec(), table.clone()));
                }
            }
            rest = &rest[size..];
        }
    }
    assert!(found.len() > 100, "{}", found.len());
    found
}

/// Cut at every byte, and with every single bit flipped, each recorded message is heard by a session that knows its table.
#[test]
fn recorded_messages_cut_or_flipped_cost_a_session_at_most() {
    let (mut ended, mut lived) = (0, 0);
    for (message, table) in recorded() {
        let mut context = Vec::new();
        Definition::encode(1, b"/a", &table, &mut context).unwrap();
        let mut hear = |bytes: &[u8], then_end: bool| {
            let mut lab = at(&context, &table);
            let ((), counts) = measured(|| {
                lab.writer.bytes.extend_from_slice(bytes);
                lab.arrive(usize::MAX);
                if then_end {
                    lab.step(&Step::End);
                }
                lab.transmit(false);
            });
            assert!(counts.live < 64 << 10, "{} bytes are left of {bytes:x?}", counts.live);
            if lab.session.is_over() { ended += 1 } else { lived += 1 }
        };
        for cut in 0..message.len() {
            hear(&message[..cut], true);
        }
        let mut flipped = message.clone();
        for at in 0..message.len() {
            for bit in 0..8 {
                flipped[at] ^= 1 << bit;
                hear(&flipped, false);
                flipped[at] ^= 1 << bit;
            }
        }
    }
    assert!(ended > 1000 && lived > 10_000, "{ended} {lived}");
}

/// To decode allocates nothing, whatever the numbers say.
#[test]
fn decoding_allocates_nothing() {
    check!().with_max_len(1 << 12).with_type::<(Vec<Sent>, Vec<(u16, u8)>)>().for_each(
        |(sent, flips)| {
            let mut writer = Writer::default();
            sent.iter().take(40).for_each(|sent| writer.write(sent));
            // A table of our own choice for what has none: the largest arrays that a sender may claim.
            let mut claimed = vec![0x0a, 0x82, 0, 1, 2, b'/', b'a', 4, 4];
            integer::encode(1 << 22 | 1 << 24, &mut claimed);
            claimed.push(0);
            claimed.push(22);
            integer::encode(u64::MAX, &mut claimed);
            claimed.push(24);
            integer::encode(u64::MAX, &mut claimed);
            claimed.push(9);
            claimed[2] = u8::try_from(claimed.len() - 3).unwrap();
            let mut bytes = [claimed, writer.bytes].concat();
            for (at, bits) in flips.iter().take(4) {
                let at = usize::from(*at) % bytes.len();
                bytes[at] ^= bits;
            }
            let mut heard = 0;
            let ((), counts) = measured(|| {
                let (mut rest, mut table) = (bytes.as_slice(), None::<SenderTable>);
                while let Ok(Some((message, size))) = Decoder::new().decode(rest) {
                    rest = &rest[size..];
                    match (message, &table) {
                        (Message::Definition(definition), _) => {
                            table = definition.table().ok().and_then(Result::ok);
                        }
                        (Message::Update(update), Some(table)) => {
                            let Ok(update) = update.decode(table) else { return };
                            heard += update.values().count() + update.key_bytes().len();
                        }
                        (Message::Ack(ack), _) => heard += usize::from(ack.decode().is_ok()),
                        _ => {}
                    }
                }
            });
            assert_eq!(counts.calls, 0, "{heard}");
        },
    );
}
