//! Drives one output: takes changes from the inbox in order, lets the output carry them out, and enters
//! how far it got. A slow or failing output holds up nothing but itself: the inbox never waits for it.

use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    model::{Output, Pause, Step},
    telling::Telling,
};
use crate::{
    retry::{MAX_DELAY_ON_A_FULL_DISK, Retry},
    status::ConnectorBoard,
    store::inbox::Inbox,
};

/// How often an output with nothing to do looks for what the command line asked of it.
const IDLE_POLL: Duration = Duration::from_secs(1);

/// What one turn came to.
enum Turn {
    /// Something was done; there may be more.
    Did,
    /// There is nothing to do.
    Nothing,
}

/// Runs an output until `shutdown`. The inbox must know it by the board's name (`Inbox::set_outputs`).
pub async fn run(
    mut output: Box<dyn Output>,
    inbox: Inbox,
    board: ConnectorBoard,
    shutdown: CancellationToken,
) {
    // What is dropped half-way is set right by `start`, as after a crash.
    shutdown
        .run_until_cancelled(drive(output.as_mut(), &inbox, &board))
        .await;
}

async fn drive(output: &mut dyn Output, inbox: &Inbox, board: &ConnectorBoard) {
    let mut news = inbox.changes();
    let mut telling = Telling::new(inbox);
    let mut retry = Retry::new();
    let mut started = false;
    let mut paused = false;
    loop {
        match turn(output, inbox, board, &mut telling, &mut started).await {
            Ok(turn) => {
                if paused {
                    tracing::info!(output = board.name(), "output goes on");
                    board.running();
                    board.disk_full(false);
                    paused = false;
                }
                retry.reset();
                if matches!(turn, Turn::Nothing) {
                    // Either way the next turn looks again.
                    let _ = timeout(IDLE_POLL, news.changed()).await;
                }
            }
            Err(pause) => {
                let mut delay = retry.next_delay().max(pause.retry_after.unwrap_or_default());
                if pause.disk_full {
                    delay = delay.min(MAX_DELAY_ON_A_FULL_DISK);
                }
                if !paused {
                    tracing::warn!(output = board.name(), why = %pause.why, "output pauses");
                }
                board.paused(pause.why.clone());
                board.disk_full(pause.disk_full);
                (started, paused) = (false, true);
                sleep(delay).await;
            }
        }
    }
}

async fn turn(
    output: &mut dyn Output,
    inbox: &Inbox,
    board: &ConnectorBoard,
    telling: &mut Telling,
    started: &mut bool,
) -> Result<Turn, Pause> {
    let row = inbox.output(board.name()).await?;
    if !*started {
        output.start(&row).await?;
        telling.begin_anew();
        *started = true;
        return Ok(Turn::Did);
    }
    let group = inbox.pending(row.position).await?;
    telling.tell(output, inbox, board.name(), &group).await?;
    let changes = group.len() as u64;
    let step = if group.is_empty() {
        output.idle(row.position).await
    } else {
        output.apply(group).await
    };
    let Step { progress, pause } = step;
    let did = progress.is_some();
    if let Some(progress) = progress {
        let moved = progress.position > row.position;
        inbox.commit_output(board.name(), &progress).await?;
        if moved {
            board.count("changes", changes.min(progress.position - row.position));
        }
    }
    match pause {
        Some(pause) => Err(pause),
        None if did => Ok(Turn::Did),
        None => Ok(Turn::Nothing),
    }
}

#[cfg(test)]
mod tests {
    use handfast_proto::amendment::Op::Create;
    use tokio::time::Instant;

    use super::*;
    use crate::{
        output::directory::DirectoryOutput,
        status::{ConnectorState, StatusBoard},
        store::inbox::testing,
    };

    const PATIENCE: Duration = Duration::from_secs(20);

    async fn wait_until(what: &str, mut reached: impl AsyncFnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !reached().await {
            assert!(Instant::now() < deadline, "not reached: {what}");
            sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn an_output_pauses_says_why_and_goes_on_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let inbox = testing::open_with_output(folder.path(), "directory").await;
        let board = StatusBoard::new();
        let stop = CancellationToken::new();
        let to = folder.path().join("to");
        // A file where the folder must be.
        std::fs::write(&to, "in the way").unwrap();
        let output = DirectoryOutput::new("out", to.clone(), inbox.clone());
        let lines = board.output("out", "directory");
        let running = tokio::spawn(run(Box::new(output), inbox.clone(), lines, stop.clone()));
        let state = || board.snapshot().outputs["out"].state.clone();
        wait_until("a pause", async || {
            matches!(state(), ConnectorState::Paused { .. })
        })
        .await;
        // The inbox takes what comes meanwhile.
        let message = testing::live("Z00101", 1, &[(1, Create, "Patient/1", "p")]);
        inbox.apply(&testing::group(1, 2, vec![message])).await.unwrap();
        std::fs::remove_file(&to).unwrap();
        let file = to.join("current/Z00101/Patient/1.json");
        wait_until("the record's file", async || file.exists()).await;
        wait_until("running", async || state() == ConnectorState::Running).await;
        let count = || board.snapshot().outputs["out"].counts.get("changes").copied();
        wait_until("the count", async || count() == Some(1)).await;
        assert_eq!(inbox.output("out").await.unwrap().position, 1);
        stop.cancel();
        timeout(PATIENCE, running).await.unwrap().unwrap();
    }
}
