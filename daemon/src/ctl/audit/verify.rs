//! `audit verify`: checks an exported log with nothing but the public key. Needs no daemon and no credential.

use std::{fs::File, io::Read as _, path::Path};

use handfast_proto::{
    audit::{Verified, Verifier},
    merkle::PublicKey,
    v1::ExportScope,
};
use serde_json::{Value, json};

use crate::ctl::{
    error::{CtlError, Exit},
    files,
    out::Out,
    show::{moment, moment_json},
};

/// Bytes read at once.
const READ_BYTES: usize = 256 * 1024;

/// Checks a file; what it was found to be.
pub(super) fn verify(log: &Path, public_key: &Path, out: &mut Out) -> Result<Exit, CtlError> {
    let key = files::read(public_key)?;
    let key = PublicKey::from_pem(&key)
        .map_err(|error| CtlError::Usage(format!("{}: {error}", public_key.display())))?;
    let mut file = File::open(log).map_err(|error| files::failed("read", log, &error))?;
    let mut verifier = Verifier::new(key);
    let mut buffer = vec![0; READ_BYTES];
    let bad = |fault: handfast_proto::audit::ExportFault| {
        CtlError::Failed(format!("{} does not hold: {fault}", log.display()))
    };
    loop {
        let read = file
            .read(&mut buffer)
            .map_err(|error| files::failed("read", log, &error))?;
        if read == 0 {
            break;
        }
        verifier.push(&buffer[..read], &mut |_| {}).map_err(bad)?;
    }
    let verified = verifier.finish().map_err(bad)?;
    out.answer(|| text(log, &verified), || as_json(&verified))?;
    Ok(Exit::Done)
}

fn text(log: &Path, verified: &Verified) -> String {
    let begin = &verified.begin;
    let made_for = match begin.scope() {
        ExportScope::Unit => format!("unit {}", begin.unit),
        ExportScope::Operator => "the operator".to_owned(),
        ExportScope::Unspecified => "nobody known".to_owned(),
    };
    let (root, signed_at) = verified
        .head
        .map_or(("none".to_owned(), 0), |h| (h.root.to_string(), h.signed_at));
    format!(
        "{} holds: {} entries of {} under {} signed heads, none changed, moved, added or left out.\n\
         Made for {made_for} on {}; {} entries are shown as hashes alone, because they are not for them.\n\
         Last head: size {}, root {root}, signed {}.",
        log.display(),
        verified.entries,
        begin.trust_domain,
        verified.heads,
        moment(begin.made_at),
        verified.sealed,
        verified.entries,
        moment(signed_at),
    )
}

fn as_json(verified: &Verified) -> Value {
    let head = verified.head;
    json!({
        "holds": true,
        "trust_domain": verified.begin.trust_domain,
        "unit": verified.begin.unit,
        "made_at": moment_json(verified.begin.made_at),
        "entries": verified.entries,
        "sealed": verified.sealed,
        "heads": verified.heads,
        "root": head.map(|h| h.root.to_string()),
        "signed_at": head.map(|h| moment_json(h.signed_at)),
    })
}
