//! The one connection of a unit's protocol clients: as an agent does, its source and its recipient share it.
//!
//! Invariants: there is at most one at a time of those who ask for it; it is closed when the last of them lets go
//! (the agent's own, when the last clone goes).

use std::sync::{Arc, Weak};

use anyhow::Context as _;
use handfast_agent::{
    identity::{CurrentIdentity, Identity as AgentIdentity, Profile},
    link::{Connector, Link},
};
use handfast_proto::ids::{Holder, OdsCode};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio::sync::Mutex;
use tonic::transport::Channel;

use super::{
    deployment::TRUST_DOMAIN,
    identity::Identity,
    tls::{Windows, connect},
};

/// Where a unit's clients get their connection. Clones share it.
#[derive(Debug, Clone)]
pub struct SharedConnection(Arc<Inner>);

#[derive(Debug)]
enum Inner {
    Own {
        url: String,
        identity: Identity,
        windows: Windows,
        open: Mutex<Weak<Channel>>,
    },
    /// As the agent itself makes it, and keeps it.
    Agent(Link),
}

/// The connection, for as long as it is held.
#[derive(Debug, Clone)]
pub struct Held(Arc<Channel>);

impl SharedConnection {
    /// Connects once somebody asks.
    pub fn new(url: &str, identity: &Identity) -> Self {
        Self::with_windows(url, identity, Windows::default())
    }

    /// With flow-control windows of the test's choice.
    pub fn with_windows(url: &str, identity: &Identity, windows: Windows) -> Self {
        Self(Arc::new(Inner::Own {
            url: url.to_owned(),
            identity: identity.clone(),
            windows,
            open: Mutex::default(),
        }))
    }

    /// The agent's own: its code makes the connection, with its windows.
    pub fn of_agent(url: &str, identity: &Identity, unit: OdsCode) -> anyhow::Result<Self> {
        let profile = Profile {
            daemon: url.to_owned(),
            trust_domain: TRUST_DOMAIN.to_owned(),
            holder: Holder::Unit(unit).to_uri(TRUST_DOMAIN),
        };
        let certificates = |pem: &str| {
            CertificateDer::pem_slice_iter(pem.as_bytes())
                .collect::<Result<Vec<_>, _>>()
                .context("read a certificate")
        };
        let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).context("read the key")?;
        let identity = AgentIdentity::new(
            profile,
            certificates(&identity.chain_pem)?,
            key,
            certificates(&identity.ca_pem)?,
        )?;
        let link = Link::new(Connector::new(CurrentIdentity::new(identity)));
        Ok(Self(Arc::new(Inner::Agent(link))))
    }

    /// The connection that another holds, or a new one. Where the daemon has ended the one that is held, the first
    /// call on it fails, and the next makes it anew.
    pub async fn hold(&self) -> anyhow::Result<Held> {
        let (url, identity, windows, open) = match &*self.0 {
            Inner::Agent(link) => return Ok(Held(Arc::new(link.connection().await?.channel()))),
            Inner::Own {
                url,
                identity,
                windows,
                open,
            } => (url, identity, *windows, open),
        };
        let mut open = open.lock().await;
        if let Some(held) = open.upgrade() {
            return Ok(Held(held));
        }
        let made = Arc::new(connect(url, identity, windows).await?);
        *open = Arc::downgrade(&made);
        Ok(Held(made))
    }
}

impl Held {
    /// Where calls go.
    pub fn channel(&self) -> Channel {
        self.0.as_ref().clone()
    }
}
