//! The small part of the inbox that its writer keeps in memory: how far the subscription got, and how
//! each source's grants stand. Its size goes with the number of units, not of records.

use std::collections::{BTreeMap, HashMap, HashSet, hash_map::Entry};

use handfast_proto::ids::{OdsCode, StoreId};
use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};

use super::{
    columns::{count, unsigned},
    error::InboxError,
    open::Inbox,
};

/// Ended grants remembered per source; beyond that the oldest are forgotten.
const MAX_ENDED_GRANTS: usize = 10_000;

/// Bits of a stamp that hold the job; the epoch stands above them.
const JOB_BITS: u32 = 40;

/// What the inbox says in its hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello {
    /// Names this store.
    pub store: StoreId,
    /// The last session it took part in; 0 = none.
    pub session: u64,
    /// The last message of it that is durable.
    pub durable: u64,
}

pub(super) struct State {
    pub(super) store: StoreId,
    pub(super) session: u64,
    pub(super) durable: u64,
    pub(super) last_change: u64,
    /// Raised whenever the daemon begins anew.
    pub(super) epoch: u64,
    /// Without outputs no changes are queued; an output that is added later starts with a resync.
    pub(super) has_outputs: bool,
    pub(super) sources: HashMap<OdsCode, Source>,
}

pub(super) struct Source {
    pub(super) id: i64,
    pub(super) held: u64,
    pub(super) last_applied_at: Option<i64>,
    pub(super) grants: BTreeMap<u64, Granted>,
    pub(super) ended: HashSet<u64>,
    /// Counts or grants differ from what stands in the file.
    pub(super) dirty: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Granted {
    /// Everything live up to this seq is applied. None until the catch-up is complete.
    pub(super) position: Option<u64>,
    pub(super) catch_up: Option<u64>,
    /// What is held may be ahead of the daemon: the catch-up decides, not the seq.
    pub(super) anew: bool,
}

impl State {
    pub(super) async fn load(conn: &mut SqliteConnection) -> Result<Self, InboxError> {
        let select = "SELECT store_id, session, durable, last_change, epoch, \
                      EXISTS (SELECT 1 FROM output) AS has_outputs FROM meta";
        let row = match sqlx::query(select).fetch_optional(&mut *conn).await? {
            Some(row) => row,
            None => {
                sqlx::query("INSERT INTO meta (id, store_id, session, durable, last_change, epoch) VALUES (1, ?1, 0, 0, 0, 0)")
                    .bind(random_store()?.as_bytes().to_vec())
                    .execute(&mut *conn)
                    .await?;
                sqlx::query(select).fetch_one(&mut *conn).await?
            }
        };
        let store: Vec<u8> = row.try_get("store_id")?;
        let mut state = Self {
            store: StoreId::from_slice(&store).map_err(|_| InboxError::Damaged("the store id"))?,
            session: unsigned(&row, "session")?,
            durable: unsigned(&row, "durable")?,
            last_change: unsigned(&row, "last_change")?,
            epoch: unsigned(&row, "epoch")?,
            has_outputs: row.try_get("has_outputs")?,
            sources: HashMap::new(),
        };
        state.load_sources(conn).await?;
        Ok(state)
    }

    async fn load_sources(&mut self, conn: &mut SqliteConnection) -> Result<(), InboxError> {
        let mut by_id = HashMap::new();
        for row in sqlx::query("SELECT id, ods, held, last_applied_at FROM source")
            .fetch_all(&mut *conn)
            .await?
        {
            by_id.insert(row.try_get::<i64, _>("id")?, (ods(&row)?, Source::read(&row)?));
        }
        let orphan = InboxError::Damaged("a grant of no source");
        for row in sqlx::query("SELECT source_id, grant_no, position, catch_up_job, anew FROM granted")
            .fetch_all(&mut *conn)
            .await?
        {
            let Some((_, source)) = by_id.get_mut(&row.try_get::<i64, _>("source_id")?) else {
                return Err(orphan);
            };
            source
                .grants
                .insert(unsigned(&row, "grant_no")?, Granted::read(&row)?);
        }
        for row in sqlx::query("SELECT source_id, grant_no FROM ended_grant")
            .fetch_all(&mut *conn)
            .await?
        {
            let Some((_, source)) = by_id.get_mut(&row.try_get::<i64, _>("source_id")?) else {
                return Err(orphan);
            };
            source.ended.insert(unsigned(&row, "grant_no")?);
        }
        self.sources = by_id.into_values().collect();
        Ok(())
    }

    /// The source's entry, made where there is none.
    pub(super) async fn source(
        &mut self,
        conn: &mut SqliteConnection,
        ods: OdsCode,
    ) -> Result<&mut Source, InboxError> {
        match self.sources.entry(ods) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(fresh) => {
                let id = sqlx::query("INSERT INTO source (ods, held) VALUES (?1, 0)")
                    .bind(ods.as_str().to_owned())
                    .execute(conn)
                    .await?
                    .last_insert_rowid();
                Ok(fresh.insert(Source::new(id)))
            }
        }
    }

    /// A job as it is remembered: a daemon that began anew may number its jobs anew. 0 stays 0.
    pub(super) fn stamp(&self, job: u64) -> u64 {
        if job == 0 {
            return 0;
        }
        let low = (1 << JOB_BITS) - 1;
        (self.epoch << JOB_BITS) | (job & low)
    }

    /// Whether every grant known has been caught up.
    pub(super) fn is_caught_up(&self) -> bool {
        self.sources
            .values()
            .flat_map(|s| s.grants.values())
            .all(|g| g.position.is_some() && g.catch_up.is_none())
    }
}

impl Source {
    fn new(id: i64) -> Self {
        Self {
            id,
            held: 0,
            last_applied_at: None,
            grants: BTreeMap::new(),
            ended: HashSet::new(),
            dirty: false,
        }
    }

    fn read(row: &SqliteRow) -> Result<Self, InboxError> {
        let mut source = Self::new(row.try_get("id")?);
        source.held = unsigned(row, "held")?;
        source.last_applied_at = row.try_get("last_applied_at")?;
        Ok(source)
    }

    /// Enters a grant as ended, here and in the file.
    pub(super) async fn end(&mut self, conn: &mut SqliteConnection, grant: u64) -> Result<(), InboxError> {
        self.grants.remove(&grant);
        self.ended.insert(grant);
        self.dirty = true;
        sqlx::query("INSERT OR IGNORE INTO ended_grant (source_id, grant_no) VALUES (?1, ?2)")
            .bind(self.id)
            .bind(count(grant))
            .execute(&mut *conn)
            .await?;
        if self.ended.len() > MAX_ENDED_GRANTS
            && let Some(oldest) = self.ended.iter().min().copied()
        {
            self.ended.remove(&oldest);
            sqlx::query("DELETE FROM ended_grant WHERE source_id = ?1 AND grant_no = ?2")
                .bind(self.id)
                .bind(count(oldest))
                .execute(conn)
                .await?;
        }
        Ok(())
    }
}

impl Granted {
    fn read(row: &SqliteRow) -> Result<Self, InboxError> {
        let number = |name| -> Result<Option<u64>, InboxError> {
            let raw: Option<i64> = row.try_get(name)?;
            Ok(raw.and_then(|n| u64::try_from(n).ok()))
        };
        Ok(Self {
            position: number("position")?,
            catch_up: number("catch_up_job")?,
            anew: row.try_get("anew")?,
        })
    }
}

impl Inbox {
    /// What to say in the hello.
    pub async fn hello(&self) -> Result<Hello, InboxError> {
        let writer = self.writer().await?;
        Ok(Hello {
            store: writer.state.store,
            session: writer.state.session,
            durable: writer.state.durable,
        })
    }

    /// Takes a new store id, because the daemon does not take the old one (any more). What is held stays.
    pub async fn renew_store(&self) -> Result<Hello, InboxError> {
        let store = random_store()?;
        let mut guard = self.writer().await?;
        let writer = &mut *guard;
        writer.clean = false;
        sqlx::query("UPDATE meta SET store_id = ?1, session = 0, durable = 0")
            .bind(store.as_bytes().to_vec())
            .execute(&mut writer.conn)
            .await?;
        (writer.state.store, writer.state.session, writer.state.durable) = (store, 0, 0);
        writer.clean = true;
        drop(guard);
        Ok(Hello {
            store,
            session: 0,
            durable: 0,
        })
    }
}

pub(super) fn ods(row: &SqliteRow) -> Result<OdsCode, InboxError> {
    let text: String = row.try_get("ods")?;
    text.parse()
        .map_err(|_| InboxError::Damaged("a source's ODS code"))
}

fn random_store() -> Result<StoreId, InboxError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| InboxError::Random)?;
    Ok(StoreId::from_random(bytes))
}
