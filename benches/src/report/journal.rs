//! The lines of finished jobs, for runs that go on where one ended: `{"of": fingerprint, "job": id, "found": record}`.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::record::Record;

/// What is in a line.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    of: String,
    job: String,
    found: Record,
}

/// A file of lines.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    fingerprint: String,
    finished: HashMap<String, Record>,
}

impl Journal {
    /// Opens a file. With `resume`, lines that have this fingerprint count, and all others stay; without it, the file is
    /// begun anew.
    pub(super) fn open(path: &Path, fingerprint: &str, resume: bool) -> io::Result<Self> {
        let written = match std::fs::read_to_string(path) {
            Ok(written) if resume => written,
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => String::new(),
        };
        let mut options = OpenOptions::new();
        options.create(true).write(true).append(resume).truncate(!resume);
        let mut file = options.open(path)?;
        if !written.is_empty() && !written.ends_with('\n') {
            // A run that was stopped in the midst of a line.
            file.write_all(b"\n")?;
        }
        // A line that cannot be read is a job that is not finished.
        let lines = written.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
        let finished = lines
            .filter(|line| line.of == fingerprint)
            .map(|line| (line.job, line.found))
            .collect();
        Ok(Self { file, fingerprint: fingerprint.to_owned(), finished })
    }

    /// Returns what a job has found, if it is finished.
    pub(super) fn finished(&self, job: &str) -> Option<Record> {
        self.finished.get(job).cloned()
    }

    /// Writes down what a job has found.
    pub(super) fn append(&mut self, job: &str, found: &Record) -> io::Result<()> {
        let line = Line { of: self.fingerprint.clone(), job: job.to_owned(), found: found.clone() };
        let mut line = serde_json::to_vec(&line)?;
        line.push(b'\n');
        self.file.write_all(&line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::garbage::Garbage;

    fn found(peak: u64) -> Record {
        let reclaimer = "a \"name\"".to_owned();
        Record::Garbage(Garbage { reclaimer, removed: 9, peak, peak_without: 1, left: 0 })
    }

    #[test]
    fn goes_on_where_one_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cases.jsonl");
        let mut journal = Journal::open(&path, "a", false).unwrap();
        journal.append("one", &found(1)).unwrap();
        journal.append("two", &found(2)).unwrap();
        // The second line is cut off.
        let written = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, &written[..written.len() - 5]).unwrap();

        let mut journal = Journal::open(&path, "a", true).unwrap();
        assert_eq!(journal.finished("one"), Some(found(1)));
        assert_eq!(journal.finished("two"), None);
        journal.append("two", &found(3)).unwrap();
        assert_eq!(Journal::open(&path, "a", true).unwrap().finished("two"), Some(found(3)));
        // Of another machine, program or plan.
        assert_eq!(Journal::open(&path, "b", true).unwrap().finished("one"), None);
        // Begun anew.
        assert_eq!(Journal::open(&path, "a", false).unwrap().finished("one"), None);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "");
    }
}
