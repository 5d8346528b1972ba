//! What is done with maps and tables.

/// A workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Workload {
    /// Look up keys that are there.
    Get,
    /// Look up sixteen keys that are there, at once where the map can.
    Get16,
    /// 90 % look-ups, 5 % inserts, 5 % removals, over twice the keys, half of them present.
    Mixed,
    /// The same with 50, 25 and 25 %.
    Half,
    /// Insert a fresh key, remove an old one.
    Churn,
    /// Look at a hundred entries in order, from one that is there.
    Scan,
    /// Insert at "now + n", take the first if it is due.
    Expiry,
    /// Tables: look up or create a client, count in two counters and a rate.
    Track,
    /// Tables: look up or create a client, and set its counters and its rate to what a peer says.
    Ingest,
}

impl Workload {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Get,
        Self::Get16,
        Self::Mixed,
        Self::Half,
        Self::Churn,
        Self::Scan,
        Self::Expiry,
        Self::Track,
        Self::Ingest,
    ];

    /// Returns the name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Get16 => "get 16",
            Self::Mixed => "90/5/5",
            Self::Half => "50/25/25",
            Self::Churn => "churn",
            Self::Scan => "scan of 100",
            Self::Expiry => "expiry",
            Self::Track => "track",
            Self::Ingest => "ingest",
        }
    }

    /// Says what is done, in a sentence.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::Get => "Looks up keys that are there.",
            Self::Get16 => "Looks up sixteen keys that are there, at once where the map can.",
            Self::Mixed => {
                "90 % look-ups, 5 % inserts, 5 % removals, over twice the keys, half of them present."
            }
            Self::Half => {
                "50 % look-ups, 25 % inserts, 25 % removals, over twice the keys, half of them present."
            }
            Self::Churn => "Inserts a fresh key, removes an old one.",
            Self::Scan => "Looks at a hundred entries in order, from one that is there.",
            Self::Expiry => "Inserts a timer at \"now + n\", takes the first if it is due.",
            Self::Track => {
                "Looks up or creates a client, counts in two counters and a rate; ours refreshes expiry and update order too."
            }
            Self::Ingest => {
                "Looks up or creates a client, and sets its two counters and its rate to what a peer says."
            }
        }
    }

    /// Whether it is work for tables of clients, not for maps.
    #[must_use]
    pub const fn is_of_tables(self) -> bool {
        matches!(self, Self::Track | Self::Ingest)
    }

    /// Whether keys are drawn, so that how they are spread matters.
    #[must_use]
    pub const fn draws_keys(self) -> bool {
        !matches!(self, Self::Churn | Self::Expiry)
    }
}
