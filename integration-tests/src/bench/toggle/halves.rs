//! The administrators of a pair, who turn its halves.

use std::time::{Duration, Instant};

use handfast_proto::v1::{
    CategoryList, InForce, ScopeChange, SetAgreementRequest, Side, agreements_client::AgreementsClient,
};
use tonic::transport::Channel;

use crate::harness::{Identity, UnitAtTest, Windows, connect};

/// The two halves of the pair, by the administrators whose they are, over connections kept open: the calls are
/// measured, not their handshakes.
pub(super) struct Halves {
    source: String,
    recipient: String,
    out: Channel,
    into: Channel,
}

impl Halves {
    pub(super) async fn connect(
        url: &str,
        source: &UnitAtTest,
        recipient: &UnitAtTest,
    ) -> anyhow::Result<Self> {
        let office = async |unit: &UnitAtTest| {
            connect(url, &Identity::load(&unit.admin_profile)?, Windows::default()).await
        };
        Ok(Self {
            source: source.ods.clone(),
            recipient: recipient.ods.clone(),
            out: office(source).await?,
            into: office(recipient).await?,
        })
    }

    fn client(&self, side: Side) -> AgreementsClient<Channel> {
        let channel = if side == Side::ShareOut {
            &self.out
        } else {
            &self.into
        };
        AgreementsClient::new(channel.clone())
    }

    fn request(&self, side: Side, on: bool) -> SetAgreementRequest {
        SetAgreementRequest {
            source: self.source.clone(),
            recipient: self.recipient.clone(),
            side: side.into(),
            on,
            reason: "the benchmark".to_owned(),
            scope: None,
        }
    }

    pub(super) async fn turn(&self, side: Side, on: bool) -> anyhow::Result<Turned> {
        self.set(side, self.request(side, on)).await
    }

    async fn set(&self, side: Side, request: SetAgreementRequest) -> anyhow::Result<Turned> {
        let begun = Instant::now();
        let answer = self.client(side).set(request).await?.into_inner();
        let took = begun.elapsed();
        let cut = answer
            .receipt
            .as_ref()
            .is_some_and(|receipt| receipt.connection_cut);
        Ok(Turned {
            begun,
            took,
            pending_or_cut: cut || answer.in_force() != InForce::Yes,
            grant: answer.agreement.map_or(0, |agreement| agreement.grant),
        })
    }

    /// Leaves a half on, for these categories alone; for all where there are none.
    pub(super) async fn narrow(&self, side: Side, categories: Vec<u32>) -> anyhow::Result<Turned> {
        let scope = ScopeChange {
            categories: Some(CategoryList { categories }),
            ..ScopeChange::default()
        };
        let request = SetAgreementRequest {
            scope: Some(scope),
            ..self.request(side, true)
        };
        self.set(side, request).await
    }

    /// Has everything but one half on.
    pub(super) async fn wait_for(&self, side: Side) -> anyhow::Result<()> {
        self.turn(side, false).await?;
        let other = if side == Side::ShareOut {
            Side::ShareIn
        } else {
            Side::ShareOut
        };
        self.turn(other, true).await.map(drop)
    }

    pub(super) async fn preview(&self, side: Side) -> anyhow::Result<(Duration, u64)> {
        let begun = Instant::now();
        let answer = self.client(side).preview(self.request(side, false)).await?;
        let ends = answer.into_inner().ends.map_or(0, |counts| counts.records);
        Ok((begun.elapsed(), ends))
    }
}

/// What a call led to.
pub(super) struct Turned {
    pub(super) begun: Instant,
    pub(super) took: Duration,
    pub(super) grant: u64,
    pub(super) pending_or_cut: bool,
}
