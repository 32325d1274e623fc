//! The newest head of the daemon's audit log that was found to continue the one before, the key that was pinned with
//! the first, and the alarm about one that did not fit. What a head must fit is decided in `link::downlink`.

use serde::{Deserialize, Serialize};
use sqlx::{Row as _, sqlite::SqliteRow};

use super::{
    columns::{count, unsigned},
    error::InboxError,
    open::Inbox,
};

/// A head that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptHead {
    /// Entries under it.
    pub size: u64,
    /// The tree's hash.
    pub root: [u8; 32],
    /// When it was signed, milliseconds since 1970-01-01T00:00:00Z.
    pub signed_at: i64,
    /// Its signature.
    pub signature: [u8; 64],
    /// The key that was pinned with the first head.
    pub public_key: [u8; 32],
}

/// Something about the audit log that a person must look into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// When it was raised, milliseconds since 1970-01-01T00:00:00Z.
    pub at: i64,
    /// What did not fit, and what to do.
    pub why: String,
    /// How many heads did not fit since then.
    pub heads: u64,
}

/// How the audit log stands, as seen from here.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HeadStanding {
    /// Entries under the newest head that is kept; 0 = none.
    pub size: u64,
    /// When that head was signed, milliseconds since 1970-01-01T00:00:00Z.
    pub signed_at: Option<i64>,
    /// What a person must look into.
    pub alarm: Option<Alarm>,
}

impl Inbox {
    /// The head that is kept.
    pub async fn kept_head(&self) -> Result<Option<KeptHead>, InboxError> {
        let row = sqlx::query("SELECT size, root, signed_at, signature, public_key FROM tree_head")
            .fetch_optional(self.readers())
            .await?;
        row.as_ref().map(kept).transpose()
    }

    /// Keeps a head in the place of the one before.
    pub async fn keep_head(&self, head: &KeptHead) -> Result<(), InboxError> {
        let mut writer = self.writer().await?;
        sqlx::query(
            "INSERT INTO tree_head (id, size, root, signed_at, signature, public_key) VALUES (1, ?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (id) DO UPDATE SET size = excluded.size, root = excluded.root, \
             signed_at = excluded.signed_at, signature = excluded.signature, public_key = excluded.public_key",
        )
        .bind(count(head.size))
        .bind(head.root.to_vec())
        .bind(head.signed_at)
        .bind(head.signature.to_vec())
        .bind(head.public_key.to_vec())
        .execute(&mut writer.conn)
        .await?;
        Ok(())
    }

    /// Raises the alarm, or counts one more head where it was raised before. `head` is kept as it came. Returns
    /// whether the alarm was raised by this.
    pub async fn raise_alarm(&self, why: &str, head: Vec<u8>) -> Result<bool, InboxError> {
        let now = self.now();
        let mut writer = self.writer().await?;
        let row = sqlx::query(
            "INSERT INTO tree_alarm (id, at, why, head, heads) VALUES (1, ?1, ?2, ?3, 1) \
             ON CONFLICT (id) DO UPDATE SET heads = heads + 1 RETURNING heads",
        )
        .bind(now)
        .bind(why.to_owned())
        .bind(head)
        .fetch_one(&mut writer.conn)
        .await?;
        Ok(unsigned(&row, "heads")? == 1)
    }

    /// Clears the alarm. The head and the key that were kept go with it: the next head is taken as the first.
    /// Returns what was cleared.
    pub async fn clear_alarm(&self) -> Result<Option<Alarm>, InboxError> {
        let mut writer = self.writer().await?;
        let row = sqlx::query("DELETE FROM tree_alarm RETURNING at, why, heads")
            .fetch_optional(&mut writer.conn)
            .await?;
        if row.is_some() {
            sqlx::query("DELETE FROM tree_head")
                .execute(&mut writer.conn)
                .await?;
        }
        row.as_ref().map(alarm).transpose()
    }

    /// How the audit log stands, as seen from here.
    pub async fn head_standing(&self) -> Result<HeadStanding, InboxError> {
        let kept = self.kept_head().await?;
        let row = sqlx::query("SELECT at, why, heads FROM tree_alarm")
            .fetch_optional(self.readers())
            .await?;
        Ok(HeadStanding {
            size: kept.as_ref().map_or(0, |k| k.size),
            signed_at: kept.map(|k| k.signed_at),
            alarm: row.as_ref().map(alarm).transpose()?,
        })
    }
}

fn alarm(row: &SqliteRow) -> Result<Alarm, InboxError> {
    Ok(Alarm {
        at: row.try_get("at")?,
        why: row.try_get("why")?,
        heads: unsigned(row, "heads")?,
    })
}

fn kept(row: &SqliteRow) -> Result<KeptHead, InboxError> {
    Ok(KeptHead {
        size: unsigned(row, "size")?,
        root: bytes(row, "root")?,
        signed_at: row.try_get("signed_at")?,
        signature: bytes(row, "signature")?,
        public_key: bytes(row, "public_key")?,
    })
}

fn bytes<const N: usize>(row: &SqliteRow, name: &str) -> Result<[u8; N], InboxError> {
    let raw: Vec<u8> = row.try_get(name)?;
    raw.as_slice()
        .try_into()
        .map_err(|_| InboxError::Damaged("the head of the audit log"))
}
