//! What a preview counts, and what it tells whom (I1).

use handfast_proto::{
    amendment::{Category, Confidentiality},
    v1::{ConsentManner, PatientWordValue},
};
use jiff::civil::date;

use super::{
    ActError, Agreements, Counts, DayChange, PatientConsents, Preview, SaidWords, ScopeChange, Units,
    testing::{World, half, join, ods, patient},
};
use crate::consent::{CategorySet, Patients, Side};

/// Z00101 has four records of the first patient (one of them private), two of the second, one of the third;
/// the first is on the caseload of Z00202.
async fn world() -> World {
    let world = World::new().await;
    let private = Confidentiality::PRIVATE;
    world.records("Z00101", patient(0), Category::Problems, 2).await;
    world.records("Z00101", patient(0), Category::Allergies, 1).await;
    world
        .marked_records("Z00101", patient(0), Category::Problems, private, 1)
        .await;
    world.records("Z00101", patient(1), Category::Problems, 2).await;
    world.records("Z00101", patient(2), Category::Allergies, 1).await;
    world.records("Z00202", patient(0), Category::Problems, 1).await;
    world
}

async fn preview(
    world: &World,
    who: &str,
    side: Side,
    on: bool,
    scope: ScopeChange,
) -> Result<Preview, ActError> {
    let asked = super::SetHalf {
        scope,
        ..half("Z00101", "Z00202", side, on)
    };
    Agreements::new(world.ctx.clone())
        .preview(&world.caller(who).await, asked)
        .await
}

async fn plain(world: &World, who: &str, side: Side, on: bool) -> Preview {
    preview(world, who, side, on, ScopeChange::default())
        .await
        .unwrap()
}

async fn turn(world: &World, who: &str, side: Side, on: bool) {
    let agreements = Agreements::new(world.ctx.clone());
    let caller = world.caller(who).await;
    agreements
        .set(&caller, half("Z00101", "Z00202", side, on))
        .await
        .unwrap();
}

async fn says(world: &World, who: &str, side: Side, n: usize, word: PatientWordValue) {
    let said = SaidWords {
        patients: vec![patient(n)],
        share_out: (side == Side::ShareOut).then_some(word),
        share_in: (side == Side::ShareIn).then_some(word),
        said_on: String::new(),
        manner: ConsentManner::Spoken,
        taken_by: String::new(),
    };
    let consents = PatientConsents::new(world.ctx.clone());
    consents
        .record(&world.caller(who).await, None, said)
        .await
        .unwrap();
}

fn numbers(counts: &Counts) -> (u64, u64) {
    (counts.all.patients, counts.all.records)
}

#[tokio::test]
async fn a_half_that_completes_the_pair_begins_everything_and_one_that_breaks_it_ends_it() {
    let world = world().await;
    turn(&world, "bob", Side::ShareIn, true).await;
    let begin = plain(&world, "ann", Side::ShareOut, true).await;
    assert_eq!(numbers(&begin.begins), (3, 6), "and nothing private");
    assert_eq!(numbers(&begin.ends), (0, 0));
    assert_eq!(begin.not_on_caseload, 2);
    assert_eq!(begin.once_both, None);
    let problems = begin.begins.categories[&Category::Problems];
    assert_eq!((problems.patients, problems.records), (2, 4));

    turn(&world, "ann", Side::ShareOut, true).await;
    let again = plain(&world, "ann", Side::ShareOut, true).await;
    assert_eq!((numbers(&again.begins), numbers(&again.ends)), ((0, 0), (0, 0)));
    for (who, side) in [("ann", Side::ShareOut), ("bob", Side::ShareIn)] {
        let end = plain(&world, who, side, false).await;
        assert_eq!(
            (numbers(&end.begins), numbers(&end.ends)),
            ((0, 0), (3, 6)),
            "{who}"
        );
    }
}

#[tokio::test]
async fn a_narrower_scope_ends_just_what_falls_out_of_it_and_a_wider_one_begins_it() {
    let world = world().await;
    join(&world).await;
    let only = |category| ScopeChange {
        categories: Some(CategorySet::NONE.with(category)),
        ..ScopeChange::default()
    };
    let narrow = preview(&world, "bob", Side::ShareIn, true, only(Category::Problems))
        .await
        .unwrap();
    assert_eq!((numbers(&narrow.begins), numbers(&narrow.ends)), ((0, 0), (2, 2)));
    let caseload = ScopeChange {
        patients: Some(Patients::Caseload),
        ..ScopeChange::default()
    };
    let known = preview(&world, "ann", Side::ShareOut, true, caseload)
        .await
        .unwrap();
    assert_eq!(numbers(&known.ends), (2, 3));

    let agreements = Agreements::new(world.ctx.clone());
    let set = super::SetHalf {
        scope: only(Category::Problems),
        ..half("Z00101", "Z00202", Side::ShareIn, true)
    };
    agreements.set(&world.caller("bob").await, set).await.unwrap();
    let same = plain(&world, "bob", Side::ShareIn, true).await;
    assert_eq!(numbers(&same.begins), (0, 0), "turning on again widens nothing");
    let all = ScopeChange {
        categories: Some(CategorySet::ALL),
        ..ScopeChange::default()
    };
    let wide = preview(&world, "bob", Side::ShareIn, true, all).await.unwrap();
    assert_eq!((numbers(&wide.begins), wide.not_on_caseload), ((2, 2), 1));
}

#[tokio::test]
async fn i1_only_who_may_set_a_half_may_preview_it() {
    let world = world().await;
    for (who, side) in [
        ("op", Side::ShareOut),
        ("bob", Side::ShareOut),
        ("cleo", Side::ShareOut),
        ("pam", Side::ShareOut),
        ("Z00101", Side::ShareOut),
        ("ann", Side::ShareIn),
        ("cat", Side::ShareIn),
    ] {
        let refused = preview(&world, who, side, true, ScopeChange::default()).await;
        assert!(matches!(refused, Err(ActError::Denied)), "{who}: {refused:?}");
    }
    let world = World::made(|deployment| deployment.operator_sets_halves = true).await;
    world.records("Z00101", patient(0), Category::Problems, 2).await;
    turn(&world, "bob", Side::ShareIn, true).await;
    assert_eq!(
        numbers(&plain(&world, "op", Side::ShareOut, true).await.begins),
        (1, 2)
    );
}

#[tokio::test]
async fn i1_the_recipient_learns_nothing_while_the_source_shares_nothing_out() {
    let world = world().await;
    let blind = plain(&world, "bob", Side::ShareIn, true).await;
    assert!(
        blind
            .not_counted
            .contains("Z00101 has is not counted while its share-out is off")
    );
    let nothing = Preview {
        not_counted: blind.not_counted.clone(),
        ..Preview::default()
    };
    assert_eq!(blind, nothing);

    let ending = ScopeChange {
        ends_on: DayChange::On(date(2026, 11, 23)),
        ..ScopeChange::default()
    };
    let agreements = Agreements::new(world.ctx.clone());
    let set = super::SetHalf {
        scope: ending,
        ..half("Z00101", "Z00202", Side::ShareOut, true)
    };
    agreements.set(&world.caller("ann").await, set).await.unwrap();
    assert_eq!(
        numbers(&plain(&world, "bob", Side::ShareIn, true).await.begins),
        (3, 6)
    );
    world.clock.advance(24 * 3_600_000);
    assert_eq!(
        plain(&world, "bob", Side::ShareIn, true).await,
        nothing,
        "an ended half is off"
    );
}

#[tokio::test]
async fn i1_the_source_is_not_told_what_patients_said_at_the_recipient() {
    let world = world().await;
    turn(&world, "bob", Side::ShareIn, true).await;
    let before = plain(&world, "ann", Side::ShareOut, true).await;
    assert!(
        before.not_counted.contains("what patients said at Z00202"),
        "{}",
        before.not_counted
    );
    says(&world, "cat", Side::ShareIn, 0, PatientWordValue::No).await;
    assert_eq!(plain(&world, "ann", Side::ShareOut, true).await, before);
    // The same where a yes is asked for there.
    let explicit = ScopeChange {
        explicit: Some(true),
        ..ScopeChange::default()
    };
    let agreements = Agreements::new(world.ctx.clone());
    let set = super::SetHalf {
        scope: explicit,
        ..half("Z00101", "Z00202", Side::ShareIn, true)
    };
    agreements.set(&world.caller("bob").await, set).await.unwrap();
    assert_eq!(plain(&world, "ann", Side::ShareOut, true).await, before);

    // The recipient's own people are told, and the source's are of their own patients' words.
    turn(&world, "ann", Side::ShareOut, true).await;
    let off = plain(&world, "bob", Side::ShareIn, false).await;
    assert_eq!(
        numbers(&off.ends),
        (0, 0),
        "a no of one, and no yes of the others"
    );
    says(&world, "cat", Side::ShareIn, 1, PatientWordValue::Yes).await;
    assert_eq!(
        numbers(&plain(&world, "bob", Side::ShareIn, false).await.ends),
        (1, 2)
    );
    says(&world, "cleo", Side::ShareOut, 1, PatientWordValue::No).await;
    assert_eq!(
        numbers(&plain(&world, "bob", Side::ShareIn, false).await.ends),
        (0, 0)
    );
    let off = plain(&world, "ann", Side::ShareOut, false).await;
    assert_eq!(numbers(&off.ends), (2, 4));
    let emergencies = "what emergency accesses at Z00202 opened";
    assert!(off.not_counted.contains(emergencies), "{}", off.not_counted);
    let into = plain(&world, "bob", Side::ShareIn, false).await;
    assert!(!into.not_counted.contains(emergencies), "they go on");
}

#[tokio::test]
async fn i1_whom_a_unit_that_does_not_share_in_has_on_its_caseload_does_not_show() {
    let world = world().await;
    let caseload = || ScopeChange {
        patients: Some(Patients::Caseload),
        ..ScopeChange::default()
    };
    let alone = preview(&world, "ann", Side::ShareOut, true, caseload())
        .await
        .unwrap();
    assert_eq!(numbers(&alone.begins), (0, 0), "nothing begins by one half");
    assert_eq!(numbers(alone.once_both.as_ref().unwrap()), (3, 6));
    assert_eq!(alone.not_on_caseload, 0);
    assert!(
        alone.not_counted.contains("caseload of Z00202"),
        "{}",
        alone.not_counted
    );
    world.records("Z00202", patient(1), Category::Problems, 1).await;
    assert_eq!(
        preview(&world, "ann", Side::ShareOut, true, caseload())
            .await
            .unwrap(),
        alone
    );
    turn(&world, "bob", Side::ShareIn, true).await;
    let both = preview(&world, "ann", Side::ShareOut, true, caseload())
        .await
        .unwrap();
    assert_eq!(numbers(&both.begins), (2, 5));
}

#[tokio::test]
async fn a_suspended_side_is_named_and_one_that_is_not_there_refused() {
    let world = world().await;
    join(&world).await;
    let units = Units::new(world.ctx.clone());
    units
        .suspend(&world.caller("op").await, ods("Z00202"), "", false)
        .await
        .unwrap();
    let off = plain(&world, "ann", Side::ShareOut, false).await;
    assert!(off.not_counted.contains("Z00202 is suspended"));
    let asked = half("Z00101", "Z99999", Side::ShareOut, true);
    let agreements = Agreements::new(world.ctx.clone());
    let nowhere = agreements.preview(&world.caller("ann").await, asked).await;
    assert!(matches!(nowhere, Err(ActError::Missing(_))), "{nowhere:?}");
}
