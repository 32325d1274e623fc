//! Who gets which connection, against a daemon that answers no call and counts who comes.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::AbortHandle,
    time::timeout,
};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

/// Speaks HTTP/2 where it is let to, and otherwise closes every connection at once.
struct Daemon {
    link: Link,
    came: Arc<AtomicUsize>,
    serves: Arc<AtomicBool>,
    accepting: AbortHandle,
}

impl Daemon {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let link = Link::new(Connector::plaintext(listener.local_addr().unwrap()).unwrap());
        let (came, serves) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(true)));
        let (count, served) = (Arc::clone(&came), Arc::clone(&serves));
        let (accepted, incoming) = mpsc::channel::<TcpStream>(8);
        let accepting = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                if served.load(Ordering::SeqCst) {
                    accepted.send(tcp).await.unwrap();
                }
            }
        });
        let routes = tonic::service::Routes::default();
        let incoming = ReceiverStream::new(incoming).map(Ok::<_, std::io::Error>);
        tokio::spawn(
            tonic::transport::Server::builder()
                .add_routes(routes)
                .serve_with_incoming(incoming),
        );
        Self {
            link,
            came,
            serves,
            accepting: accepting.abort_handle(),
        }
    }

    fn came(&self) -> usize {
        self.came.load(Ordering::SeqCst)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

#[tokio::test]
async fn all_who_ask_share_one_connection() {
    let daemon = Daemon::start().await;
    let all: Vec<_> = (0..5)
        .map(|_| {
            let link = daemon.link.clone();
            tokio::spawn(async move { link.connection().await.map(|c| c.is_over()) })
        })
        .collect();
    for asked in all {
        assert_eq!(asked.await.unwrap(), Ok(false));
    }
    assert_eq!(daemon.came(), 1);
}

#[tokio::test]
async fn what_was_given_up_or_has_ended_is_made_anew() {
    let daemon = Daemon::start().await;
    let first = daemon.link.connection().await.unwrap();
    first.give_up();
    let second = daemon.link.connection().await.unwrap();
    assert_eq!(daemon.came(), 2);
    assert!(!second.is_over());
    drop(daemon.link.connection().await.unwrap());
    assert_eq!(daemon.came(), 2, "it stands, whoever lets go of it");
}

#[tokio::test]
async fn an_end_is_noticed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let link = Link::new(Connector::plaintext(listener.local_addr().unwrap()).unwrap());
    let accepted = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        // An empty SETTINGS frame: as much as a client waits for.
        let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        tokio::io::AsyncWriteExt::write_all(&mut tcp, &settings)
            .await
            .unwrap();
        (tcp, listener)
    });
    let connection = link.connection().await.unwrap();
    assert!(!connection.is_over());
    drop(accepted.await.unwrap());
    let noticed = async {
        while !connection.is_over() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, noticed).await.unwrap();
    let error = link.connection().await.unwrap_err();
    assert!(matches!(error.error, LinkError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn a_failed_try_is_everybodys_and_not_made_again_before_its_time() {
    let daemon = Daemon::start().await;
    daemon.serves.store(false, Ordering::SeqCst);
    let mut tries = 0;
    let begun = Instant::now();
    let ends = loop {
        let error = daemon.link.connection().await.unwrap_err();
        if daemon.came() > tries {
            tries = daemon.came();
        }
        assert!(matches!(error.error, LinkError::Unreachable { .. }), "{error}");
        // A delay that is drawn short is over by now.
        if error.again_in > Duration::from_millis(50) {
            break Instant::now() + error.again_in;
        }
        assert!(begun.elapsed() < PATIENCE);
    };
    for _ in 0..20 {
        let error = daemon.link.connection().await.unwrap_err();
        assert!(Instant::now() + error.again_in <= ends + Duration::from_millis(1));
    }
    assert_eq!(daemon.came(), tries);
    daemon.serves.store(true, Ordering::SeqCst);
    tokio::time::sleep_until(ends).await;
    daemon.link.connection().await.unwrap();
    assert_eq!(daemon.came(), tries + 1);
}
