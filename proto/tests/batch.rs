//! Batches under random input: what was built is read back, what was cut says nothing more than it may,
//! and no bytes whatever make the reader panic. Failing cases are printed with their seed and kept by
//! proptest for replay.

#![expect(clippy::unwrap_used, reason = "a test panics where it fails")]

use bytes::Bytes;
use handfast_proto::{
    amendment::{
        Amendment, Batch, BatchBuilder, BatchError, Category, Confidentiality, Cut, Form, Op, Subject, Text,
    },
    chain::Chain,
    ids::{NhsNumber, RecordId, StoreId},
    v1::BatchHeader,
};
use proptest::prelude::*;
use prost::Message as _;

fn nhs_number() -> impl Strategy<Value = NhsNumber> {
    // The next number that exists: there is one among any hundred.
    (9_990_000_000_u64..9_999_999_000)
        .prop_map(|from| (from..).find_map(|n| NhsNumber::from_u64(n).ok()).unwrap())
}

fn subject() -> impl Strategy<Value = Subject> {
    (nhs_number(), 1..=15_i32, 0..=3_u32).prop_map(|(patient, category, marks)| Subject {
        patient,
        category: Category::try_from(category).unwrap(),
        confidentiality: Confidentiality::from_bits(marks).unwrap(),
    })
}

prop_compose! {
    fn amendment()(
        op in prop_oneof![Just(Op::Create), Just(Op::Amend), Just(Op::Retract)],
        id in "[A-Za-z0-9-]{1,64}",
        subject in subject(),
        former in proptest::option::of(subject()),
        author in "[A-Za-z .]{0,40}",
        recorded_at in any::<i64>(),
        payload in proptest::collection::vec(any::<u8>(), 1..100),
    ) -> Amendment {
        let bare = op == Op::Retract || subject.confidentiality.is_marked();
        Amendment {
            op,
            record: RecordId::new("Observation", &id).unwrap(),
            subject: Some(subject),
            former,
            author: Text::new(author).unwrap(),
            recorded_at,
            content_type: Text::new("application/fhir+json").unwrap(),
            payload: if bare { Bytes::new() } else { payload.into() },
        }
    }
}

fn build(amendments: &[Amendment]) -> Batch {
    let mut builder = BatchBuilder::new(7);
    for amendment in amendments {
        assert!(builder.fits(amendment));
        builder.push(amendment);
    }
    let made = builder.finish();
    Batch::parse(made.header, made.body, Form::Published).unwrap()
}

fn cut() -> impl Strategy<Value = Cut> {
    prop_oneof![
        Just(Cut::Keep),
        Just(Cut::Retract),
        Just(Cut::Remove),
        Just(Cut::Drop)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_built_is_read_back(amendments in proptest::collection::vec(amendment(), 1..=64)) {
        let batch = build(&amendments);
        prop_assert_eq!(batch.len(), amendments.len());
        prop_assert_eq!(batch.last_seq(), 6 + amendments.len() as u64);
        for (index, amendment) in amendments.iter().enumerate() {
            let entry = batch.entry(index);
            prop_assert_eq!(entry.op, amendment.op);
            prop_assert_eq!(entry.record, &amendment.record);
            prop_assert_eq!(entry.subject, amendment.subject);
            prop_assert_eq!(entry.former, amendment.former);
            prop_assert_eq!(entry.author, amendment.author.as_str());
            prop_assert_eq!(entry.recorded_at, amendment.recorded_at);
            prop_assert_eq!(batch.payload(index), &amendment.payload);
        }
    }

    #[test]
    fn a_cut_batch_holds_what_was_kept_and_nothing_of_the_rest(
        (amendments, cuts) in proptest::collection::vec((amendment(), cut()), 1..=64).prop_map(|v| v.into_iter().unzip::<_, _, Vec<_>, Vec<_>>())
    ) {
        let batch = build(&amendments);
        let kept: Vec<usize> = (0..cuts.len()).filter(|i| cuts[*i] != Cut::Drop).collect();
        let Some(out) = batch.cut(&cuts) else {
            prop_assert!(kept.is_empty());
            return Ok(());
        };
        let out = Batch::parse(out.header, out.body, Form::Delivered).unwrap();
        prop_assert_eq!(out.len(), kept.len());
        for (at, index) in kept.into_iter().enumerate() {
            let entry = out.entry(at);
            prop_assert_eq!(entry.seq, batch.seq(index));
            prop_assert_eq!(entry.record, &amendments[index].record);
            prop_assert_eq!(entry.former, None, "what a record was before is never told");
            if cuts[index] == Cut::Keep {
                prop_assert_eq!(entry.subject, amendments[index].subject);
                prop_assert_eq!(out.payload(at), &amendments[index].payload);
            } else {
                prop_assert_eq!(entry.subject, None);
                prop_assert_eq!((entry.recorded_at, entry.author), (0, ""));
                prop_assert!(out.payload(at).is_empty());
            }
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(header in proptest::collection::vec(any::<u8>(), 0..300), body in proptest::collection::vec(any::<u8>(), 0..50)) {
        for form in [Form::Published, Form::PublishedInPieces, Form::Delivered, Form::DeliveredInPieces] {
            let _ = Batch::parse(header.clone().into(), body.clone().into(), form);
        }
    }

    #[test]
    fn a_header_with_one_byte_changed_is_refused_or_keeps_every_invariant(
        amendments in proptest::collection::vec(amendment(), 1..5), at in any::<prop::sample::Index>(), to in any::<u8>()
    ) {
        let batch = build(&amendments);
        let mut header = batch.header().to_vec();
        let at = at.index(header.len());
        header[at] = to;
        if let Ok(changed) = Batch::parse(header.into(), batch.body().clone(), Form::Published) {
            let payloads: usize = (0..changed.len()).map(|i| changed.payload(i).len()).sum();
            prop_assert_eq!(payloads, batch.body().len());
            prop_assert!(changed.entries().all(|e| e.subject.is_some() && e.op != Op::Unspecified));
            prop_assert!(changed.entries().zip(1_u64..).all(|(e, n)| e.seq == changed.first_seq() + n - 1));
        }
    }

    #[test]
    fn any_change_of_an_amendment_changes_the_chain(one in amendment(), other in amendment()) {
        let start = Chain::start(StoreId::from_random([1; 16]));
        prop_assert_eq!(start.extend(1, &one), start.extend(1, &one));
        prop_assert_ne!(start.extend(1, &one), start.extend(2, &one));
        if one != other {
            let differs_only_in_texts = Amendment { author: other.author.clone(), ..one.clone() } == other;
            prop_assert!(differs_only_in_texts || start.extend(1, &one) != start.extend(1, &other));
        }
    }
}

#[test]
fn an_agent_may_not_remove_leave_gaps_or_hold_back_a_payload() {
    let amendment = Amendment {
        op: Op::Create,
        record: "Observation/1".parse().unwrap(),
        subject: Some(Subject {
            patient: NhsNumber::from_u64(9_990_000_018).unwrap(),
            category: Category::Observations,
            confidentiality: Confidentiality::NORMAL,
        }),
        former: None,
        author: Text::default(),
        recorded_at: 0,
        content_type: Text::default(),
        payload: Bytes::from_static(b"{}"),
    };
    let batch = build(&[amendment]);
    let changed = |change: fn(&mut BatchHeader), body: Bytes| {
        let mut columns = BatchHeader::decode(batch.header().clone()).unwrap();
        change(&mut columns);
        Batch::parse(columns.encode_to_vec().into(), body, Form::Published).map(|_| ())
    };
    let body = batch.body().clone();
    assert_eq!(changed(|_| {}, body.clone()), Ok(()));
    let value = |fault| Err(BatchError::Value { index: 0, fault });
    assert_eq!(
        changed(|c| c.op[0] = Op::Remove as u32, body.clone()),
        value("an agent removes nothing at others; it retracts")
    );
    assert!(matches!(
        changed(|c| c.seq = vec![7], body.clone()),
        Err(BatchError::Columns(_))
    ));
    assert!(matches!(
        changed(|c| c.patient[0] = 0, body.clone()),
        Err(BatchError::Id { .. })
    ));
    assert!(matches!(
        changed(|c| c.category[0] = 0, body.clone()),
        Err(BatchError::Value { .. })
    ));
    assert!(changed(|c| c.payload_len[0] = 0, Bytes::new()).is_err());
    assert!(matches!(
        changed(|c| c.payload_len[0] = 3, body.clone()),
        Err(BatchError::Columns(_))
    ));
    assert!(matches!(
        changed(|c| c.first_seq = 0, body),
        Err(BatchError::Columns(_))
    ));
}
