//! Promises about what units say to the daemon itself: it is applied in the commit that appends it.

use handfast_proto::v1::PatientWordValue::{No, Yes};

use super::{
    backend::Backend,
    kit::{HILL, Outbox, VALE, WARD, assert_fails, group, head, jobs, joined, ods, pair},
    patients_kit::{about, ann, ben, patient_jobs, say, word},
};
use crate::{
    consent::{GrantId, Side},
    store::{AppendGroup, JoinedNumbers, PatientStore as _, Stated, Store, StoreError},
};

pub(crate) async fn what_is_stated_is_applied_with_its_batch<B: Backend>() {
    let (backend, grant): (B, GrantId) = joined(pair(HILL, WARD)).await;
    let mut hill = Outbox::new(HILL);
    let said = word(HILL, ann(), Side::ShareOut, No, 3);
    let numbers = JoinedNumbers {
        unit: ods(HILL),
        former: ben(),
        current: ann(),
    };
    let stated = AppendGroup {
        stated: vec![
            Stated::Words(vec![said.clone(), word(HILL, ann(), Side::ShareIn, Yes, 3)]),
            Stated::Joined(numbers),
            Stated::Joined(numbers),
            // Of two in one commit the later one finds the first.
            Stated::Words(vec![word(HILL, ann(), Side::ShareOut, Yes, 2)]),
        ],
        with: about(pair(HILL, WARD), ann()),
        ..group(vec![hill.batch(1, 10), hill.batch(1, 10)])
    };
    backend.store().append(&stated).await.unwrap();
    let backend = backend.reopen().await;
    let store = backend.store();
    assert_eq!(head(store, HILL).await, 2);
    let words = store.words_in_force(ods(HILL), None, 9).await.unwrap();
    assert_eq!((words.len(), &words[0].change), (2, &said));
    assert_eq!(store.words_of(ann(), None, 9).await.unwrap().len(), 3);
    assert_eq!(
        store.joined_numbers().await.unwrap(),
        [numbers],
        "said twice, kept once"
    );
    assert_eq!(patient_jobs(&jobs(store, WARD).await), [(grant.0, ann())]);
    let due = jobs(store, WARD).await;
    assert_eq!(due.len(), 2, "behind the catch-up");
}

pub(crate) async fn what_is_stated_is_not_kept_without_its_batch<B: Backend>() {
    let (backend, _): (B, GrantId) = joined(pair(HILL, WARD)).await;
    let store = backend.store();
    say(store, word(HILL, ben(), Side::ShareOut, Yes, 1)).await;
    let (mut hill, mut vale) = (Outbox::new(HILL), Outbox::new(VALE));
    vale.batch(1, 10);
    let numbers = JoinedNumbers {
        unit: ods(HILL),
        former: ben(),
        current: ann(),
    };
    let stated = AppendGroup {
        stated: vec![
            Stated::Words(vec![word(HILL, ben(), Side::ShareOut, No, 3)]),
            Stated::Joined(numbers),
        ],
        with: about(pair(HILL, WARD), ben()),
        // The second does not follow its head.
        ..group(vec![hill.batch(1, 10), vale.batch(1, 10)])
    };
    assert_fails!(store.append(&stated).await, StoreError::Conflict(_));
    assert_eq!(head(store, HILL).await, 0);
    assert_eq!(store.words_of(ben(), None, 9).await.unwrap().len(), 1);
    assert!(store.joined_numbers().await.unwrap().is_empty());
    assert!(patient_jobs(&jobs(store, WARD).await).is_empty());
}
