//! Signed heads and their key.

use handfast_proto::merkle::{HeadError, PublicKey, SignedHead, SigningKey, TreeHead, empty_root};

use crate::kit::{hash, unhex};

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32]).unwrap()
}

fn head() -> TreeHead {
    TreeHead {
        size: 8,
        root: hash("5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
        signed_at: 1_790_000_000_000,
    }
}

#[test]
fn a_key_is_derived_from_its_seed_as_rfc_8032_says() {
    // RFC 8032 section 7.1, test 1.
    let seed = unhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
    let public = unhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
    assert_eq!(
        SigningKey::from_seed(&seed)
            .unwrap()
            .public()
            .as_bytes()
            .as_slice(),
        public
    );
    assert!(SigningKey::from_seed(&seed[1..]).is_err());
}

#[test]
fn a_head_is_signed_for_its_deployment_and_every_part_counts() {
    let signed = key(7).sign("care.example", head());
    let public = key(7).public();
    assert_eq!(public.verify("care.example", &signed), Ok(()));
    assert_eq!(public.verify("care.exampl", &signed), Err(HeadError::Signature));
    assert_eq!(
        key(8).public().verify("care.example", &signed),
        Err(HeadError::OtherKey)
    );
    let with = |change: &dyn Fn(&mut SignedHead)| {
        let mut other = signed;
        change(&mut other);
        public.verify("care.example", &other)
    };
    assert_eq!(with(&|s| s.head.size += 1), Err(HeadError::Signature));
    assert_eq!(with(&|s| s.head.signed_at -= 1), Err(HeadError::Signature));
    assert_eq!(with(&|s| s.head.root = empty_root()), Err(HeadError::Signature));
    for at in 0..64 {
        assert_eq!(
            with(&|s| s.signature[at] ^= 1),
            Err(HeadError::Signature),
            "byte {at}"
        );
    }
    assert_eq!(with(&|s| s.key = key(8).public().id()), Err(HeadError::OtherKey));
}

#[test]
fn a_head_travels_and_comes_back() {
    let signed = key(7).sign("care.example", head());
    let wire = signed.to_wire(&key(7).public(), 3, &[empty_root()]);
    assert_eq!(SignedHead::from_wire(&wire), Ok(signed));
    assert_eq!((wire.consistent_from, wire.consistency.len()), (3, 1));
    assert_eq!(PublicKey::from_slice(&wire.public_key), Some(key(7).public()));
    let mut short = wire;
    short.root.truncate(31);
    assert_eq!(SignedHead::from_wire(&short), Err(HeadError::Form));
}

#[test]
fn a_public_key_is_read_from_the_file_it_was_written_to() {
    let public = key(7).public();
    let pem = public.to_pem();
    assert_eq!(PublicKey::from_pem(&pem), Ok(public));
    assert_eq!(PublicKey::from_pem(&pem.replace('\n', "\r\n")), Ok(public));
    for bad in [
        "",
        "-----BEGIN PUBLIC KEY-----",
        &pem.replacen("MCow", "MCoy", 1),
        &pem[1..],
    ] {
        assert!(PublicKey::from_pem(bad).is_err(), "{bad}");
    }
    assert!(!format!("{:?}", key(7)).contains("seed"));
}
