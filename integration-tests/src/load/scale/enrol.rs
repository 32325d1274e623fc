//! Enrols many units through the services that an operator and agents use, some at a time.
//!
//! A key is made for each, as its agent would; connections are shared by some, so that what is waited for is the
//! daemon's work and not handshakes.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use handfast_proto::v1::{
    EnrolRequest, RegisterUnitRequest, UnitKind, enrolment_client::EnrolmentClient, units_client::UnitsClient,
};
use rcgen::{CertificateParams, KeyPair};
use serde::{Deserialize, Serialize};
use tonic::transport::Channel;

use super::watch::bar;
use crate::harness::{Deployment, Identity, Windows, connect, connect_anonymous};

/// Connections of the operator, and as many that show no certificate.
const CONNECTIONS: usize = 4;
/// Units enrolled at one time on one of them.
const AT_ONCE: usize = 8;
/// How long a unit may take, also beside all the others.
const ENROLLED_WITHIN: Duration = Duration::from_secs(60);

/// What such a deployment lets one caller do more of than others should: enrol thousands in a minute.
pub(super) const OPTIONS: [&str; 6] = [
    "--unary-calls-per-second",
    "100000",
    "--unary-calls-burst",
    "100000",
    "--anonymous-lifetime-ms",
    "3600000",
];

/// A unit, and what its agent shows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Enrolled {
    pub(super) ods: String,
    pub(super) key_pem: String,
    pub(super) chain_pem: String,
    pub(super) ca_pem: String,
}

/// Enrols `units` of them, named from `W00000` on, or from a later number; how long that took.
pub(super) async fn enrol(
    deployment: &Deployment,
    first: usize,
    units: usize,
) -> anyhow::Result<(Vec<Enrolled>, Duration)> {
    let begun = Instant::now();
    let (url, ca) = (deployment.url(), deployment.ca_pem()?);
    let operator = Identity::load(&deployment.operator())?;
    let mut desks = Vec::new();
    for _ in 0..CONNECTIONS {
        desks.push(Desk {
            operator: connect(&url, &operator, Windows::default()).await?,
            door: connect_anonymous(&url, &ca).await?,
        });
    }
    let progress = bar("units enrolled", units);
    let mut enrolled: Vec<Enrolled> = stream::iter(first..first + units)
        .map(|n| {
            let desk = desks.get(n % CONNECTIONS).cloned();
            let progress = progress.clone();
            async move {
                let enrolling = desk.context("a connection")?.enrol(n);
                let unit = tokio::time::timeout(ENROLLED_WITHIN, enrolling).await;
                let unit = unit.with_context(|| format!("a unit took longer than {ENROLLED_WITHIN:?}"))??;
                progress.inc(1);
                anyhow::Ok(unit)
            }
        })
        .buffer_unordered(CONNECTIONS * AT_ONCE)
        .try_collect()
        .await?;
    progress.finish_and_clear();
    enrolled.sort_by(|a, b| a.ods.cmp(&b.ods));
    Ok((enrolled, begun.elapsed()))
}

#[derive(Clone)]
struct Desk {
    operator: Channel,
    door: Channel,
}

impl Desk {
    async fn enrol(self, n: usize) -> anyhow::Result<Enrolled> {
        let ods = format!("W{n:05}");
        let register = RegisterUnitRequest {
            ods: ods.clone(),
            name: format!("Unit {ods}"),
            kind: UnitKind::Gp.into(),
        };
        let registered = UnitsClient::new(self.operator).register(register).await;
        let token = registered
            .with_context(|| format!("register {ods}"))?
            .into_inner()
            .token
            .context("a token")?;
        let key = KeyPair::generate().context("make a key")?;
        let csr = CertificateParams::default()
            .serialize_request(&key)
            .context("make a signing request")?;
        let request = EnrolRequest {
            token: token.token,
            csr_der: csr.der().to_vec().into(),
        };
        let answer = EnrolmentClient::new(self.door).enrol(request).await;
        let answer = answer.with_context(|| format!("enrol {ods}"))?.into_inner();
        Ok(Enrolled {
            ods,
            key_pem: key.serialize_pem(),
            chain_pem: answer.chain_der.iter().map(|der| pem(der)).collect(),
            ca_pem: answer.ca_der.iter().map(|der| pem(der)).collect(),
        })
    }
}

fn pem(der: &[u8]) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        STANDARD.encode(der)
    )
}
