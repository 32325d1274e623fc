//! What keeps a walk from waiting without end: whatever it waits for is bounded and has a name, and an error that
//! the daemon logs, such as one of its store, ends the walk that met it.

use std::{fmt, future::Future, time::Duration};

use tokio::sync::watch;
use tracing::{
    Dispatch, Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt as _},
};

/// How long anything may take that a walk waits for: many times what it takes on a busy machine.
const WAIT_BOUND: Duration = Duration::from_secs(20);

/// Notes the first error that is logged.
#[derive(Clone)]
pub(super) struct Bounds {
    error: watch::Sender<Option<String>>,
}

impl Bounds {
    pub(super) fn new() -> Self {
        let error = watch::Sender::new(None);
        Self { error }
    }

    /// To be the default wherever the daemon runs.
    pub(super) fn dispatch(&self) -> Dispatch {
        Dispatch::new(tracing_subscriber::registry().with(self.clone()))
    }

    /// Waits for what is to come soon.
    pub(super) async fn within<T>(&self, what: &str, waited: impl Future<Output = T>) -> T {
        let mut errors = self.error.subscribe();
        tokio::select! {
            biased;
            came = waited => came,
            _met = errors.wait_for(Option::is_some) => {
                panic!("waiting until {what}: {:?}", *self.error.borrow())
            }
            () = tokio::time::sleep(WAIT_BOUND) => panic!("waited {WAIT_BOUND:?} until {what}"),
        }
    }

    /// Fails where something was logged as an error.
    pub(super) fn check(&self) {
        let error = self.error.borrow();
        assert!(error.is_none(), "the daemon met an error: {error:?}");
    }
}

impl<S: Subscriber> Layer<S> for Bounds {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() == Level::ERROR {
            let mut text = Text::default();
            event.record(&mut text);
            self.error.send_if_modified(|error| {
                let first = error.is_none();
                error.get_or_insert(text.0);
                first
            });
        }
    }
}

/// The fields of an event as text.
#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0 += &format!("{}: {value:?} ", field.name());
    }
}
