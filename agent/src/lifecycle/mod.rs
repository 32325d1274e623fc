//! How the agent's process begins, is watched over and ends.

mod lock;
mod notify;
mod supervisor;

pub use lock::{LOCK_FILE, LockError, StateLock};
pub use notify::{Notifier, watchdog};
pub use supervisor::{GRACE, Supervisor, termination};
