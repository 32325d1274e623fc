//! Sends again what the daemon lost or asks for.
//!
//! After a loss everything that was said is said again first, so that no record is forwarded by a word that
//! the daemon has forgotten; then every record follows. A view is said again only for a while: it is an entry
//! in a log, and the log has it, or its backup is not so old.

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;
use handfast_proto::{amendment::Op, ids::RecordId};

use super::{OutboxError, records, statements, unit_of_work::UnitOfWork};

/// Statements said again in one commit.
const RESTATED: u32 = 512;

/// Records queued again in one commit, and bytes of them, about.
const RESEND_RECORDS: u32 = 512;
const RESEND_BYTES: usize = 4 * 1024 * 1024;

/// Reports of views younger than this are said again after a loss.
const VIEWS_SAID_AGAIN: Duration = Duration::from_secs(31 * 24 * 3600);

/// Records sent again on demand that are remembered while they are on their way.
const MAX_ASKED: usize = 65_536;

/// Where the sending again of everything stands: which statement, which record. `None`: done.
pub(super) type Standing = (Option<i64>, Option<i64>);

impl UnitOfWork<'_> {
    /// Goes on with sending everything again.
    pub(super) async fn go_on(&mut self, (statement, record): Standing) -> Result<Standing, OutboxError> {
        match (statement, record) {
            (Some(after), record) => Ok((self.restate(after).await?, record)),
            (None, Some(after)) => Ok((None, self.resend(after).await?)),
            (None, None) => Ok((None, None)),
        }
    }

    /// Says the next statements again; gives where to go on.
    async fn restate(&mut self, after: i64) -> Result<Option<i64>, OutboxError> {
        let mut at = None;
        for again in statements::after(self.conn, after, RESTATED).await? {
            let body = Bytes::from(again.statement.encode());
            let seq = self.push_statement(&again.record, again.number, body).await?;
            statements::said_again(self.conn, again.id, seq).await?;
            at = Some(again.id);
        }
        Ok(at)
    }

    /// Queues the next records again; gives where to go on.
    async fn resend(&mut self, after: i64) -> Result<Option<i64>, OutboxError> {
        let ids = records::after(self.conn, after, RESEND_RECORDS).await?;
        let mut bytes = 0;
        let mut at = None;
        for id in ids {
            if bytes > RESEND_BYTES {
                break;
            }
            if let Some(amendment) = records::amendment(self.conn, id).await? {
                bytes += amendment.payload.len();
                self.numbering.push(self.conn, &amendment).await?;
            } else {
                self.report_again(id).await?;
            }
            at = Some(id);
        }
        Ok(at)
    }

    /// Says a view again that was reported not long ago.
    async fn report_again(&mut self, id: i64) -> Result<(), OutboxError> {
        let kept = i64::try_from(VIEWS_SAID_AGAIN.as_millis()).unwrap_or(i64::MAX);
        let since = self.now_ms.saturating_sub(kept);
        if let Some((record, number, body)) = records::view_since(self.conn, id, since).await? {
            self.push_statement(&record, number, body).await?;
        }
        Ok(())
    }

    /// Queues the versions held of these records, except those that are on their way already because they
    /// were asked for. What is not held is passed over.
    pub(super) async fn send_again(
        &mut self,
        names: &[RecordId],
        on_their_way: &HashMap<RecordId, u64>,
    ) -> Result<(), OutboxError> {
        for name in names {
            if on_their_way.contains_key(name) || self.asked.contains_key(name) {
                continue;
            }
            let Some(held) = records::find(self.conn, name).await? else {
                continue;
            };
            let Some(amendment) = records::amendment(self.conn, held.id).await? else {
                continue;
            };
            if amendment.op != Op::Amend {
                continue;
            }
            let seq = self.numbering.push(self.conn, &amendment).await?;
            self.asked.insert(name.clone(), seq);
        }
        Ok(())
    }
}

/// Adds what was sent again, and forgets what the daemon has by now.
pub(super) fn note(on_their_way: &mut HashMap<RecordId, u64>, new: HashMap<RecordId, u64>, acked: u64) {
    on_their_way.retain(|_, seq| *seq > acked);
    if on_their_way.len() + new.len() > MAX_ASKED {
        // The worst that comes of it is one amendment too many.
        on_their_way.clear();
    }
    on_their_way.extend(new);
}
