//! Who takes part, and who is compared with whom.

use serde::{Deserialize, Serialize};

/// What a contestant is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Our tree or table, as it is.
    Ours,
    /// Our tree with another crate's reclaimer.
    Reclaimer,
    /// A single-threaded map behind locks.
    Locked,
    /// Another crate's.
    Rival,
}

/// A contestant's name and role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// What it is called in reports.
    pub name: String,
    /// What it is to us.
    pub role: Role,
    /// The one of ours that differs in nothing but the reclaimer: it is compared with that alone.
    pub twin: Option<String>,
}

impl Who {
    fn new(name: &str, role: Role) -> Self {
        Self { name: name.to_owned(), role, twin: None }
    }

    /// One of ours.
    #[must_use]
    pub fn ours(name: &str) -> Self {
        Self::new(name, Role::Ours)
    }

    /// One behind locks.
    #[must_use]
    pub fn locked(name: &str) -> Self {
        Self::new(name, Role::Locked)
    }

    /// Another crate's.
    #[must_use]
    pub fn rival(name: &str) -> Self {
        Self::new(name, Role::Rival)
    }

    /// What `twin` is, with another reclaimer.
    #[must_use]
    pub fn reclaimer(name: &str, twin: &str) -> Self {
        Self { twin: Some(twin.to_owned()), ..Self::new(name, Role::Reclaimer) }
    }

    /// Whether this, which is not ours, is to be compared with that one of ours.
    #[must_use]
    pub fn is_compared_with(&self, ours: &Self) -> bool {
        ours.role == Role::Ours
            && self.role != Role::Ours
            && self.twin.as_ref().is_none_or(|twin| *twin == ours.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_is_compared_with_like() {
        let (plain, fanned) = (Who::ours("tree"), Who::ours("fanned"));
        let epoch = Who::reclaimer("fanned, epoch", "fanned");
        assert!(epoch.is_compared_with(&fanned) && !epoch.is_compared_with(&plain));
        assert!(Who::locked("lock").is_compared_with(&plain));
        assert!(!plain.is_compared_with(&fanned) && !plain.is_compared_with(&epoch));
    }
}
