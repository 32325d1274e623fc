//! A daemon's edge on a port of its own, with a real store, and clients that call at it.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use handfast_proto::{ids::Holder, token::EnrolmentToken};
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, SanType};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tempfile::TempDir;
use tokio::{net::TcpStream, task::JoinHandle};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;
use tonic::{
    service::RoutesBuilder,
    transport::{Channel, Endpoint},
};

use crate::{
    audit::{Scribe, refusals},
    clock::{Clock, SystemClock},
    config::Limits,
    consent::{Patients, Policy},
    enrolment::{Authority, Enrolment},
    grpc::{
        Acceptor, Connections, Edge, EnrolmentService, HealthWatch, Identities, OwnLeaf, UnaryRates, bind,
        reflection, server_config,
    },
    random::{OsRandom, Random as _},
    store::{Deployment, NewToken, NewUnit, SqliteStore, Store, UnitKind, With},
};

pub(super) const TRUST_DOMAIN: &str = "test.example";
pub(super) const DAY_MS: i64 = 24 * 3600 * 1000;

/// How long a test waits for what should come soon.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// A certificate chain and its key.
pub(super) struct Credential {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// What a certificate made for a test says.
pub(super) struct Wanted<'a> {
    pub(super) sans: &'a [&'a str],
    pub(super) dns: Option<&'a str>,
    pub(super) usage: ExtendedKeyUsagePurpose,
    /// From when until when, as years around today's certificates.
    pub(super) years: (i32, i32),
}

impl Default for Wanted<'_> {
    fn default() -> Self {
        Self {
            sans: &["spiffe://test.example/unit/Z00101"],
            dns: None,
            usage: ExtendedKeyUsagePurpose::ClientAuth,
            years: (2020, 2090),
        }
    }
}

/// An authority of a test's own making.
pub(super) struct TestAuthority {
    pub(super) key_pem: String,
    pub(super) certificate_pem: String,
}

impl TestAuthority {
    pub(super) fn new() -> (Self, Authority) {
        let now = SystemClock::default().now_ms();
        let new = Authority::create(TRUST_DOMAIN, now, &OsRandom).unwrap();
        let kept = Self {
            key_pem: new.key_pem.to_string(),
            certificate_pem: new.certificate_pem,
        };
        (kept, new.authority)
    }

    /// Signs whatever is wanted.
    pub(super) fn sign(&self, wanted: &Wanted<'_>) -> Credential {
        let issuer_key = KeyPair::from_pem(&self.key_pem).unwrap();
        let issuer = Issuer::from_ca_cert_pem(&self.certificate_pem, issuer_key).unwrap();
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = CertificateParams::default();
        let uris = wanted
            .sans
            .iter()
            .map(|uri| SanType::URI((*uri).try_into().unwrap()));
        params.subject_alt_names = uris.collect();
        let dns = wanted.dns.map(|name| SanType::DnsName(name.try_into().unwrap()));
        params.subject_alt_names.extend(dns);
        params.extended_key_usages = vec![wanted.usage.clone()];
        params.not_before = rcgen::date_time_ymd(wanted.years.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(wanted.years.1, 1, 1);
        let certificate = params.signed_by(&key, &issuer).unwrap();
        Credential {
            chain: vec![certificate.der().clone()],
            key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        }
    }
}

/// The edge.
pub(super) struct Door {
    pub(super) address: SocketAddr,
    pub(super) kept: TestAuthority,
    pub(super) authority: Arc<Authority>,
    pub(super) store: Arc<dyn Store>,
    pub(super) connections: Arc<Connections>,
    pub(super) own_leaf: OwnLeaf,
    pub(super) now: i64,
    soft: CancellationToken,
    running: JoinHandle<()>,
    _dir: TempDir,
}

fn deployment(made_at: i64) -> Deployment {
    Deployment {
        trust_domain: TRUST_DOMAIN.to_owned(),
        test: true,
        policy: Policy::UnlessDissented,
        zone: "Europe/London".to_owned(),
        default_patients: Patients::All,
        operator_sets_halves: false,
        made_at,
    }
}

impl Door {
    pub(super) async fn open(limits: &Limits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let now = clock.now_ms();
        let (kept, authority) = TestAuthority::new();
        let authority = Arc::new(authority);
        let store: Arc<dyn Store> =
            Arc::new(SqliteStore::create(dir.path(), &deployment(now)).await.unwrap());
        let random = Arc::new(OsRandom);
        let own_leaf = OwnLeaf::new(
            Arc::clone(&authority),
            vec![],
            DAY_MS,
            Arc::clone(&clock),
            random.clone(),
        )
        .unwrap();
        let tls = server_config(&authority, own_leaf.resolver(), Arc::clone(&clock)).unwrap();

        let scribe = Scribe::new(random.clone());
        let (refusals, _) = refusals(scribe.clone(), Arc::clone(&store), Arc::clone(&clock));
        let identities = Arc::new(Identities::new(Arc::clone(&store), refusals.clone()));
        let enrolment = Enrolment::new(
            Arc::clone(&store),
            Arc::clone(&authority),
            Arc::clone(&clock),
            random,
            scribe,
            30 * DAY_MS,
        );
        let mut routes = RoutesBuilder::default();
        routes.add_service(EnrolmentService::server(enrolment, identities));
        let _health = HealthWatch::add_to(&mut routes, Arc::clone(&store), clock).await;
        reflection(&mut routes).unwrap();
        let soft = CancellationToken::new();
        let rates = Arc::new(UnaryRates::new(limits));
        let edge = Arc::new(Edge::new(routes.routes(), rates, limits, refusals, soft.clone()));
        let connections = Arc::new(Connections::new(limits));
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = Acceptor::new(
            listener,
            Arc::new(tls),
            TRUST_DOMAIN,
            Arc::clone(&connections),
            edge,
            limits,
        );
        let running = tokio::spawn(acceptor.run(soft.clone()));
        Self {
            address,
            kept,
            authority,
            store,
            connections,
            own_leaf,
            now,
            soft,
            running,
            _dir: dir,
        }
    }

    /// Stops taking connections; resolves when all have ended.
    pub(super) async fn close(self) {
        self.soft.cancel();
        self.running.await.unwrap();
    }

    /// A handshake as `who`, or as nobody.
    pub(super) async fn dial(&self, who: Option<Credential>) -> io::Result<TlsStream<TcpStream>> {
        dial(self.address, self.authority.certificate().clone(), who).await
    }

    /// A channel as `who`, or as nobody; it connects on the first call.
    pub(super) fn channel(&self, who: Option<Credential>) -> Channel {
        let (address, root) = (self.address, self.authority.certificate().clone());
        let who = Arc::new(parking_lot::Mutex::new(who));
        let connector = tower::service_fn(move |_| {
            let (root, who) = (root.clone(), who.lock().take());
            async move { dial(address, root, who).await.map(TokioIo::new) }
        });
        Endpoint::from_static("http://localhost").connect_with_connector_lazy(connector)
    }

    /// A unit that is registered, and a token for it.
    pub(super) async fn register(&self, ods: &str) -> EnrolmentToken {
        let unit = NewUnit {
            ods: ods.parse().unwrap(),
            name: ods.to_owned(),
            kind: UnitKind::Gp,
        };
        let (token, keep) = self.token(Holder::Unit(unit.ods), self.now + DAY_MS);
        self.store
            .register_unit(&unit, &keep, self.now, &With::nothing())
            .await
            .unwrap();
        token
    }

    /// A token that is not kept yet.
    pub(super) fn token(&self, holder: Holder, expires_at: i64) -> (EnrolmentToken, NewToken) {
        let mut secret = [0; 32];
        OsRandom.fill(&mut secret).unwrap();
        let token = EnrolmentToken::new(*self.authority.fingerprint(), secret);
        let keep = NewToken {
            holder,
            hash: token.secret_hash(),
            expires_at,
            made_by: "a test".to_owned(),
        };
        (token, keep)
    }
}

async fn dial(
    address: SocketAddr,
    root: CertificateDer<'static>,
    who: Option<Credential>,
) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(root).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match who {
        Some(who) => builder.with_client_auth_cert(who.chain, who.key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let socket = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, socket).await
}
