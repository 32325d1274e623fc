//! The digests of resources.

use proptest::prelude::*;
use serde_json::Value;

use super::{
    Fault,
    canonical::{MAX_VALUES, content_digest, copy_digest, digest},
};

#[test]
fn spelling_does_not_matter_and_content_does() {
    let same = digest(r#"{"a":1,"b":"é","meta":{"versionId":"1","lastUpdated":"x"}}"#).unwrap();
    for text in [
        r#"{"b":"é","a":1}"#,
        " {\n\"a\" : 1, \"b\" : \"\\u00e9\" } ",
        r#"{"meta":{},"a":1,"b":"é"}"#,
        r#"{"meta":{"lastUpdated":"2026"},"b":"é","a":1}"#,
    ] {
        assert_eq!(digest(text), Ok(same), "{text}");
    }
    for text in [
        r#"{"a":1.0,"b":"é"}"#,
        r#"{"a":"1","b":"é"}"#,
        r#"{"a":1,"b":"e"}"#,
        r#"{"a":1,"b":"é","meta":{"source":"x"}}"#,
        r#"{"a":1,"b":"é","x":{"meta":{"versionId":"1"}}}"#,
    ] {
        assert_ne!(digest(text).unwrap(), same, "{text}");
    }
    assert_ne!(digest(r#"["a","b"]"#), digest(r#"["b","a"]"#));
    assert_eq!(digest(r#""\ud83d\ude00""#), digest("\"😀\""));
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    for twice in [
        r#"{"meta":{"security":[]},"meta":{}}"#,
        r#"{"meta":{},"meta":{}}"#,
    ] {
        assert!(
            matches!(digest(twice), Err(Fault::DuplicateMember { .. })),
            "{twice}"
        );
    }
    assert!(matches!(
        digest(r#"{"a":1,"a":2}"#),
        Err(Fault::DuplicateMember { .. })
    ));
    assert!(matches!(
        digest(r#"{"a":1,"\u0061":2}"#),
        Err(Fault::DuplicateMember { .. })
    ));
    assert!(matches!(digest(r#"{"a":1"#), Err(Fault::Truncated)));
    assert!(matches!(digest(r#"{"a":1} x"#), Err(Fault::NotJson { at: 8 })));
    assert!(matches!(digest(&"[".repeat(5000)), Err(Fault::TooDeep { .. })));
    let many = format!("[{}1]", "1,".repeat(MAX_VALUES));
    assert!(matches!(digest(&many), Err(Fault::TooManyValues { .. })));
}

proptest! {
    #[test]
    fn never_panics_and_agrees_with_serde_on_what_serde_takes(text in "\\PC{0,60}|[\\[\\]{}:,\"a\\\\u0-9 ]{0,40}") {
        let parsed: Result<Value, _> = serde_json::from_str(&text);
        let ours = digest(&text);
        if let Ok(value) = parsed && !matches!(ours, Err(Fault::DuplicateMember { .. })) {
            prop_assert!(ours.is_ok(), "serde takes what we refuse");
            // Writing it out again changes nothing but the spelling (numbers aside).
            if !text.contains(|c: char| c.is_ascii_digit()) {
                prop_assert_eq!(digest(&value.to_string()), ours);
            }
        }
    }
}

#[test]
fn copies_are_compared_without_what_tells_them_apart() {
    let at_source = br#"{"resourceType":"Condition","id":"1","code":{"text":"a"}}"#;
    let copy = br#"{"resourceType":"Condition","id":"hf-x","code":{"text":"a"},
        "meta":{"versionId":"3","source":"urn:handfast:Z00101:Condition/1"}}"#;
    assert_eq!(copy_digest(at_source), copy_digest(copy));
    assert_ne!(content_digest(at_source), content_digest(copy));
    let other = br#"{"resourceType":"Condition","id":"1","code":{"text":"b"}}"#;
    assert_ne!(copy_digest(at_source), copy_digest(other));
    assert_eq!(copy_digest(b"{"), None);
}
