//! Reading the log.

use bytes::Bytes;
use futures::TryStreamExt as _;
use handfast_proto::{chain::Chain, ids::OdsCode};

use super::{
    database::Database,
    fault::fault,
    values::{Columns, corrupt, int},
};
use crate::store::{Head, LogRow, StoreError};

/// Where every source's stream stands, by ODS code.
pub(super) async fn heads(main: &Database) -> Result<Vec<(OdsCode, Head)>, StoreError> {
    let rows = sqlx::query("SELECT source, head_seq, chain, store FROM stream ORDER BY source")
        .fetch_all(main.readers())
        .await
        .map_err(fault)?;
    rows.iter()
        .map(|row| {
            let chain: Option<&[u8]> = row.column("chain")?;
            let chain =
                chain.map(|raw| Chain::from_slice(raw).ok_or_else(|| corrupt("a chain is not 16 bytes")));
            let head = Head {
                seq: row.count("head_seq")?,
                chain: chain.transpose()?,
                store: row.store_id("store")?,
            };
            Ok((row.parsed("source")?, head))
        })
        .collect()
}

/// Batches of a source from the one that holds `after + 1` on. The reader runs only a few rows ahead, so
/// little is read beyond `max_bytes`.
pub(super) async fn read(
    main: &Database,
    source: OdsCode,
    after: u64,
    max_bytes: usize,
) -> Result<Vec<LogRow>, StoreError> {
    let sql = "SELECT first_seq, last_seq, at, header_len, data FROM log
               WHERE source = ?1 AND last_seq > ?2 ORDER BY last_seq";
    let mut rows = sqlx::query(sql)
        .bind(source.as_str())
        .bind(int(after)?)
        .fetch(main.readers());
    let mut batches = Vec::new();
    let mut bytes = 0_usize;
    while let Some(row) = rows.try_next().await.map_err(fault)? {
        let data = Bytes::from(row.column::<Vec<u8>>("data")?);
        bytes = bytes.saturating_add(data.len());
        if bytes > max_bytes && !batches.is_empty() {
            break;
        }
        let header_len = usize::try_from(row.count("header_len")?).unwrap_or(usize::MAX);
        if header_len > data.len() {
            return Err(corrupt("a batch is shorter than its header"));
        }
        batches.push(LogRow {
            first_seq: row.count("first_seq")?,
            last_seq: row.count("last_seq")?,
            at: row.column("at")?,
            header: data.slice(..header_len),
            body: data.slice(header_len..),
        });
        if bytes >= max_bytes {
            break;
        }
    }
    Ok(batches)
}
