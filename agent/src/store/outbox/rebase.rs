//! What follows from where the daemon says it stands: go on, or rebase what is unsent onto its head.
//!
//! A rebase keeps every amendment that is not known to be the daemon's and gives it a new seq behind the
//! daemon's head, under a new store id, in one transaction. What is known to be the daemon's includes what
//! a comparison showed: sent again behind newer versions of the same records, it would undo them. Where the
//! daemon is behind what it had acknowledged, it lost amendments: then everything that was said to it is said
//! again, and every record queued again, in parts, behind everything else.

use handfast_proto::chain::Chain;
use sqlx::SqliteConnection;

use super::{
    DaemonHead, OutboxError,
    numbering::Outgoing,
    reader,
    schema::{random_store, stored},
    shared::Standing,
    statements,
};

/// Whether what is held here up to the daemon's head is what the daemon has.
pub(super) async fn continues(
    conn: &mut SqliteConnection,
    standing: &Standing,
    head: DaemonHead,
) -> Result<bool, OutboxError> {
    if head.seq == 0 {
        return Ok(standing.acked_seq == 0);
    }
    let own = reader::chain_at(conn, standing, head.seq).await?;
    Ok(own.is_some() && own == head.chain)
}

/// Whether a comparison may show that the daemon has some of what is unsent: it went on beyond what it
/// acknowledged to this store, as it does where the store was restored from an old copy.
pub(super) fn is_worth_comparing(standing: &Standing, head: DaemonHead) -> bool {
    head.agreed.is_none() && head.seq > standing.acked_seq && standing.last_seq > standing.acked_seq
}

/// Rebases onto the daemon's head, in the caller's transaction.
pub(super) async fn rebase(
    conn: &mut SqliteConnection,
    before: &Standing,
    head: DaemonHead,
) -> Result<Standing, OutboxError> {
    let known = if continues(conn, before, head).await? {
        head.seq
    } else {
        let agreed = head.agreed.unwrap_or(0).min(before.last_seq).min(head.seq);
        before.acked_seq.max(agreed)
    };
    drop_through(conn, known).await?;
    let store = random_store()?;
    let base = head
        .chain
        .filter(|_| head.seq > 0)
        .unwrap_or_else(|| Chain::start(store));
    let mut last = (head.seq, base);
    let mut id = 0;
    statements::begin_renumbering(conn, known).await?;
    while let Some((next, row)) = reader::row_after_id(conn, id).await? {
        last = renumber(conn, next, &row, last).await?;
        if row.alone {
            statements::renumber(conn, row.first_seq, last.0).await?;
        }
        id = next;
    }
    statements::end_renumbering(conn).await?;
    let lost = head.seq < before.acked_seq;
    Ok(Standing {
        store,
        acked_seq: head.seq,
        acked_chain: base,
        last_seq: last.0,
        last_chain: last.1,
        resend_after: if lost { Some(0) } else { before.resend_after },
        restate_after: if lost { Some(0) } else { before.restate_after },
        rebased: before.rebased + 1,
        ..*before
    })
}

/// Takes out what the daemon has, cutting the batch in which that ends.
async fn drop_through(conn: &mut SqliteConnection, seq: u64) -> Result<(), OutboxError> {
    sqlx::query("DELETE FROM batch WHERE last_seq <= ?")
        .bind(stored(seq))
        .execute(&mut *conn)
        .await?;
    let Some((id, row)) = reader::row_after_id(conn, 0).await? else {
        return Ok(());
    };
    if row.first_seq > seq {
        return Ok(());
    }
    let tail = reader::tail(&row, seq)?;
    write_row(conn, id, &tail).await
}

async fn renumber(
    conn: &mut SqliteConnection,
    id: i64,
    row: &Outgoing,
    (last_seq, chain): (u64, Chain),
) -> Result<(u64, Chain), OutboxError> {
    let renumbered = Outgoing::of(last_seq + 1, chain, &row.amendments()?);
    write_row(conn, id, &renumbered).await?;
    Ok((renumbered.last_seq, renumbered.chain_after))
}

async fn write_row(conn: &mut SqliteConnection, id: i64, row: &Outgoing) -> Result<(), OutboxError> {
    sqlx::query(
        "UPDATE batch SET first_seq = ?, last_seq = ?, chain_before = ?, chain_after = ?, header = ?, body = ?
         WHERE id = ?",
    )
    .bind(stored(row.first_seq))
    .bind(stored(row.last_seq))
    .bind(row.chain_before.as_bytes().to_vec())
    .bind(row.chain_after.as_bytes().to_vec())
    .bind(row.header.to_vec())
    .bind(row.body.to_vec())
    .bind(id)
    .execute(conn)
    .await?;
    Ok(())
}
