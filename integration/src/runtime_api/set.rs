//! `set table`: everything is looked at before anything is created or changed.

use stktable::Tick;

use super::parse::{self, Action, Refusal};
use super::{Api, Level, Reply};
use crate::search::Element;

impl Api {
    /// `set table` and these words.
    pub(super) fn set_table(
        &self,
        words: &[&[u8]],
        level: Level,
        now: Tick,
    ) -> Result<Reply, Refusal> {
        if level < Level::Operator {
            return Err(Refusal::PermissionDenied);
        }
        let (name, words) = words.split_first().ok_or(Refusal::Usage(Action::Set))?;
        let table = self.table_to_change(name)?;
        let declaration = table.declaration();
        let (found, text, words) = match words {
            [b"ptr"] => return Err(Refusal::PtrExpected),
            [b"ptr", text, rest @ ..] => (Some(parse::entry(&table, text, now)?), text, rest),
            [b"key"] => return Err(Refusal::KeyExpected),
            [b"key", text, rest @ ..] => (None, text, rest),
            [first, ..] if first.starts_with(b"data.") => return Err(Refusal::SetWithFilter),
            _ => return Err(Refusal::Usage(Action::Set)),
        };
        let key = match &found {
            Some(entry) => entry.key(),
            None => parse::key(declaration, text, Action::Set)?,
        };
        let mut values = Vec::with_capacity(words.len() / 2);
        for pair in words.chunks(2) {
            let name = pair[0].strip_prefix(b"data.").ok_or(Refusal::NoColumn)?;
            let element = Element::parse(declaration, name).map_err(Refusal::Column)?;
            let value = pair.get(1).and_then(|text| parse::number(text)).ok_or(Refusal::NoValue)?;
            values.push((element, value));
        }
        let entry = match found {
            Some(entry) => entry,
            None => table.get_or_create(&key, now).map_err(|full| {
                tracing::warn!("set table: {full}");
                Refusal::TableFull
            })?,
        };
        for (Element { data_type, index }, value) in values {
            // Fails where the value is not kept (`server_key`); the column is declared.
            let _ = entry.set(data_type, index, value, now);
        }
        entry.touch(now);
        Ok(Reply::text(""))
    }
}
