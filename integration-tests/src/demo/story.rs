//! The demo's steps, and what must be true after each.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use handfast_proto::v1::{Side, WithdrawalState};

use super::{
    scene::{Place, STEP_WITHIN, Scene},
    view::{REFRESH_EVERY, View},
};
use crate::harness::wait_until;

const SURGERY: &str = "Z00101";
const NURSES: &str = "Z00202";
const HOSPITAL: &str = "Z00303";

/// How long the demo watches that nothing arrives.
const WATCH_NOTHING: Duration = Duration::from_millis(1_500);

/// Tells the whole story; with `keep`, stays until it is cancelled.
pub async fn tell(keep: bool) -> anyhow::Result<()> {
    let mut view = View::new();
    view.say("Starting a daemon and three agents on this machine, each with a key of its own …");
    let mut scene = Scene::set().await?;
    let folder = scene.deployment.dir().display().to_string();
    view.say(&format!("They run in {folder}"));
    view.open(&scene);

    nothing_without_agreement(&scene, &view).await?;
    one_hand(&scene, &view).await?;
    both_hands(&scene, &view).await?;
    three_ways(&scene, &view).await?;
    one_amendment(&scene, &view).await?;
    let_go(&scene, &view).await?;

    view.close();
    where_to_look(&scene, keep)?;
    if keep {
        scene.deployment.silence();
        std::future::pending::<()>().await;
    }
    scene.deployment.finished();
    Ok(())
}

async fn nothing_without_agreement(scene: &Scene, view: &View) -> anyhow::Result<()> {
    view.step(
        1,
        "Each unit's clinical system writes its records into its agent's folder.",
    );
    for place in &scene.places {
        place.stream_sample().await?;
        view.say(&format!(
            "   {} streamed {} records to the daemon.",
            place.name,
            place.holds.len()
        ));
    }
    view.say("   No unit has agreed to anything yet, so nothing is forwarded.");
    nothing_arrives(scene, view).await
}

async fn one_hand(scene: &Scene, view: &View) -> anyhow::Result<()> {
    let (surgery, hospital) = (scene.place(SURGERY)?, scene.place(HOSPITAL)?);
    view.step(
        2,
        &format!(
            "{} turns its share-out on, towards {}.",
            surgery.name, hospital.name
        ),
    );
    view.say("   One hand alone joins nothing: the other unit has not agreed to share in.");
    turn(surgery, Side::ShareOut, SURGERY, HOSPITAL, true).await?;
    nothing_arrives(scene, view).await
}

async fn both_hands(scene: &Scene, view: &View) -> anyhow::Result<()> {
    let (surgery, hospital) = (scene.place(SURGERY)?, scene.place(HOSPITAL)?);
    view.step(
        3,
        &format!("{} turns its share-in on: both hands are joined.", hospital.name),
    );
    let begun = Instant::now();
    turn(hospital, Side::ShareIn, SURGERY, HOSPITAL, true).await?;
    arrives(scene, view, surgery, hospital).await?;
    view.say(&format!(
        "   {} records arrived in {:.1} s. {} that {} marked private stayed where they are.",
        surgery.shareable(),
        begun.elapsed().as_secs_f64(),
        surgery.private,
        surgery.name
    ));
    settle(scene, view).await
}

async fn three_ways(scene: &Scene, view: &View) -> anyhow::Result<()> {
    let (hospital, nurses, surgery) = (
        scene.place(HOSPITAL)?,
        scene.place(NURSES)?,
        scene.place(SURGERY)?,
    );
    view.step(4, "Two more pairs agree; the other three directions stay shut.");
    for (source, recipient) in [(hospital, nurses), (nurses, surgery)] {
        let (s, r) = (source.unit.ods.as_str(), recipient.unit.ods.as_str());
        turn(source, Side::ShareOut, s, r, true).await?;
        turn(recipient, Side::ShareIn, s, r, true).await?;
    }
    arrives(scene, view, hospital, nurses).await?;
    arrives(scene, view, nurses, surgery).await?;
    for (s, r) in [(SURGERY, NURSES), (NURSES, HOSPITAL), (HOSPITAL, SURGERY)] {
        if scene.place(r)?.count_from(s) > 0 {
            bail!("{r} received from {s} without an agreement");
        }
    }
    settle(scene, view).await
}

async fn one_amendment(scene: &Scene, view: &View) -> anyhow::Result<()> {
    let (hospital, nurses) = (scene.place(HOSPITAL)?, scene.place(NURSES)?);
    view.step(5, &format!("A clinician at {} amends one entry.", hospital.name));
    let line = hospital
        .lines
        .iter()
        .find(|l| l.contains("\"Observation\"") && l.contains("\"status\":\"final\""))
        .context("an Observation in the hospital's sample")?;
    let amended = line.replacen("\"status\":\"final\"", "\"status\":\"amended\"", 1);
    let value: serde_json::Value = serde_json::from_str(&amended).context("read the amended entry")?;
    let id = value["id"].as_str().context("the entry's id")?;
    let name = format!("Observation/{id}");
    let begun = Instant::now();
    hospital.agent.drop_file("amended.json", &amended)?;
    wait_until("the amended entry arrives", STEP_WITHIN, || {
        let held = nurses.records_from(HOSPITAL).map_err(|e| format!("{e:#}"))?;
        match held.get(&name) {
            Some(at_nurses) if *at_nurses == value => Ok(()),
            _ => Err(format!("{name} is not amended yet")),
        }
    })
    .await?;
    view.say(&format!(
        "   {} has it {} ms later (the folder is looked into now and then; the link itself takes a few).",
        nurses.name,
        begun.elapsed().as_millis()
    ));
    settle(scene, view).await
}

async fn let_go(scene: &Scene, view: &View) -> anyhow::Result<()> {
    let (surgery, hospital) = (scene.place(SURGERY)?, scene.place(HOSPITAL)?);
    view.step(
        6,
        &format!(
            "{} lets go: its share-out towards {} is off.",
            surgery.name, hospital.name
        ),
    );
    let begun = Instant::now();
    let turned = turn(surgery, Side::ShareOut, SURGERY, HOSPITAL, false).await?;
    let receipt = turned.receipt.context("a receipt of what ended")?;
    let missing = match receipt.may_have_received_to {
        0 => "nothing is left in doubt".to_owned(),
        to => format!(
            "seqs {}–{to} may have been received",
            receipt.may_have_received_from
        ),
    };
    view.say(&format!(
        "   In force after {} ms. Received up to seq {}; {missing}.",
        begun.elapsed().as_millis(),
        receipt.received_through
    ));
    wait_until(
        "the hospital's agent removes what it held",
        STEP_WITHIN,
        || match hospital.count_from(SURGERY) {
            0 => Ok(()),
            left => Err(format!("{left} records are left")),
        },
    )
    .await?;
    confirmed(surgery).await?;
    view.say(&format!(
        "   {} has removed what it held of {}, and confirmed it.",
        hospital.name, surgery.name
    ));
    settle(scene, view).await
}

/// The administrator sees the withdrawal confirmed.
async fn confirmed(source: &Place) -> anyhow::Result<()> {
    crate::harness::wait_until_async("the withdrawal is confirmed", STEP_WITHIN, || async {
        let agreements = source.unit.admin.list().await.map_err(|e| format!("{e:#}"))?;
        let found = agreements
            .into_iter()
            .find(|a| a.source == SURGERY && a.recipient == HOSPITAL)
            .and_then(|a| a.withdrawal)
            .ok_or("no withdrawal is listed")?;
        match found.state() {
            WithdrawalState::Confirmed => Ok(()),
            other => Err(format!("it is {other:?}")),
        }
    })
    .await
}

async fn turn(
    who: &Place,
    side: Side,
    source: &str,
    recipient: &str,
    on: bool,
) -> anyhow::Result<crate::harness::Turned> {
    who.unit.admin.set(side, source, recipient, on).await
}

async fn nothing_arrives(scene: &Scene, view: &View) -> anyhow::Result<()> {
    let end = Instant::now() + WATCH_NOTHING;
    while Instant::now() < end {
        view.update(&scene.standing().await?);
        for (source, recipient) in scene.pairs() {
            if recipient.count_from(&source.unit.ods) > 0 {
                bail!(
                    "{} received from {} without both hands",
                    recipient.name,
                    source.name
                );
            }
        }
        tokio::time::sleep(REFRESH_EVERY).await;
    }
    settle(scene, view).await
}

async fn arrives(scene: &Scene, view: &View, source: &Place, recipient: &Place) -> anyhow::Result<()> {
    let end = Instant::now() + STEP_WITHIN;
    let want = source.shareable();
    loop {
        view.update(&scene.standing().await?);
        let got = recipient.records_from(&source.unit.ods)?;
        if got.len() == want {
            let whole = got
                .iter()
                .all(|(name, value)| source.holds.get(name) == Some(value));
            if whole {
                return Ok(());
            }
            bail!(
                "{} holds a record of {} that differs",
                recipient.name,
                source.name
            );
        }
        if Instant::now() > end {
            bail!(
                "{} holds {} of {want} records of {} after {STEP_WITHIN:?}",
                recipient.name,
                got.len(),
                source.name
            );
        }
        tokio::time::sleep(REFRESH_EVERY).await;
    }
}

async fn settle(scene: &Scene, view: &View) -> anyhow::Result<()> {
    view.settle(&scene.standing().await?);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "what it shows is its work")]
fn where_to_look(scene: &Scene, keep: bool) -> anyhow::Result<()> {
    let (surgery, nurses) = (scene.place(SURGERY)?, scene.place(NURSES)?);
    println!();
    println!("That was the whole path: agent → daemon → agent, over mutual TLS, durable at each hop.");
    if !keep {
        println!("Everything is stopped and removed now. To go on by hand: cargo demo -- --keep");
        return Ok(());
    }
    let ctl = crate::harness::binary("handfastctl")?;
    let ctl = |profile: &Path| format!("{} --profile {}", ctl.display(), profile.display());
    let operator = ctl(&scene.deployment.operator());
    let admin = ctl(&surgery.unit.admin_profile);
    println!();
    println!("Where to look:");
    println!(
        "  what {} received      {}",
        nurses.name,
        nurses.current("").display()
    );
    println!(
        "  every change applied there   {}",
        nurses.agent.output().join("changes.ndjson").display()
    );
    println!(
        "  the daemon's log             {}",
        scene.deployment.log().display()
    );
    println!();
    println!(
        "How to go on by hand, in another terminal (the daemon is {}):",
        scene.deployment.url()
    );
    println!("  {operator} --daemon {} status", scene.deployment.url());
    println!("  {operator} --daemon {} agreement list", scene.deployment.url());
    println!(
        "  {admin} --daemon {} agreement share-out --from {SURGERY} --to {HOSPITAL} on",
        scene.deployment.url()
    );
    println!(
        "  cp some.ndjson {}/     (FHIR R4, one resource a line)",
        surgery.agent.input().display()
    );
    println!();
    println!("Ctrl-C stops everything and removes the folder.");
    Ok(())
}
