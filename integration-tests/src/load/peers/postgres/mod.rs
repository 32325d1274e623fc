//! PostgreSQL as a peer: a table of amendments, its consumers' cursors in another.

mod cluster;
mod peer;

pub(super) use peer::PostgreSql;
