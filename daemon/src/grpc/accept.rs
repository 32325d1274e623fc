//! The accept loop: our own, because it must bound what comes in, reload certificates, survive a lack of
//! file descriptors, and say why a handshake failed.
//!
//! Invariants: no more connections are open, and no more tasks run, than the limits allow; no more handshakes
//! begin in a second than they allow. Whoever comes beyond that waits in the kernel, and beyond its backlog
//! tries again as TCP does: a handshake's time counts from when it was taken in.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use super::{
    connection::Cutter,
    edge::Edge,
    handshake::Handshakes,
    peer::Peer,
    rate::AcceptRate,
    registry::{Arrival, Connections},
    serve::{Ended, Server},
};
use crate::{config::Limits, telemetry::LogThrottle};

/// How long to leave a listener alone that could not accept for lack of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Connections that may wait in the kernel to be accepted.
const BACKLOG: i32 = 1024;

/// Binds a listener. A dual-stack one for `[::]`, and one whose address can be taken again at once after a
/// restart.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Takes connections in and serves them.
pub struct Acceptor {
    listener: TcpListener,
    connections: Arc<Connections>,
    rate: AcceptRate,
    serving: Arc<Serving>,
}

struct Serving {
    handshakes: Handshakes,
    server: Server,
    log: LogThrottle,
}

impl Acceptor {
    /// On `listener`, with `config` for TLS and `edge` for the requests.
    pub fn new(
        listener: TcpListener,
        config: Arc<rustls::ServerConfig>,
        trust_domain: &str,
        connections: Arc<Connections>,
        edge: Arc<Edge>,
        limits: &Limits,
    ) -> Self {
        let handshakes = Handshakes::new(config, trust_domain, limits.handshake_timeout_ms.as_millis());
        let serving = Serving {
            handshakes,
            server: Server::new(edge, limits),
            log: LogThrottle::default(),
        };
        Self {
            listener,
            connections,
            rate: AcceptRate::new(limits),
            serving: Arc::new(serving),
        }
    }

    /// Serves until `soft`; then takes nothing new in, lets calls finish, and returns when all connections
    /// have ended. Dropping the future cuts what is left.
    pub async fn run(self, soft: CancellationToken) {
        let Self {
            listener,
            connections,
            rate,
            serving,
        } = self;
        let mut tasks = JoinSet::new();
        loop {
            tokio::select! {
                () = soft.cancelled() => break,
                accepted = listener.accept() => match accepted {
                    Ok((socket, remote)) => {
                        match connections.arrive(remote.ip()) {
                            Ok(arrival) => {
                                let serving = Arc::clone(&serving);
                                tasks.spawn(serving.connection(socket, remote, arrival, soft.clone()));
                            }
                            Err(full) => serving.refused(remote, &full),
                        }
                        rate.taken().await;
                    }
                    Err(e) => serving.not_accepted(&e).await,
                },
                Some(ended) = tasks.join_next(), if !tasks.is_empty() => report_panic(ended),
            }
        }
        drop(listener);
        while let Some(ended) = tasks.join_next().await {
            report_panic(ended);
        }
    }
}

impl Serving {
    async fn connection(
        self: Arc<Self>,
        socket: TcpStream,
        remote: SocketAddr,
        mut arrival: Arrival,
        soft: CancellationToken,
    ) {
        // Boxed, as what follows: a connection's task is to keep no room of a handshake that is long over.
        let made = Box::pin(self.handshakes.make(socket, remote, &mut arrival)).await;
        let (stream, info) = match made {
            Ok(made) => made,
            Err(e) => return self.refused(remote, &e),
        };
        tracing::debug!(peer = %info.peer, %remote, "connected");
        let (peer, cutter) = (info.peer.clone(), info.cutter.clone());
        let ended = self.server.serve(stream, info, soft).await;
        if cutter.is_cut() {
            tell_of_cut(&peer, remote, &cutter);
        }
        match ended {
            Ended::Over => tracing::debug!(%peer, %remote, "disconnected"),
            Ended::Silent => self.refused(remote, &"no whole request came in time after the handshake"),
            Ended::Overstayed => {
                tracing::debug!(%remote, "a connection without a certificate stayed its time");
            }
        }
    }

    fn refused(&self, remote: SocketAddr, reason: &dyn std::fmt::Display) {
        if let Some(held_back) = self.log.pass() {
            tracing::info!(%remote, %reason, held_back, "refused a connection");
        }
    }

    /// A connection that is gone again is no matter; without descriptors or memory, accepting again at once
    /// would only burn a core.
    async fn not_accepted(&self, error: &io::Error) {
        let gone = matches!(
            error.kind(),
            io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
        );
        if gone {
            return;
        }
        if let Some(held_back) = self.log.pass() {
            tracing::error!(
                %error, held_back,
                "cannot accept connections: raise the limit of open files (LimitNOFILE) or lower max_connections"
            );
        }
        sleep(ACCEPT_PAUSE).await;
    }
}

/// What S1 rests on, for whoever wants to see it kept: after the cut not one byte was written.
fn tell_of_cut(peer: &Peer, remote: SocketAddr, cutter: &Cutter) {
    let (written, after) = (cutter.bytes_written(), cutter.bytes_written_after_cut());
    tracing::debug!(%peer, %remote, written, after, "a connection was cut");
    if after > 0 {
        tracing::error!(%peer, after, "bytes were written to a connection after it was cut: report this fault");
    }
}

fn report_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(e) = ended
        && e.is_panic()
    {
        tracing::error!("the task of a connection panicked; the connection is closed");
    }
}
