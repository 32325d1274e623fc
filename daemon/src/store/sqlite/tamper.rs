//! For tests of what notices it: changes the file behind the daemon's back.

use sqlx::AssertSqlSafe;

use super::store::SqliteStore;

impl SqliteStore {
    /// Runs a statement as [`SqliteStore::tamper`] does; how many rows it changed.
    pub(crate) async fn tampered(&self, statement: &str) -> u64 {
        self.tamper(&[]).await;
        let mut write = self.main().write().await.unwrap();
        let done = sqlx::query(AssertSqlSafe(statement.to_owned()))
            .execute(write.conn())
            .await;
        let rows = done.unwrap().rows_affected();
        write.finish(Ok(rows)).await.unwrap()
    }

    /// Runs a statement on the projection's file; how many rows it changed.
    pub(crate) async fn tampered_records(&self, statement: &str) -> u64 {
        let mut write = self.records().file().write().await.unwrap();
        let done = sqlx::query(AssertSqlSafe(statement.to_owned()))
            .execute(write.conn())
            .await;
        let rows = done.unwrap().rows_affected();
        write.finish(Ok(rows)).await.unwrap()
    }

    /// Runs statements on the main file, with what guards the audit log taken away first.
    pub(crate) async fn tamper(&self, statements: &[String]) {
        let guards = [
            "audit_entry_stays",
            "audit_entry_is_not_changed",
            "audit_head_stays",
        ];
        let mut write = self.main().write().await.unwrap();
        let dropped = guards.map(|guard| format!("DROP TRIGGER IF EXISTS {guard}"));
        for sql in dropped.iter().chain(statements) {
            let done = sqlx::query(AssertSqlSafe(sql.clone()))
                .execute(write.conn())
                .await;
            done.unwrap();
        }
        write.finish(Ok(())).await.unwrap();
    }
}
