//! `handfast-agent status`.

use anyhow::Context as _;
use serde::Serialize;

use super::{
    args::{OutputFormat, StatusArgs},
    dead_letters::open,
    page::{self, moment, span},
};
use crate::{
    app::Report,
    clock::{Clock as _, SystemClock},
    identity::Identity,
    lifecycle::StateLock,
    status::{ConnectorState, ConnectorStatus, LinkState},
    store::{
        inbox::{Alarm, NoticeCode, SourceSummary},
        outbox::StatementCounts,
    },
};

/// A running agent that has not written for longer than this has a fault.
const SILENT_MS: i64 = 30_000;

/// What is shown, for programs.
#[derive(Serialize)]
struct Shown {
    running: bool,
    enrolled: bool,
    /// Milliseconds since the agent wrote what follows.
    age_ms: Option<i64>,
    agent: Option<Report>,
}

pub(super) fn show(args: &StatusArgs) -> anyhow::Result<()> {
    let dir = &args.state.state_dir;
    anyhow::ensure!(
        dir.is_dir(),
        "{} is not a folder; --state-dir names the agent's state folder",
        dir.display()
    );
    let report = Report::read(dir).with_context(|| format!("read status.json in {}", dir.display()))?;
    let now = SystemClock.now_ms();
    let shown = Shown {
        running: StateLock::is_held(dir),
        enrolled: Identity::exists(dir),
        age_ms: report
            .as_ref()
            .map(|r| now.saturating_sub(r.written_at_ms).max(0)),
        agent: report,
    };
    match args.format.output {
        OutputFormat::Json => page::json(&shown),
        OutputFormat::Table => page::put(for_people(&shown, now).as_bytes()),
    }
}

/// Clears the alarm about the audit log, whether the agent runs or not.
pub(super) async fn clear_alarm(args: StatusArgs) -> anyhow::Result<()> {
    let cleared = open(&args.state.state_dir).await?.clear_alarm().await?;
    if args.format.output == OutputFormat::Json {
        return page::json(&cleared);
    }
    page::line(match cleared {
        Some(alarm) => format!(
            "Cleared: {} (since {}, {} heads). The next head of the audit log is taken as the first.",
            alarm.why,
            moment(alarm.at),
            alarm.heads
        ),
        None => "There is no alarm.".to_owned(),
    })
}

fn for_people(shown: &Shown, now: i64) -> String {
    let mut text = String::new();
    let mut say = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    let Some(report) = &shown.agent else {
        say(match (shown.enrolled, shown.running) {
            (_, true) => "The agent is starting.".to_owned(),
            (true, false) => "Enrolled, and never run. Next: handfast-agent run".to_owned(),
            (false, false) => "Not enrolled. Next: handfast-agent enrol".to_owned(),
        });
        return text;
    };
    say(format!("{} at {}", report.holder, report.daemon));
    let age = shown.age_ms.unwrap_or_default();
    say(match (shown.running, report.ended) {
        (true, _) if age > SILENT_MS => format!(
            "Running (process {}), but it has not written its status for {}: is its disk full?",
            report.pid,
            span(age)
        ),
        (true, _) => format!(
            "Running (process {}) for {}; as of {} ago",
            report.pid,
            span(now - report.started_at_ms),
            span(age)
        ),
        (false, true) => format!("Not running: it ended as asked {} ago; as of then", span(age)),
        (false, false) => format!("Not running: it was killed or crashed; as of {} ago", span(age)),
    });
    let certificate = &report.status.certificate;
    if certificate.not_after_ms <= now {
        say(format!(
            "CERTIFICATE EXPIRED on {}: get a new token and run handfast-agent enrol --replace",
            moment(certificate.not_after_ms)
        ));
    } else {
        say(format!(
            "Certificate good until {}",
            moment(certificate.not_after_ms)
        ));
    }
    if let Some(why) = &certificate.renewal_fails {
        say(format!("  renewing it fails: {why}"));
    }
    for full in &report.status.disk_full {
        say(format!("NO ROOM for {full}: make room; it goes on by itself"));
    }
    if let Some(alarm) = report.inbox.as_ref().and_then(|i| i.audit_log.alarm.as_ref()) {
        say(alarm_line(alarm));
    }
    streams(&mut say, report, now);
    outbox(&mut say, report);
    connectors(&mut say, report);
    sources(&mut say, report, now);
    text
}

fn streams(say: &mut impl FnMut(String), report: &Report, now: i64) {
    let link = |state: &LinkState| match state {
        LinkState::Idle => "idle".to_owned(),
        LinkState::Connecting => "connecting".to_owned(),
        LinkState::Connected => "connected".to_owned(),
        LinkState::Refused { why } => format!("REFUSED: {why}"),
        LinkState::Waiting { until_ms, why } => {
            format!(
                "waiting, tries again in {}: {why}",
                span(until_ms.saturating_sub(now))
            )
        }
    };
    say(String::new());
    say(format!("Publishing  {}", link(&report.status.uplink.link)));
    if let Some(at) = report.status.uplink.last_ack_at_ms {
        say(format!(
            "            last acknowledged {} ago",
            span(now.saturating_sub(at))
        ));
    }
    say(format!("Receiving   {}", link(&report.status.downlink.link)));
    if let Some(at) = report.status.downlink.last_durable_at_ms {
        say(format!(
            "            last received {} ago",
            span(now.saturating_sub(at))
        ));
    }
}

fn outbox(say: &mut impl FnMut(String), report: &Report) {
    let Some(outbox) = &report.outbox else { return };
    say(String::new());
    say(format!(
        "Outbox      {} records, {} amendments so far, {} not acknowledged yet",
        outbox.records, outbox.last_seq, outbox.unacknowledged
    ));
    say(format!(
        "            {} private, {} of restricted patients, {} refused, {} older than what was held",
        outbox.private, outbox.restricted, outbox.rejected, outbox.older
    ));
    for (reason, count) in &outbox.waiting {
        say(format!("            {count} wait: {}", reason.replace('_', " ")));
    }
    for (reason, count) in &outbox.held_back {
        say(format!(
            "            {count} TAKEN BACK from recipients until this is settled: {}",
            reason.replace('_', " ")
        ));
    }
    let said = outbox.statements;
    if said != StatementCounts::default() {
        say(format!(
            "            patients' words and moved numbers: {} in force, {} pending, {} acknowledged, {} on their way",
            said.in_force, said.pending, said.acknowledged, said.queued
        ));
    }
    if outbox.echoes > 0 {
        say(format!(
            "            {} echoes: other units' records that came back, and were not published",
            outbox.echoes
        ));
    }
    if outbox.resending {
        say("            every record is being sent again, because the daemon lost some".to_owned());
    }
    if !outbox.disk.is_empty() {
        say(format!("            DISK {}", outbox.disk));
    }
}

fn connectors(say: &mut impl FnMut(String), report: &Report) {
    let (inputs, outputs) = (&report.status.inputs, &report.status.outputs);
    if inputs.is_empty() && outputs.is_empty() {
        return;
    }
    let mut table = page::table(&["", "name", "type", "state", "counts since the start"]);
    let mut rows = |side: &str, name: &str, connector: &ConnectorStatus| {
        let state = match &connector.state {
            ConnectorState::Running => "running".to_owned(),
            ConnectorState::Paused { why } => format!("PAUSED: {why}"),
        };
        let counts: Vec<String> = connector.counts.iter().map(|(k, v)| format!("{k} {v}")).collect();
        table.add_row([
            side.to_owned(),
            name.to_owned(),
            connector.kind.clone(),
            state,
            counts.join(", "),
        ]);
    };
    inputs.iter().for_each(|(name, c)| rows("input", name, c));
    outputs.iter().for_each(|(name, c)| rows("output", name, c));
    say(String::new());
    say(table.to_string());
}

fn sources(say: &mut impl FnMut(String), report: &Report, now: i64) {
    let Some(inbox) = &report.inbox else { return };
    if inbox.sources.is_empty() {
        return;
    }
    let mut table = page::table(&[
        "source",
        "held",
        "as of",
        "scope",
        "state",
        "dead letters",
        "withdrawals",
    ]);
    let ago = |at: i64| format!("{} ago", span(now.saturating_sub(at)));
    for source in &inbox.sources {
        let pending = match source.withdrawals_pending {
            0 => String::new(),
            pending => format!("{pending} pending"),
        };
        table.add_row([
            source.source.clone(),
            source.held.to_string(),
            source.as_of.map_or_else(String::new, ago),
            scope(source),
            state(source),
            source.dead_letters.to_string(),
            pending,
        ]);
    }
    say(String::new());
    say(table.to_string());
    if inbox.dead_letters > 0 {
        say("See what could not be written: handfast-agent dead-letters list".to_owned());
    }
}

fn scope(source: &SourceSummary) -> String {
    match (source.granted, &source.categories) {
        (false, _) => "nothing".to_owned(),
        (true, None) => "every category".to_owned(),
        (true, Some(categories)) => categories.join(", "),
    }
}

/// How a source stands: what its clinicians are told, if anything.
fn state(source: &SourceSummary) -> String {
    let notices = source.notices.iter().map(|notice| {
        let text = notice.text();
        match notice.code {
            NoticeCode::Stale => format!("STALE: {text}"),
            NoticeCode::Withdrawn | NoticeCode::PossiblyIncomplete => text,
        }
    });
    let told: Vec<String> = notices.collect();
    match (told.is_empty(), source.granted) {
        (false, _) => told.join(" "),
        (true, true) => "in step".to_owned(),
        (true, false) => "not granted".to_owned(),
    }
}

fn alarm_line(alarm: &Alarm) -> String {
    format!(
        "ALARM since {}: {}. Ask the deployment's auditors to look into it, then clear it with \
         handfast-agent status --clear-alarm",
        moment(alarm.at),
        alarm.why
    )
}
