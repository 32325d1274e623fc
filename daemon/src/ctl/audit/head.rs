//! `audit tree-head` and `audit public-key`.

use std::path::Path;

use handfast_proto::{
    merkle::{PublicKey, SignedHead, TreeHash, verify_consistency},
    v1::{PublicKeyRequest, TreeHeadRequest, audit_client::AuditClient},
};
use serde_json::json;

use crate::ctl::{
    connection::Connection,
    error::{CtlError, Exit},
    files,
    out::Out,
    show::{moment, moment_json},
};

const WHAT: &str = "ask for the audit log's head";

/// Shows the newest head; where an older one is given, checks that it is continued.
pub(super) async fn tree_head(
    since: u64,
    root: Option<&str>,
    connection: &Connection,
    out: &mut Out,
) -> Result<Exit, CtlError> {
    let mut client = AuditClient::new(connection.channel());
    let wire = connection
        .call(WHAT, client.tree_head(TreeHeadRequest { since }))
        .await?;
    let answer = connection
        .call(WHAT, client.public_key(PublicKeyRequest {}))
        .await?;
    let not_whole = || CtlError::Failed(format!("{WHAT}: the daemon's answer is not whole"));
    let key = PublicKey::from_slice(&answer.public_key).ok_or_else(not_whole)?;
    let signed = SignedHead::from_wire(&wire).map_err(|_| not_whole())?;
    let wrong = |why: &dyn std::fmt::Display| CtlError::Failed(format!("{WHAT}: {why}"));
    key.verify(&answer.trust_domain, &signed)
        .map_err(|error| wrong(&error))?;
    if let Some(root) = root {
        let older = parse_root(root)?;
        let proof = wire.consistency.iter().map(|raw| TreeHash::from_slice(raw));
        let proof = proof.collect::<Option<Vec<_>>>().ok_or_else(not_whole)?;
        let (old, new) = ((since, &older), (signed.head.size, &signed.head.root));
        verify_consistency(old, new, &proof).map_err(|_| {
            CtlError::Failed(
                "the log does not continue the older head: it was rewritten, or the older size and root do not \
                 belong together"
                    .to_owned(),
            )
        })?;
    }
    let head = signed.head;
    let continues = root.map(|_| since);
    out.answer(
        || {
            let more =
                continues.map_or_else(String::new, |since| format!("\ncontinues the head over {since}"));
            format!(
                "size      {}\nroot      {}\nsigned    {}\nkey       {}{more}",
                head.size,
                head.root,
                moment(head.signed_at),
                signed.key
            )
        },
        || {
            json!({
                "size": head.size,
                "root": head.root.to_string(),
                "signed_at": moment_json(head.signed_at),
                "key_id": signed.key.to_string(),
                "continues": continues,
            })
        },
    )?;
    Ok(Exit::Done)
}

/// Writes the public key to a new file.
pub(super) async fn public_key(
    path: &Path,
    connection: &Connection,
    out: &mut Out,
) -> Result<Exit, CtlError> {
    const WHAT: &str = "fetch the audit log's public key";
    let mut client = AuditClient::new(connection.channel());
    let answer = connection
        .call(WHAT, client.public_key(PublicKeyRequest {}))
        .await?;
    let key = PublicKey::from_slice(&answer.public_key)
        .ok_or_else(|| CtlError::Failed(format!("{WHAT}: the daemon's answer is not whole")))?;
    files::write_secret(path, &key.to_pem())?;
    out.answer(
        || {
            format!(
                "The public key of the audit log of {} is in {}: keep it where the daemon's host cannot change it.",
                answer.trust_domain,
                path.display()
            )
        },
        || {
            json!({
                "file": path.display().to_string(),
                "key_id": key.id().to_string(),
                "trust_domain": answer.trust_domain,
            })
        },
    )?;
    Ok(Exit::Done)
}

fn parse_root(text: &str) -> Result<TreeHash, CtlError> {
    let usage =
        || CtlError::Usage("--root: 64 hexadecimal digits, as 'audit tree-head' shows them".to_owned());
    let digits: Option<Vec<u8>> = text
        .trim()
        .chars()
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let digits = digits.ok_or_else(usage)?;
    let bytes: Vec<u8> = digits
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
        .collect();
    TreeHash::from_slice(&bytes)
        .filter(|_| digits.len() == 64)
        .ok_or_else(usage)
}
