//! Shows what a stream brings, until the daemon ends it or the person does.

use tonic::{Status, Streaming};

use super::{
    connection::Connection,
    error::{CtlError, Exit},
    out::Out,
};

/// Shows each message of a stream; `what` is what is watched.
pub(super) async fn follow<T>(
    what: &str,
    mut stream: Streaming<T>,
    connection: &Connection,
    out: &mut Out,
    mut show: impl FnMut(T, &mut Out) -> Result<(), CtlError>,
) -> Result<Exit, CtlError> {
    loop {
        let over = |status: Status| match connection.error(what, &status) {
            CtlError::Unreachable(_) => {
                CtlError::Unreachable(format!("{what}: the connection broke. Run the command again"))
            }
            other => other,
        };
        match stream.message().await.map_err(over)? {
            Some(next) => show(next, out)?,
            None => {
                return Err(CtlError::Unreachable(format!(
                    "{what}: the daemon ended it. Run the command again"
                )));
            }
        }
    }
}
