//! Configurations in files and folders.

use std::fs;
use std::path::PathBuf;

use stktable_integration::config::{self, Context};

#[test]
fn files_and_folders_are_loaded() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("config-load");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(folder.join("empty")).unwrap();
    let put = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
    put("20.cfg", "peers p\n peer a *:1\n");
    put("10.cfg", "backend b\n stick-table type ip size 1 peers p\n");
    put("30.txt", "nonsense\n");
    put(".40.cfg", "nonsense\n");
    let names: Vec<_> = config::files(&folder).unwrap();
    assert_eq!(names, [folder.join("10.cfg"), folder.join("20.cfg")]);
    let config = config::load(&[&folder], &Context::EMPTY).unwrap();
    assert_eq!((config.proxy_tables.len(), config.peers.len()), (1, 1));
    assert!(config.peers[0].at.to_string().ends_with("20.cfg:1:1"));
    assert_eq!(
        config::load(&[folder.join("20.cfg"), folder.join("10.cfg")], &Context::EMPTY)
            .unwrap()
            .resolve("a"),
        config.resolve("a").inspect(|setup| assert_eq!(setup.tables.len(), 1)),
    );
    // What is missing is reported beside what is wrong.
    put("bad.cfg", "peers\n");
    let paths = [folder.join("none.cfg"), folder.join("empty"), folder.join("bad.cfg")];
    let error = config::load(&paths, &Context::EMPTY).unwrap_err();
    let text = error.to_string();
    assert_eq!(error.diagnostics.len(), 3, "{text}");
    assert!(text.contains("none.cfg: error: cannot be read"), "{text}");
    assert!(text.contains("empty: error: no file in this folder"), "{text}");
    assert!(text.contains("bad.cfg:1:1: error: `peers`"), "{text}");
}

#[test]
fn a_file_past_the_bound_is_refused() {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("large.cfg");
    // A hole: nothing is written.
    fs::File::create(&file).unwrap().set_len(config::FILE_MAX + 1).unwrap();
    let error = config::load(&[&file], &Context::EMPTY).unwrap_err();
    assert!(error.to_string().ends_with("the file is larger than 64 MiB"), "{error}");
    fs::remove_file(&file).unwrap();
}
