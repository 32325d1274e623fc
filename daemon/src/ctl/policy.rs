//! The commands on the policy.

use std::time::Duration;

use handfast_proto::v1::{
    GetPolicyRequest, GetPolicyResponse, InForce, PolicyPairPreview, PolicyValue, PreviewCounts,
    PreviewPolicyRequest, SetPolicyRequest, SetPolicyResponse, policy_client::PolicyClient,
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::{
    args::PolicyCommand,
    connection::Connection,
    error::{CtlError, Exit},
    out::Out,
    preview::{amount, counts_json},
    receipts::{pair_lines, pairs_json},
    show::table,
    terms,
};

/// How long to wait before asking again whether it is in force.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// How long setting it waits to be told what that would change.
const BEFORE_IT_IS_SET: Duration = Duration::from_secs(30);

pub(super) async fn run(
    command: PolicyCommand,
    connection: &Connection,
    out: &mut Out,
) -> Result<Exit, CtlError> {
    let mut client = PolicyClient::new(connection.channel());
    match command {
        PolicyCommand::Show => {
            let view = connection
                .call("show the policy", client.get(GetPolicyRequest {}))
                .await?;
            out.answer(|| view_text(&view), || view_json(&view))?;
            Ok(Exit::Done)
        }
        PolicyCommand::Preview { policy } => {
            let policy = PolicyValue::from(policy);
            let pairs = preview(policy, connection, out).await?;
            out.answer(|| preview_text(policy, &pairs), || preview_json(policy, &pairs))?;
            Ok(Exit::Done)
        }
        PolicyCommand::Set { policy, reason, wait } => {
            let until = Instant::now() + Duration::from_secs(wait);
            let request = SetPolicyRequest {
                policy: PolicyValue::from(policy).into(),
                reason,
            };
            let policy = request.policy();
            let before = timeout(BEFORE_IT_IS_SET, preview(policy, connection, out)).await;
            let before = before.ok().transpose()?;
            out.note(&before.as_ref().map_or_else(
                || "What it changes could not be counted in time. See 'policy preview'.".to_owned(),
                |pairs| preview_text(policy, pairs),
            ));
            let what = format!("set the policy {}", terms::policy(policy));
            let mut set = connection.call(&what, client.set(request.clone())).await?;
            while set.in_force() == InForce::Pending && Instant::now() < until {
                sleep(ASK_AGAIN_AFTER).await;
                let next = connection.call(&what, client.set(request.clone())).await?;
                set.in_force = next.in_force;
            }
            out.answer(|| set_text(&set), || set_json(&set, before.as_deref()))?;
            Ok(if set.in_force() == InForce::Yes {
                Exit::Done
            } else {
                Exit::Pending
            })
        }
    }
}

/// What a policy would begin and end, in all pairs.
async fn preview(
    policy: PolicyValue,
    connection: &Connection,
    out: &mut Out,
) -> Result<Vec<PolicyPairPreview>, CtlError> {
    let mut client = PolicyClient::new(connection.channel());
    let mut request = PreviewPolicyRequest {
        policy: policy.into(),
        after: String::new(),
    };
    let mut pairs = Vec::new();
    loop {
        let page = connection
            .call("preview the policy", client.preview(request.clone()))
            .await?;
        pairs.extend(page.pairs);
        if page.next.is_empty() {
            return Ok(pairs);
        }
        out.note(&format!("counted up to unit {}", page.next));
        request.after = page.next;
    }
}

fn meaning(policy: PolicyValue) -> &'static str {
    match policy {
        PolicyValue::UnlessDissented => "with both halves on, records flow unless the patient has said no",
        PolicyValue::Explicit => {
            "with both halves on, records flow of patients who said yes at the source and at the recipient"
        }
        PolicyValue::Unspecified => "this version of handfastctl does not know it",
    }
}

fn view_text(view: &GetPolicyResponse) -> String {
    format!(
        "{}: {}.\nA half that is set for the first time: --patients {}.\nDays are those of {}.",
        terms::policy(view.policy()),
        meaning(view.policy()),
        terms::patients(view.default_patients()),
        view.zone
    )
}

fn view_json(view: &GetPolicyResponse) -> Value {
    json!({
        "policy": terms::policy(view.policy()),
        "default_patients": terms::patients(view.default_patients()),
        "zone": view.zone,
    })
}

fn preview_text(policy: PolicyValue, pairs: &[PolicyPairPreview]) -> String {
    let show = |counts: &Option<PreviewCounts>| counts.as_ref().map_or_else(String::new, amount);
    let rows = pairs.iter().map(|p| {
        [
            format!("{} → {}", p.source, p.recipient),
            show(&p.begins),
            show(&p.ends),
        ]
    });
    let nothing = "Nothing would begin to flow, and nothing would be withdrawn.";
    let table = table(
        ["pair", "would begin", "would be withdrawn"],
        rows.collect(),
        nothing,
    );
    format!(
        "If the policy were {} ({}):\n{table}",
        terms::policy(policy),
        meaning(policy)
    )
}

fn preview_json(policy: PolicyValue, pairs: &[PolicyPairPreview]) -> Value {
    let pairs = pairs.iter().map(|p| {
        json!({
            "source": p.source,
            "recipient": p.recipient,
            "begins": p.begins.as_ref().map(counts_json),
            "ends": p.ends.as_ref().map(counts_json),
        })
    });
    json!({"policy": terms::policy(policy), "pairs": pairs.collect::<Vec<_>>()})
}

fn set_text(set: &SetPolicyResponse) -> String {
    let policy = terms::policy(set.policy());
    let mut lines = vec![if set.in_force() == InForce::Yes {
        format!("The policy is {policy}, in force: {}.", meaning(set.policy()))
    } else {
        format!(
            "PENDING: the policy is {policy} and that is committed, but it could not be established in time that \
             nothing of what it ended is on its way any more. Run the same command again."
        )
    }];
    lines.extend(pair_lines(&set.receipts));
    lines.join("\n")
}

fn set_json(set: &SetPolicyResponse, before: Option<&[PolicyPairPreview]>) -> Value {
    json!({
        "policy": terms::policy(set.policy()),
        "in_force": if set.in_force() == InForce::Yes { "yes" } else { "pending" },
        "receipts": pairs_json(&set.receipts),
        "preview": before.map(|pairs| preview_json(set.policy(), pairs)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_names_pairs_and_numbers_and_nobody() {
        let pair = PolicyPairPreview {
            source: "Z00101".to_owned(),
            recipient: "Z00303".to_owned(),
            begins: Some(PreviewCounts::default()),
            ends: Some(PreviewCounts {
                patients: 2,
                records: 9,
                categories: Vec::new(),
            }),
        };
        let text = preview_text(PolicyValue::Explicit, std::slice::from_ref(&pair));
        assert!(
            text.contains("Z00101 → Z00303 ┆ nothing     ┆ 9 records of 2 patients"),
            "{text}"
        );
        assert_eq!(
            preview_json(PolicyValue::Explicit, &[pair])["pairs"][0]["ends"]["patients"],
            2
        );
        assert!(preview_text(PolicyValue::Explicit, &[]).ends_with("nothing would be withdrawn."));
    }

    #[test]
    fn pending_never_looks_like_done() {
        let mut set = SetPolicyResponse {
            policy: PolicyValue::Explicit.into(),
            in_force: InForce::Pending.into(),
            receipts: Vec::new(),
        };
        assert!(set_text(&set).starts_with("PENDING: the policy is explicit"));
        let json = set_json(&set, Some(&[]));
        assert_eq!(json["in_force"], "pending");
        assert_eq!(json["preview"]["pairs"], json!([]));
        assert_eq!(set_json(&set, None)["preview"], Value::Null);
        set.in_force = InForce::Yes.into();
        assert!(set_text(&set).starts_with("The policy is explicit, in force"));
    }
}
