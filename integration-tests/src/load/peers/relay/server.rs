//! The relay's process: TLS 1.3 with client certificates, and HTTP/2 set as handfastd sets it.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use handfast_proto::{limits::MAX_SYNC_MESSAGE_BYTES, v1::sync_server::SyncServer};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    version::TLS13,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_rustls::TlsAcceptor;
use tonic::service::Routes;
use tower::Service as _;

use super::{
    keys::{CA, CERT, KEY},
    log::Log,
    service::Service,
};

/// Connections at one time.
const MAX_CONNECTIONS: usize = 256;
/// How long to wait before the next is taken where one could not be.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(50);
// As handfastd's defaults, in bytes.
const STREAM_WINDOW: u32 = 1_048_576;
const CONNECTION_WINDOW: u32 = 2_097_152;
const SEND_BUFFER: usize = 131_072;
const MAX_FRAME: u32 = 128 * 1024;
/// Encrypted bytes that may wait for the socket, as the daemon has it.
const MAX_UNSENT: usize = 128 * 1024;

/// A bare relay for `peers`; not for use.
#[derive(Debug, Clone, clap::Args)]
pub struct RelayServerOptions {
    /// The folder with ca.pem, cert.pem and key.pem, where the log is written.
    #[arg(long)]
    pub dir: PathBuf,
    /// Where it listens.
    #[arg(long)]
    pub listen: SocketAddr,
}

/// Serves until the process is ended.
pub async fn relay_server(options: RelayServerOptions) -> anyhow::Result<()> {
    let file = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(options.dir.join("amendments.log"))
        .context("open the relay's log")?;
    let service = SyncServer::new(Service::new(Log::start(file)?))
        .max_decoding_message_size(MAX_SYNC_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_SYNC_MESSAGE_BYTES);
    let routes = Routes::new(service).prepare();
    let tls = TlsAcceptor::from(Arc::new(tls(&options.dir)?));
    let listener = TcpListener::bind(options.listen)
        .await
        .with_context(|| format!("listen on {}", options.listen))?;
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let permit = Arc::clone(&room)
            .acquire_owned()
            .await
            .context("room for a connection")?;
        let Ok((tcp, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
            continue;
        };
        let (tls, routes) = (tls.clone(), routes.clone());
        tokio::spawn(async move {
            // A connection that fails is the client's affair: it says so.
            let _ = serve(tcp, tls, routes).await;
            drop(permit);
        });
    }
}

async fn serve(tcp: TcpStream, tls: TlsAcceptor, routes: Routes) -> anyhow::Result<()> {
    tcp.set_nodelay(true)?;
    let mut stream = tls.accept(tcp).await?;
    stream.get_mut().1.set_buffer_limit(Some(MAX_UNSENT));
    let service = service_fn(move |request: hyper::Request<Incoming>| routes.clone().call(request));
    http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_frame_size(MAX_FRAME)
        .serve_connection(TokioIo::new(stream), service)
        .await?;
    Ok(())
}

fn tls(dir: &Path) -> anyhow::Result<ServerConfig> {
    let read = |name: &str| -> io::Result<Vec<u8>> { fs::read(dir.join(name)) };
    let mut roots = RootCertStore::empty();
    for cert in CertificateDer::pem_slice_iter(&read(CA)?) {
        roots.add(cert.context("read the authority's certificate")?)?;
    }
    let chain = CertificateDer::pem_slice_iter(&read(CERT)?)
        .collect::<Result<Vec<_>, _>>()
        .context("read the relay's certificate")?;
    let key = PrivateKeyDer::from_pem_slice(&read(KEY)?).context("read the relay's key")?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build()?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}
