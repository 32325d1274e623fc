//! The FHIR output over TLS: only the server's own authority is believed.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{ServerConfig, crypto::aws_lc_rs, version::TLS13};
use rustls_pki_types::PrivateKeyDer;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::{
    client::{FhirClient, FhirSettings},
    outcome::Outcome,
};

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    ca_file: PathBuf,
}

fn authority(folder: &tempfile::TempDir, name: &str) -> Authority {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    let ca_file = folder.path().join(name);
    std::fs::write(&ca_file, certificate.pem()).unwrap();
    Authority {
        issuer: Issuer::new(params, key),
        ca_file,
    }
}

/// A server that answers every request with 201.
async fn server(authority: &Authority) -> SocketAddr {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let leaf = params.signed_by(&key, &authority.issuer).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(tcp).await else {
                continue;
            };
            let mut seen = Vec::new();
            while !seen.ends_with(b"{}") {
                if stream.read_buf(&mut seen).await.unwrap_or(0) == 0 {
                    break;
                }
            }
            let answer = b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            stream.write_all(answer).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    addr
}

#[tokio::test]
async fn only_the_authority_given_is_believed() {
    let folder = tempfile::tempdir().unwrap();
    let (own, other) = (authority(&folder, "own.pem"), authority(&folder, "other.pem"));
    let port = server(&own).await.port();
    let mut settings = FhirSettings {
        base_url: format!("https://localhost:{port}/fhir"),
        credentials_file: None,
        ca_file: Some(own.ca_file),
        timeout: Duration::from_secs(10),
    };
    let client = FhirClient::new(&settings).unwrap();
    assert_eq!(
        client.put("Patient", "hf-1", b"{}".to_vec(), 0).await,
        Outcome::Done
    );
    settings.ca_file = Some(other.ca_file);
    let client = FhirClient::new(&settings).unwrap();
    let refused = client.put("Patient", "hf-1", b"{}".to_vec(), 0).await;
    assert!(
        matches!(&refused, Outcome::Again { fault, own: false, .. } if fault.reason.contains("certificate")),
        "{refused:?}"
    );
    settings.ca_file = Some(folder.path().join("missing.pem"));
    assert!(FhirClient::new(&settings).err().unwrap().why.contains("ca_file"));
}
