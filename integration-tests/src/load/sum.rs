//! The result of a run, of what was measured and found.

use std::{collections::BTreeMap, sync::atomic::Ordering::Relaxed};

use anyhow::Context as _;
use handfast_proto::amendment::Amendment;

use super::{
    FORMAT, Machine, Outcome,
    check::Findings,
    data::Stream,
    drive::Calls,
    plan::Plan,
    watch::{Measured, curve, latency, spread},
};

pub(super) fn outcome(
    plan: &Plan,
    calls: &Calls,
    measured: Measured,
    findings: Findings,
    machine: Machine,
) -> anyhow::Result<Outcome> {
    let mut as_run = serde_json::to_value(plan).context("write the plan down")?;
    if let Some(fields) = as_run.as_object_mut() {
        fields.insert("data_digest".to_owned(), data_digest(plan)?.into());
    }
    let (revoked, granted) = (spread(&calls.off.lock()), spread(&calls.on.lock()));
    Ok(Outcome {
        format: FORMAT,
        seed: plan.seed,
        scenario: plan.name.clone(),
        plan: as_run,
        machine,
        started_at: String::new(),
        seconds: measured.seconds,
        amendments: measured.amendments,
        deliveries: measured.deliveries,
        amendments_per_s: measured.amendments as f64 / measured.seconds,
        deliveries_per_s: measured.deliveries as f64 / measured.seconds,
        latency_ms: latency(&measured.latency),
        latency_curve: curve(&measured.latency),
        leaks: findings.leaks,
        lost: findings.lost,
        duplicated: findings.duplicated,
        out_of_order: findings.out_of_order,
        forged: findings.forged,
        findings: findings.words,
        daemon: measured.daemon,
        revoke_ms: revoked,
        grant_ms: granted,
        toggles: calls.toggles.load(Relaxed),
        dissents: calls.words.load(Relaxed),
        drops: 0,
        pending: calls.pending.load(Relaxed),
        withheld: BTreeMap::new(),
        timeline: measured.timeline,
        sabotage: plan
            .sabotage
            .map(|what| serde_json::to_value(what).map(|v| v.as_str().unwrap_or_default().to_owned()))
            .transpose()?,
    })
}

/// Amendments of each source that the digest of the data is over.
const DIGESTED: u32 = 64;

/// A digest over the first amendments of each source: runs that give the same send the same.
fn data_digest(plan: &Plan) -> anyhow::Result<String> {
    use aws_lc_rs::digest::{Context, SHA256};
    let mut digest = Context::new(&SHA256);
    for source in plan.layout().sources {
        let mut stream = Stream::new(&plan.data, plan.seed, source)?;
        for _ in 0..DIGESTED {
            let (meta, amendment): (_, Amendment) = stream.next()?;
            digest.update(format!("{meta:?}").as_bytes());
            digest.update(amendment.record.as_bytes());
            digest.update(&amendment.payload);
        }
    }
    let digest = digest.finish();
    let hex: Vec<String> = digest
        .as_ref()
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok(hex.concat())
}
