//! The small part of the inbox that its writer keeps in memory: how far the subscription got, and how
//! each source's grants stand. Its size goes with the number of units, not of records.

use std::collections::{HashMap, hash_map::Entry};

use handfast_proto::ids::{OdsCode, StoreId};
use sqlx::{Row as _, SqliteConnection};

use super::{
    columns::{count, unsigned},
    error::InboxError,
    open::Inbox,
    source::{self, Source},
    tag::TagKey,
};

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
    /// The last change that removed something of which traces may be left in the file; 0 = none.
    pub(super) residue: u64,
    /// Until when the daemon's stream is known to have stood, since this inbox was opened.
    pub(super) heard: Option<i64>,
    /// Without outputs no changes are queued; an output that is added later starts with a resync.
    pub(super) has_outputs: bool,
    /// Whether an output writes what bears no mark of whose it is.
    pub(super) unmarked: bool,
    pub(super) tags: TagKey,
    pub(super) sources: HashMap<OdsCode, Source>,
}

impl State {
    pub(super) async fn load(conn: &mut SqliteConnection) -> Result<Self, InboxError> {
        let select = "SELECT store_id, session, durable, last_change, epoch, residue, tag_key, \
                      EXISTS (SELECT 1 FROM output) AS has_outputs, \
                      EXISTS (SELECT 1 FROM output WHERE kind || ' ' NOT LIKE 'fhir %') AS unmarked FROM meta";
        let row = match sqlx::query(select).fetch_optional(&mut *conn).await? {
            Some(row) if row.try_get::<Option<Vec<u8>>, _>("tag_key")?.is_some() => row,
            _ => {
                make(conn).await?;
                sqlx::query(select).fetch_one(&mut *conn).await?
            }
        };
        let (store, key): (Vec<u8>, Vec<u8>) = (row.try_get("store_id")?, row.try_get("tag_key")?);
        Ok(Self {
            store: StoreId::from_slice(&store).map_err(|_| InboxError::Damaged("the store id"))?,
            session: unsigned(&row, "session")?,
            durable: unsigned(&row, "durable")?,
            last_change: unsigned(&row, "last_change")?,
            epoch: unsigned(&row, "epoch")?,
            residue: unsigned(&row, "residue")?,
            heard: None,
            has_outputs: row.try_get("has_outputs")?,
            unmarked: row.try_get("unmarked")?,
            tags: TagKey::from_slice(&key)?,
            sources: source::load(conn).await?.collect(),
        })
    }

    /// Writes what a transaction changed.
    pub(super) async fn flush(&mut self, conn: &mut SqliteConnection) -> Result<(), InboxError> {
        source::flush(&mut *conn, self.sources.values_mut()).await?;
        sqlx::query("UPDATE meta SET session = ?1, durable = ?2, last_change = ?3, epoch = ?4, residue = ?5")
            .bind(count(self.session))
            .bind(count(self.durable))
            .bind(count(self.last_change))
            .bind(count(self.epoch))
            .bind(count(self.residue))
            .execute(conn)
            .await?;
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

    /// A job as it is remembered: a daemon that began anew may number its jobs anew. 0 is the live feed.
    pub(super) fn stamp(&self, job: u64) -> u64 {
        self.fresh_from() | (job & LOW_BITS)
    }

    /// Stamps from here on were made since the daemon last began anew.
    pub(super) fn fresh_from(&self) -> u64 {
        self.epoch << JOB_BITS
    }
}

const LOW_BITS: u64 = (1 << JOB_BITS) - 1;

/// The job that a stamp was made of.
pub(super) fn job_of(stamp: u64) -> u64 {
    stamp & LOW_BITS
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

/// Makes what a file does not have yet: its name, and the key of its tags.
async fn make(conn: &mut SqliteConnection) -> Result<(), InboxError> {
    sqlx::query(
        "INSERT INTO meta (id, store_id, session, durable, last_change, epoch, named_tombstones) \
         VALUES (1, ?1, 0, 0, 0, 0, 0) ON CONFLICT DO NOTHING",
    )
    .bind(random_store()?.as_bytes().to_vec())
    .execute(&mut *conn)
    .await?;
    sqlx::query("UPDATE meta SET tag_key = ?1 WHERE tag_key IS NULL")
        .bind(TagKey::random()?.to_vec())
        .execute(conn)
        .await?;
    Ok(())
}

fn random_store() -> Result<StoreId, InboxError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| InboxError::Random)?;
    Ok(StoreId::from_random(bytes))
}
