//! What is shown of a recorded session is what the recording's own decoder found in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value as Json;
use stktable_integration::peers::inspect::{Detail, Inspector, Seen, What};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/peers-2.6")
}

fn read(bytes: &[u8], piece: usize) -> Vec<Seen> {
    let mut inspector = Inspector::new();
    let mut all = Vec::new();
    bytes.chunks(piece).for_each(|bytes| inspector.read(bytes, |seen| all.push(seen)));
    all
}

fn sides() -> Vec<(PathBuf, Vec<u8>, Json)> {
    let mut sides = Vec::new();
    for file in std::fs::read_dir(folder()).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|end| end != "bin") {
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap();
        let (session, side) = name.strip_suffix(".bin").unwrap().rsplit_once('.').unwrap();
        let json = std::fs::read(folder().join(session).with_extension("json"))
            .or_else(|_| std::fs::read(folder().join(format!("{session}.json"))))
            .unwrap();
        let json: Json = serde_json::from_slice(&json).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        sides.push((path.clone(), bytes, json[side].clone()));
    }
    assert!(sides.len() > 30, "{}", sides.len());
    sides
}

#[test]
fn recorded_sessions_are_shown_as_they_were() {
    let mut updates = 0;
    for (path, bytes, expected) in sides() {
        let seen = read(&bytes, usize::MAX);
        let mut seen = seen.iter().map(Seen::json);
        let is_refused = path.to_str().unwrap().contains("refuse-");
        for line in expected["lines"].as_array().unwrap() {
            let found = seen.next().unwrap();
            assert_eq!(found["offset"], line["offset"], "{path:?}");
            let text = line["text"].as_str().unwrap();
            if !is_refused {
                assert_eq!(found["text"], text.trim_end(), "{path:?}");
            }
        }
        for message in expected["messages"].as_array().unwrap() {
            let found = seen.next().unwrap_or_else(|| panic!("{path:?}: {message}"));
            assert_eq!(found["offset"], message["offset"], "{path:?}: {found}");
            if found["name"] == "malformed" {
                continue;
            }
            assert_eq!(found["size"], message["size"], "{path:?}: {found}");
            if let Some(ack) = message.get("ack") {
                assert_eq!(&found["ack"], ack, "{path:?}");
            }
            if let Some(definition) = message.get("definition") {
                assert_eq!(found["definition"]["table"], definition["table"], "{path:?}");
                assert_eq!(found["definition"]["sender_table_id"], definition["sender_table_id"]);
                assert_eq!(found["definition"]["expire_ms"], definition["expire_ms"]);
            }
            let Some(update) = message.get("update") else { continue };
            if found["update"]["effective_id"].is_null() {
                continue;
            }
            updates += 1;
            assert_eq!(
                found["update"]["effective_id"], update["effective_id"],
                "{path:?}: {update}"
            );
            assert_eq!(found["update"]["update_id"], update["update_id"], "{path:?}: {update}");
            for (name, value) in update["values"].as_object().unwrap() {
                let shown = &found["update"]["values"];
                match (name.as_str(), value) {
                    ("server_key", name) => {
                        let said = &shown["server_key"];
                        assert_eq!(said.get("value").unwrap_or(&Json::Null), name, "{path:?}");
                    }
                    ("gpc" | "gpt" | "gpc_rate", Json::Array(elements)) => {
                        for (at, element) in elements.iter().enumerate() {
                            assert_eq!(
                                &shown[format!("{name}[{at}]")],
                                element,
                                "{path:?}: {name}"
                            );
                        }
                    }
                    _ => assert_eq!(&shown[name], value, "{path:?}: {name}"),
                }
            }
        }
    }
    assert!(updates > 300, "{updates}");
}

#[test]
fn the_pieces_make_no_difference() {
    for (path, bytes, _) in sides() {
        let whole = read(&bytes, usize::MAX);
        for piece in [1, 2, 7, 100] {
            let cut = read(&bytes, piece);
            let is_same = |(whole, cut): (&Seen, &Seen)| {
                // How much of what is malformed had come by then is chance.
                matches!(whole.what, What::Malformed(_)) || whole == cut
            };
            assert_eq!(whole.len(), cut.len(), "{path:?} by {piece}");
            assert!(whole.iter().zip(&cut).all(is_same), "{path:?} by {piece}");
        }
    }
}

#[test]
fn what_begins_amid_a_session_lacks_what_was_said_before() {
    let bytes = std::fs::read(folder().join("full-resync.s2c.bin")).unwrap();
    let whole = read(&bytes, usize::MAX);
    let at = whole.iter().position(|seen| matches!(seen.what, What::Update(_))).unwrap();
    let offset = usize::try_from(whole[at].offset).unwrap();
    let rest = read(&bytes[offset..], usize::MAX);
    assert_eq!(rest.len(), whole.len() - at);
    let What::Update(update) = &rest[0].what else { panic!("{:?}", rest[0]) };
    assert_eq!((update.table.as_deref(), update.key.as_deref()), (None, None));
    let mut line = String::new();
    rest[0].what.show(Detail::All, &mut line).unwrap();
    assert_eq!(line, "update of a table that was not announced");
    // The next table is announced, and from there on all is known.
    let definition =
        rest.iter().position(|seen| matches!(seen.what, What::Definition { .. })).unwrap();
    for (rest, whole) in rest[definition..].iter().zip(&whole[at + definition..]) {
        if !matches!(&whole.what, What::Update(update) if update.values.iter().any(|(ty, ..)| ty.name() == "server_key"))
        {
            assert_eq!(rest.what, whole.what);
        }
    }
}

#[cfg(feature = "daemon")]
#[test]
fn a_file_is_printed() {
    let run = |args: &[&str]| {
        let run = Command::new(env!("CARGO_BIN_EXE_stktabled"));
        let mut run = run;
        let output = run.arg("decode").args(args).current_dir(folder()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, out, err) = run(&["live-updates.s2c.bin"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let lines: Vec<_> = out.lines().map(str::trim).collect();
    assert_eq!(lines[0], "0     4  status 200");
    assert!(
        lines[1].starts_with("4    56  definition 9 /t_ip: ip, expire 600000 ms, server_id,"),
        "{}",
        lines[1]
    );
    assert!(lines[2].contains("update ") && lines[2].contains(" of /t_ip key="), "{}", lines[2]);
    let (code, out, _) = run(&["live-updates.s2c.bin", "--json"]);
    let objects: Vec<Json> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((code, objects.len()), (Some(0), lines.len()));
    assert_eq!(objects[1]["definition"]["key_type"], "ip");

    let (code, out, _) = run(&["error-reserved-class.c2s.bin"]);
    assert_eq!(code, Some(1));
    assert!(out.lines().last().unwrap().contains("malformed: "), "{out}");
    let (code, _, err) = run(&["error-truncated-update.json"]);
    assert_ne!(code, Some(0), "{err}");
    let (code, _, err) = run(&["not-there.bin"]);
    assert_eq!(code, Some(1));
    assert!(err.starts_with("not-there.bin: No such file"), "{err}");
}

/// Neither bytes from outside nor what they hold can break a line.
#[test]
fn no_bytes_panic_or_break_a_line() {
    bolero::check!().with_type::<Vec<u8>>().for_each(|bytes| {
        let mut all = Vec::new();
        let mut inspector = Inspector::new();
        // Tables with and without strings, then anything.
        let known = include_bytes!("fixtures/peers-2.6/dictionary-rollover.s2c.bin");
        inspector.read(&known[..2_000], |_| ());
        for mut inspector in [inspector, Inspector::new()] {
            inspector.read(bytes, |seen| all.push(seen));
        }
        for seen in all {
            assert!(!seen.to_string().contains('\n'), "{seen}");
            assert!(!seen.json().to_string().contains('\n'));
        }
    });
}
