//! Lists that are sent again whenever they are different: what everyone who watches shares.

use std::{sync::Arc, time::Duration};

use futures::{Stream, future::BoxFuture, stream};
use tokio::{sync::watch, time::sleep};

use super::{ActError, Caller, Context};

/// How often a watcher is told at most.
const WATCH_INTERVAL: Duration = Duration::from_millis(100);

/// How a list is asked for, each time anew.
type Ask<T> = Arc<dyn Fn(Caller) -> BoxFuture<'static, Result<Vec<T>, ActError>> + Send + Sync>;

struct Watching<T> {
    ctx: Context,
    caller: Caller,
    ask: Ask<T>,
    changes: watch::Receiver<u64>,
    last: Option<Arc<[T]>>,
    over: bool,
}

/// What `ask` gives, now and whenever it is different. Ends with an error once the caller is revoked or may
/// not see it any more. Nothing is sent for a change that the caller cannot see.
pub(super) fn watch_list<T, F>(
    ctx: &Context,
    caller: &Caller,
    ask: F,
) -> impl Stream<Item = Result<Vec<T>, ActError>> + Send + use<T, F>
where
    T: Clone + PartialEq + Send + Sync + 'static,
    F: Fn(Caller) -> BoxFuture<'static, Result<Vec<T>, ActError>> + Send + Sync + 'static,
{
    let watching = Watching {
        ctx: ctx.clone(),
        caller: caller.clone(),
        ask: Arc::new(ask),
        changes: ctx.changes.subscribe(),
        last: None,
        over: false,
    };
    stream::unfold(watching, |mut watching| async move {
        if watching.over {
            return None;
        }
        match watching.next().await {
            Ok(rows) => rows.map(|rows| (Ok(rows.to_vec()), watching)),
            Err(error) => {
                watching.over = true;
                Some((Err(error), watching))
            }
        }
    })
}

impl<T: Clone + PartialEq + Send + Sync + 'static> Watching<T> {
    /// The next list that differs from the last; `None` when the daemon stops. Cancellation-safe.
    async fn next(&mut self) -> Result<Option<Arc<[T]>>, ActError> {
        loop {
            if self.last.is_some() {
                if self.changes.changed().await.is_err() {
                    return Ok(None);
                }
                sleep(WATCH_INTERVAL).await;
            }
            self.changes.mark_unchanged();
            let caller = Caller::resolve(&self.caller.holder(), &*self.ctx.store).await?;
            self.caller = caller.ok_or(ActError::Denied)?;
            let rows: Arc<[T]> = (self.ask)(self.caller.clone()).await?.into();
            if self.last.as_ref() != Some(&rows) {
                self.last = Some(Arc::clone(&rows));
                return Ok(Some(rows));
            }
        }
    }
}
