//! How long two accesses last that one grant carries: each as long as was asked, and no longer.

use super::{
    AskAccess, EmergencyAccess, Listing,
    alert_tests::hospital,
    emergency_tests::{accesses, asked},
    testing::World,
};
use crate::{clock::Clock as _, store::AccessId};

const HOUR_MS: i64 = 3_600_000;

/// Asks for so many seconds.
async fn ask_for(world: &World, access: &EmergencyAccess, who: &str, seconds: u32) -> AccessId {
    let asked = AskAccess {
        seconds,
        ..asked(&["Z00101"])
    };
    let opened = access.ask(&world.caller(who).await, asked).await.unwrap();
    opened.access.id
}

/// Until when what is open holds, in the store and in the book.
async fn open_until(world: &World) -> Vec<i64> {
    let rows = world.ctx.store.emergencies().await.unwrap();
    let book = world.ctx.revoker.book();
    let in_book: Vec<_> = book.emergencies().map(|(_, e)| e.window.until).collect();
    let in_store: Vec<_> = rows.iter().map(|row| row.until).collect();
    assert_eq!(in_book, in_store);
    in_store
}

#[tokio::test]
async fn an_access_that_ends_leaves_a_colleague_only_what_is_left_of_theirs() {
    let world = hospital().await;
    let access = accesses(&world);
    let carl = ask_for(&world, &access, "carl", 4 * 3600).await;
    ask_for(&world, &access, "dora", 3600).await;
    world.clock.advance(HOUR_MS / 2);
    let now = world.clock.now_ms();
    access.end(&world.caller("carl").await, carl, None).await.unwrap();
    assert_eq!(open_until(&world).await, [now + HOUR_MS / 2]);
}

#[tokio::test]
async fn s1_an_access_ends_though_a_colleague_shared_it_whose_time_is_over() {
    let world = hospital().await;
    let access = accesses(&world);
    let carl = ask_for(&world, &access, "carl", 4 * 3600).await;
    ask_for(&world, &access, "dora", 3600).await;
    world.clock.advance(2 * HOUR_MS);
    let (row, in_force) = access.end(&world.caller("carl").await, carl, None).await.unwrap();
    assert!(in_force && row.sources[0].ended_at.is_some());
    assert!(open_until(&world).await.is_empty());
}

#[tokio::test]
async fn an_access_lasts_as_long_as_was_asked_though_a_colleagues_is_shorter() {
    let world = hospital().await;
    let access = accesses(&world);
    ask_for(&world, &access, "carl", 5 * 60).await;
    world.clock.advance(4 * 60_000);
    let now = world.clock.now_ms();
    let dora = ask_for(&world, &access, "dora", 4 * 3600).await;
    assert_eq!(open_until(&world).await, [now + 4 * HOUR_MS]);
    let rows = access
        .list(&world.caller("dora").await, Listing::default())
        .await
        .unwrap();
    assert_eq!((rows[0].id, rows[0].sources[0].until), (dora, now + 4 * HOUR_MS));
}
