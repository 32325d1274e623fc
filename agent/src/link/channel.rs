//! Makes one connection to the daemon: TCP, TLS 1.3, HTTP/2. A connection is never made again behind its
//! user's back: when it ends, so does the [`Connection`], and the user connects afresh.
//!
//! Trust is the identity's own bundle of authorities and nothing else; the machine's is never asked.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls::ClientConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite, BufReader},
    net::TcpStream,
    sync::oneshot,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint, Uri};

use super::{
    LinkError,
    error::{tls_error, unreachable_because},
    listening::Listening,
};
use crate::identity::{ALPN, CurrentIdentity, DaemonUrl};

/// How long making a connection may take: name, TCP, TLS and the daemon's first bytes together.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a ping asks whether the link still stands, with or without traffic. Each costs the daemon some 50 µs of CPU,
/// so that ten thousand idle agents are to ping no more often than they must.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(22);

/// How long a ping's answer may take. With the interval: a dead link is noticed within 29 s.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(7);

/// Bytes of one HTTP/2 frame at most (RFC 9113, section 4.2): a batch takes one, and with it few writes of the daemon.
const MAX_FRAME_BYTES: u32 = 128 * 1024;

/// Encrypted bytes that may wait for the socket: a batch goes out in one write.
const MAX_UNSENT_BYTES: usize = 128 * 1024;

/// Bytes read from the socket at once: TLS by itself asks for four KiB.
const READ_BYTES: usize = 64 * 1024;

/// How much the daemon may send before it is read, in bytes (HTTP/2 flow control, RFC 9113 section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    /// On one stream.
    pub stream_bytes: u32,
    /// On the whole connection.
    pub connection_bytes: u32,
}

/// A connection that was made. Clones are the same one; it is closed when the last is dropped.
#[derive(Debug, Clone)]
pub struct Connection {
    channel: Channel,
    over: CancellationToken,
}

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

// === impl Connection ===

impl Connection {
    /// Where calls go.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Whether it has ended, or was given up.
    pub fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }

    /// Marks it as not to be used for anything more. What is under way on it goes on until the daemon ends it.
    pub fn give_up(&self) {
        self.over.cancel();
    }
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
    pub async fn connect(&self, windows: Windows) -> Result<Connection, LinkError> {
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
) -> Result<Connection, LinkError> {
    let daemon = url.to_string();
    within_timeout(&daemon, async {
        let tcp = tcp(&daemon, url.host(), url.port()).await?;
        let mut stream = TlsConnector::from(tls)
            .connect(url.server_name(), BufReader::with_capacity(READ_BYTES, tcp))
            .await
            .map_err(|e| tls_error(&daemon, &e))?;
        stream.get_mut().1.set_buffer_limit(Some(MAX_UNSENT_BYTES));
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
async fn http2<IO>(daemon: &str, origin: &str, io: IO, windows: Windows) -> Result<Connection, LinkError>
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
        .max_frame_size(MAX_FRAME_BYTES)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true);
    let (heard, first_bytes) = oneshot::channel();
    let over = CancellationToken::new();
    let once = Mutex::new(Some(Listening::new(io, heard, over.clone().drop_guard())));
    let hand_out = tower::service_fn(move |_: Uri| {
        let io = once.lock().take();
        async move { io.map(TokioIo::new).ok_or(ConnectionOver) }
    });
    let channel = endpoint
        .connect_with_connector(hand_out)
        .await
        .map_err(|e| protocol(e.to_string()))?;
    match first_bytes.await {
        Ok(Ok(())) => Ok(Connection { channel, over }),
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

#[cfg(test)]
mod tests;
