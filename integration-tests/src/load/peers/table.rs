//! The comparison for a terminal: the ratios, the latencies, what took part and how, who did not, and what weighs on
//! the figures.

use comfy_table::{CellAlignment, Table, presets::UTF8_HORIZONTAL_ONLY};

use super::compared::{PeersReport, Span};
use crate::load::report::words::{count, figure, several};

impl PeersReport {
    /// The version of the format that is written.
    pub const FORMAT: u32 = 2;

    /// For a terminal.
    pub fn table(&self) -> String {
        let mut out = String::new();
        for missing in &self.missing {
            out.push_str(&format!("NOT COMPARED with {}: {}\n", missing.peer, missing.why));
        }
        if !self.compared.is_empty() {
            out.push_str(&format!("{}\n", self.throughput()));
        }
        if !self.latencies.is_empty() {
            out.push_str(&format!("{}\n", self.latency()));
        }
        out.push_str(&self.method());
        out.push_str(&self.warnings());
        out
    }

    fn throughput(&self) -> Table {
        let mut table = with_header(&[
            "shape",
            "against",
            "Handfast/s",
            "peer/s",
            "ratio, min / median / max",
            "Handfast CPU s/M",
            "peer CPU s/M",
            "ratio, min / median / max",
            "Handfast clients CPU s/M",
            "peer clients CPU s/M",
        ]);
        for c in &self.compared {
            table.add_row(vec![
                c.shape.to_string(),
                c.peer.to_string(),
                figure(c.handfast_per_s.median),
                figure(c.peer_per_s.median),
                spread(c.rate_ratio),
                figure(c.handfast_cpu_s_per_million.median),
                figure(c.peer_cpu_s_per_million.median),
                spread(c.cpu_ratio),
                figure(c.handfast_client_cpu_s_per_million.median),
                figure(c.peer_client_cpu_s_per_million.median),
            ]);
        }
        for missing in &self.missing {
            table.add_row(vec![
                "all".to_owned(),
                missing.peer.to_string(),
                "NOT COMPARED".to_owned(),
            ]);
        }
        right(table, 2)
    }

    fn latency(&self) -> Table {
        let mut table = with_header(&[
            "shape",
            "at",
            "peer",
            "p50 ms, min / median / max",
            "p99 ms, min / median / max",
            "CPU s/M",
            "clients CPU s/M",
        ]);
        for l in &self.latencies {
            table.add_row(vec![
                l.shape.to_string(),
                format!("{}/s", count(l.rate)),
                l.peer.to_string(),
                spread(l.p50_ms),
                spread(l.p99_ms),
                figure(l.cpu_s_per_million.median),
                figure(l.client_cpu_s_per_million.median),
            ]);
        }
        right(table, 3)
    }

    fn method(&self) -> String {
        let m = &self.machine;
        let mut out = format!(
            "Medians of {} of {} s each, in turn; the ratios are Handfast's figure over the peer's in the same round. An \
             amendment of {} bytes counts once every recipient has it; the sources are ahead by {} at most. Every \
             delivery was held against what was sent, byte by byte and in order. A latency is from when an amendment \
             was due. CPU s/M is the server's seconds a million amendments; that of the clients, which are this process \
             on the same cores, stands beside it.\n{}, {}, {} MiB, Linux {}, temporary folder on {}, load average {:.1} before \
             the first round.\n",
            several(u64::from(self.rounds), "round", "rounds"),
            self.seconds,
            count(self.payload_bytes),
            count(self.window_amendments),
            m.cpu,
            several(u64::from(m.cores), "core", "cores"),
            count(m.memory_mib),
            m.kernel,
            self.file_system,
            m.load_average,
        );
        for about in &self.peers {
            out.push_str(&format!("{}: {}\n", about.peer, about.version));
            for setting in &about.settings {
                out.push_str(&format!("    {setting}\n"));
            }
        }
        out
    }

    fn warnings(&self) -> String {
        let m = &self.machine;
        let mut out = String::new();
        if !m.optimised {
            out.push_str("Note: the build is not optimised: the figures mean nothing.\n");
        }
        if m.load_average > f64::from(m.cores.max(1)) {
            out.push_str(
                "Note: the machine was busy before the first round: take the ratios, not the figures.\n",
            );
        }
        for run in self.runs.iter().filter(|run| !run.at_rest) {
            out.push_str(&format!(
                "Note: not at rest: {} had something to do before it was measured in round {} at {}.\n",
                run.peer, run.round, run.shape
            ));
        }
        if let Some(error) = &self.failed {
            out.push_str(&format!(
                "Note: IT FAILED, and ended with the rounds until then: a peer or a shape may have fewer than another, or \
                 none. {error}\n"
            ));
        }
        if self.interrupted {
            out.push_str(
                "Note: it was interrupted: a peer or a shape may have fewer rounds than another, or none.\n",
            );
        }
        if self.rounds < 5 {
            out.push_str("Note: fewer than five rounds: least and most say little.\n");
        }
        out
    }
}

fn with_header(names: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_HORIZONTAL_ONLY);
    table.set_header(names.to_vec());
    table
}

/// With the columns from `first` on at the right.
fn right(mut table: Table, first: usize) -> Table {
    for place in first..table.column_count() {
        if let Some(column) = table.column_mut(place) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn spread(span: Span) -> String {
    format!("{:.2} / {:.2} / {:.2}", span.min, span.median, span.max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{
        Machine,
        peers::{
            compared::{
                Missing, PeerRun, compare, latencies,
                tests::{at_a_rate, run},
            },
            options::{Beside, Kind},
        },
    };

    #[test]
    fn the_table_says_who_was_left_out_and_that_figures_of_a_busy_machine_are_weak() {
        let at_work = PeerRun {
            at_rest: false,
            ..run(1, Kind::Relay, 200.0, 4.0)
        };
        let runs = [
            run(1, Kind::Handfastd, 100.0, 8.0),
            at_work,
            at_a_rate(1, Kind::Handfastd, 1.25),
        ];
        let mut machine = Machine::look();
        (machine.load_average, machine.cores) = (9.0, 2);
        let report = PeersReport {
            format: PeersReport::FORMAT,
            machine,
            file_system: "xfs".to_owned(),
            started_at: String::new(),
            rounds: 1,
            interrupted: true,
            failed: Some("Redis · 1x4 · round 2: the stream was ended".to_owned()),
            seconds: 1,
            beside: Beside::NOTHING,
            payload_bytes: 1_024,
            window_amendments: 32_768,
            peers: Vec::new(),
            missing: vec![Missing {
                peer: Kind::Redis,
                why: "not installed".to_owned(),
            }],
            compared: compare(&runs),
            latencies: latencies(&runs),
            runs: runs.to_vec(),
        };
        let table = report.table();
        for part in [
            "1x4",
            "bare relay",
            "0.50 / 0.50 / 0.50",
            "5,000/s",
            "Handfast clients CPU s/M",
            "16.00",
            "1.25 / 1.25 / 1.25",
            "NOT COMPARED with Redis: not installed",
            "was busy",
            "temporary folder on xfs",
            "fewer than five rounds",
            "was interrupted",
            "IT FAILED",
            "Redis · 1x4 · round 2: the stream was ended",
            "not at rest: bare relay had something to do before it was measured in round 1 at 1x4",
        ] {
            assert!(table.contains(part), "{part} is missing in\n{table}");
        }
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<PeersReport>(&json).unwrap(), report);
    }
}
