//! What `show table` is asked for beside HAProxy's filters: which entries, how many, in which order, in which form.
//!
//! ```text
//! show table NAME [data.TYPE OP VALUE]... [prefix NETWORK] [after KEY] [limit N] [sort by data.TYPE] [top N by data.TYPE] [json]
//! ```
//!
//! In any order, each once. `top N by data.TYPE` is `sort by data.TYPE limit N`.

use std::str;

use stktable::Declaration;

use super::parse::{self, Action, Refusal};
use crate::search::{Element, Query, SORTED_MAX};

/// What is wrong with one of our own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum QueryError {
    /// It was there before.
    Twice(&'static str),
    /// What follows it is missing, or is something else.
    Expected(&'static str, &'static str),
    /// `sort` without a limit, or with one that is too large.
    SortLimit,
    /// `sort` with `after`.
    SortAfter,
}

impl std::fmt::Display for QueryError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Twice(word) => write!(f, "'{word}' is there twice"),
            Self::Expected(word, what) => write!(f, "'{word}' needs {what}"),
            Self::SortLimit => write!(f, "'sort' needs 'limit N' with N up to {SORTED_MAX}"),
            Self::SortAfter => {
                f.write_str("'after' goes with the order of the table, not with 'sort' or 'top'")
            }
        }
    }
}

/// Whether a word is one of ours.
pub(super) fn is_ours(word: &[u8]) -> bool {
    matches!(word, b"prefix" | b"after" | b"limit" | b"sort" | b"top" | b"json")
}

/// Sets what may be set once.
fn once<T>(place: &mut Option<T>, value: T, word: &'static str) -> Result<(), QueryError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(QueryError::Twice(word)),
    }
}

/// Reads the words after the name of a table: what is asked for, and whether it is to be JSON.
pub(super) fn read(declaration: &Declaration, words: &[&[u8]]) -> Result<(Query, bool), Refusal> {
    let (mut query, mut json) = (Query::default(), false);
    let mut filters = Vec::new();
    let mut words = words.iter().copied();
    let element = |by: Option<&[u8]>, name: Option<&[u8]>, word| {
        let needs = QueryError::Expected(word, "'by data.TYPE'");
        let name = name.filter(|_| by == Some(b"by")).and_then(|name| name.strip_prefix(b"data."));
        let name = name.ok_or(Refusal::Query(needs))?;
        Element::parse(declaration, name).map_err(Refusal::Column)
    };
    while let Some(word) = words.next() {
        match word {
            b"json" if json => return Err(Refusal::Query(QueryError::Twice("json"))),
            b"json" => json = true,
            b"limit" => once(&mut query.limit, count(words.next(), "limit")?, "limit")?,
            b"top" => {
                once(&mut query.limit, count(words.next(), "top")?, "limit")?;
                once(&mut query.sort, element(words.next(), words.next(), "top")?, "sort")?;
            }
            b"sort" => {
                once(&mut query.sort, element(words.next(), words.next(), "sort")?, "sort")?;
            }
            b"after" => {
                let text = words.next().ok_or(QueryError::Expected("after", "a key"))?;
                let key = parse::key(declaration, text, Action::Show)?;
                once(&mut query.after, key, "after")?;
            }
            b"prefix" => {
                let text = words.next().and_then(|text| str::from_utf8(text).ok());
                let prefix = text.and_then(|text| declaration.key.parse_prefix(text).ok());
                let needs = QueryError::Expected("prefix", "a network, or what keys begin with");
                once(&mut query.prefix, prefix.ok_or(needs)?, "prefix")?;
            }
            other => {
                filters.push(other);
                // With what belongs to it, which may look like one of our words.
                filters.extend(words.by_ref().take(2));
            }
        }
    }
    if let Some(first) = filters.first()
        && !first.starts_with(b"data.")
    {
        return Err(Refusal::Usage(Action::Show));
    }
    query.filters = parse::filters(declaration, &filters)?;
    if query.sort.is_some() {
        let fits = query.limit.is_some_and(|limit| limit <= SORTED_MAX as u64);
        if !fits {
            return Err(Refusal::Query(QueryError::SortLimit));
        }
        if query.after.is_some() {
            return Err(Refusal::Query(QueryError::SortAfter));
        }
    }
    Ok((query, json))
}

fn count(text: Option<&[u8]>, word: &'static str) -> Result<u64, QueryError> {
    let count = text.and_then(parse::number).and_then(|count| u64::try_from(count).ok());
    count.ok_or(QueryError::Expected(word, "a number"))
}
