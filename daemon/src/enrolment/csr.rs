//! Reads a certificate signing request (PKCS#10, RFC 2986) for the one thing that is used of it: the
//! public key, and the proof that the asker holds its private half. Every name in it is passed over.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rcgen::SubjectPublicKeyInfo;
use x509_parser::{
    certification_request::X509CertificationRequest,
    oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_SIG_ECDSA_WITH_SHA256},
    prelude::FromDer as _,
};

/// Bytes of a request at most. One for P-256 with a long name has a few hundred.
const MAX_CSR_BYTES: usize = 8 * 1024;

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CsrError {
    /// Not PKCS#10.
    #[error("the certificate signing request is not PKCS#10 in DER, or is over 8 KiB")]
    Unreadable,
    /// Another kind of key.
    #[error("the certificate signing request's key is not ECDSA P-256, signed with SHA-256")]
    Algorithm,
    /// The asker does not hold the key.
    #[error("the certificate signing request's signature is wrong")]
    Signature,
}

/// The public key of a request that was signed with its private half.
pub fn public_key(csr_der: &[u8]) -> Result<SubjectPublicKeyInfo, CsrError> {
    if csr_der.len() > MAX_CSR_BYTES {
        return Err(CsrError::Unreadable);
    }
    let (rest, csr) = X509CertificationRequest::from_der(csr_der).map_err(|_| CsrError::Unreadable)?;
    if !rest.is_empty() {
        return Err(CsrError::Unreadable);
    }
    let info = &csr.certification_request_info;
    let algorithm = &info.subject_pki.algorithm;
    let curve = algorithm.parameters.as_ref().and_then(|p| p.as_oid().ok());
    let fits = algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY
        && curve == Some(OID_EC_P256)
        && csr.signature_algorithm.algorithm == OID_SIG_ECDSA_WITH_SHA256;
    if !fits {
        return Err(CsrError::Algorithm);
    }
    let point = info.subject_pki.subject_public_key.data.as_ref();
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point)
        .verify(info.raw, csr.signature_value.data.as_ref())
        .map_err(|_| CsrError::Signature)?;
    SubjectPublicKeyInfo::from_der(info.subject_pki.raw).map_err(|_| CsrError::Algorithm)
}

#[cfg(test)]
mod tests {
    use rcgen::{
        CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PublicKeyData as _,
    };

    use super::*;

    fn csr(key: &KeyPair) -> Vec<u8> {
        let request = CertificateParams::default().serialize_request(key).unwrap();
        request.der().to_vec()
    }

    #[test]
    fn only_a_p256_key_with_its_own_signature_is_taken() {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let good = csr(&key);
        assert_eq!(public_key(&good).unwrap().der_bytes(), key.public_key_raw());

        let other = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        assert_eq!(public_key(&csr(&other)), Err(CsrError::Algorithm));

        // The last byte belongs to the signature.
        let mut forged = good.clone();
        *forged.last_mut().unwrap() ^= 1;
        assert_eq!(public_key(&forged), Err(CsrError::Signature));

        let mut longer = good.clone();
        longer.push(0);
        assert_eq!(public_key(&longer), Err(CsrError::Unreadable));
        assert_eq!(public_key(&good[..good.len() - 1]), Err(CsrError::Unreadable));
        assert_eq!(public_key(&[]), Err(CsrError::Unreadable));
        assert_eq!(public_key(&[0x30; MAX_CSR_BYTES + 1]), Err(CsrError::Unreadable));
    }
}
