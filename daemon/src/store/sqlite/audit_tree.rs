//! The audit log's tree: its signed heads, and the hashes of its larger subtrees.

use handfast_proto::merkle::{KeyId, Node, SignedHead, TreeHash, TreeHead};
use sqlx::{SqliteConnection, sqlite::SqliteRow};

use super::{
    audit::hash,
    database::Database,
    fault::{fault, is_taken},
    values::{Columns, corrupt, int},
};
use crate::store::StoreError;

const HEAD: &str = "SELECT size, root, signed_at, signature, key FROM audit_head ORDER BY size DESC LIMIT 1";

const HEADS_OVER: &str = "SELECT size, root, signed_at, signature, key FROM audit_head
                          WHERE size > ?1 ORDER BY size LIMIT ?2";

/// Keeps a head and the subtrees completed since the last.
pub(super) async fn keep(
    main: &Database,
    signed: &SignedHead,
    nodes: &[(Node, TreeHash)],
) -> Result<(), StoreError> {
    let mut write = main.write().await?;
    let result = keep_in(write.conn(), signed, nodes).await;
    write.finish(result).await
}

async fn keep_in(
    conn: &mut SqliteConnection,
    signed: &SignedHead,
    nodes: &[(Node, TreeHash)],
) -> Result<(), StoreError> {
    let sql = "INSERT INTO audit_head (size, root, signed_at, signature, key) VALUES (?1, ?2, ?3, ?4, ?5)";
    let inserted = sqlx::query(sql)
        .bind(int(signed.head.size)?)
        .bind(signed.head.root.as_bytes().to_vec())
        .bind(signed.head.signed_at)
        .bind(signed.signature.to_vec())
        .bind(signed.key.as_bytes().to_vec())
        .execute(&mut *conn)
        .await;
    match inserted {
        Err(error) if is_taken(&error) => return Err(StoreError::Exists("signed head of that size")),
        other => other.map_err(fault)?,
    };
    // Few: one for each 256 entries, and half as many again for each level above.
    for (node, hash) in nodes {
        let sql = "INSERT INTO audit_node (level, idx, hash) VALUES (?1, ?2, ?3)
                   ON CONFLICT (level, idx) DO NOTHING";
        sqlx::query(sql)
            .bind(node.level)
            .bind(int(node.index)?)
            .bind(hash.as_bytes().to_vec())
            .execute(&mut *conn)
            .await
            .map_err(fault)?;
    }
    Ok(())
}

pub(super) async fn newest(main: &Database) -> Result<Option<SignedHead>, StoreError> {
    let row = sqlx::query(HEAD)
        .fetch_optional(main.readers())
        .await
        .map_err(fault)?;
    row.as_ref().map(head_row).transpose()
}

pub(super) async fn over(main: &Database, size: u64, limit: u32) -> Result<Vec<SignedHead>, StoreError> {
    let rows = sqlx::query(HEADS_OVER)
        .bind(int(size)?)
        .bind(limit)
        .fetch_all(main.readers())
        .await
        .map_err(fault)?;
    rows.iter().map(head_row).collect()
}

/// The hashes of subtrees.
pub(super) async fn nodes(main: &Database, nodes: &[Node]) -> Result<Vec<(Node, TreeHash)>, StoreError> {
    let asked: Vec<String> = nodes
        .iter()
        .map(|n| format!("[{},{}]", n.level, n.index))
        .collect();
    let sql = "SELECT n.level, n.idx, n.hash
               FROM json_each(?1) AS asked
               CROSS JOIN audit_node AS n ON n.level = asked.value ->> 0 AND n.idx = asked.value ->> 1";
    let rows = sqlx::query(sql)
        .bind(format!("[{}]", asked.join(",")))
        .fetch_all(main.readers())
        .await
        .map_err(fault)?;
    rows.iter()
        .map(|row| {
            let node = Node {
                level: row.column("level")?,
                index: row.count("idx")?,
            };
            Ok((node, hash(row, "hash")?))
        })
        .collect()
}

fn head_row(row: &SqliteRow) -> Result<SignedHead, StoreError> {
    let signature: &[u8] = row.column("signature")?;
    let key: &[u8] = row.column("key")?;
    let not_whole = || corrupt("a signed head of the audit log is not whole");
    Ok(SignedHead {
        head: TreeHead {
            size: row.count("size")?,
            root: hash(row, "root")?,
            signed_at: row.column("signed_at")?,
        },
        signature: signature.try_into().map_err(|_| not_whole())?,
        key: KeyId::from_slice(key).ok_or_else(not_whole)?,
    })
}
