//! What the checked identifiers let through, and what they show.

use handfast_proto::ids::{Holder, IdError, NhsNumber, OdsCode, RecordId};

#[test]
fn nhs_number_keeps_modulus_11() {
    // The worked example of the NHS Data Dictionary.
    assert!("943 476 5919".parse::<NhsNumber>().is_ok());
    assert_eq!(
        "9434765918".parse::<NhsNumber>(),
        Err(IdError::NhsNumberCheckDigit)
    );
    assert_eq!("943476591".parse::<NhsNumber>(), Err(IdError::NhsNumberLength));
    assert_eq!("94347659190".parse::<NhsNumber>(), Err(IdError::NhsNumberLength));
    assert_eq!(
        "0000000000".parse::<NhsNumber>(),
        Err(IdError::NhsNumberCheckDigit)
    );
    assert_eq!("９434765919".parse::<NhsNumber>(), Err(IdError::NhsNumberLength));
    assert_eq!("9990000018".parse::<NhsNumber>().unwrap().reveal(), "9990000018");
}

#[test]
fn nhs_number_is_never_whole_in_a_log() {
    let number: NhsNumber = "9990000018".parse().unwrap();
    assert_eq!(format!("{number} {number:?}"), "*******018 NhsNumber(*******018)");
}

#[test]
fn every_wrong_single_digit_is_found() {
    let good = 9_434_765_919_u64;
    for place in 0..10 {
        let unit = 10_u64.pow(place);
        let digit = good / unit % 10;
        for other in (0..10).filter(|d| *d != digit) {
            let wrong = good - digit * unit + other * unit;
            assert!(NhsNumber::from_u64(wrong).is_err(), "{wrong}");
        }
    }
}

#[test]
fn record_ids_are_never_paths() {
    for bad in [
        "",
        "Patient",
        "Patient/",
        "/x",
        "Patient/..",
        "Patient/.",
        "Patient/a/b",
        "../etc",
        "Pa.t/x",
        "Patient/a b",
    ] {
        assert_eq!(bad.parse::<RecordId>(), Err(IdError::RecordId), "{bad}");
    }
    let good: RecordId = "Observation/a-1.2".parse().unwrap();
    assert_eq!((good.resource_type(), good.id()), ("Observation", "a-1.2"));
}

#[test]
fn ods_codes_and_holders() {
    for bad in ["", "Z0", "z00101", "Z00101/..", "Z001010000000"] {
        assert_eq!(bad.parse::<OdsCode>(), Err(IdError::OdsCode), "{bad}");
    }
    let unit = Holder::Unit("Z00101".parse().unwrap());
    let uri = unit.to_uri("care.example");
    assert_eq!(uri, "spiffe://care.example/unit/Z00101");
    assert_eq!(Holder::from_uri(&uri, "care.example"), Ok(unit));
    assert_eq!(Holder::from_uri(&uri, "other.example"), Err(IdError::Holder));
    assert_eq!(
        Holder::from_uri("spiffe://care.example.evil/unit/Z00101", "care.example"),
        Err(IdError::Holder)
    );
    assert!(Holder::from_uri("spiffe://care.example/person/ann-1", "care.example").is_ok());
}
