//! A daemon that serves `Enrolment` only, as a script says.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use handfast_proto::v1::{
    EnrolRequest, EnrolResponse, RenewRequest,
    enrolment_server::{Enrolment, EnrolmentServer},
};
use parking_lot::Mutex;
use rustls::{RootCertStore, ServerConfig, crypto::aws_lc_rs, server::WebPkiClientVerifier, version::TLS13};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, transport::server::Connected};

use crate::identity::ALPN;

/// What the daemon answers; the requests it saw are kept.
pub(crate) type Answer = Box<dyn Fn(&[u8]) -> Result<EnrolResponse, Status> + Send + Sync>;

pub(crate) struct Script {
    pub(crate) enrol: Answer,
    pub(crate) renew: Answer,
    /// The tokens that were shown to it.
    pub(crate) tokens: Mutex<Vec<String>>,
}

impl Script {
    pub(crate) fn new(enrol: Answer, renew: Answer) -> Arc<Self> {
        Arc::new(Self {
            enrol,
            renew,
            tokens: Mutex::new(Vec::new()),
        })
    }

    /// Answers nothing.
    pub(crate) fn silent() -> Arc<Self> {
        let no = || -> Answer { Box::new(|_| Err(Status::unimplemented("no"))) };
        Self::new(no(), no())
    }
}

/// Runs until it is dropped.
pub(crate) struct FakeDaemon {
    addr: SocketAddr,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for FakeDaemon {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl FakeDaemon {
    /// With a server's chain and key. Clients of `clients` and clients without a certificate are let in.
    pub(crate) async fn start(
        (chain, key): (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>),
        clients: CertificateDer<'static>,
        script: Arc<Script>,
    ) -> Self {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(clients).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()
            .unwrap();
        let mut tls = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .unwrap();
        tls.alpn_protocols = vec![ALPN.to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (accepted, incoming) = mpsc::channel(8);
        let accept = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                if let Ok(tls) = acceptor.accept(tcp).await {
                    accepted.send(Ok::<_, io::Error>(Accepted(tls))).await.unwrap();
                }
            }
        });
        let serve = tokio::spawn(async move {
            tonic::transport::Server::builder()
                .add_service(EnrolmentServer::new(Service(script)))
                .serve_with_incoming(ReceiverStream::new(incoming))
                .await
                .unwrap();
        });
        Self {
            addr,
            tasks: [accept, serve],
        }
    }

    /// `https://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.addr)
    }

    pub(crate) fn port(&self) -> u16 {
        self.addr.port()
    }
}

struct Service(Arc<Script>);

#[tonic::async_trait]
impl Enrolment for Service {
    async fn enrol(&self, request: Request<EnrolRequest>) -> Result<Response<EnrolResponse>, Status> {
        let request = request.into_inner();
        self.0.tokens.lock().push(request.token);
        (self.0.enrol)(&request.csr_der).map(Response::new)
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<EnrolResponse>, Status> {
        (self.0.renew)(&request.into_inner().csr_der).map(Response::new)
    }
}

struct Accepted(TlsStream<TcpStream>);

impl Connected for Accepted {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Accepted {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}
