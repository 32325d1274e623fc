//! One TLS handshake: bounded in time, and at its end we know who is there.
//!
//! Invariant: no handshake waits for another. How many there are at one time is bounded where connections
//! arrive (`registry.rs`), not by places here: those who say nothing would hold every place for the whole of
//! their time, and keep out whoever has something to say.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{
    connection::{ConnectionInfo, CutStream},
    peer::{Peer, PeerError},
    read_ahead::ReadAhead,
    registry::{Arrival, Full},
};

/// Why a connection was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    /// Too slow.
    #[error("the handshake took too long")]
    TimedOut,
    /// TLS failed: the certificate is not good, or it is no TLS 1.3 at all.
    #[error("the TLS handshake failed: {0}")]
    Tls(std::io::Error),
    /// The certificate names nobody.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// A holder has as many connections as it may.
    #[error(transparent)]
    Full(#[from] Full),
    /// The client does not speak HTTP/2.
    #[error("the client does not offer HTTP/2 (ALPN h2)")]
    NoHttp2,
    /// The socket does not take an option.
    #[error("the socket refuses an option: {0}")]
    Socket(std::io::Error),
}

/// Encrypted bytes that may wait for the socket on one connection: a batch goes out in one write.
const MAX_UNSENT_BYTES: usize = 128 * 1024;

/// Makes handshakes.
pub(super) struct Handshakes {
    acceptor: TlsAcceptor,
    trust_domain: String,
    time: Duration,
}

impl Handshakes {
    pub(super) fn new(config: Arc<rustls::ServerConfig>, trust_domain: &str, time: Duration) -> Self {
        Self {
            acceptor: TlsAcceptor::from(config),
            trust_domain: trust_domain.to_owned(),
            time,
        }
    }

    /// Makes one. Where it fails the socket is closed.
    pub(super) async fn make(
        &self,
        socket: TcpStream,
        remote: SocketAddr,
        arrival: &mut Arrival,
    ) -> Result<(TlsStream<ReadAhead<CutStream>>, ConnectionInfo), HandshakeError> {
        socket.set_nodelay(true).map_err(HandshakeError::Socket)?;
        let stream = CutStream::new(socket);
        let cutter = stream.cutter();
        let mut stream = timeout(self.time, self.acceptor.accept(ReadAhead::new(stream)))
            .await
            .map_err(|_| HandshakeError::TimedOut)?
            .map_err(HandshakeError::Tls)?;
        stream.get_mut().1.set_buffer_limit(Some(MAX_UNSENT_BYTES));
        let session = stream.get_ref().1;
        if session.alpn_protocol() != Some(b"h2") {
            return Err(HandshakeError::NoHttp2);
        }
        let peer = match session.peer_certificates().and_then(<[_]>::first) {
            None => Peer::Anonymous,
            Some(leaf) => Peer::from_certificate(leaf, &self.trust_domain)?,
        };
        if let Some(holder) = peer.holder() {
            arrival.identify(holder, cutter.clone())?;
        }
        if let Peer::Unit(_) = peer {
            cutter.discard_on_close().map_err(HandshakeError::Socket)?;
        }
        let info = ConnectionInfo { peer, remote, cutter };
        Ok((stream, info))
    }
}
