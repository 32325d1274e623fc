//! One connection to the daemon: TCP, TLS 1.3, HTTP/2. It is never made again behind its user's back.
//!
//! In TLS 1.3 a client's handshake is over before the server has looked at its certificate (RFC 8446,
//! appendix E.1.2). So the daemon's first bytes, the settings with which it begins HTTP/2 (RFC 9113,
//! section 3.4), are waited for before anything is sent: a refusal comes in their place, and is not lost to
//! a reset.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls::{AlertDescription, CertificateError, ClientConfig};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tonic::{
    Status,
    transport::{Channel, Endpoint, Uri},
};

use super::{error::CtlError, tls::ALPN, url::DaemonUrl};

/// How long making a connection may take: name, TCP and TLS together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long one call may take. A revocation answers well within it.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How often a ping asks whether the link still stands, while a stream is open.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// How long a ping's answer may take.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes that the daemon may have sent before anything is asked.
const FIRST_BYTES: usize = 4096;

/// A connection.
#[derive(Clone)]
pub(super) struct Connection {
    channel: Channel,
    daemon: String,
}

impl Connection {
    /// Connects, within [`CONNECT_TIMEOUT`].
    pub(super) async fn open(url: &DaemonUrl, tls: ClientConfig) -> Result<Self, CtlError> {
        let daemon = url.to_string();
        let opened = timeout(CONNECT_TIMEOUT, Box::pin(open(url, tls, daemon.clone()))).await;
        opened.unwrap_or_else(|_| {
            let why = format!("no answer within {} s", CONNECT_TIMEOUT.as_secs());
            Err(unreachable(&daemon, &why))
        })
    }

    /// For the generated clients. Calls on it are bounded by [`CALL_TIMEOUT`] through [`Connection::call`].
    pub(super) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Waits for one call's answer; `what` is what it does, for the message where it fails.
    pub(super) async fn call<T>(
        &self,
        what: &str,
        call: impl Future<Output = Result<tonic::Response<T>, Status>>,
    ) -> Result<T, CtlError> {
        let answer = self.try_call(call).await;
        answer.map_err(|status| self.error(what, &status))
    }

    /// Waits for one call's answer, for callers that look at the status themselves.
    pub(super) async fn try_call<T>(
        &self,
        call: impl Future<Output = Result<tonic::Response<T>, Status>>,
    ) -> Result<T, Status> {
        let answer = timeout(CALL_TIMEOUT, call).await;
        let answer = answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("")));
        answer.map(tonic::Response::into_inner)
    }

    /// Why a call failed.
    pub(super) fn error(&self, what: &str, status: &Status) -> CtlError {
        CtlError::of_call(what, &self.daemon, status)
    }
}

async fn open(url: &DaemonUrl, tls: ClientConfig, daemon: String) -> Result<Connection, CtlError> {
    let tcp = TcpStream::connect((url.host.as_str(), url.port)).await;
    let tcp = tcp.map_err(|e| unreachable(&daemon, &io_text(&e)))?;
    tcp.set_nodelay(true)
        .map_err(|e| unreachable(&daemon, &e.to_string()))?;
    let mut stream = TlsConnector::from(Arc::new(tls))
        .connect(url.name.clone(), tcp)
        .await
        .map_err(|e| connect_error(&daemon, &e))?;
    if stream.get_ref().1.alpn_protocol() != Some(ALPN) {
        return Err(unreachable(
            &daemon,
            "it does not speak HTTP/2; is it the daemon?",
        ));
    }
    let mut first = BytesMut::with_capacity(FIRST_BYTES);
    match stream.read_buf(&mut first).await {
        Ok(0) => return Err(unreachable(&daemon, "it closed the connection at once")),
        Ok(_) => {}
        Err(e) => return Err(connect_error(&daemon, &e)),
    }
    let io = Begun {
        first: first.freeze(),
        io: stream,
    };
    let once = Mutex::new(Some(io));
    let hand_out = tower::service_fn(move |_: Uri| {
        let io = once.lock().take().map(TokioIo::new);
        async move { io.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)) }
    });
    let channel = Endpoint::from_shared(daemon.clone())
        .and_then(|e| e.user_agent(concat!("handfastctl/", env!("CARGO_PKG_VERSION"))))
        .map_err(|e| unreachable(&daemon, &e.to_string()))?
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .connect_with_connector(hand_out)
        .await
        .map_err(|e| unreachable(&daemon, &e.to_string()))?;
    Ok(Connection { channel, daemon })
}

// === Messages ===

fn unreachable(daemon: &str, why: &str) -> CtlError {
    CtlError::Unreachable(format!(
        "the daemon at {daemon} cannot be reached: {why}. Check the address, and that handfastd is running"
    ))
}

fn io_text(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "nothing listens there (connection refused)".to_owned(),
        io::ErrorKind::UnexpectedEof => "it closed the connection at once".to_owned(),
        _ => error.to_string(),
    }
}

/// Sorts what TLS says into what a person can do about it.
fn connect_error(daemon: &str, error: &io::Error) -> CtlError {
    let fault = error.get_ref().and_then(|inner| inner.downcast_ref());
    match fault {
        None => unreachable(daemon, &io_text(error)),
        Some(fault) => tls_error(daemon, fault),
    }
}

fn tls_error(daemon: &str, fault: &rustls::Error) -> CtlError {
    match fault {
        rustls::Error::InvalidCertificate(fault) => CtlError::Unreachable(format!(
            "what answers at {daemon} is not trusted: {}. Nothing was sent to it",
            certificate_fault(fault)
        )),
        rustls::Error::AlertReceived(AlertDescription::CertificateExpired) => CtlError::Refused(format!(
            "this credential has expired, says the daemon at {daemon}: ask for a new token and enrol \
                 again (the operator: 'handfastd operator renew' on the daemon's machine)"
        )),
        rustls::Error::AlertReceived(alert) if is_about_our_certificate(*alert) => {
            CtlError::Refused(format!(
                "the daemon at {daemon} does not take this credential: it was revoked, or is another \
                     deployment's. Ask for a new token and enrol again"
            ))
        }
        other => unreachable(daemon, &format!("TLS failed ({other})")),
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

fn certificate_fault(fault: &CertificateError) -> String {
    match fault {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "its certificate is not from this deployment's authority".to_owned()
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

// === impl Begun ===

/// A connection of which the first bytes were read already.
struct Begun<IO> {
    first: Bytes,
    io: IO,
}

impl<IO: AsyncRead + Unpin> AsyncRead for Begun<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.first.is_empty() {
            return Pin::new(&mut this.io).poll_read(cx, buf);
        }
        let now = this.first.split_to(this.first.len().min(buf.remaining()));
        buf.put_slice(&now);
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Begun<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}
