//! The entries that `show table` prints, piece by piece.

use std::ops::ControlFlow;
use std::sync::Arc;

use stktable::Tick;

use super::PIECE_BYTES;
use super::line::{Form, header, header_json, line_json};
use crate::search::{Query, Search};
use crate::shared::SharedTable;

/// A dump under way. Between two pieces it holds no entry.
#[derive(Debug)]
pub(super) struct Dump {
    search: Search,
    /// `None` for JSON.
    form: Option<Form>,
    has_begun: bool,
}

impl Dump {
    pub(super) fn new(table: Arc<SharedTable>, query: Query, json: bool) -> Self {
        let form = (!json).then(|| Form::of(&table));
        Self { search: Search::new(table, query), form, has_begun: false }
    }

    /// Appends the next lines. Returns whether there is more.
    pub(super) fn next(&mut self, now: Tick, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        if !std::mem::replace(&mut self.has_begun, true) {
            let begin = if self.form.is_none() { header_json } else { header };
            out.extend_from_slice(begin(self.search.table()).as_bytes());
        }
        let form = self.form.as_ref();
        self.search.next(now, |entry| {
            match form {
                Some(form) => form.line(entry, now, out),
                None => line_json(entry, now, out),
            }
            let full = out.len() - start >= PIECE_BYTES;
            if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    }
}
