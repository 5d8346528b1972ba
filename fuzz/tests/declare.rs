//! A declaration that is taken prints as a line that declares the same, and makes a table that works.

use bolero::{check, produce};
use fuzz::grammar::Table;
use stktable::declare::{Declaration, Parsed, Scope, Word, split};
use stktable::{StickTable, Tick};

/// Judges what was found in words of the first so many lines.
fn judge(parsed: &Parsed, scope: Scope<'_>, lines: u32) {
    assert_eq!(parsed.declaration.is_some(), parsed.errors.is_empty());
    for error in &parsed.errors {
        assert!(!error.to_string().is_empty() && !error.kind.to_string().is_empty());
        assert!((1..=lines).contains(&error.line) && error.column >= 1, "{error}");
    }
    for warning in &parsed.warnings {
        assert!((1..=lines).contains(&warning.line) && warning.column >= 1);
        assert!(!warning.kind.to_string().is_empty());
    }
    let Some(declaration) = &parsed.declaration else { return };
    assert!(declaration.size > 0 && declaration.expire_ms <= i32::MAX.cast_unsigned());
    assert!((1..=1024).contains(&declaration.brates_factor));
    assert!(declaration.columns.is_sorted_by(|a, b| a.data_type < b.data_type));
    for column in &declaration.columns {
        let most = if column.data_type.is_array() { 100 } else { 1 };
        assert!((1..=most).contains(&column.elements), "{column:?}");
        assert_eq!(column.data_type.is_rate(), column.period_ms >= 2, "{column:?}");
    }
    let line = declaration.to_string();
    let again = Declaration::parse(&line, scope);
    assert_eq!(again.declaration.as_ref(), Some(declaration), "{line}");
    assert_eq!(again.warnings, [], "{line}");
    assert_eq!(again.declaration.map(|again| again.to_string()), Some(line));
    if declaration.size <= 1 << 20 {
        let table = StickTable::new(declaration.clone());
        let bytes = vec![0x61; declaration.key.size() as usize];
        let key = declaration.key.key(&bytes).expect("as wide as the table's keys");
        let entry = table.get_or_create(&key, Tick(1)).expect("there is room");
        for column in &declaration.columns {
            let last = column.elements - 1;
            if column.data_type.name() != "server_key" {
                assert_eq!(entry.read(column.data_type, last, Tick(1)), Some(0));
                assert_eq!(entry.read(column.data_type, last + 1, Tick(1)), None);
            }
        }
    }
}

#[test]
fn any_declaration_survives_its_own_line() {
    check!().with_max_len(1 << 10).with_generator(produce::<Table>()).for_each(|table| {
        let arguments = table.arguments();
        let name = table.name();
        for (first, scope) in [
            (vec!["table", name], Scope::Peers("mesh")),
            (vec!["stick-table"], Scope::Proxy("web")),
        ] {
            let words = first.into_iter().chain(arguments.iter().flat_map(|word| word.split(' ')));
            let words: Vec<_> = words
                .enumerate()
                .map(|(at, text)| Word {
                    text,
                    line: u32::try_from(at / 4).unwrap_or(0) + 1,
                    column: u32::try_from(at % 4).unwrap_or(0) + 1,
                })
                .collect();
            let lines = u32::try_from(words.len() / 4).unwrap_or(0) + 1;
            judge(&Declaration::from_words(&words, scope), scope, lines);
            let line = words.iter().map(|word| word.text).collect::<Vec<_>>().join(" ");
            judge(&Declaration::parse(&line, scope), scope, 1);
        }
    });
}

#[test]
fn any_text_is_cut_into_words() {
    check!().with_type::<String>().for_each(|text| {
        let mut from = 0;
        for word in split(text) {
            assert!(!word.text.is_empty() && !word.text.contains(char::is_whitespace));
            let at = text[from..].find(word.text).map(|at| from + at).expect("a part of the text");
            let column = text.chars().count();
            assert!(word.column as usize <= column && word.line == 1);
            from = at + word.text.len();
        }
        assert!(text[from..].trim().is_empty(), "nothing is left");
        for scope in [Scope::Peers("mesh"), Scope::Proxy("web")] {
            judge(&Declaration::parse(text, scope), scope, 1);
        }
    });
}
