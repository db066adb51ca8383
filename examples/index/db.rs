//! The index, whose connection never leaves `db`, and the way to it, which is `writer`.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::iter;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use apartment::{IncomingCall, MessageFilter, Proxy, RejectedCall, Retry};
use apartment::{RetryFor, ServerCall, is_cancelled, register_filter};
use rusqlite::{Connection, ErrorCode};

use crate::stop::{Cancelled, Failure, Stop};
use crate::ui::{Screen, Tally};

/// Marks a database as an index, so that no other is ever written to.
const APPLICATION: i32 = 0x6170_6978;
/// So little is merged in a step that the bar and Ctrl-C are never far.
const PAGES_TO_A_STEP: i32 = 16;
/// Merging is left to `Index::merge`, and done from two segments on.
const SCHEMA: &str = "
    PRAGMA application_id = 0x61706978;
    CREATE TABLE files(id INTEGER PRIMARY KEY, path TEXT UNIQUE, modified INTEGER, size INTEGER);
    CREATE VIRTUAL TABLE texts USING fts5(text, parts);
    INSERT INTO texts(texts, rank) VALUES('automerge', 0), ('usermerge', 2);
";

/// When a file was modified, and its size: what tells whether it has changed.
pub(crate) type Stamp = (i64, i64);
/// A file in the index, by its number.
pub(crate) type Known = (i64, Stamp);

pub(crate) struct Entry {
    pub(crate) path: String,
    pub(crate) stamp: Stamp,
}

pub(crate) struct Index {
    connection: Connection,
    screen: Proxy<RefCell<Screen>>,
    stop: Stop,
    merging: Rc<Cell<bool>>,
}

impl Index {
    /// Opens or makes an index, and the transaction in which everything else happens until `commit`.
    pub(crate) fn open(
        file: &Path,
        screen: &Proxy<RefCell<Screen>>,
        stop: &Stop,
        tally: &Arc<Tally>,
    ) -> Result<Index, Failure> {
        let connection = Connection::open(file)?;
        connection.busy_timeout(Duration::from_millis(250))?;
        connection.execute_batch("BEGIN IMMEDIATE")?;
        let application: i32 = connection.query_one("PRAGMA application_id", (), |row| row.get(0))?;
        let tables: i64 = connection.query_one("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))?;
        if tables == 0 {
            connection.execute_batch(SCHEMA)?;
        } else if application != APPLICATION {
            return Err(format!("{}: this database is not an index", file.display()).into());
        }
        let merging = Rc::new(Cell::new(false));
        register_filter(Some(Rc::new(Gate { merging: Rc::clone(&merging), tally: Arc::clone(tally) })))?;
        Ok(Index { connection, screen: screen.clone(), stop: stop.clone(), merging })
    }

    pub(crate) fn known(&self) -> Result<HashMap<String, Known>, Failure> {
        let mut files = self.connection.prepare("SELECT path, id, modified, size FROM files")?;
        let files = files.query_map((), |row| Ok((row.get(0)?, (row.get(1)?, (row.get(2)?, row.get(3)?)))))?;
        Ok(files.collect::<Result<_, _>>()?)
    }

    pub(crate) fn remove(&self, mut files: Vec<i64>) -> Result<(), Failure> {
        // FTS5 writes a segment whenever the numbers do not ascend.
        files.sort_unstable();
        for id in files {
            if is_cancelled() {
                return Err(Cancelled.into());
            }
            self.connection.prepare_cached("DELETE FROM texts WHERE rowid = ?1")?.execute([id])?;
            self.connection.prepare_cached("DELETE FROM files WHERE id = ?1")?.execute([id])?;
        }
        Ok(())
    }

    fn put(&self, file: &Entry, text: &str, parts: &str) -> Result<(), Failure> {
        // SQLite itself ends the transaction when the disk is full, say. A row that came after that would stay.
        if self.connection.is_autocommit() {
            return Err("the transaction has been ended".into());
        }
        let Entry { path, stamp: (modified, size) } = file;
        let files = "INSERT INTO files(path, modified, size) VALUES(?1, ?2, ?3)";
        let id = self.connection.prepare_cached(files)?.insert((path, modified, size))?;
        let texts = "INSERT INTO texts(rowid, text, parts) VALUES(?1, ?2, ?3)";
        self.connection.prepare_cached(texts)?.execute((id, text, parts))?;
        Ok(())
    }

    /// Merges the full-text segments, until there is nothing left to merge or for so many steps.
    pub(crate) fn merge(&self, steps: usize) -> Result<(), Failure> {
        self.merging.set(true);
        let merged = self.merge_steps(steps);
        self.merging.set(false);
        merged
    }

    fn merge_steps(&self, steps: usize) -> Result<(), Failure> {
        for step in 1..=steps {
            let before = self.connection.total_changes();
            let merge = "INSERT INTO texts(texts, rank) VALUES('merge', ?1)";
            self.connection.prepare_cached(merge)?.execute([PAGES_TO_A_STEP])?;
            // One change is this statement itself.
            if self.connection.total_changes() - before < 2 {
                break;
            }
            // While this waits for `ui`, `db` can be called. And this is what fails once the job is to end.
            self.screen.with(&self.stop.calls()).call_mut(|screen| screen.doing(format!("merging, step {step}")))?;
        }
        Ok(())
    }

    pub(crate) fn commit(&self) -> Result<(), Failure> {
        Ok(self.connection.execute_batch("COMMIT")?)
    }

    /// The paths of the ten best texts that have all these words, and a snippet of each.
    pub(crate) fn find(&self, words: &str) -> Result<Vec<(String, String)>, Failure> {
        // In quotes nothing is an operator. The empty ones find nothing, where a query without words would be an error.
        let words = words.split_whitespace().map(|word| format!(" \"{}\"", word.replace('"', "\"\"")));
        let words: String = iter::once("\"\"".into()).chain(words).collect();
        let mut hits = self.connection.prepare(
            "SELECT path, snippet(texts, 0, '[', ']', '…', 16) FROM texts JOIN files ON id = texts.rowid
             WHERE texts MATCH ?1 ORDER BY rank LIMIT 10",
        )?;
        let hits = hits.query_map([words], |hit| Ok((hit.get(0)?, hit.get(1)?)))?;
        Ok(hits.collect::<Result<_, _>>()?)
    }
}

/// What to tell of a failure, which may be one of the database in this file.
pub(crate) fn explain(failure: Failure, file: &Path) -> Failure {
    let Some(error) = failure.downcast_ref::<rusqlite::Error>() else { return failure };
    let file = file.display();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy) => format!("{file}: another program has locked this database").into(),
        Some(ErrorCode::NotADatabase) => format!("{file}: this is not a database").into(),
        _ => format!("{file}: {error}").into(),
    }
}

/// The filter of `db`: between two steps of a merge, there is no putting a row in.
struct Gate {
    merging: Rc<Cell<bool>>,
    tally: Arc<Tally>,
}

impl MessageFilter for Gate {
    fn handle_incoming(&self, _: &IncomingCall) -> ServerCall {
        if self.merging.get() {
            return ServerCall::RetryLater;
        }
        self.tally.calls.fetch_add(1, Relaxed);
        ServerCall::Handled
    }
}

/// Hands the readers' rows over. They cannot be patient themselves: only an STA has a message filter.
pub(crate) struct Writer {
    pub(crate) index: Proxy<Index>,
    pub(crate) stop: Stop,
}

impl Writer {
    pub(crate) fn put(&self, file: &Entry, text: &str, parts: &str) -> Result<(), Failure> {
        self.index.with(&self.stop.calls()).call(|index| index.put(file, text, parts))?
    }
}

/// The filter of `writer`: what `db` does not take now, it tries again for a time.
pub(crate) struct Patience {
    pub(crate) retry: RetryFor,
    pub(crate) tally: Arc<Tally>,
}

impl MessageFilter for Patience {
    fn handle_incoming(&self, _: &IncomingCall) -> ServerCall {
        self.tally.calls.fetch_add(1, Relaxed);
        ServerCall::Handled
    }

    fn retry_rejected(&self, call: &RejectedCall) -> Retry {
        let answer = self.retry.retry_rejected(call);
        if answer != Retry::GiveUp {
            self.tally.retries.fetch_add(1, Relaxed);
        }
        answer
    }
}
