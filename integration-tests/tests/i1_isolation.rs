//! I1: with no certificate, or one that is expired, not yet valid, of another authority or of two names,
//! every call of every service is refused; with another unit's, everything that is not its own. Refusals
//! are logged without patient data.
//!
//! Detects: a half that any unit's people or agents may turn; a certificate whose authority, time, names or
//! trust domain is not looked at; a unit that is not known; somebody without a certificate who is taken for a
//! unit; refusals that are not logged.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, ensure};
use handfast_integration_tests::harness::{
    Admin, Forged, Identity, Pace, Rig, Windows, amendment, connect, connect_anonymous, foreign_authority,
    forge, nhs_number, of_everyone, of_others, wait_until,
};
use handfast_proto::{
    ids::{Holder, OdsCode},
    v1::{
        EnrolRequest, ListAgreementsRequest, Side, StatusRequest, agreements_client::AgreementsClient,
        enrolment_client::EnrolmentClient, units_client::UnitsClient,
    },
};
use tonic::Code;

const SOON: Duration = Duration::from_secs(20);

/// A deployment in which something happened that must not show: the first unit's amendments.
async fn rig() -> anyhow::Result<Rig> {
    let rig = Rig::new(3).await?;
    rig.join(0, 1).await?;
    let publisher = rig.publisher(0)?;
    let some = (0..100).map(|n| amendment(n, 0, 300)).collect::<Result<_, _>>()?;
    publisher.offer(some).await?;
    publisher.wait_acked(100, SOON).await?;
    Ok(rig)
}

fn log_is_clean(rig: &Rig) -> anyhow::Result<()> {
    let log = rig.deployment.logged();
    for k in 0..50 {
        ensure!(
            !log.contains(&nhs_number(k)?.reveal()),
            "an NHS number is in the log"
        );
    }
    ensure!(!log.contains("resourceType"), "a payload is in the log");
    Ok(())
}

async fn every_call_fails(
    url: &str,
    identity: Option<&Identity>,
    ca: &str,
    what: &str,
) -> anyhow::Result<()> {
    for (name, call) in of_others().into_iter().chain(of_everyone()) {
        let channel = match identity {
            Some(identity) => connect(url, identity, Windows::default()).await,
            None => connect_anonymous(url, ca).await,
        };
        // A certificate that TLS refuses may already end the connection.
        let Ok(channel) = channel else { continue };
        let answer = tokio::time::timeout(SOON, call(channel))
            .await
            .with_context(|| format!("{name} with {what}: no answer"))?;
        let refused = answer
            .err()
            .with_context(|| format!("{name} was let in with {what}"))?;
        if identity.is_none() {
            ensure!(
                refused.code() == Code::Unauthenticated,
                "{name} with {what}: {refused}"
            );
        }
        ensure!(
            !matches!(refused.code(), Code::Internal | Code::Unimplemented),
            "{name} with {what}: {refused}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i1_no_call_without_a_good_certificate() -> anyhow::Result<()> {
    let rig = rig().await?;
    let (url, ca) = (rig.deployment.url(), rig.deployment.ca_pem()?);
    let (ca_cert, ca_key) = rig.deployment.authority()?;
    let (foreign_cert, foreign_key) = foreign_authority()?;
    let own = (ca_cert.as_str(), ca_key.as_str());
    let foreign = (foreign_cert.as_str(), foreign_key.as_str());
    let unit = |ods: &str| anyhow::Ok(Holder::Unit(ods.parse::<OdsCode>()?));
    let person = |id: &str| anyhow::Ok(Holder::Person(id.parse()?));
    let forged = [
        (
            "an expired one",
            forge(own, &unit("Z00001")?, "test.example", Forged::Expired, &ca)?,
        ),
        (
            "one of the future",
            forge(own, &unit("Z00001")?, "test.example", Forged::NotYetValid, &ca)?,
        ),
        (
            "one of two names",
            forge(own, &unit("Z00001")?, "test.example", Forged::TwoNames, &ca)?,
        ),
        (
            "another authority's",
            forge(foreign, &unit("Z00001")?, "test.example", Forged::Sound, &ca)?,
        ),
        (
            "another trust domain's",
            forge(own, &unit("Z00001")?, "other.example", Forged::Sound, &ca)?,
        ),
        (
            "an unknown unit's",
            forge(own, &unit("Z00008")?, "test.example", Forged::Sound, &ca)?,
        ),
        (
            "an unknown person's",
            forge(own, &person("nobody")?, "test.example", Forged::Sound, &ca)?,
        ),
    ];
    every_call_fails(&url, None, &ca, "none").await?;
    for (what, identity) in &forged {
        every_call_fails(&url, Some(identity), &ca, what).await?;
    }
    let log = rig.deployment.logged();
    ensure!(log.contains("refused"), "no refusal is in the log");
    log_is_clean(&rig)?;
    rig.deployment.finished();
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i1_another_units_certificate_reaches_nothing_of_others() -> anyhow::Result<()> {
    let rig = rig().await?;
    let url = rig.deployment.url();
    // The third unit has no part in the agreement of the other two.
    let agent = &rig.member(2)?.identity;
    let admin = Identity::load(&rig.member(2)?.unit.admin_profile)?;
    for (who, identity) in [("agent", agent), ("administrator", &admin)] {
        for (name, call) in of_others() {
            let channel = connect(&url, identity, Windows::default()).await?;
            let refused = call(channel)
                .await
                .err()
                .with_context(|| format!("{name} was let in for another unit's {who}"))?;
            ensure!(
                refused.code() == Code::PermissionDenied,
                "{name} by another unit's {who}: {refused}"
            );
        }
        let channel = connect(&url, identity, Windows::default()).await?;
        let agreements = AgreementsClient::new(channel.clone())
            .list(ListAgreementsRequest {
                unit: "Z00001".to_owned(),
            })
            .await?
            .into_inner()
            .agreements;
        ensure!(agreements.is_empty(), "it sees {agreements:?}");
        let status = UnitsClient::new(channel)
            .status(StatusRequest {})
            .await?
            .into_inner();
        let seen: BTreeSet<_> = status.units.iter().map(|u| u.ods.as_str()).collect();
        ensure!(seen == BTreeSet::from(["Z00003"]), "it sees {seen:?}");
        ensure!(status.pairs.is_empty(), "it sees {:?}", status.pairs);
    }
    log_is_clean(&rig)?;
    ensure!(
        rig.deployment.logged().contains("refused"),
        "no refusal is in the log"
    );
    rig.deployment.finished();
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i1_each_half_is_turned_by_its_own_unit_alone() -> anyhow::Result<()> {
    let rig = Rig::new(3).await?;
    let operator = Admin::new(&rig.deployment.url(), Identity::load(&rig.deployment.operator())?);
    for (s, r) in [(0, 1), (1, 0), (1, 2)] {
        for side in [Side::ShareOut, Side::ShareIn] {
            let owner = if side == Side::ShareOut { s } else { r };
            for who in 0..3 {
                let admin = &rig.member(who)?.unit.admin;
                let done = admin.set_once(side, rig.ods(s)?, rig.ods(r)?, true).await;
                ensure!(
                    done.is_ok() == (who == owner),
                    "{side:?} of {s} → {r} by {who}: {done:?}"
                );
            }
            let done = operator.set_once(side, rig.ods(s)?, rig.ods(r)?, true).await;
            ensure!(done.is_err(), "the operator turned {side:?} of {s} → {r}");
        }
    }
    rig.deployment.finished();
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i1_a_recipient_receives_only_its_own() -> anyhow::Result<()> {
    let rig = rig().await?;
    let second = rig.subscriber(1, Pace::Fast)?;
    let third = rig.subscriber(2, Pace::Fast)?;
    wait_until("the second unit has everything", SOON, || {
        match second.look(|j| j.highest_seq("Z00001")) {
            100 => Ok(()),
            n => Err(format!("up to {n} of 100")),
        }
    })
    .await?;
    ensure!(third.look(|j| j.count("Z00001")) == 0, "the third unit received");
    ensure!(
        third.look(|j| j.arrivals.len()) == 1,
        "the third unit received more than its welcome"
    );
    rig.deployment.finished();
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i1_tokens_work_once_and_for_whom_they_were_made() -> anyhow::Result<()> {
    let rig = Rig::new(1).await?;
    let (url, ca) = (rig.deployment.url(), rig.deployment.ca_pem()?);
    // The member's own token has been used.
    let used = &rig.member(0)?.unit.token;
    let again = Identity::enrol(&url, &ca, used).await;
    ensure!(again.is_err(), "a token was taken twice");
    for token in ["", "hf1_", "nonsense"] {
        let channel = connect_anonymous(&url, &ca).await?;
        let request = EnrolRequest {
            token: token.to_owned(),
            csr_der: vec![0; 10].into(),
        };
        let refused = EnrolmentClient::new(channel).enrol(request).await;
        ensure!(refused.is_err(), "the token {token:?} was taken");
    }
    ensure!(
        !rig.deployment.logged().contains(used.as_str()),
        "a token is in the log"
    );
    rig.deployment.finished();
    Ok(())
}
