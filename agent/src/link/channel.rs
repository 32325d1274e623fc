//! Makes one connection to the daemon: TCP, TLS 1.3, HTTP/2. A connection is never made again behind its
//! user's back: when it ends, so does the [`Channel`], and the user connects afresh.
//!
//! Trust is the identity's own bundle of authorities and nothing else; the machine's is never asked.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls::{AlertDescription, CertificateError, ClientConfig};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::oneshot,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::identity::{ALPN, CurrentIdentity, DaemonUrl};

/// How long making a connection may take: name, TCP, TLS and the daemon's first bytes together.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a ping asks whether the link still stands, with or without traffic.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// How long a ping's answer may take. With the interval: a dead link is noticed within 20 s.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// How much the daemon may send before it is read, in bytes (HTTP/2 flow control, RFC 9113 section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    /// On one stream.
    pub stream_bytes: u32,
    /// On the whole connection.
    pub connection_bytes: u32,
}

/// Why there is no connection. The texts are for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Nobody answers, or the connection broke while it was made. Worth trying again.
    #[error("the daemon at {daemon} cannot be reached: {why}")]
    Unreachable {
        /// Its address.
        daemon: String,
        /// What went wrong.
        why: String,
    },
    /// Whoever answers cannot show that it is the daemon this agent enrolled with.
    #[error("what answers at {daemon} is not trusted: {why}. Nothing was sent to it")]
    NotTrusted {
        /// Its address.
        daemon: String,
        /// What is wrong with its certificate.
        why: String,
    },
    /// The daemon does not take this agent's certificate.
    #[error(
        "the daemon at {daemon} refuses this agent's certificate ({why}): {}",
        ENROL_AGAIN
    )]
    Refused {
        /// Its address.
        daemon: String,
        /// The reason it gave.
        why: String,
    },
    /// The daemon says that this agent's certificate has expired.
    #[error(
        "this agent's certificate has expired, says the daemon at {daemon}: {}",
        ENROL_AGAIN
    )]
    Expired {
        /// Its address.
        daemon: String,
    },
    /// Something answers that does not speak TLS 1.3 and HTTP/2 as a daemon does.
    #[error("what answers at {daemon} does not speak as a Handfast daemon does: {why}. Check the address")]
    Protocol {
        /// Its address.
        daemon: String,
        /// What it did.
        why: String,
    },
}

const ENROL_AGAIN: &str =
    "ask an administrator of the unit for a new token and run 'handfast-agent enrol --replace'";

/// An address that [`Connector::plaintext`] refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a loopback address; a connection without TLS is for tests on one machine")]
pub struct NotLoopback(pub SocketAddr);

/// Makes connections to the daemon. Clones are cheap and alike.
#[derive(Debug, Clone)]
pub struct Connector(Via);

#[derive(Debug, Clone)]
enum Via {
    Tls(Arc<CurrentIdentity>),
    Plaintext(SocketAddr),
}

// === impl Connector ===

impl Connector {
    /// Connects as whoever the identity says at that moment, so that a renewed certificate is used from
    /// the next connection on.
    pub fn new(identity: Arc<CurrentIdentity>) -> Self {
        Self(Via::Tls(identity))
    }

    /// Connects without TLS. For tests only: there is no identity and no secrecy, so anything but a
    /// loopback address is refused.
    pub fn plaintext(addr: SocketAddr) -> Result<Self, NotLoopback> {
        if addr.ip().is_loopback() {
            Ok(Self(Via::Plaintext(addr)))
        } else {
            Err(NotLoopback(addr))
        }
    }

    /// Makes one fresh connection, within [`CONNECT_TIMEOUT`]. When it returns, the daemon has taken this
    /// agent's certificate. Dropping the future drops the connection.
    pub async fn connect(&self, windows: Windows) -> Result<Channel, LinkError> {
        match &self.0 {
            Via::Tls(identity) => {
                let identity = identity.get();
                connect_tls(identity.daemon(), identity.tls(), windows).await
            }
            Via::Plaintext(addr) => {
                let daemon = format!("http://{addr}");
                within_timeout(&daemon, async {
                    let tcp = tcp(&daemon, &addr.ip().to_string(), addr.port()).await?;
                    http2(&daemon, &daemon, tcp, windows).await
                })
                .await
            }
        }
    }
}

/// One connection with the trust and the client certificate of `tls`.
pub(crate) async fn connect_tls(
    url: &DaemonUrl,
    tls: Arc<ClientConfig>,
    windows: Windows,
) -> Result<Channel, LinkError> {
    let daemon = url.to_string();
    within_timeout(&daemon, async {
        let tcp = tcp(&daemon, url.host(), url.port()).await?;
        let stream = TlsConnector::from(tls)
            .connect(url.server_name(), tcp)
            .await
            .map_err(|e| tls_error(&daemon, &e))?;
        if stream.get_ref().1.alpn_protocol() != Some(ALPN) {
            return Err(LinkError::Protocol {
                daemon: daemon.clone(),
                why: "it does not offer HTTP/2".to_owned(),
            });
        }
        http2(&daemon, &daemon, stream, windows).await
    })
    .await
}

async fn within_timeout<T>(
    daemon: &str,
    connect: impl Future<Output = Result<T, LinkError>>,
) -> Result<T, LinkError> {
    timeout(CONNECT_TIMEOUT, Box::pin(connect))
        .await
        .unwrap_or_else(|_| {
            Err(LinkError::Unreachable {
                daemon: daemon.to_owned(),
                why: format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()),
            })
        })
}

async fn tcp(daemon: &str, host: &str, port: u16) -> Result<TcpStream, LinkError> {
    let connected = async {
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        Ok::<_, io::Error>(stream)
    };
    connected.await.map_err(|e| unreachable_because(daemon, &e))
}

/// Speaks HTTP/2 over `io` and waits for the daemon's first bytes: in TLS 1.3 a client's handshake is
/// over before the server has looked at its certificate (RFC 8446, section 4.6.2 and appendix E.1.2), so a
/// refusal shows only there.
async fn http2<IO>(daemon: &str, origin: &str, io: IO, windows: Windows) -> Result<Channel, LinkError>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let protocol = |why: String| LinkError::Protocol {
        daemon: daemon.to_owned(),
        why,
    };
    let endpoint = Endpoint::from_shared(origin.to_owned())
        .and_then(|e| e.user_agent(concat!("handfast-agent/", env!("CARGO_PKG_VERSION"))))
        .map_err(|e| protocol(e.to_string()))?
        .initial_stream_window_size(windows.stream_bytes)
        .initial_connection_window_size(windows.connection_bytes)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true);
    let (heard, first_bytes) = oneshot::channel();
    let once = Mutex::new(Some(Listening {
        io,
        heard: Some(heard),
    }));
    let hand_out = tower::service_fn(move |_: Uri| {
        let io = once.lock().take();
        async move { io.map(TokioIo::new).ok_or(ConnectionOver) }
    });
    let channel = endpoint
        .connect_with_connector(hand_out)
        .await
        .map_err(|e| protocol(e.to_string()))?;
    match first_bytes.await {
        Ok(Ok(())) => Ok(channel),
        Ok(Err(e)) => Err(tls_error(daemon, &e)),
        Err(_) => Err(LinkError::Unreachable {
            daemon: daemon.to_owned(),
            why: "the connection ended while it was being made".to_owned(),
        }),
    }
}

/// What a [`Channel`] answers to a call after its connection has ended.
#[derive(Debug, thiserror::Error)]
#[error("the connection to the daemon has ended")]
struct ConnectionOver;

// === Errors ===

fn unreachable_because(daemon: &str, error: &io::Error) -> LinkError {
    LinkError::Unreachable {
        daemon: daemon.to_owned(),
        why: match error.kind() {
            io::ErrorKind::ConnectionRefused => "nothing listens there (connection refused)".to_owned(),
            io::ErrorKind::UnexpectedEof => "it closed the connection at once".to_owned(),
            _ => error.to_string(),
        },
    }
}

/// Sorts what TLS says into what a caller can do about it.
fn tls_error(daemon: &str, error: &io::Error) -> LinkError {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let daemon = daemon.to_owned();
    match inner {
        None => unreachable_because(&daemon, error),
        Some(rustls::Error::InvalidCertificate(fault)) => LinkError::NotTrusted {
            daemon,
            why: certificate_fault(fault),
        },
        Some(rustls::Error::AlertReceived(AlertDescription::CertificateExpired)) => {
            LinkError::Expired { daemon }
        }
        Some(rustls::Error::AlertReceived(alert)) if is_about_our_certificate(*alert) => LinkError::Refused {
            daemon,
            why: alert_text(*alert).to_owned(),
        },
        Some(other) => LinkError::Protocol {
            daemon,
            why: other.to_string(),
        },
    }
}

fn is_about_our_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::AccessDenied
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateRequired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::DecryptError
            | AlertDescription::UnknownCA
            | AlertDescription::UnsupportedCertificate
    )
}

fn alert_text(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::CertificateRevoked => "it is revoked",
        AlertDescription::UnknownCA => "it is from another authority than the daemon's",
        AlertDescription::CertificateRequired => "none was shown",
        AlertDescription::AccessDenied => "access denied",
        _ => "it is not valid there",
    }
}

fn certificate_fault(fault: &CertificateError) -> String {
    match fault {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "its certificate is not from the authority that this agent enrolled with".to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired, or this machine's clock is wrong".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet, or this machine's clock is wrong".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "its certificate is for another name than the one in the address".to_owned()
        }
        // A verifier of ours gives its own text.
        CertificateError::Other(other) => other.to_string(),
        other => format!("its certificate is not valid ({other})"),
    }
}

// === impl Listening ===

/// Passes everything through and tells once how the first read went.
struct Listening<IO> {
    io: IO,
    heard: Option<oneshot::Sender<io::Result<()>>>,
}

impl<IO: AsyncRead + Unpin> AsyncRead for Listening<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let mut result = ready!(Pin::new(&mut this.io).poll_read(cx, buf));
        if let Some(heard) = this.heard.take() {
            let told = match std::mem::replace(&mut result, Ok(())) {
                Ok(()) if buf.filled().len() > before => Ok(()),
                Ok(()) => Err(io::ErrorKind::UnexpectedEof.into()),
                Err(e) => {
                    result = Err(e.kind().into());
                    Err(e)
                }
            };
            // Nobody waits any more where the connect was given up.
            let _ = heard.send(told);
        }
        Poll::Ready(result)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Listening<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}
