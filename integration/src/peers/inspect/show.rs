//! What was seen, as a line of text or as JSON.

use std::fmt;

use serde_json::{Map, Value as Json, json};
use stktable::DataType;

use super::{Columns, Seen, Shown, Update, What};
use crate::peers::codec::{Control, ErrorMessage};

/// How much of a message is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// What kind of message it is.
    Kind,
    /// Of which table, with which number.
    Numbers,
    /// And the key.
    Key,
    /// And all values.
    All,
}

const fn control(control: Control) -> &'static str {
    match control {
        Control::ResyncRequest => "resync request",
        Control::ResyncFinished => "resync finished",
        Control::ResyncPartial => "resync partial",
        Control::ResyncConfirm => "resync confirm",
        Control::Heartbeat => "heartbeat",
    }
}

const fn error(error: ErrorMessage) -> &'static str {
    match error {
        ErrorMessage::Protocol => "protocol error",
        ErrorMessage::SizeLimit => "size limit error",
    }
}

/// Writes the name of a column, with the element of an array.
fn column(data_type: DataType, index: u32) -> String {
    if data_type.is_array() { format!("{data_type}[{index}]") } else { data_type.name().to_owned() }
}

impl What {
    /// Returns the name of the kind.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Hello(_) => "hello",
            Self::Status(_) => "status",
            Self::Control(kind) => control(*kind),
            Self::Error(kind) => error(*kind),
            Self::Definition { .. } => "definition",
            Self::Switch { .. } => "switch",
            Self::Update(_) => "update",
            Self::Ack(_) | Self::BadAck(_) => "ack",
            Self::Unknown { .. } => "unknown",
            Self::Malformed(_) => "malformed",
        }
    }

    /// Writes it, without an end of line.
    ///
    /// # Errors
    /// When `f` fails.
    pub fn show(&self, detail: Detail, f: &mut impl fmt::Write) -> fmt::Result {
        f.write_str(self.kind())?;
        if detail < Detail::Numbers {
            return Ok(());
        }
        match self {
            Self::Hello(line) | Self::Status(line) => write!(f, " {}", line.escape_debug()),
            Self::Control(_) | Self::Error(_) => Ok(()),
            Self::Definition { table, name, columns } => {
                write!(f, " {table} {}", name.escape_debug())?;
                match columns {
                    Err(why) => write!(f, ": not used, {why}"),
                    Ok(columns) if detail >= Detail::All => columns.show(f),
                    Ok(_) => Ok(()),
                }
            }
            Self::Switch { table, name } => {
                write!(
                    f,
                    " {table} {}",
                    name.as_deref().unwrap_or("(not announced)").escape_debug()
                )
            }
            Self::Update(update) => update.show(detail, f),
            Self::Ack(ack) => write!(f, " {} update {}", ack.table_id, ack.update_id),
            Self::BadAck(error) | Self::Malformed(error) => write!(f, ": {error}"),
            Self::Unknown { class, ty, body } => {
                write!(f, " class {class} type {ty}, {body} bytes")
            }
        }
    }
}

impl Columns {
    fn show(&self, f: &mut impl fmt::Write) -> fmt::Result {
        write!(f, ": {}", self.key)?;
        if let Some(expire_ms) = self.expire_ms {
            write!(f, ", expire {expire_ms} ms")?;
        }
        for (at, (data_type, elements)) in self.types.iter().enumerate() {
            f.write_str(if at == 0 { ", " } else { "," })?;
            f.write_str(data_type.name())?;
            if data_type.is_array() {
                write!(f, "({elements})")?;
            }
        }
        Ok(())
    }
}

impl Update {
    fn show(&self, detail: Detail, f: &mut impl fmt::Write) -> fmt::Result {
        let Some(table) = &self.table else {
            return f.write_str(" of a table that was not announced");
        };
        match self.effective_id {
            Some(id) => write!(f, " {id} of {}", table.escape_debug())?,
            None => write!(f, " of {}", table.escape_debug())?,
        }
        if detail >= Detail::Key
            && let Some(key) = &self.key
        {
            write!(f, " key={key}")?;
        }
        if detail >= Detail::All {
            if let Some(expire_ms) = self.expire_ms {
                write!(f, " exp={expire_ms}")?;
            }
            for (data_type, index, value) in &self.values {
                write!(f, " {}=", column(*data_type, *index))?;
                match value {
                    Shown::Number(number) => write!(f, "{number}")?,
                    Shown::Rate(rate) => {
                        write!(f, "{}+{}@{}ms", rate.current, rate.previous, rate.elapsed_ms)?;
                    }
                    Shown::Name(None) => f.write_char('-')?,
                    Shown::Name(Some((id, None))) => write!(f, "#{id}")?,
                    Shown::Name(Some((_, Some(name)))) => write!(f, "{}", name.escape_debug())?,
                }
            }
        }
        if let Some(error) = self.error {
            write!(f, ": {error}")?;
        }
        Ok(())
    }

    fn json(&self) -> Json {
        let values = self.values.iter().map(|(data_type, index, value)| {
            let value = match value {
                Shown::Number(number) => match u64::try_from(*number) {
                    Ok(number) => json!(number),
                    Err(_) => json!(i64::try_from(*number).ok()),
                },
                Shown::Rate(rate) => json!([rate.elapsed_ms, rate.current, rate.previous]),
                Shown::Name(None) => Json::Null,
                Shown::Name(Some((id, name))) => json!({ "id": id, "value": name }),
            };
            (column(*data_type, *index), value)
        });
        json!({
            "table": self.table,
            "update_id": self.id,
            "effective_id": self.effective_id,
            "expire_ms": self.expire_ms,
            "key": self.key,
            "values": values.collect::<Map<_, _>>(),
            "error": self.error.map(|error| error.to_string()),
        })
    }
}

impl Seen {
    /// Returns it as an object.
    #[must_use]
    pub fn json(&self) -> Json {
        let mut object =
            json!({ "offset": self.offset, "size": self.size, "name": self.what.kind() });
        let (name, more) = match &self.what {
            What::Hello(line) | What::Status(line) => ("text", json!(line)),
            What::Control(_) | What::Error(_) => return object,
            What::Definition { table, name, columns } => {
                let mut definition = json!({ "sender_table_id": table, "table": name });
                match columns {
                    Ok(columns) => {
                        let types =
                            columns.types.iter().map(|(data_type, elements)| {
                                match data_type.is_array() {
                                    true => {
                                        json!({ "name": data_type.name(), "elements": elements })
                                    }
                                    false => json!(data_type.name()),
                                }
                            });
                        definition["key_type"] = json!(columns.key);
                        definition["expire_ms"] = json!(columns.expire_ms);
                        definition["data_types"] = types.collect();
                    }
                    Err(why) => definition["ignored"] = json!(why),
                }
                ("definition", definition)
            }
            What::Switch { table, name } => {
                ("switch", json!({ "sender_table_id": table, "table": name }))
            }
            What::Update(update) => ("update", update.json()),
            What::Ack(ack) => {
                ("ack", json!({ "table_id": ack.table_id, "update_id": ack.update_id }))
            }
            What::BadAck(error) | What::Malformed(error) => ("error", json!(error.to_string())),
            What::Unknown { class, ty, body } => {
                ("unknown", json!({ "class": class, "type": ty, "bytes": body }))
            }
        };
        object[name] = more;
        object
    }
}

/// Writes all of it, with where it begins.
impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>8} {:>5}  ", self.offset, self.size)?;
        self.what.show(Detail::All, f)
    }
}
