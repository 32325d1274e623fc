//! The operator's credential: made at `init`, and again by `operator renew`, which needs nothing but the
//! state directory and is the way back where the credential expired, was lost or was revoked.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use handfast_proto::{
    ids::{Holder, PersonId},
    v1::PersonChange,
};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::{
    audit::{
        Actor, Event, Scribe,
        events::{Enrolled, PersonChanged, TokenMade},
    },
    enrolment::{Authority, Issued, public_key},
    random::Random,
    state_dir::{StateDir, io_error, make_private_dir, read, sync_dir, write_private},
    store::{Certificate, NewEntry, NewPerson, NewToken, PersonRow, Role, Store, StoreError, With},
};

/// The first operator's id.
const FIRST: &str = "operator";

/// Milliseconds for which the token with which an operator is added would hold, were it not used at once.
const TOKEN_LIFETIME_MS: i64 = 60_000;

/// A profile's settings, as handfastctl reads them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Profile {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    daemon: Option<String>,
    trust_domain: String,
    holder: String,
}

/// What is needed to issue to an operator.
pub struct OperatorDesk<'a> {
    /// Where the profile goes.
    pub dir: &'a StateDir,
    /// Where operators are kept.
    pub store: &'a dyn Store,
    /// Who signs.
    pub authority: &'a Authority,
    /// Secrets.
    pub random: &'a dyn Random,
    /// Enters what is done in the audit log.
    pub scribe: &'a Scribe,
    /// The time, milliseconds since 1970-01-01T00:00:00Z.
    pub now: i64,
    /// How long the credential holds.
    pub lifetime_ms: i64,
}

/// What was issued.
#[derive(Debug, PartialEq, Eq)]
pub struct OperatorCredential {
    /// Whom it names.
    pub id: PersonId,
    /// Where the profile is.
    pub profile: PathBuf,
    /// Its last moment, milliseconds since 1970-01-01T00:00:00Z.
    pub not_after: i64,
}

impl OperatorDesk<'_> {
    /// Makes a credential: for the operator whom the profile there names, for the first one where there is
    /// no profile, and for a new one where that one was revoked.
    pub async fn issue(&self) -> anyhow::Result<OperatorCredential> {
        let before = self.profile_before()?;
        let named = match &before {
            Some(profile) => self.named(profile)?,
            None => FIRST.parse()?,
        };
        let (key, csr) = new_key()?;
        let (id, issued) = match self.store.person(&named).await.context("look the operator up")? {
            None => self.add(named, &csr).await?,
            Some(person) if person.role != Role::Operator => {
                bail!(
                    "{named} is no operator: move {} away and try again",
                    self.dir.operator().display()
                )
            }
            Some(person) if person.revoked => {
                let fresh = self.fresh_id()?;
                self.add(fresh, &csr).await?
            }
            Some(_) => {
                let issued = self.sign(&named, &csr)?;
                let certificate = self.certificate(&named, &issued);
                let kept = self
                    .store
                    .add_certificate(&certificate, self.now, &self.enrolled(&certificate, true)?)
                    .await;
                kept.context("record the operator's certificate")?;
                (named, issued)
            }
        };
        let profile = Profile {
            daemon: before.and_then(|p| p.daemon),
            trust_domain: self.authority.trust_domain().to_owned(),
            holder: Holder::Person(id.clone()).to_uri(self.authority.trust_domain()),
        };
        self.write(&profile, &key, &issued.chain)?;
        Ok(OperatorCredential {
            id,
            profile: self.dir.operator(),
            not_after: issued.validity.not_after,
        })
    }

    fn entry(&self, event: &dyn Event) -> anyhow::Result<NewEntry> {
        Ok(self.scribe.entry(self.now, &Actor::Host, event)?)
    }

    fn enrolled(&self, certificate: &Certificate, renewal: bool) -> anyhow::Result<With> {
        let event = Enrolled {
            certificate,
            unit: None,
            renewal,
        };
        Ok(With::audit(vec![self.entry(&event)?]))
    }

    fn added(&self, person: &NewPerson, token: &NewToken) -> anyhow::Result<With> {
        let row = PersonRow {
            id: person.id.clone(),
            name: person.name.clone(),
            unit: person.unit,
            role: person.role,
            revoked: false,
            added_at: self.now,
        };
        let added = PersonChanged {
            person: &row,
            change: PersonChange::Added,
            reason: "",
        };
        let token = TokenMade { token, unit: None };
        Ok(With::audit(vec![self.entry(&added)?, self.entry(&token)?]))
    }

    /// Adds an operator and uses their token at once.
    async fn add(&self, id: PersonId, csr: &[u8]) -> anyhow::Result<(PersonId, Issued)> {
        let mut secret = Zeroizing::new([0; 32]);
        self.random.fill(secret.as_mut_slice()).context("make a secret")?;
        let token = NewToken {
            holder: Holder::Person(id.clone()),
            hash: Sha256::digest(*secret).into(),
            expires_at: self.now.saturating_add(TOKEN_LIFETIME_MS),
            made_by: "the machine's administrator".to_owned(),
        };
        let person = NewPerson {
            id: id.clone(),
            name: "Operator".to_owned(),
            unit: None,
            role: Role::Operator,
        };
        match self
            .store
            .add_person(&person, &token, self.now, &self.added(&person, &token)?)
            .await
        {
            Ok(_) => {}
            // Left by a broken-off init: the person is there, the certificate is not.
            Err(StoreError::Exists(_)) => {
                let made = TokenMade {
                    token: &token,
                    unit: None,
                };
                let with = With::audit(vec![self.entry(&made)?]);
                let kept = self.store.add_token(&token, self.now, &with).await;
                kept.context("make a token for the operator")?;
            }
            Err(e) => return Err(e).context("add the operator"),
        }
        let issued = self.sign(&id, csr)?;
        let certificate = self.certificate(&id, &issued);
        let used = self
            .store
            .consume_token(
                &token.hash,
                &certificate,
                self.now,
                &self.enrolled(&certificate, false)?,
            )
            .await;
        used.context("record the operator's certificate")?;
        Ok((id, issued))
    }

    fn sign(&self, id: &PersonId, csr: &[u8]) -> anyhow::Result<Issued> {
        let holder = Holder::Person(id.clone());
        let key = public_key(csr)?;
        let issued = self
            .authority
            .issue_holder(&holder, &key, self.now, self.lifetime_ms, self.random);
        issued.context("sign the operator's certificate")
    }

    fn certificate(&self, id: &PersonId, issued: &Issued) -> Certificate {
        Certificate {
            holder: Holder::Person(id.clone()),
            serial: issued.serial.clone(),
            not_after: issued.validity.not_after,
        }
    }

    fn fresh_id(&self) -> anyhow::Result<PersonId> {
        let mut end = [0; 4];
        self.random.fill(&mut end).context("make an id")?;
        Ok(format!("{FIRST}-{:08x}", u32::from_be_bytes(end)).parse()?)
    }

    fn profile_before(&self) -> anyhow::Result<Option<Profile>> {
        let path = self.dir.operator().join("profile.toml");
        if !path.exists() {
            return Ok(None);
        }
        let text = read(&path)?;
        let profile = toml::from_str(&text).with_context(|| {
            let dir = self.dir.operator();
            format!(
                "{} cannot be read: move {} away and try again",
                path.display(),
                dir.display()
            )
        })?;
        Ok(Some(profile))
    }

    fn named(&self, profile: &Profile) -> anyhow::Result<PersonId> {
        match Holder::from_uri(&profile.holder, self.authority.trust_domain()) {
            Ok(Holder::Person(id)) => Ok(id),
            _ => bail!(
                "{} names no person of this deployment: move it away and try again",
                self.dir.operator().display()
            ),
        }
    }

    /// Writes the profile beside the one that is there, then puts it in its place in one step.
    fn write(
        &self,
        profile: &Profile,
        key: &Zeroizing<String>,
        chain: &[CertificateDer<'static>],
    ) -> anyhow::Result<()> {
        let place = self.dir.operator();
        let fresh = self.dir.root().join(".operator.new");
        remove_dir(&fresh)?;
        make_private_dir(&fresh)?;
        write_private(&fresh.join("key.pem"), key.as_bytes())?;
        write_private(&fresh.join("cert.pem"), pem_of(chain).as_bytes())?;
        let authorities = std::slice::from_ref(self.authority.certificate());
        write_private(&fresh.join("ca.pem"), pem_of(authorities).as_bytes())?;
        let settings = toml::to_string(profile).context("write the profile")?;
        write_private(&fresh.join("profile.toml"), settings.as_bytes())?;
        if place.exists() {
            renameat_with(CWD, &fresh, CWD, &place, RenameFlags::EXCHANGE)
                .map_err(|e| io_error("replace", &place)(e.into()))?;
            sync_dir(self.dir.root())?;
            remove_dir(&fresh)?;
        } else {
            fs::rename(&fresh, &place).map_err(io_error("make", &place))?;
        }
        Ok(sync_dir(self.dir.root())?)
    }
}

fn remove_dir(path: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(io_error("remove", path)(e).into()),
        _ => Ok(()),
    }
}

fn new_key() -> anyhow::Result<(Zeroizing<String>, Vec<u8>)> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).context("make the operator's key")?;
    let request = CertificateParams::default().serialize_request(&key);
    let request = request.context("make the operator's signing request")?;
    Ok((Zeroizing::new(key.serialize_pem()), request.der().to_vec()))
}

/// Certificates as PEM (RFC 7468: lines of 64).
fn pem_of(certificates: &[CertificateDer<'_>]) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let mut out = String::new();
    for certificate in certificates {
        out.push_str("-----BEGIN CERTIFICATE-----\n");
        let text = STANDARD.encode(certificate);
        for line in text.as_bytes().chunks(64) {
            out.push_str(std::str::from_utf8(line).unwrap_or_default());
            out.push('\n');
        }
        out.push_str("-----END CERTIFICATE-----\n");
    }
    out
}
