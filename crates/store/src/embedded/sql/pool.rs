//! Who has which connection: those that are open, those that are idle, and those that wait.
//!
//! Owns the bounds of an app, of a tenant and in all, and that they are given in the order in which they were asked
//! for. A connection is its thread. Knows no SQL.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc};
use std::thread::{JoinHandle, available_parallelism};
use std::time::{Duration, Instant};

use everwarm_manifest::{AppName, TenantId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::super::disk::Medium;
use super::clock::Clock;
use super::desk::Site;
use super::lease::Lease;
use super::seat::{Message, Seat};
use super::watch::Stop;
use super::{faults, file_of};
use crate::sql::{Database, SqlError, SqlKind, Terms};

/// Connections in all. Each has a thread, four file descriptors and 2 MiB of pages.
pub(super) const CONNECTIONS_MAX: usize = 64;
/// Connections of a tenant's apps.
const CONNECTIONS_OF_TENANT_MAX: usize = 32;
/// Connections of an app.
pub(super) const CONNECTIONS_OF_APP_MAX: usize = 8;
/// Connections that stay open for whoever comes next.
const IDLE_MAX: usize = 32;
/// Callers that wait for a connection, in all.
const WAITING_MAX: usize = 4_096;
/// Callers of an app that wait for a connection.
const WAITING_OF_APP_MAX: usize = 256;
/// Kibibytes of an app's statements that wait or run.
const ROOM_OF_APP_KIB: usize = 16 << 10;
/// Long statements that run at once for each core: some of them wait for the disk.
const RUNNING_OF_CORE: usize = 2;
/// How long it may take until all connections are closed.
const STOP_TIME_MAX: Duration = Duration::from_secs(10);
/// How often it is looked whether they are.
const STOP_LOOK_AGAIN: Duration = Duration::from_micros(200);
/// Shares that are looked through for those that nobody has any more.
const SHARES_KEPT: usize = 256;

/// The connections of a store.
#[derive(Debug)]
pub(super) struct Pool {
    state: Mutex<State>,
    connections: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    running: Arc<Semaphore>,
    running_of_tenant: usize,
    clock: Clock,
    folder: PathBuf,
    medium: Medium,
    cursors: AtomicU64,
    me: Weak<Self>,
}

#[derive(Debug)]
struct State {
    is_open: bool,
    /// Raised when the store is let go.
    closing: Arc<AtomicBool>,
    seats: BTreeMap<u64, Entry>,
    /// The one that was used last is the last.
    idle: VecDeque<u64>,
    /// Threads that were told to close.
    ending: Vec<JoinHandle<()>>,
    next: u64,
    tenants: HashMap<TenantId, Arc<TenantShare>>,
    apps: HashMap<(TenantId, AppName), Arc<AppShare>>,
}

/// A connection's thread.
#[derive(Debug)]
struct Entry {
    database: Database,
    messages: mpsc::Sender<Message>,
    thread: JoinHandle<()>,
    turn: Arc<Semaphore>,
    /// Its statements pass the gate of this one.
    _tenant: Arc<TenantShare>,
}

#[derive(Debug)]
struct TenantShare {
    connections: Arc<Semaphore>,
    running: Arc<Semaphore>,
}

#[derive(Debug)]
struct AppShare {
    connections: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    room: Arc<Semaphore>,
}

/// The right to have a connection.
#[derive(Debug)]
pub(super) struct Permits {
    _held: [OwnedSemaphorePermit; 3],
    _app: Arc<AppShare>,
    _tenant: Arc<TenantShare>,
}

/// Keeps an app's connections from being had.
pub(super) struct Closed {
    _permits: OwnedSemaphorePermit,
    _app: Arc<AppShare>,
}

impl Pool {
    pub(super) fn open(folder: PathBuf, medium: Medium) -> std::io::Result<Arc<Self>> {
        let cores = available_parallelism().map_or(1, usize::from);
        let running = cores * RUNNING_OF_CORE;
        let clock = Clock::start()?;
        Ok(Arc::new_cyclic(|me| Self {
            state: Mutex::new(State {
                is_open: true,
                closing: Arc::default(),
                seats: BTreeMap::new(),
                idle: VecDeque::new(),
                ending: Vec::new(),
                next: 0,
                tenants: HashMap::new(),
                apps: HashMap::new(),
            }),
            connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
            running: Arc::new(Semaphore::new(running)),
            // One tenant leaves places to others.
            running_of_tenant: (running / 2).max(1),
            clock,
            folder,
            medium,
            cursors: AtomicU64::new(0),
            me: me.clone(),
        }))
    }

    /// The number of one more cursor.
    pub(super) fn next_cursor(&self) -> u64 {
        self.cursors.fetch_add(1, Ordering::Relaxed)
    }

    /// Room for what an app's statement holds in memory.
    pub(super) async fn room(
        &self,
        database: &Database,
        bytes: usize,
        until: Instant,
        terms: &Terms,
    ) -> Result<OwnedSemaphorePermit, SqlError> {
        let (_, app) = self.shares(&database.tenant, &database.app);
        let kib = (bytes / 1_024 + 1).min(ROOM_OF_APP_KIB);
        let kib = u32::try_from(kib).unwrap_or(u32::MAX);
        if let Ok(room) = Arc::clone(&app.room).try_acquire_many_owned(kib) {
            return Ok(room);
        }
        let _place = self.place(&app)?;
        let room = Arc::clone(&app.room).acquire_many_owned(kib);
        self.in_time(until, room, terms).await
    }

    /// A connection to a database, when there is one.
    pub(super) async fn lease(
        &self,
        database: &Database,
        until: Instant,
        terms: &Terms,
    ) -> Result<Lease, SqlError> {
        let (tenant, app) = self.shares(&database.tenant, &database.app);
        let place = self.place(&app)?;
        let wait = async {
            // The narrowest first: who waits there keeps nobody else out.
            Ok([
                Arc::clone(&app.connections).acquire_owned().await?,
                Arc::clone(&tenant.connections).acquire_owned().await?,
                Arc::clone(&self.connections).acquire_owned().await?,
            ])
        };
        let permits = self.in_time(until, wait, terms).await?;
        drop(place);
        let permits = Permits {
            _held: permits,
            _app: app,
            _tenant: Arc::clone(&tenant),
        };
        let (number, messages) = self.seat(database, &tenant)?;
        let pool = self.me.clone();
        Ok(Lease::new(number, messages, permits, pool))
    }

    /// Waits until nobody has a connection of an app, and keeps it so. What is idle is closed; its threads come back to
    /// be waited for.
    pub(super) async fn close_app(
        &self,
        tenant: &TenantId,
        app: &AppName,
        until: Instant,
        terms: &Terms,
    ) -> Result<(Closed, Vec<JoinHandle<()>>), SqlError> {
        let (_, share) = self.shares(tenant, app);
        let all = u32::try_from(CONNECTIONS_OF_APP_MAX).unwrap_or(u32::MAX);
        let all = Arc::clone(&share.connections).acquire_many_owned(all);
        let permits = self.in_time(until, all, terms).await?;
        let mut state = self.state();
        let of_app = |entry: &Entry| entry.database.tenant == *tenant && entry.database.app == *app;
        let numbers = state.seats.iter().filter(|(_, entry)| of_app(entry));
        let numbers: Vec<u64> = numbers.map(|(number, _)| *number).collect();
        let threads = numbers.iter().filter_map(|number| state.close(*number));
        let threads = threads.collect();
        let closed = Closed {
            _permits: permits,
            _app: share,
        };
        Ok((closed, threads))
    }

    async fn in_time<T>(
        &self,
        until: Instant,
        wait: impl Future<Output = Result<T, tokio::sync::AcquireError>>,
        terms: &Terms,
    ) -> Result<T, SqlError> {
        match self.clock.until(until, wait).await {
            Some(Ok(permits)) => Ok(permits),
            Some(Err(_)) => Err(let_go()),
            None => Err(faults::stop_error(Stop::Waiting, terms)),
        }
    }

    /// A place among those that wait.
    fn place(&self, app: &AppShare) -> Result<[OwnedSemaphorePermit; 2], SqlError> {
        let place = |waiting: &Arc<Semaphore>| {
            Arc::clone(waiting).try_acquire_owned().map_err(|_| {
                let what = "too many statements wait for the database: try again later";
                SqlError::new(SqlKind::Busy, what)
            })
        };
        Ok([place(&app.waiting)?, place(&self.waiting)?])
    }

    fn shares(&self, tenant: &TenantId, app: &AppName) -> (Arc<TenantShare>, Arc<AppShare>) {
        let mut state = self.state();
        let state = &mut *state;
        if state.tenants.len() + state.apps.len() > SHARES_KEPT {
            state
                .tenants
                .retain(|_, share| Arc::strong_count(share) > 1);
            state.apps.retain(|_, share| Arc::strong_count(share) > 1);
        }
        let of_tenant = state.tenants.entry(tenant.clone()).or_insert_with(|| {
            Arc::new(TenantShare {
                connections: Arc::new(Semaphore::new(CONNECTIONS_OF_TENANT_MAX)),
                running: Arc::new(Semaphore::new(self.running_of_tenant)),
            })
        });
        let key = (tenant.clone(), app.clone());
        let of_app = state.apps.entry(key).or_insert_with(|| {
            Arc::new(AppShare {
                connections: Arc::new(Semaphore::new(CONNECTIONS_OF_APP_MAX)),
                waiting: Arc::new(Semaphore::new(WAITING_OF_APP_MAX)),
                room: Arc::new(Semaphore::new(ROOM_OF_APP_KIB)),
            })
        });
        (Arc::clone(of_tenant), Arc::clone(of_app))
    }

    /// An idle connection of the database, or a new one.
    fn seat(
        &self,
        database: &Database,
        tenant: &Arc<TenantShare>,
    ) -> Result<(u64, mpsc::Sender<Message>), SqlError> {
        let mut state = self.state();
        let state = &mut *state;
        if !state.is_open {
            return Err(let_go());
        }
        let is_of = |number: &u64| state.seats.get(number).map(|it| &it.database) == Some(database);
        // The one that was used last: its pages are in memory.
        if let Some(place) = state.idle.iter().rposition(is_of)
            && let Some(number) = state.idle.remove(place)
            && let Some(entry) = state.seats.get(&number)
        {
            return Ok((number, entry.messages.clone()));
        }
        let others = state.seats.values().find(|it| it.database == *database);
        let turn = others.map_or_else(|| Arc::new(Semaphore::new(1)), |it| Arc::clone(&it.turn));
        let mut before = None;
        if state.seats.len() >= CONNECTIONS_MAX
            && let Some(oldest) = state.idle.pop_front()
        {
            before = state.close(oldest);
        }
        let site = Site {
            path: file_of(&self.folder, database),
            scratch: self.folder.clone(),
            medium: self.medium.clone(),
            turn: Arc::clone(&turn),
            gates: [Arc::clone(&tenant.running), Arc::clone(&self.running)],
            closing: Arc::clone(&state.closing),
        };
        let number = state.next;
        state.next += 1;
        let (messages, received) = mpsc::channel();
        let pool = self.me.clone();
        let thread = std::thread::Builder::new()
            .name("store-sql".to_owned())
            .spawn(move || {
                // So that there are never more files open than there may be.
                if let Some(before) = before {
                    let _ = before.join();
                }
                Seat::new(site, received).work(|permits| {
                    if let Some(pool) = pool.upgrade() {
                        pool.free(number, permits);
                    }
                });
            });
        let thread = thread.map_err(|error| {
            tracing::error!(%error, "a thread for a database can't be started");
            SqlError::new(
                SqlKind::Failed,
                "the store failed to start a thread for the database",
            )
        })?;
        let entry = Entry {
            database: database.clone(),
            messages: messages.clone(),
            thread,
            turn,
            _tenant: Arc::clone(tenant),
        };
        state.seats.insert(number, entry);
        Ok((number, messages))
    }

    /// Gives a connection that is as it was found to whoever comes next.
    pub(super) fn free(&self, number: u64, permits: Permits) {
        let mut state = self.state();
        if state.seats.contains_key(&number) {
            state.idle.push_back(number);
        }
        while state.idle.len() > IDLE_MAX
            && let Some(oldest) = state.idle.pop_front()
        {
            let thread = state.close(oldest);
            state.ending.retain(|thread| !thread.is_finished());
            state.ending.extend(thread);
        }
        drop(state);
        drop(permits);
    }

    /// Forgets a connection whose thread has stopped.
    pub(super) fn forget(&self, number: u64) {
        self.state().seats.remove(&number);
    }

    /// Ends all statements, and closes all connections. Blocks until they are closed, for ten seconds at most.
    pub(super) fn stop(&self) {
        let threads: Vec<_> = {
            let mut state = self.state();
            state.is_open = false;
            state.closing.store(true, Ordering::Release);
            let numbers: Vec<u64> = state.seats.keys().copied().collect();
            let mut threads = std::mem::take(&mut state.ending);
            threads.extend(numbers.iter().filter_map(|number| state.close(*number)));
            threads
        };
        let deadline = Instant::now() + STOP_TIME_MAX;
        for thread in threads {
            thread.thread().unpark();
            while !thread.is_finished() && Instant::now() < deadline {
                std::thread::sleep(STOP_LOOK_AGAIN);
            }
            if !thread.is_finished() {
                // It ends with the function of SQLite's that it is in; until then its file is locked.
                tracing::error!("a statement doesn't end: its database stays open until it does");
            } else if thread.join().is_err() {
                tracing::error!("a thread of the store had panicked");
            }
        }
    }

    /// Lets connections be had again.
    pub(super) fn start(&self) {
        let mut state = self.state();
        state.is_open = true;
        state.closing = Arc::default();
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Tells a connection to close, when it is done with what it is in.
    fn close(&mut self, number: u64) -> Option<JoinHandle<()>> {
        let entry = self.seats.remove(&number)?;
        self.idle.retain(|idle| *idle != number);
        // It may have stopped already.
        let _ = entry.messages.send(Message::Close);
        Some(entry.thread)
    }
}

pub(super) fn let_go() -> SqlError {
    SqlError::new(SqlKind::Failed, "the store was let go: try again")
}
