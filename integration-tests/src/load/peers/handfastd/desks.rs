//! The administrators of units: they turn halves on.

use anyhow::{Context as _, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use handfast_proto::v1::{InForce, SetAgreementRequest, Side, agreements_client::AgreementsClient};
use tonic::transport::Channel;

use crate::harness::{Identity, Windows, connect};

/// Connections made, and pairs joined, at one time.
const AT_ONCE: usize = 16;

/// A unit's administrator.
#[derive(Debug, Clone)]
pub(super) struct Desk {
    pub(super) ods: String,
    pub(super) identity: Identity,
}

/// A connection for each.
pub(super) async fn open(url: &str, desks: &[Desk]) -> anyhow::Result<Vec<(String, Channel)>> {
    stream::iter(desks)
        .map(|desk| async move {
            let channel = connect(url, &desk.identity, Windows::default()).await;
            let channel = channel.with_context(|| format!("connect as {}'s administrator", desk.ods))?;
            Ok((desk.ods.clone(), channel))
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await
}

/// Turns on both halves of pairs, each by the unit whose half it is.
pub(super) async fn join(
    desks: &[(String, Channel)],
    pairs: impl IntoIterator<Item = (usize, usize)>,
    each: impl Fn(),
) -> anyhow::Result<()> {
    let each = &each;
    stream::iter(pairs)
        .map(|(source, recipient)| async move {
            let from = desks.get(source).context("a source's administrator")?;
            let to = desks.get(recipient).context("a recipient's administrator")?;
            for (side, (_, desk)) in [(Side::ShareOut, from), (Side::ShareIn, to)] {
                let request = SetAgreementRequest {
                    source: from.0.clone(),
                    recipient: to.0.clone(),
                    side: side.into(),
                    on: true,
                    reason: "a comparison".to_owned(),
                    scope: None,
                };
                let answer = AgreementsClient::new(desk.clone()).set(request).await;
                let answer = answer.with_context(|| format!("join {} and {}", from.0, to.0))?;
                ensure!(
                    answer.get_ref().in_force() == InForce::Yes,
                    "a half of {} and {} is not in force",
                    from.0,
                    to.0
                );
            }
            each();
            anyhow::Ok(())
        })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}
