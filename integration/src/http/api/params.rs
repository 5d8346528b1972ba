//! What stands behind the question mark.

use std::borrow::Cow;
use std::str;

use percent_encoding::percent_decode;
use stktable::table::{Comparison, Filter};
use stktable::{Declaration, Key, KeyType};

use crate::http::problem::Problem;
use crate::search::{Element, Query};

/// Filters of one request.
const FILTERS_MAX: usize = 4;

/// Names and values, decoded. Values are bytes: so are keys.
pub(super) struct Params(Vec<(String, Vec<u8>)>);

impl Params {
    pub(super) fn parse(query: Option<&str>) -> Self {
        let pairs = query.unwrap_or("").split('&').filter(|pair| !pair.is_empty());
        let decode = |text: &str| -> Vec<u8> {
            // As forms are written, where a blank is a plus.
            percent_decode(text.replace('+', " ").as_bytes()).collect()
        };
        Self(
            pairs
                .map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (String::from_utf8_lossy(&decode(name)).into_owned(), decode(value))
                })
                .collect(),
        )
    }

    /// Takes what stands under a name, which may be there once.
    pub(super) fn take(&mut self, name: &str) -> Result<Option<Vec<u8>>, Problem> {
        let mut all = self.take_all(name);
        match all.len() {
            0 | 1 => Ok(all.pop()),
            _ => Err(Problem::bad(format!("`{name}` is there twice"))),
        }
    }

    /// The same, as a number from here to there.
    pub(super) fn number(
        &mut self,
        name: &str,
        (least, most): (u64, u64),
    ) -> Result<Option<u64>, Problem> {
        let Some(said) = self.take(name)? else { return Ok(None) };
        let number = str::from_utf8(&said).ok().and_then(|said| said.parse().ok());
        let number = number.filter(|number| (least..=most).contains(number));
        let wrong = || {
            let said = shown(&said);
            Problem::bad(format!("`{name}={said}`: expected a number from {least} to {most}"))
        };
        number.ok_or_else(wrong).map(Some)
    }

    fn take_all(&mut self, name: &str) -> Vec<Vec<u8>> {
        self.0.extract_if(.., |(found, _)| found == name).map(|(_, value)| value).collect()
    }

    /// Ends with what nobody took.
    pub(super) fn end(self, known: &str) -> Result<(), Problem> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(Problem::bad(format!(
                "`{}`: no such parameter; expected {known}",
                name.escape_debug()
            ))),
        }
    }

    /// Takes `prefix` and every `filter`.
    pub(super) fn which(&mut self, declaration: &Declaration) -> Result<Query, Problem> {
        let prefix = self.take("prefix")?.map(|said| {
            let prefix = str::from_utf8(&said).ok();
            let prefix = prefix.and_then(|said| declaration.key.parse_prefix(said).ok());
            prefix.ok_or_else(|| {
                let said = shown(&said);
                Problem::bad(format!(
                    "`prefix={said}`: expected a network, or what keys begin with, for keys of type {}",
                    declaration.key.ty()
                ))
            })
        });
        let filters = self.take_all("filter");
        if filters.len() > FILTERS_MAX {
            return Err(Problem::bad(format!("more than {FILTERS_MAX} of `filter`")));
        }
        let filters = filters.iter().map(|said| filter(declaration, said));
        Ok(Query {
            prefix: prefix.transpose()?,
            filters: filters.collect::<Result<_, _>>()?,
            ..Query::default()
        })
    }

    /// Takes `after`.
    pub(super) fn after(&mut self, declaration: &Declaration) -> Result<Option<Key>, Problem> {
        self.take("after")?.map(|said| key(declaration, &said)).transpose()
    }

    /// Takes `sort`.
    pub(super) fn sort(&mut self, declaration: &Declaration) -> Result<Option<Element>, Problem> {
        self.take("sort")?.map(|said| element(declaration, &said)).transpose()
    }
}

fn shown(bytes: &[u8]) -> Cow<'_, str> {
    let shown: String = String::from_utf8_lossy(bytes).escape_debug().take(100).collect();
    shown.into()
}

fn filter(declaration: &Declaration, said: &[u8]) -> Result<Filter, Problem> {
    let wrong = |what: &str| Problem::bad(format!("`filter={}`: {what}", shown(said)));
    let needs = "expected a data type, one of eq ne le ge lt gt, and a number, such as `gpc0 gt 5`";
    let words = str::from_utf8(said).map_err(|_| wrong(needs))?;
    let words: Vec<_> = words.split_ascii_whitespace().collect();
    let [name, comparison, value] = words.as_slice() else { return Err(wrong(needs)) };
    let element = element(declaration, name.as_bytes())?;
    let comparison = Comparison::from_name(comparison).ok_or_else(|| wrong(needs))?;
    let value = value.parse().map_err(|_| wrong(needs))?;
    Ok(Filter::value(element.data_type, element.index, comparison, value))
}

/// Returns what `TYPE` or `TYPE[INDEX]` names, with or without `data.` before it.
pub(super) fn element(declaration: &Declaration, said: &[u8]) -> Result<Element, Problem> {
    let name = said.strip_prefix(b"data.").unwrap_or(said);
    Element::parse(declaration, name).map_err(|error| {
        let stored: Vec<_> =
            declaration.columns.iter().map(|column| column.data_type.name()).collect();
        let stored = stored.join(", ");
        Problem::bad(format!("`{}`: {error}; this table stores {stored}", shown(said)))
    })
}

/// Returns the key that these bytes mean.
pub(super) fn key(declaration: &Declaration, said: &[u8]) -> Result<Key, Problem> {
    let key = match declaration.key.ty() {
        // Any bytes.
        KeyType::String => declaration.key.key(said).ok(),
        _ => str::from_utf8(said).ok().and_then(|said| declaration.key.parse(said).ok()),
    };
    key.ok_or_else(|| {
        Problem::bad(format!("`{}` is no key of type {}", shown(said), declaration.key.ty()))
    })
}
