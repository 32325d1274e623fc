//! One connection as an agent makes it, from an address of the agent's own.
//!
//! The same windows, keepalive and bounds as the agent's; the sockets are bound to loopback addresses, so that
//! the daemon sees as many hosts as units.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use anyhow::Context as _;
use handfast_agent::link::{KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT, Windows};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    version::TLS13,
};
use tokio::net::TcpSocket;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};

use super::super::enrol::Enrolled;

/// Agents on one address of the second and third part of 127.x.y.z.
const ADDRESSES: u32 = 250;

/// Where an agent calls from and to, and what it shows.
pub(super) struct Link {
    from: Ipv4Addr,
    to: SocketAddr,
    tls: Arc<ClientConfig>,
}

impl Link {
    /// Of unit `place` of a crowd.
    pub(super) fn new(
        place: u32,
        to: SocketAddr,
        unit: &Enrolled,
        provider: &Arc<CryptoProvider>,
    ) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        for cert in CertificateDer::pem_slice_iter(unit.ca_pem.as_bytes()) {
            roots.add(cert.context("read the authority's certificate")?)?;
        }
        let chain =
            CertificateDer::pem_slice_iter(unit.chain_pem.as_bytes()).collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(unit.key_pem.as_bytes()).context("read the key")?;
        let mut config = ClientConfig::builder_with_provider(Arc::clone(provider))
            .with_protocol_versions(&[&TLS13])
            .context("TLS 1.3")?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .context("use the certificate")?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Self {
            from: address(place),
            to,
            tls: Arc::new(config),
        })
    }

    /// Connects once; the channel ends with its connection.
    pub(super) async fn connect(&self, windows: Windows) -> anyhow::Result<Channel> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((self.from, 0).into())?;
        let tcp = socket.connect(self.to).await?;
        tcp.set_nodelay(true)?;
        let name = ServerName::from(self.to.ip());
        let stream = TlsConnector::from(Arc::clone(&self.tls))
            .connect(name, tcp)
            .await?;
        let once = Mutex::new(Some(stream));
        let hand_out = tower::service_fn(move |_| {
            let stream = once.lock().take();
            async move {
                let over = || io::Error::new(io::ErrorKind::NotConnected, "the connection has ended");
                stream.map(TokioIo::new).ok_or_else(over)
            }
        });
        let endpoint = Endpoint::from_shared(format!("https://{}", self.to))?
            .initial_stream_window_size(windows.stream_bytes)
            .initial_connection_window_size(windows.connection_bytes)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true);
        Ok(endpoint.connect_with_connector(hand_out).await?)
    }
}

/// Of unit `place`: from 127.1.0.1 on, an address each.
fn address(place: u32) -> Ipv4Addr {
    let part = |n: u32| u8::try_from(n % ADDRESSES).unwrap_or_default();
    Ipv4Addr::new(
        127,
        1 + part(place / ADDRESSES / ADDRESSES),
        part(place / ADDRESSES),
        1 + part(place),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_unit_of_ten_thousand_has_an_address_of_its_own() {
        let all: BTreeSet<Ipv4Addr> = (0..10_000).map(address).collect();
        assert_eq!(all.len(), 10_000);
        assert!(all.iter().all(Ipv4Addr::is_loopback));
    }
}
