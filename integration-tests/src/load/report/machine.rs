//! The machine that a run is measured on, as Linux tells it.

use std::fs;

use crate::load::Machine;

impl Machine {
    /// This machine, now, and this build.
    pub fn look() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let load = read("/proc/loadavg");
        Self {
            cpu: field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".to_owned()),
            cores: std::thread::available_parallelism()
                .ok()
                .and_then(|n| u32::try_from(n.get()).ok())
                .unwrap_or(0),
            memory_mib: field(&read("/proc/meminfo"), "MemTotal")
                .and_then(|v| v.split_whitespace().next()?.parse::<u64>().ok())
                .unwrap_or(0)
                / 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load_average: load
                .split_whitespace()
                .next()
                .and_then(|n| n.parse().ok())
                .unwrap_or(0.0),
            optimised: !cfg!(debug_assertions),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// The value of the first line `key: value`.
fn field(text: &str, key: &str) -> Option<String> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.trim() == key)
        .map(|(_, value)| value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_cores_memory_and_a_kernel() {
        let machine = Machine::look();
        assert!(machine.cores > 0);
        assert!(machine.memory_mib > 0);
        assert!(!machine.kernel.is_empty());
    }

    #[test]
    fn fields_are_found_by_name() {
        let text = "processor\t: 0\nmodel name\t: AMD EPYC: a core\n";
        assert_eq!(field(text, "model name").as_deref(), Some("AMD EPYC: a core"));
        assert_eq!(field(text, "model"), None);
    }
}
