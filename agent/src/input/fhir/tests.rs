//! Requests over loopback, as a clinical system sends them.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::testing::{Reply, Stand};

fn patient() -> Value {
    json!({"resourceType": "Patient", "id": "p", "identifier": [
        {"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9990000018"}]})
}

fn condition(id: &str, text: &str) -> Value {
    json!({"resourceType": "Condition", "id": id, "subject": {"reference": "Patient/p"}, "code": {"text": text}})
}

#[tokio::test]
async fn a_resource_is_created_read_updated_and_deleted() {
    let stand = Stand::start().await;
    let created = stand.put(&patient()).await;
    assert_eq!((created.status, created.etag.as_deref()), (201, Some("W/\"1\"")));
    assert_eq!(created.location.as_deref(), Some("/fhir/Patient/p/_history/1"));
    assert!(created.last_modified.unwrap().ends_with(" GMT"));
    assert_eq!(stand.outbox.position().last_seq, 1, "answered after the commit");
    let mut stamped = condition("c", "a");
    stamped["meta"] = json!({"lastUpdated": "2026-01-02T03:04:05Z"});
    assert_eq!(
        stand.put(&stamped).await.last_modified.as_deref(),
        Some("Fri, 02 Jan 2026 03:04:05 GMT")
    );
    let repeat = stand.put(&stamped).await;
    assert_eq!((repeat.status, repeat.etag.as_deref()), (200, Some("W/\"1\"")));
    let path = "/fhir/Condition/c";
    let posted = stand
        .call(
            Method::POST,
            path,
            &[],
            condition("c", "b").to_string().as_bytes(),
        )
        .await;
    assert_eq!((posted.status, posted.etag.as_deref()), (200, Some("W/\"2\"")));
    let read = stand.call(Method::GET, path, &[], b"").await;
    assert_eq!(
        (read.status, read.json(), read.etag.as_deref()),
        (200, condition("c", "b"), Some("W/\"2\""))
    );
    let deleted = stand.call(Method::DELETE, path, &[], b"").await;
    assert_eq!((deleted.status, deleted.etag.as_deref()), (204, Some("W/\"3\"")));
    let gone = stand.call(Method::GET, path, &[], b"").await;
    assert_eq!((gone.status, gone.code().as_str()), (410, "deleted"));
    assert_eq!(stand.call(Method::DELETE, path, &[], b"").await.status, 204);
    assert_eq!(stand.put(&condition("c", "b")).await.status, 201);
}

#[tokio::test]
async fn contention_is_told() {
    let stand = Stand::start().await;
    stand.put(&patient()).await;
    stand.put(&condition("c", "a")).await;
    let lost = stand
        .put_if(&condition("c", "b"), &[("if-match", "W/\"7\"")])
        .await;
    assert_eq!((lost.status, lost.code().as_str()), (412, "conflict"));
    assert_eq!(
        stand
            .put_if(&condition("c", "b"), &[("if-match", "W/\"1\"")])
            .await
            .status,
        200
    );
    assert_eq!(
        stand
            .put_if(&condition("c", "c"), &[("if-none-match", "*")])
            .await
            .status,
        412
    );
    assert_eq!(
        stand
            .put_if(&condition("c", "c"), &[("if-match", "x")])
            .await
            .status,
        400
    );
    let stale = stand
        .call(
            Method::DELETE,
            "/fhir/Condition/c",
            &[("if-match", "W/\"1\"")],
            b"",
        )
        .await;
    assert_eq!(stale.status, 412);
    let mut old = condition("c", "old");
    old["meta"] = json!({"lastUpdated": "2020-01-01T00:00:00Z"});
    assert_eq!(
        stand.put(&old).await.status,
        200,
        "without a time held there is nothing to compare"
    );
    old["meta"] = json!({"lastUpdated": "2019-01-01T00:00:00Z"});
    old["code"] = json!({"text": "older"});
    assert_eq!(stand.put(&old).await.status, 409);
}

#[tokio::test]
async fn what_waits_is_accepted_and_taken_later() {
    let stand = Stand::start().await;
    let waits = stand.put(&condition("c", "a")).await;
    assert_eq!((waits.status, waits.code().as_str()), (202, "informational"));
    assert_eq!(
        stand
            .call(Method::GET, "/fhir/Condition/c", &[], b"")
            .await
            .status,
        404
    );
    stand.put(&patient()).await;
    assert_eq!(
        stand
            .call(Method::GET, "/fhir/Condition/c", &[], b"")
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn errors_have_their_status_and_outcome() {
    let stand = Stand::start().await;
    let put = async |path: &str, body: &str| stand.call(Method::PUT, path, &[], body.as_bytes()).await;
    let told = async |path: &str, body: &str| {
        let reply = put(path, body).await;
        let code = reply.code();
        (reply.status, code)
    };
    let c = "/fhir/Condition/c";
    assert_eq!(told(c, "{\"resourceType\":").await, (400, "structure".into()));
    assert_eq!(told(c, "{}").await, (400, "structure".into()));
    assert_eq!(
        told(c, &condition("other", "a").to_string()).await,
        (400, "invalid".into())
    );
    assert_eq!(
        told(
            "/fhir/Condition/a%20b",
            &condition("c", "a").to_string().replace(' ', "")
        )
        .await
        .0,
        400
    );
    let organization = r#"{"resourceType":"Organization","id":"o"}"#;
    assert_eq!(
        told("/fhir/Organization/o", organization).await,
        (422, "business-rule".into())
    );
    let wrong = patient().to_string().replace("9990000018", "9990000019");
    assert_eq!(
        told("/fhir/Patient/p", &wrong).await,
        (422, "business-rule".into())
    );
    let large = condition("c", &"x".repeat(7 << 20)).to_string();
    assert_eq!(told(c, &large).await, (413, "too-long".into()));
    let media = stand
        .call(Method::PUT, c, &[("content-type", "text/plain")], b"{}")
        .await;
    assert_eq!(media.status, 415);
    let not_allowed = stand.call(Method::PATCH, c, &[], b"{}").await;
    assert_eq!(
        (not_allowed.status, not_allowed.code().as_str()),
        (405, "not-supported")
    );
    assert_eq!(stand.call(Method::GET, "/elsewhere", &[], b"").await.status, 404);
    let rebound = stand
        .call(
            Method::GET,
            "/fhir/metadata",
            &[("host", "attacker.example")],
            b"",
        )
        .await;
    assert_eq!(rebound.status, StatusCode::MISDIRECTED_REQUEST.as_u16());
    assert_eq!(stand.outbox.position().last_seq, 0);
    assert!(stand.outbox.summary().await.unwrap().rejected >= 5);
    let statement = stand.call(Method::GET, "/fhir/metadata", &[], b"").await.json();
    assert_eq!(statement["resourceType"], "CapabilityStatement");
}

#[tokio::test]
async fn a_transaction_is_whole_and_a_batch_is_not() {
    let stand = Stand::start().await;
    let put = |resource: Value| {
        let url = format!(
            "{}/{}",
            resource["resourceType"].as_str().unwrap(),
            resource["id"].as_str().unwrap()
        );
        json!({"resource": resource, "request": {"method": "PUT", "url": url}})
    };
    let organization = put(json!({"resourceType": "Organization", "id": "o"}));
    let delete = json!({"request": {"method": "DELETE", "url": "Condition/never"}});
    let bundle =
        |kind: &str, entries: &[Value]| json!({"resourceType": "Bundle", "type": kind, "entry": entries});
    let faulty = [put(condition("c", "a")), organization.clone()];
    let refused = stand.post(&bundle("transaction", &faulty)).await;
    assert_eq!(refused.status, 422);
    assert_eq!(refused.json()["issue"][0]["expression"][0], "Bundle.entry[1]");
    assert_eq!(stand.outbox.position().last_seq, 0);
    let whole = stand
        .post(&bundle(
            "transaction",
            &[put(condition("c", "a")), put(patient())],
        ))
        .await;
    assert_eq!(
        (whole.status, whole.json()["type"].as_str()),
        (200, Some("transaction-response"))
    );
    let status = |reply: &Reply, at: usize| {
        reply.json()["entry"][at]["response"]["status"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(status(&whole, 0), "201 Created");
    assert_eq!(whole.json()["entry"][0]["response"]["etag"], "W/\"1\"");
    let mut stale = put(condition("c", "b"));
    stale["request"]["ifMatch"] = json!("W/\"9\"");
    let stale = stand
        .post(&bundle("transaction", &[stale, put(condition("d", "a"))]))
        .await;
    assert_eq!(stale.status, 412);
    assert_eq!(stand.outbox.position().last_seq, 2);
    let batch = stand
        .post(&bundle(
            "batch",
            &[organization, put(condition("d", "a")), delete],
        ))
        .await;
    assert_eq!(batch.status, 200);
    assert_eq!(status(&batch, 0), "422 Unprocessable Entity");
    assert_eq!(
        (status(&batch, 1), status(&batch, 2)),
        ("201 Created".into(), "204 No Content".into())
    );
    assert_eq!(stand.post(&patient()).await.status, 400);
}

#[tokio::test]
async fn many_clients_share_commits() {
    let stand = Stand::start().await;
    stand.put(&patient()).await;
    let before = *stand.outbox.news().borrow();
    let large = condition("large", &"x".repeat(5 << 20));
    let replies = futures::future::join_all((0..200).map(|id| {
        let stand = &stand;
        async move { stand.put(&condition(&format!("c{id}"), "a")).await.status }
    }));
    let (replies, large) = futures::future::join(replies, stand.put(&large)).await;
    assert!(replies.iter().all(|status| *status == 201));
    assert_eq!(large.status, 201);
    assert_eq!(stand.outbox.position().last_seq, 202);
    let commits = *stand.outbox.news().borrow() - before;
    assert!(commits < 150, "{commits} commits for 201 requests");
}

#[tokio::test]
async fn a_consent_is_answered_like_a_record_and_told_how_it_is_read() {
    let stand = Stand::start().await;
    stand.put(&patient()).await;
    let consent = |provision: Value| {
        json!({"resourceType": "Consent", "id": "c", "status": "active", "scope": {"coding": [{"code": "patient-privacy"}]},
            "patient": {"reference": "Patient/p"}, "dateTime": "2025-01-01", "provision": provision})
    };
    let denied = stand.put(&consent(json!({"type": "deny"}))).await;
    assert_eq!((denied.status, denied.etag.as_deref()), (201, Some("W/\"1\"")));
    let narrow = stand.put(&consent(json!({"type": "permit", "period": {}}))).await;
    assert_eq!((narrow.status, narrow.code().as_str()), (200, "informational"));
    let told = narrow.json()["issue"][0]["diagnostics"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(told.contains("counts as no permission"), "{told}");
    let read = stand.call(Method::GET, "/fhir/Consent/c", &[], b"").await;
    assert_eq!((read.status, read.etag.as_deref()), (200, Some("W/\"2\"")));
    let deleted = stand.call(Method::DELETE, "/fhir/Consent/c", &[], b"").await;
    assert_eq!(deleted.status, 204);
    assert_eq!(
        stand.outbox.position().last_seq,
        3,
        "deny and its end, and the Patient"
    );
    let login = json!({"resourceType": "AuditEvent", "id": "a", "type": {"code": "110114"}});
    assert_eq!(stand.put(&login).await.status, 422);
}

#[tokio::test]
async fn a_copy_of_anothers_record_is_taken_note_of_and_not_published() {
    use crate::store::inbox::testing::*;
    let stand = Stand::start().await;
    let theirs = json!({"resourceType": "Condition", "id": "1", "subject": {"reference": "Patient/x"},
        "code": {"text": "a"}});
    let text = theirs.to_string();
    let lines = [(
        1,
        handfast_proto::amendment::Op::Create,
        "Condition/1",
        text.as_str(),
    )];
    let contents = vec![
        welcome(true, &[("Z00202", 1)]),
        begins("Z00202", 1, 5),
        in_job("Z00202", 1, 5, &lines),
    ];
    stand.inbox.apply(&group(7, 1, contents)).await.unwrap();
    let echo = stand.put(&theirs).await;
    assert_eq!((echo.status, echo.code().as_str()), (200, "informational"));
    let mut changed = theirs;
    changed["clinicalStatus"] = json!({"text": "gone"});
    // Half of what it says is another's: that much alike is a copy.
    changed["severity"] = json!({"text": "mild"});
    assert_eq!(
        stand.put(&changed).await.status,
        202,
        "another record under that name"
    );
    changed.as_object_mut().unwrap().remove("severity");
    let refused = stand.put(&changed).await;
    assert_eq!(refused.status, 202, "it is held as this unit's own by now");
    let marked = json!({"resourceType": "Condition", "id": "2", "subject": {"reference": "Patient/p"},
        "meta": {"source": "urn:handfast:Z00202:Condition/1"}, "code": {"text": "changed"}});
    let refused = stand.put(&marked).await;
    assert_eq!(refused.status, 422);
    let why = refused.json()["issue"][0]["diagnostics"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(why.contains("changed copy of a record of Z00202"), "{why}");
    assert_eq!(stand.outbox.position().last_seq, 0);
}
