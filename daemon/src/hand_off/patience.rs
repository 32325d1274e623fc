//! How long to wait before telling a target again: doubling, with a cap, and never for good.

/// The first wait, in milliseconds.
const FIRST_WAIT_MS: i64 = 1_000;

/// A target that is in trouble is tried at least so often, in milliseconds: each minute.
const MAX_TARGET_WAIT_MS: i64 = 60_000;

/// An alert that a target does not take is offered at least so often, in milliseconds: each hour.
const MAX_ALERT_WAIT_MS: i64 = 3_600_000;

/// Doublings beyond which a wait is at its cap anyway.
const MAX_DOUBLINGS: u32 = 20;

/// How long to leave a target alone after so many failures in a row.
pub(super) fn target_wait(failures: u32) -> i64 {
    doubled(failures).min(MAX_TARGET_WAIT_MS)
}

/// How long to leave an alert alone that a target did not take after so many tries before this one.
pub(super) fn alert_wait(tries: u32) -> i64 {
    doubled(tries).min(MAX_ALERT_WAIT_MS)
}

fn doubled(times: u32) -> i64 {
    FIRST_WAIT_MS.saturating_mul(1_i64 << times.min(MAX_DOUBLINGS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_their_caps() {
        assert_eq!(
            [0, 1, 2, 5, 6, u32::MAX].map(target_wait),
            [1_000, 2_000, 4_000, 32_000, 60_000, 60_000]
        );
        assert_eq!(
            [0, 11, 12, u32::MAX].map(alert_wait),
            [1_000, 2_048_000, 3_600_000, 3_600_000]
        );
    }
}
