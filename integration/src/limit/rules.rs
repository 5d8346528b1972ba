//! What is limited: limits on the values of tables, in tiers of one table and one key each.

use core::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response};
use ipnet::IpNet;
use stktable::{DataType, Storage};

use super::client::{Client, Networks};
use super::compile::{self, CompiledTier};
use super::headers;
use super::key::{Head, KeyOf, Prefixes, client};
use super::refusal::Refusal;
use crate::shared::SharedTable;

/// The most tiers.
pub const TIERS_MAX: usize = 8;
/// The most limits in all tiers together.
pub const LIMITS_MAX: usize = 16;
/// The most tiers with a limit on `conn_cur`.
pub const TRACKED_MAX: usize = 4;

/// What a request adds to a value.
#[derive(Clone)]
pub(super) enum Cost {
    /// 1, unless another limit on the same event says otherwise.
    One,
    Constant(u32),
    By(Arc<dyn Fn(&Head<'_>) -> u32 + Send + Sync>),
    /// Nothing: others count.
    Observed,
}

impl Cost {
    pub(super) fn of(&self, head: &Head<'_>) -> u32 {
        match self {
            Self::One => 1,
            Self::Constant(cost) => *cost,
            Self::By(cost) => cost(head),
            Self::Observed => 0,
        }
    }
}

impl fmt::Debug for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One => f.write_str("1"),
            Self::Constant(cost) => cost.fmt(f),
            Self::By(_) => f.write_str("by request"),
            Self::Observed => f.write_str("observed"),
        }
    }
}

/// A value of an entry, and how large it may be.
///
/// A request is refused when it finds, or makes, the value larger than that. Of a rate the period is the one that the table declares.
#[derive(Clone, Debug)]
#[must_use]
pub struct Limit {
    pub(super) data_type: DataType,
    pub(super) element: u32,
    pub(super) max: u64,
    pub(super) name: Option<String>,
    pub(super) cost: Cost,
    pub(super) shadow: bool,
}

impl Limit {
    /// Limits a value to at most `max`. Each request adds one to it, and to what counts the same event: a limit on `gpc0_rate` counts in
    /// `gpc0` too where the table stores that. `conn_cur` is the number of requests that are under way. Tags, which nobody
    /// adds to, are observed.
    pub const fn new(data_type: DataType, max: u64) -> Self {
        let cost = match data_type {
            DataType::Gpt0 | DataType::Gpt | DataType::ServerId => Cost::Observed,
            _ => Cost::One,
        };
        Self { data_type, element: 0, max, name: None, cost, shadow: false }
    }

    /// Limits another element of an array than the first.
    pub const fn element(mut self, element: u32) -> Self {
        self.element = element;
        self
    }

    /// Names the limit, for clients and logs: printable ASCII without `"` and `\`. The default is `TABLE.TYPE`.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets what a request adds.
    pub fn cost(mut self, cost: u32) -> Self {
        self.cost = Cost::Constant(cost);
        self
    }

    /// Sets what a request adds, by the request. What costs nothing is still measured against the limit.
    pub fn cost_by(mut self, cost: impl Fn(&Head<'_>) -> u32 + Send + Sync + 'static) -> Self {
        self.cost = Cost::By(Arc::new(cost));
        self
    }

    /// Adds nothing: the value is what others count, be it this process or a peer. A tier whose limits all are observed only reads its
    /// table: it creates no entry, refreshes none, and tells peers nothing.
    pub fn observed(mut self) -> Self {
        self.cost = Cost::Observed;
        self
    }

    /// Refuses nothing by this limit: a request that would have been is told of and marked, and goes on. See [`Builder::shadow`].
    pub const fn shadow(mut self) -> Self {
        self.shadow = true;
        self
    }
}

/// Limits on the entry that a request has in one table.
#[derive(Clone)]
#[must_use]
pub struct Tier {
    pub(super) table: Arc<SharedTable>,
    pub(super) key: Arc<dyn KeyOf>,
    pub(super) prefixes: Prefixes,
    pub(super) limits: Vec<Limit>,
    pub(super) counts: Vec<(DataType, u32, Cost)>,
}

impl Tier {
    /// A tier of this table, by the client's address: the whole of IPv4, a /64 of IPv6, since that is what one host has.
    pub fn of(table: &Arc<SharedTable>) -> Self {
        Self {
            table: Arc::clone(table),
            key: Arc::new(client()),
            prefixes: Prefixes { v4: Some(32), v6: Some(64) },
            limits: Vec::new(),
            counts: Vec::new(),
        }
    }

    /// Takes another key.
    pub fn key(mut self, key: impl KeyOf) -> Self {
        self.key = Arc::new(key);
        self
    }

    /// Counts IPv4 addresses of a prefix together.
    pub const fn ipv4_prefix(mut self, bits: u8) -> Self {
        self.prefixes.v4 = Some(bits);
        self
    }

    /// Counts IPv6 addresses of a prefix together.
    pub const fn ipv6_prefix(mut self, bits: u8) -> Self {
        self.prefixes.v6 = Some(bits);
        self
    }

    /// Passes IPv6 addresses by.
    pub const fn ipv4_only(mut self) -> Self {
        self.prefixes.v6 = None;
        self
    }

    /// Passes IPv4 addresses by.
    pub const fn ipv6_only(mut self) -> Self {
        self.prefixes.v4 = None;
        self
    }

    /// Adds a limit.
    pub fn limit(mut self, limit: Limit) -> Self {
        self.limits.push(limit);
        self
    }

    /// Counts what is not limited here: adds `cost` to a type, and to what counts the same event.
    pub fn count(mut self, data_type: DataType, cost: u32) -> Self {
        self.counts.push((data_type, 0, Cost::Constant(cost)));
        self
    }
}

impl fmt::Debug for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tier")
            .field("table", &self.table.declaration().local_name())
            .field("prefixes", &self.prefixes)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Why limits cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LimitError {
    /// The table does not store the type, or not so many elements of it.
    NotStored {
        /// The table.
        table: String,
        /// The type.
        data_type: DataType,
        /// The element.
        element: u32,
    },
    /// The type has no number to compare.
    NotANumber(DataType),
    /// Nothing says how many bytes a request is: it takes a cost, or is observed.
    NeedsCost(DataType),
    /// Nobody adds to a type of this kind, or a tracker does.
    NotCounted(DataType),
    /// Two limits of a tier let a request cost differently in one value.
    CostsDiffer(DataType),
    /// The name of a limit has characters that its header field cannot have.
    Name(String),
    /// Two limits have one name.
    NameTwice(String),
    /// An address has fewer bits.
    Prefix(u8),
    /// There are more than this many tiers, limits, or tiers that limit `conn_cur`.
    TooMany(usize),
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStored { table, data_type, element: 0 } => {
                write!(f, "table {table} does not store {data_type}")
            }
            Self::NotStored { table, data_type, element } => {
                write!(f, "table {table} does not store element {element} of {data_type}")
            }
            Self::NotANumber(data_type) => write!(f, "{data_type} is no number"),
            Self::NeedsCost(data_type) => {
                write!(f, "a limit on {data_type} needs a cost: how many bytes a request is")
            }
            Self::NotCounted(data_type) => write!(f, "a request adds nothing to {data_type}"),
            Self::CostsDiffer(data_type) => {
                write!(f, "a request costs differently in limits on {data_type}")
            }
            Self::Name(name) => write!(f, "`{name}` has characters that no name of a limit has"),
            Self::NameTwice(name) => write!(f, "two limits are named `{name}`"),
            Self::Prefix(bits) => write!(f, "no address has {bits} bits"),
            Self::TooMany(max) => write!(f, "more than {max} tiers or limits"),
        }
    }
}

impl std::error::Error for LimitError {}

/// What is done with a request that cannot be counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Failing {
    /// It goes on, and is counted in [`Statistics`](super::Statistics).
    #[default]
    Open,
    /// It is refused, as a fault of the server.
    Closed,
}

/// Which header fields tell clients of their limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) standard: bool,
    pub(super) x: bool,
}

impl Fields {
    pub(super) const fn any(self) -> bool {
        self.standard || self.x
    }
}

type OnRefusal = dyn Fn(&Refusal, &Head<'_>) + Send + Sync;
type Respond = dyn Fn(&Refusal, &Head<'_>) -> Response<Bytes> + Send + Sync;

/// Everything that a limiter goes by, checked. Made by [`Limits::builder`].
pub struct Limits {
    pub(super) client: Client,
    pub(super) allowed: Networks,
    pub(super) tiers: Box<[CompiledTier]>,
    pub(super) count_refused: bool,
    pub(super) failing: Failing,
    pub(super) fields: Fields,
    pub(super) policy: HeaderValue,
    pub(super) on_refusal: Option<Box<OnRefusal>>,
    pub(super) respond: Option<Box<Respond>>,
}

impl Limits {
    /// Begins with no limit at all.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limits")
            .field("client", &self.client)
            .field("allowed", &self.allowed)
            .field("tiers", &self.tiers)
            .field("count_refused", &self.count_refused)
            .field("failing", &self.failing)
            .field("fields", &self.fields)
            .finish_non_exhaustive()
    }
}

/// Makes [`Limits`].
#[derive(Default)]
#[must_use]
pub struct Builder {
    client: Client,
    allowed: Vec<IpNet>,
    tiers: Vec<Tier>,
    refused_uncounted: bool,
    shadow: bool,
    failing: Failing,
    fields: Fields,
    on_refusal: Option<Box<OnRefusal>>,
    respond: Option<Box<Respond>>,
}

impl Builder {
    /// Sets where the client's address is found.
    pub fn client(mut self, client: Client) -> Self {
        self.client = client;
        self
    }

    /// Lets clients of a network pass: they are neither counted nor refused.
    pub fn allow(mut self, network: IpNet) -> Self {
        self.allowed.push(network);
        self
    }

    /// Adds a tier.
    pub fn tier(mut self, tier: Tier) -> Self {
        self.tiers.push(tier);
        self
    }

    /// Leaves a request that is refused out of the counts. The default is to count it, as HAProxy does where a rule tracks before another
    /// one denies: then who goes on asking goes on being refused.
    ///
    /// Of several requests that come at the same moment, some may then be both counted and refused: never are more let in.
    pub const fn refused_uncounted(mut self) -> Self {
        self.refused_uncounted = true;
        self
    }

    /// Refuses nothing, also where it cannot count. A request that would have been refused is told to [`on_refusal`](Self::on_refusal) and the log, and has the
    /// [`Refusal`] among its extensions when it gets to the service.
    pub const fn shadow(mut self) -> Self {
        self.shadow = true;
        self
    }

    /// Sets what is done when a table is full of entries in use, or a request has no key.
    pub const fn failing(mut self, failing: Failing) -> Self {
        self.failing = failing;
        self
    }

    /// Adds `RateLimit-Policy` and `RateLimit` to every response (draft-ietf-httpapi-ratelimit-headers, the form of structured fields).
    pub const fn ratelimit_fields(mut self) -> Self {
        self.fields.standard = true;
        self
    }

    /// Adds `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset`, of the strictest limit, to every
    /// response. The last one is in seconds from now.
    pub const fn x_ratelimit_fields(mut self) -> Self {
        self.fields.x = true;
        self
    }

    /// Calls this for each request that is refused, or would be in shadow mode.
    pub fn on_refusal(
        mut self,
        call: impl Fn(&Refusal, &Head<'_>) + Send + Sync + 'static,
    ) -> Self {
        self.on_refusal = Some(Box::new(call));
        self
    }

    /// Makes the response to a refused request. Fields of limits and `Retry-After` are added unless it has them.
    pub fn respond(
        mut self,
        respond: impl Fn(&Refusal, &Head<'_>) -> Response<Bytes> + Send + Sync + 'static,
    ) -> Self {
        self.respond = Some(Box::new(respond));
        self
    }

    /// Checks everything against the tables.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn build(mut self) -> Result<Limits, LimitError> {
        for limit in self.tiers.iter_mut().flat_map(|tier| &mut tier.limits) {
            limit.shadow |= self.shadow;
        }
        let tiers = compile::tiers(self.tiers)?;
        Ok(Limits {
            client: self.client,
            allowed: self.allowed.into_iter().collect(),
            policy: headers::policy(&tiers),
            tiers,
            count_refused: !self.refused_uncounted,
            failing: if self.shadow { Failing::Open } else { self.failing },
            fields: self.fields,
            on_refusal: self.on_refusal,
            respond: self.respond,
        })
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("tiers", &self.tiers).finish_non_exhaustive()
    }
}

/// Returns whether a type can be compared with a limit.
pub(super) const fn is_number(data_type: DataType) -> bool {
    !matches!(data_type.storage(), Storage::Dict)
}
