//! What putting patients on caseloads does beyond asking who may.

use handfast_proto::{amendment::Category, ids::NhsNumber};

use super::{
    ActError, Caseload,
    testing::{World, ods, patient},
};
use crate::store::Role;

#[tokio::test]
async fn an_addition_is_alerted_before_it_is_made_and_only_of_whom_it_adds() {
    let world = World::new().await;
    let caseload = Caseload::new(world.ctx.clone());
    let cleo = world.caller("cleo").await;
    world.records("Z00101", patient(1), Category::Problems, 1).await;
    let all = [patient(0), patient(1)];
    let added = caseload.add(&cleo, None, &all, "new to the ward").await.unwrap();
    assert_eq!(
        (added.changed, added.unchanged, added.recorded, added.alerted),
        (1, 1, 1, 1)
    );
    {
        let alerted = world.alerted.0.lock();
        assert_eq!(alerted.len(), 1);
        assert_eq!(
            (alerted[0].unit, &alerted[0].patients[..]),
            (ods("Z00101"), &[patient(0)][..])
        );
        assert_eq!(
            (alerted[0].by.as_str(), alerted[0].reason.as_str()),
            ("person cleo", "new to the ward")
        );
    }
    let again = caseload.add(&cleo, None, &all, "again").await.unwrap();
    assert_eq!((again.changed, again.unchanged, again.alerted), (0, 2, 0));
    assert_eq!(world.alerted.0.lock().len(), 1, "nobody is told of nothing");
    let (_, listed) = caseload
        .list(&world.caller("pam").await, None, None, 10)
        .await
        .unwrap();
    assert_eq!(listed.iter().map(|c| c.patient).collect::<Vec<_>>(), [patient(0)]);

    let removed = caseload.remove(&cleo, None, &all, "").await.unwrap();
    assert_eq!((removed.changed, removed.unchanged, removed.recorded), (1, 1, 1));
    assert!(!world.ctx.revoker.book().facts(ods("Z00101"), patient(0)).claimed);
    let unexplained = caseload.add(&cleo, None, &all, " ").await;
    assert!(matches!(
        unexplained,
        Err(ActError::Invalid { field: "reason", .. })
    ));
}

#[tokio::test]
async fn a_person_and_a_unit_add_only_so_many_within_an_hour() {
    let world = World::new().await;
    let caseload = Caseload::new(world.ctx.clone());
    let numbers: Vec<_> = valid_numbers().take(1_100).collect();
    let add = async |who: &str, from: usize| {
        let some = &numbers[from..from + 100];
        caseload
            .add(&world.caller(who).await, None, some, "a list")
            .await
            .map(|c| c.changed)
    };
    assert_eq!(add("cleo", 0).await.unwrap(), 100);
    assert_eq!(add("cleo", 100).await.unwrap(), 100);
    let third = add("cleo", 200).await;
    assert!(
        matches!(&third, Err(ActError::TooMany(why)) if why.contains("a person adds at most 200")),
        "{third:?}"
    );
    assert_eq!(
        add("cleo", 0).await.unwrap(),
        0,
        "what is so already costs nothing"
    );
    for n in 0..4 {
        let id = format!("clin-{n}");
        world.person(&id, Some("Z00101"), Role::Clinician).await;
        assert_eq!(add(&id, 200 + 200 * n).await.unwrap(), 100);
        assert_eq!(add(&id, 300 + 200 * n).await.unwrap(), 100);
    }
    let eleventh = add("ann", 1_000).await;
    assert!(matches!(&eleventh, Err(ActError::TooMany(why)) if why.contains("a unit adds at most 1000")));
    assert_eq!(
        add("cat", 1_000).await.unwrap(),
        100,
        "another unit is another matter"
    );
}

fn valid_numbers() -> impl Iterator<Item = NhsNumber> {
    (9_990_100_000..).filter_map(|n| NhsNumber::from_u64(n).ok())
}
