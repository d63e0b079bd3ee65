//! The only writer of the catalogue: one thread, groups of jobs, one
//! transaction and one log sync per group.
//!
//! One writer is what makes conditional puts exact: a job checks and writes
//! with nothing between. A job is answered only after its group committed.

use super::bodies::{Bodies, BodyId, ShardId};
use super::error::{Error, Fault};
use super::outbox::{self, EventName, NewEvent};
use rusqlite::Connection;
use std::collections::BTreeSet;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use tokio::sync::{oneshot, watch};

/// Jobs that may share one transaction.
const MAX_GROUP: usize = 64;

type Answer = Box<dyn FnOnce(Result<(), &Error>) + Send>;
type Job = Box<dyn FnOnce(&mut Batch<'_>) -> Answer + Send>;

/// What one job may do: write rows, and say what follows from them.
pub(super) struct Batch<'a> {
    pub(super) conn: &'a Connection,
    effects: Effects,
    prefixes: &'a [String],
}

/// What follows a commit.
#[derive(Default)]
struct Effects {
    /// Bodies whose rows are gone.
    garbage: Vec<BodyId>,
    /// Directories of new bodies, to be synced before the commit.
    shards: BTreeSet<ShardId>,
    /// The newest event.
    newest: Option<u64>,
}

impl Batch<'_> {
    /// A row names `body` now.
    pub(super) fn added(&mut self, body: BodyId) {
        self.effects.shards.insert(body.shard());
    }

    /// No row names `body` any more.
    pub(super) fn dropped(&mut self, body: BodyId) {
        self.effects.garbage.push(body);
    }

    /// Records an event, if its key lies under a recorded prefix.
    pub(super) fn emit(&mut self, name: EventName, event: NewEvent<'_>) -> rusqlite::Result<()> {
        if self.prefixes.iter().any(|p| event.key.starts_with(p)) {
            self.effects.newest = Some(outbox::insert(self.conn, name, event)?);
        }
        Ok(())
    }

    /// Runs one job in a savepoint: it leaves all of its rows or none.
    fn attempt<T>(&mut self, job: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        self.conn.execute_batch("SAVEPOINT job")?;
        let before = std::mem::take(&mut self.effects);
        let result = job(self);
        let after = std::mem::replace(&mut self.effects, before);
        if result.is_ok() {
            self.effects.absorb(after);
            self.conn.execute_batch("RELEASE job")?;
        } else {
            self.conn.execute_batch("ROLLBACK TO job; RELEASE job")?;
        }
        result
    }
}

impl Effects {
    fn absorb(&mut self, later: Self) {
        self.garbage.extend(later.garbage);
        self.shards.extend(later.shards);
        self.newest = later.newest.or(self.newest);
    }
}

/// The handle to the writer thread. Dropping it waits for jobs under way.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: Option<mpsc::Sender<Job>>,
    newest: watch::Receiver<u64>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the thread. Events are recorded for keys under `prefixes` only.
    pub(super) fn start(
        conn: Connection,
        bodies: Arc<Bodies>,
        prefixes: Vec<String>,
    ) -> Result<Self, Error> {
        let (jobs, queue) = mpsc::channel();
        let (announce, newest) = watch::channel(outbox::newest(&conn)?);
        let thread = std::thread::Builder::new().name("s3-catalogue".into()).spawn(move || {
            let mut work = Work { conn, bodies, prefixes, announce };
            work.run(&queue);
        })?;
        Ok(Self { jobs: Some(jobs), newest, thread: Mutex::new(Some(thread)) })
    }

    /// The newest event's number; changes when one was committed.
    pub(super) fn newest_event(&self) -> watch::Receiver<u64> {
        self.newest.clone()
    }

    /// Runs `job` in a transaction and returns once it is durable. If the
    /// caller stops waiting, the job still runs.
    pub(super) async fn commit<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Batch<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |batch| {
            let result = batch.attempt(job);
            Box::new(move |committed| {
                // Nobody waits if the client has gone.
                let _ = answer.send(match committed {
                    Ok(()) => result,
                    Err(error) => Err(Error::NotCommitted(error.to_string()).into()),
                });
            })
        });
        let jobs = self.jobs.as_ref().ok_or(Error::Stopping)?;
        jobs.send(job).map_err(|_| Error::Stopping)?;
        answered.await.map_err(|_| Error::Stopping)?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        let thread = self.thread.get_mut().map(Option::take);
        if let Ok(Some(thread)) = thread {
            // A panic in it was already reported.
            let _ = thread.join();
        }
    }
}

struct Work {
    conn: Connection,
    bodies: Arc<Bodies>,
    prefixes: Vec<String>,
    announce: watch::Sender<u64>,
}

impl Work {
    fn run(&mut self, queue: &mpsc::Receiver<Job>) {
        while let Ok(first) = queue.recv() {
            let group = std::iter::once(first).chain(queue.try_iter().take(MAX_GROUP - 1));
            let mut answers = Vec::new();
            let committed = self.commit(group, &mut answers);
            if let Err(error) = &committed {
                tracing::error!(%error, jobs = answers.len(), "catalogue commit failed");
            }
            for answer in answers {
                answer(committed.as_ref().map(|_| ()));
            }
            if let Ok(effects) = committed {
                self.follow(effects);
            }
        }
    }

    /// After an error here the group's bodies stay: whether its rows reached
    /// the disk is known only at the next open, which sweeps.
    fn commit(
        &self,
        group: impl Iterator<Item = Job>,
        answers: &mut Vec<Answer>,
    ) -> Result<Effects, Error> {
        let tx = self.conn.unchecked_transaction()?;
        let mut batch = Batch { conn: &tx, effects: Effects::default(), prefixes: &self.prefixes };
        for job in group {
            answers.push(job(&mut batch));
        }
        let effects = batch.effects;
        for shard in &effects.shards {
            self.bodies.sync(*shard)?;
        }
        tx.commit()?;
        Ok(effects)
    }

    fn follow(&self, effects: Effects) {
        if let Some(newest) = effects.newest {
            self.announce.send_replace(newest);
        }
        for body in effects.garbage {
            self.bodies.remove(body);
        }
    }
}
