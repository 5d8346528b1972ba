//! Files and folders on disk.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::diagnostic::{ConfigError, Diagnostic, Location};
use super::reader::Reader;
use super::{Config, Context, DEFAULT, DEFAULT_NAME};

/// The most bytes of one file: 64 MiB.
pub const FILE_MAX: u64 = 64 << 20;

/// Returns what these files and folders say, or [`DEFAULT`] where none is given.
///
/// A folder stands for its files (see [`files`]). Files that cannot be read are reported together with
/// what is wrong in the others.
///
/// # Errors
/// When anything is wrong: all of it.
pub fn load(paths: &[impl AsRef<Path>], context: &Context<'_>) -> Result<Config, ConfigError> {
    let mut reader = Reader::new(context);
    if paths.is_empty() {
        reader.file(DEFAULT_NAME, DEFAULT.as_bytes());
    }
    for path in paths {
        match files(path.as_ref()) {
            Err(error) => reader.report(error),
            Ok(files) => {
                for file in files {
                    let name = file.to_string_lossy();
                    match read(&file) {
                        Ok(contents) => reader.file(&name, &contents),
                        Err(error) => reader.report(unreadable(&file, &error)),
                    }
                }
            }
        }
    }
    reader.finish()
}

/// Returns the files that a path stands for: itself, or what a folder holds whose name ends in `.cfg` and
/// does not begin with a dot, in the order of the bytes of their names.
///
/// # Errors
/// When there is no such path, or no such file in the folder.
pub fn files(path: &Path) -> Result<Vec<PathBuf>, Diagnostic> {
    let unreadable = |error: io::Error| unreadable(path, &error);
    if !fs::metadata(path).map_err(unreadable)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        let bytes = name.as_encoded_bytes();
        if bytes.ends_with(b".cfg") && !bytes.starts_with(b".") {
            files.push(name);
        }
    }
    if files.is_empty() {
        let at = Location::of_file(&path.to_string_lossy());
        return Err(Diagnostic::error(
            at,
            "",
            "no file in this folder ends in `.cfg`; expected one",
        ));
    }
    files.sort();
    Ok(files.into_iter().map(|name| path.join(name)).collect())
}

fn unreadable(path: &Path, error: &io::Error) -> Diagnostic {
    let at = Location::of_file(&path.to_string_lossy());
    Diagnostic::error(at, "", format!("cannot be read: {error}"))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut contents = Vec::new();
    File::open(path)?.take(FILE_MAX + 1).read_to_end(&mut contents)?;
    if contents.len() as u64 > FILE_MAX {
        return Err(io::Error::other("the file is larger than 64 MiB"));
    }
    Ok(contents)
}
