//! gRPC channels with a certificate of the test's choice.

use std::sync::Arc;

use anyhow::Context as _;
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    version::TLS13,
};
use tokio::{io::BufReader, net::TcpStream};
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};

use super::identity::Identity;

/// HTTP/2 flow-control windows of a client, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Windows {
    /// Of one stream.
    pub stream: u32,
    /// Of the connection.
    pub connection: u32,
}

impl Default for Windows {
    fn default() -> Self {
        Self {
            stream: 256 * 1024,
            connection: 512 * 1024,
        }
    }
}

/// Bytes of one HTTP/2 frame, as an agent has it.
const MAX_FRAME_BYTES: u32 = 128 * 1024;

/// Encrypted bytes that may wait for the socket, as an agent has it.
const MAX_UNSENT_BYTES: usize = 128 * 1024;

/// Bytes read from the socket at once, as an agent does.
const READ_BYTES: usize = 64 * 1024;

/// Connects with a certificate.
pub async fn connect(url: &str, identity: &Identity, windows: Windows) -> anyhow::Result<Channel> {
    let roots = roots(&identity.ca_pem)?;
    let chain = CertificateDer::pem_slice_iter(identity.chain_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .context("read the certificate chain")?;
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).context("read the key")?;
    let config = builder(roots)?
        .with_client_auth_cert(chain, key)
        .context("use the certificate")?;
    dial(url, config, windows).await
}

/// Connects with no certificate, trusting `ca_pem`.
pub async fn connect_anonymous(url: &str, ca_pem: &str) -> anyhow::Result<Channel> {
    let config = builder(roots(ca_pem)?)?.with_no_client_auth();
    dial(url, config, Windows::default()).await
}

fn roots(ca_pem: &str) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for cert in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
        roots
            .add(cert.context("read the authority's certificate")?)
            .context("trust the authority")?;
    }
    Ok(roots)
}

fn builder(
    roots: RootCertStore,
) -> anyhow::Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .context("TLS 1.3")?;
    Ok(builder.with_root_certificates(roots))
}

async fn dial(url: &str, mut config: ClientConfig, windows: Windows) -> anyhow::Result<Channel> {
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    let tls = TlsConnector::from(Arc::new(config));
    let address = url.strip_prefix("https://").context("an https URL")?.to_owned();
    let endpoint = Endpoint::from_shared(url.to_owned())?
        .initial_stream_window_size(windows.stream)
        .initial_connection_window_size(windows.connection)
        .max_frame_size(MAX_FRAME_BYTES)
        .tcp_nodelay(true);
    let channel = endpoint
        .connect_with_connector(tower::service_fn(move |_| {
            let (tls, address) = (tls.clone(), address.clone());
            async move {
                let tcp = TcpStream::connect(&address).await?;
                tcp.set_nodelay(true)?;
                let host = address.rsplit_once(':').map_or(address.as_str(), |(h, _)| h);
                let name = ServerName::try_from(host.to_owned()).map_err(std::io::Error::other)?;
                let tcp = BufReader::with_capacity(READ_BYTES, tcp);
                let mut stream = tls.connect(name, tcp).await?;
                stream.get_mut().1.set_buffer_limit(Some(MAX_UNSENT_BYTES));
                Ok::<_, std::io::Error>(TokioIo::new(stream))
            }
        }))
        .await?;
    Ok(channel)
}
