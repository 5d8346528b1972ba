//! What can be done to a table, in numbers that a fuzzer picks.

use bolero::TypeGenerator;
use stktable::declare::{Declaration, Scope};
use stktable::{DataType, Key, KeySpec, KeyType};

/// Which table is made.
#[derive(Clone, Copy, Debug, TypeGenerator)]
pub struct Shape {
    key: u8,
    columns: u8,
    size: u8,
    expire: u8,
    /// A full table refuses.
    pub nopurge: bool,
    recv_only: bool,
    start: u8,
    updates: u8,
}

const COLUMNS: [&str; 8] = [
    "store gpc0,gpc0_rate(10s),conn_cnt,conn_rate(30s),conn_cur",
    "store server_id,gpt0,gpc0,gpc0_rate(999),gpc1,gpc1_rate(2),conn_cnt,conn_cur,sess_cnt,sess_rate(1s),\
     http_req_cnt,http_req_rate(1m),http_err_cnt,http_err_rate(3),bytes_in_cnt,bytes_in_rate(1h),bytes_out_cnt,\
     bytes_out_rate(2s),http_fail_cnt,http_fail_rate(24d),glitch_cnt,glitch_rate(1s),server_key",
    "store gpt(4),gpc(3),gpc_rate(2,1s),conn_cur,bytes_in_cnt,bytes_in_rate(1m)",
    "",
    "store gpc(1),gpc_rate(100,999),conn_rate(24d),conn_cur",
    "store bytes_in_rate(2147483647),bytes_in_cnt,bytes_out_rate(10s) brates-factor 1000",
    "store gpc0,gpc_rate(3,10s)",
    "store gpc(100),gpt(100),gpc0_rate(4),gpc1_rate(5)",
];

const KEYS: [&str; 7] =
    ["integer", "ip", "ipv6", "string", "string len 1", "binary", "binary len 60"];

const EXPIRES: [&str; 8] = [
    "",
    "expire 1",
    "expire 10",
    "expire 1s",
    "expire 10s",
    "expire 1h",
    "expire 24d",
    "expire 2147483647",
];

/// Ticks at which a run begins.
const STARTS: [u64; 5] = [(1 << 32) - 20_000, 0, 1, (1 << 31) - 5_000, (7 << 32) - 1];

/// Update sequences after which a run begins.
const UPDATES: [u64; 3] = [0, (1 << 32) - 10, (1 << 31) - 10];

impl Shape {
    /// Returns the declaration.
    #[must_use]
    pub fn declaration(&self) -> Declaration {
        let pick = |from: &[&'static str], at| crate::pick(from, at).copied().unwrap_or_default();
        let line = format!(
            "stick-table type {} size {} {} {} {} {} peers p",
            pick(&KEYS, self.key),
            self.size % 20 + 1,
            pick(&EXPIRES, self.expire),
            pick(&COLUMNS, self.columns),
            if self.nopurge { "nopurge" } else { "" },
            if self.recv_only { "recv-only" } else { "" },
        );
        Declaration::parse(&line, Scope::Proxy("t")).into_result().expect("made of good parts")
    }

    /// Returns the tick at which the run begins.
    #[must_use]
    pub fn start(&self) -> u64 {
        crate::pick(&STARTS, self.start).copied().unwrap_or_default()
    }

    /// Returns the update sequence that was used last.
    #[must_use]
    pub fn last_update(&self) -> u64 {
        crate::pick(&UPDATES, self.updates).copied().unwrap_or_default()
    }
}

/// Different keys of a run: few, so that operations meet.
const NUMBERS: u8 = 24;

/// Returns the number of the key that a fuzzer picks.
#[must_use]
pub const fn number(picked: u8) -> u8 {
    picked % NUMBERS
}

/// Returns the key of a number. `form` picks how it is written, where there is more than one way.
///
/// # Panics
/// Never.
#[must_use]
pub fn key(spec: KeySpec, number: u8, form: u8) -> Key {
    let bytes = match spec.ty() {
        KeyType::Integer | KeyType::Ip => u32::from(number).to_be_bytes().to_vec(),
        KeyType::Ipv6 => u128::from(number).rotate_right(5).to_be_bytes().to_vec(),
        KeyType::String => {
            let mut bytes = vec![b'a' + number];
            if number >= 16 && spec.size() > 20 {
                bytes.resize(20, b'x');
            }
            match form % 3 {
                1 => bytes.extend_from_slice(b"\0junk"),
                2 if spec.size() == 2 => bytes.extend_from_slice(b"cut off"),
                _ => {}
            }
            bytes
        }
        KeyType::Binary => {
            let mut bytes = vec![0, number, 0];
            if form % 2 == 1 {
                bytes.resize(spec.size() as usize + 3, 0);
            }
            bytes
        }
    };
    spec.key(&bytes).expect("of the right width")
}

/// What is done to the values of an entry.
#[derive(Clone, Copy, Debug, TypeGenerator)]
#[expect(missing_docs, reason = "numbers that a fuzzer picks")]
pub enum Change {
    /// An event.
    Count {
        event: u8,
        element: u8,
        n: u16,
    },
    /// Very many events.
    CountMany {
        event: u8,
        n: u64,
    },
    Set {
        data_type: u8,
        element: u8,
        value: i64,
    },
    Add {
        data_type: u8,
        element: u8,
        n: u64,
    },
}

/// A value that a peer sends.
#[derive(Clone, Copy, Debug, TypeGenerator)]
#[expect(missing_docs, reason = "numbers that a fuzzer picks")]
pub struct Sent {
    pub data_type: u8,
    pub element: u8,
    pub a: u32,
    pub b: u16,
    pub c: u16,
}

/// Returns the data type that a fuzzer picks.
#[must_use]
pub fn data_type(picked: u8) -> DataType {
    crate::pick(DataType::ALL, picked).copied().unwrap_or(DataType::Gpc0)
}

/// How the time goes on.
#[derive(Clone, Copy, Debug, TypeGenerator)]
pub enum Jump {
    /// By milliseconds.
    Milliseconds(u8),
    /// By tens of milliseconds.
    More(u16),
    /// By minutes.
    Minutes(u8),
    /// By days, 24 at most.
    Days(u8),
    /// To the date of an entry: just before it, on it, just after it.
    ToDate(u8, u8),
    /// To just before the low 32 bits wrap.
    ToWrap,
}

/// One step of a run.
#[derive(Clone, Copy, Debug, TypeGenerator)]
#[expect(missing_docs, reason = "numbers that a fuzzer picks")]
pub enum Operation {
    /// Looks, perhaps with a clock that lags.
    Get {
        key: u8,
        form: u8,
        lag: u8,
    },
    /// Looks, and keeps what is found.
    HoldFound {
        key: u8,
        form: u8,
    },
    /// Creates, and keeps it.
    Hold {
        key: u8,
        form: u8,
    },
    /// Creates, changes, perhaps touches, and lets go.
    Change {
        key: u8,
        form: u8,
        change: Change,
        touch: bool,
    },
    /// Changes what is held.
    ChangeHeld {
        at: u8,
        change: Change,
        touch: bool,
    },
    Track {
        key: u8,
        form: u8,
    },
    Release {
        at: u8,
    },
    CloneHeld {
        at: u8,
    },
    Remove {
        key: u8,
        form: u8,
    },
    RemoveIf {
        key: u8,
        yes: bool,
    },
    Clear,
    ClearIf {
        mask: u32,
    },
    Learn {
        key: u8,
        form: u8,
        expire_ms: Option<u32>,
        short: bool,
        sent: [Sent; 3],
        hold: bool,
    },
    Expire {
        budget: u8,
    },
    ExpireAll,
    Advance(Jump),
    Arm,
    /// A session begins to read updates.
    Begin {
        session: u8,
    },
    /// A session reads on, and perhaps keeps the entry while other things happen.
    Next {
        session: u8,
        hold: bool,
    },
    /// A session reads all there is.
    Drain {
        session: u8,
    },
    /// A session loses its connection, and goes on from an earlier place.
    Rewind {
        session: u8,
    },
    /// A session tells the whole table, then goes on with updates.
    Lesson {
        session: u8,
    },
    WalkOn {
        steps: u8,
    },
    /// Creates and removes a key, many times.
    Churn {
        key: u8,
        times: u8,
    },
    CheckAll,
}
