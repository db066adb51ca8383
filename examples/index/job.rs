//! The MTA's part: the job, and the readers.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::time::UNIX_EPOCH;

use apartment::{CallError, PostOptions, Proxy, is_cancelled};
use walkdir::{DirEntry, WalkDir};

use crate::db::{Entry, Index, Known, Writer};
use crate::stop::{Cancelled, Failure, Stop};
use crate::ui::Screen;

/// A reader holds a whole text in memory.
const LARGEST_TEXT: u64 = 64 << 20;
/// Segments are merged while files are still being read: after 32, 64, 128 and so on, later after 1024 more each time.
/// No more often and no longer, because a row that is sent away meanwhile comes again only after a tenth of a second.
const FIRST_MERGE: usize = 32;
const FILES_TO_A_MERGE: usize = 1024;
const STEPS_TO_A_MERGE: usize = 64;

pub(crate) struct Job {
    pub(crate) index: Proxy<Index>,
    pub(crate) screen: Proxy<RefCell<Screen>>,
    pub(crate) reader: Proxy<Reader>,
    pub(crate) stop: Stop,
}

impl Job {
    /// Takes out of the index what is no longer so, and hands out the files that are missing in it.
    pub(crate) fn run(&self, root: &Path, database: &Path) -> Result<(), Failure> {
        let calls = self.stop.calls();
        let (index, screen) = (self.index.with(&calls), self.screen.with(&calls));
        let mut known = index.call(|index| index.known())??;
        let before = known.len();
        let missing = self.look(root, &fs::canonicalize(database)?, &mut known)?;
        let changed = missing.iter().filter(|file| known.contains_key(&file.path)).count();
        let (unchanged, gone) = (before - known.len(), known.len() - changed);
        screen.call_mut(|screen| screen.found(missing.len(), unchanged, gone))?;

        let outdated = known.into_values().map(|(id, _)| id).collect();
        index.call(|index| index.remove(outdated))??;
        let room = PostOptions::new().wait_for_room();
        let mut merge_at = FIRST_MERGE;
        for (nth, file) in (1..).zip(missing) {
            if is_cancelled() {
                return Err(Cancelled.into());
            }
            self.reader.with(&room).post(move |reader| reader.take(&file)).map_err(CallError::from)?;
            if nth == merge_at {
                index.call(|index| index.merge(STEPS_TO_A_MERGE))??;
                merge_at += nth.min(FILES_TO_A_MERGE);
            }
        }
        Ok(())
    }

    /// The files that are to be read. What this leaves in `known` is no longer so.
    fn look(&self, root: &Path, database: &Path, known: &mut HashMap<String, Known>) -> Result<Vec<Entry>, Failure> {
        let calls = self.stop.calls();
        let screen = self.screen.with(&calls);
        let mut missing = Vec::new();
        for (seen, found) in WalkDir::new(root).into_iter().filter_entry(is_wanted).enumerate() {
            if seen % 256 == 0 {
                screen.call_mut(|screen| screen.doing(format!("looking, {seen} seen")))?;
            }
            match entry(found, database) {
                Ok(Some(file)) if known.get(&file.path).is_some_and(|(_, stamp)| *stamp == file.stamp) => {
                    known.remove(&file.path);
                }
                Ok(Some(file)) => missing.push(file),
                Ok(None) => {}
                Err(why) => screen.call_mut(|screen| screen.skipped(&why.to_string()))?,
            }
        }
        Ok(missing)
    }
}

fn is_wanted(entry: &DirEntry) -> bool {
    let name = entry.file_name();
    entry.depth() == 0 || !entry.file_type().is_dir() || (name != ".git" && name != "target")
}

/// What has been found, if it is a file, and not the database or what SQLite puts beside it.
fn entry(found: walkdir::Result<DirEntry>, database: &Path) -> Result<Option<Entry>, Failure> {
    let found = found?;
    let metadata = found.metadata()?;
    let path = found.path().to_str().ok_or_else(|| format!("{}: its name is not Unicode", found.path().display()))?;
    let end = database.to_str().and_then(|database| path.strip_prefix(database));
    if !metadata.is_file() || end.is_some_and(|end| ["", "-journal", "-wal", "-shm"].contains(&end)) {
        return Ok(None);
    }
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let stamp = (modified.map_or(0, |since| since.as_nanos() as i64), metadata.len() as i64);
    Ok(Some(Entry { path: path.into(), stamp }))
}

pub(crate) struct Reader {
    pub(crate) writer: Proxy<Writer>,
    pub(crate) screen: Proxy<RefCell<Screen>>,
    pub(crate) stop: Stop,
}

impl Reader {
    fn take(&self, file: &Entry) {
        // What was posted before the job was ended is still served: there is nothing left to do then.
        if self.stop.is_asked() {
            return;
        }
        if let Err(failure) = self.read(file) {
            self.stop.because(failure);
        }
    }

    fn read(&self, file: &Entry) -> Result<(), Failure> {
        let calls = self.stop.calls();
        let screen = self.screen.with(&calls);
        match text(&file.path) {
            Ok(text) => {
                let (words, parts) = words(&text);
                self.writer.with(&calls).call(|writer| writer.put(file, &text, &parts))??;
                screen.call_mut(|screen| screen.read(words, text.len()))?;
            }
            Err(why) => screen.call_mut(|screen| screen.skipped(&format!("{}: {why}", file.path)))?,
        }
        Ok(())
    }
}

fn text(path: &str) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST_TEXT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST_TEXT {
        return Err("too large".into());
    }
    if bytes.contains(&0) {
        return Err("binary".into());
    }
    String::from_utf8(bytes).map_err(|_| "not UTF-8".into())
}

/// Counts the words, and takes apart those that are several in one: FTS5 would not find `retryLater` by `later`.
fn words(text: &str) -> (usize, String) {
    let mut count = 0;
    let mut parts = String::new();
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        count += 1;
        let mut parted = String::new();
        for c in word.chars() {
            if c.is_uppercase() && parted.ends_with(char::is_lowercase) {
                parted.push(' ');
            }
            parted.push(c);
        }
        if parted != word {
            parts.extend([&parted, " "]);
        }
    }
    (count, parts)
}
