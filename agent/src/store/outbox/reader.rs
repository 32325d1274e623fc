//! Reads batches back: for the link when it is behind, and to know the chain at a seq.

use futures::TryStreamExt as _;
use handfast_proto::{
    chain::Chain,
    limits::{MAX_BATCH_AMENDMENTS, MAX_BATCH_BODY_BYTES, MAX_COMPARE_POINTS},
};
use sqlx::{Row as _, SqliteConnection};

use super::{
    OutboxError, Unsent,
    numbering::Outgoing,
    schema::{chain, count, stored},
    shared::Standing,
};

/// Rows that hold fewer amendments are joined before they travel: a backlog made one by one would
/// otherwise cost the daemon a message and a log row each.
const JOIN_BELOW: usize = MAX_BATCH_AMENDMENTS / 2;

/// The batches after a seq, up to about `max_bytes`, at least one if there is any.
pub(super) async fn after(
    conn: &mut SqliteConnection,
    seq: u64,
    max_bytes: usize,
) -> Result<Vec<Outgoing>, OutboxError> {
    let mut found = Vec::new();
    let mut bytes = 0;
    let mut rows = sqlx::query("SELECT * FROM batch WHERE last_seq > ? ORDER BY last_seq")
        .bind(stored(seq))
        .fetch(conn);
    while let Some(row) = rows.try_next().await? {
        let row = Outgoing::read(&row)?;
        bytes += row.weight();
        if bytes > max_bytes && !found.is_empty() {
            break;
        }
        found.push(row);
    }
    if let Some(first) = found.first_mut()
        && first.first_seq <= seq
    {
        *first = tail(first, seq)?;
    }
    Ok(found)
}

/// The part of a batch after a seq that lies within it.
pub(super) fn tail(row: &Outgoing, seq: u64) -> Result<Outgoing, OutboxError> {
    let amendments = row.amendments()?;
    let keep = usize::try_from(seq + 1 - row.first_seq)
        .unwrap_or(usize::MAX)
        .min(amendments.len());
    let (gone, rest) = amendments.split_at(keep);
    let mut chain = row.chain_before;
    for (seq, amendment) in (row.first_seq..).zip(gone) {
        chain = chain.extend(seq, amendment);
    }
    Ok(Outgoing::of(seq + 1, chain, rest))
}

/// The chain after a seq; `None` where it lies outside of what is held here.
pub(super) async fn chain_at(
    conn: &mut SqliteConnection,
    standing: &Standing,
    seq: u64,
) -> Result<Option<Chain>, OutboxError> {
    if seq == standing.acked_seq {
        return Ok(Some(standing.acked_chain));
    }
    if seq == standing.last_seq {
        return Ok(Some(standing.last_chain));
    }
    if !(standing.acked_seq..standing.last_seq).contains(&seq) {
        return Ok(None);
    }
    let row = sqlx::query("SELECT * FROM batch WHERE last_seq >= ? ORDER BY last_seq LIMIT 1")
        .bind(stored(seq))
        .fetch_optional(conn)
        .await?;
    let Some(row) = row.as_ref().map(Outgoing::read).transpose()? else {
        return Ok(None);
    };
    if row.first_seq > seq {
        return Ok(None);
    }
    if row.last_seq == seq {
        return Ok(Some(row.chain_after));
    }
    Ok(Some(tail(&row, seq)?.chain_before))
}

/// The ends of the batches after a seq, thinned out where they are many; the last one is always there.
pub(super) async fn unsent(conn: &mut SqliteConnection, from: (u64, Chain)) -> Result<Unsent, OutboxError> {
    let many: i64 = sqlx::query_scalar("SELECT count(*) FROM batch WHERE last_seq > ?")
        .bind(stored(from.0))
        .fetch_one(&mut *conn)
        .await?;
    let most = MAX_COMPARE_POINTS as u64 / 2;
    let step = u64::try_from(many).unwrap_or(0).div_ceil(most).max(1);
    let rows = sqlx::query(
        "SELECT last_seq, chain_after FROM batch WHERE last_seq > ?1
             AND (id % ?2 = 0 OR last_seq = (SELECT max(last_seq) FROM batch)) ORDER BY last_seq LIMIT ?3",
    )
    .bind(stored(from.0))
    .bind(stored(step))
    .bind(stored(MAX_COMPARE_POINTS as u64))
    .fetch_all(conn)
    .await?;
    let points = rows
        .iter()
        .map(|row| Ok((count(row, "last_seq")?, chain(row, "chain_after")?)));
    Ok(Unsent {
        from,
        points: points.collect::<Result<_, OutboxError>>()?,
    })
}

/// The next row in the order of ids, which is that of seqs.
pub(super) async fn row_after_id(
    conn: &mut SqliteConnection,
    id: i64,
) -> Result<Option<(i64, Outgoing)>, OutboxError> {
    let row = sqlx::query("SELECT * FROM batch WHERE id > ? ORDER BY id LIMIT 1")
        .bind(id)
        .fetch_optional(conn)
        .await?;
    row.map(|row| Ok((row.try_get("id")?, Outgoing::read(&row)?)))
        .transpose()
}

/// Joins small batches that follow one another.
pub(super) fn joined(rows: Vec<Outgoing>) -> Result<Vec<Outgoing>, OutboxError> {
    let mut out: Vec<Outgoing> = Vec::with_capacity(rows.len());
    let mut group: Vec<Outgoing> = Vec::new();
    let (mut len, mut bytes) = (0, 0);
    for row in rows {
        let row_len = usize::try_from(row.last_seq + 1 - row.first_seq).unwrap_or(usize::MAX);
        let small = row_len < JOIN_BELOW && row.body.len() < MAX_BATCH_BODY_BYTES / 2 && !row.alone;
        let fits = len + row_len <= MAX_BATCH_AMENDMENTS && bytes + row.weight() <= MAX_BATCH_BODY_BYTES;
        if !(small && fits) {
            out.extend(join(std::mem::take(&mut group))?);
            (len, bytes) = (0, 0);
        }
        if small {
            len += row_len;
            bytes += row.weight();
            group.push(row);
        } else {
            out.push(row);
        }
    }
    out.extend(join(group)?);
    Ok(out)
}

fn join(group: Vec<Outgoing>) -> Result<Option<Outgoing>, OutboxError> {
    let [first, .., last] = group.as_slice() else {
        return Ok(group.into_iter().next());
    };
    let mut amendments = Vec::with_capacity(MAX_BATCH_AMENDMENTS);
    for row in &group {
        amendments.extend(row.amendments()?);
    }
    let joined = Outgoing::of(first.first_seq, first.chain_before, &amendments);
    // The chain over the joined rows is the one that was stored: a difference is a damaged file.
    if joined.chain_after == last.chain_after {
        Ok(Some(joined))
    } else {
        Err(OutboxError::Damaged(
            "the chain of the batches is broken".to_owned(),
        ))
    }
}
