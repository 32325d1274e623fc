//! What delivery needs of a recipient's connection: to cut it, and to know when it is gone.

use std::fmt;

use futures::future::BoxFuture;

/// A recipient's connection.
pub trait Connection: fmt::Debug + Send + Sync + 'static {
    /// Cuts it: when this returns, not one more byte is written to its socket.
    fn cut(&self);

    /// Resolves once the socket is closed.
    fn closed(&self) -> BoxFuture<'static, ()>;
}
