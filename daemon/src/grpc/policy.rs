//! The Policy service: translation between its messages and the acts.

use std::sync::Arc;

use handfast_proto::v1::{
    GetPolicyRequest, GetPolicyResponse, PolicyPairPreview, PolicyValue, PreviewPolicyRequest,
    PreviewPolicyResponse, SetPolicyRequest, SetPolicyResponse,
    policy_server::{Policy as Service, PolicyServer},
};
use tonic::{Request, Response, Status, async_trait};

use super::{
    answer::{Desk, ods_if_any},
    identity::Identities,
    sharing_messages::{counts, in_force, patients_scope, receipts},
};
use crate::{
    consent::Policy,
    sharing::{PairChange, PolicyDesk},
};

/// Bytes of a request: a policy and a reason are far smaller.
const MAX_REQUEST_BYTES: usize = 32 * 1024;

/// Serves Get, Preview and Set.
pub struct PolicyService {
    policy: PolicyDesk,
    desk: Desk,
}

impl PolicyService {
    /// The service, ready for the routes.
    pub fn server(policy: PolicyDesk, identities: Arc<Identities>) -> PolicyServer<Self> {
        let service = Self {
            policy,
            desk: Desk::new(identities),
        };
        PolicyServer::new(service).max_decoding_message_size(MAX_REQUEST_BYTES)
    }
}

#[async_trait]
impl Service for PolicyService {
    async fn get(&self, request: Request<GetPolicyRequest>) -> Result<Response<GetPolicyResponse>, Status> {
        const METHOD: &str = "Policy.Get";
        let caller = self.desk.caller(&request, METHOD).await?;
        let view = self.policy.get(&caller);
        Ok(Response::new(GetPolicyResponse {
            policy: value(view.policy).into(),
            default_patients: patients_scope(view.default_patients).into(),
            zone: view.zone,
        }))
    }

    async fn preview(
        &self,
        request: Request<PreviewPolicyRequest>,
    ) -> Result<Response<PreviewPolicyResponse>, Status> {
        const METHOD: &str = "Policy.Preview";
        let caller = self.desk.caller(&request, METHOD).await?;
        let asked = request.into_inner();
        let (policy, after) = (policy(asked.policy())?, ods_if_any("after", &asked.after)?);
        let found = self.policy.preview(&caller, policy, after).await;
        let found = found.map(|(pairs, next)| PreviewPolicyResponse {
            pairs: pairs.iter().map(pair).collect(),
            next: next.map_or_else(String::new, |ods| ods.to_string()),
        });
        self.desk.answer(&caller, METHOD, found)
    }

    async fn set(&self, request: Request<SetPolicyRequest>) -> Result<Response<SetPolicyResponse>, Status> {
        const METHOD: &str = "Policy.Set";
        let caller = self.desk.caller(&request, METHOD).await?;
        let asked = request.into_inner();
        let policy = policy(asked.policy())?;
        let set = self.policy.set(&caller, policy, &asked.reason).await;
        let set = set.map(|set| SetPolicyResponse {
            policy: value(policy).into(),
            in_force: in_force(set.in_force).into(),
            receipts: receipts(&set.receipts),
        });
        self.desk.answer(&caller, METHOD, set)
    }
}

fn policy(policy: PolicyValue) -> Result<Policy, Status> {
    match policy {
        PolicyValue::UnlessDissented => Ok(Policy::UnlessDissented),
        PolicyValue::Explicit => Ok(Policy::Explicit),
        PolicyValue::Unspecified => Err(Status::invalid_argument("policy: unless-dissented or explicit")),
    }
}

fn value(policy: Policy) -> PolicyValue {
    match policy {
        Policy::UnlessDissented => PolicyValue::UnlessDissented,
        Policy::Explicit => PolicyValue::Explicit,
    }
}

fn pair(change: &PairChange) -> PolicyPairPreview {
    PolicyPairPreview {
        source: change.pair.source.to_string(),
        recipient: change.pair.recipient.to_string(),
        begins: Some(counts(&change.begins)),
        ends: Some(counts(&change.ends)),
    }
}
