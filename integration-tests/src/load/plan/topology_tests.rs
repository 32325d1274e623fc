//! Every shape has the units and pairs that it promises.

use std::collections::BTreeSet;

use super::{Layout, Topology};

const SHAPES: [Topology; 5] = [
    Topology::Bipartite {
        sources: 3,
        recipients: 4,
    },
    Topology::Ring { units: 5 },
    Topology::Star { around: 6 },
    Topology::County {
        practices: 7,
        centres: 3,
    },
    Topology::Mesh { units: 5 },
];

fn distinct(pairs: &[(u32, u32)]) -> bool {
    pairs.iter().collect::<BTreeSet<_>>().len() == pairs.len() && pairs.iter().all(|(s, r)| s != r)
}

#[test]
fn a_layout_has_the_units_and_pairs_of_its_shape() {
    for shape in SHAPES {
        let layout = shape.layout(None);
        assert_eq!(layout.units.len() as u64, shape.units(), "{shape:?}");
        assert_eq!(layout.joined.len() as u64, shape.pairs(), "{shape:?}");
        assert!(distinct(&layout.joined) && layout.apart.is_empty() && layout.idle.is_empty());
        let named = layout.units.iter().map(|u| &u.ods).collect::<BTreeSet<_>>();
        assert_eq!(named.len(), layout.units.len());
        let code = |ods: &str| ods.len() == 6 && ods.starts_with('Z') && ods[1..].parse::<u32>().is_ok();
        assert!(named.iter().all(|ods| code(ods)));
        // Every unit sends or receives.
        let all: BTreeSet<u32> = layout.sources.iter().chain(&layout.recipients).copied().collect();
        assert!(all.into_iter().eq(0..layout.units.len() as u32));
    }
}

#[test]
fn shapes_join_whom_they_say() {
    let ring = Topology::Ring { units: 3 }.layout(None);
    assert_eq!(ring.joined, [(0, 1), (1, 2), (2, 0)]);
    let star = Topology::Star { around: 2 }.layout(None);
    assert_eq!(star.joined, [(1, 0), (0, 1), (2, 0), (0, 2)]);
    let bipartite = SHAPES[0].layout(None);
    assert_eq!(
        (bipartite.sources, bipartite.recipients),
        (vec![0, 1, 2], vec![3, 4, 5, 6])
    );
    let county = Topology::County {
        practices: 140,
        centres: 2,
    };
    let county = county.layout(None);
    let kinds: Vec<&str> = county.units.iter().map(|u| u.kind).collect();
    assert_eq!(kinds[..3], ["acute", "community", "gp"]);
    assert_eq!(kinds.iter().filter(|k| **k == "gp").count(), 140);
    assert_eq!(county.joined.len(), 562);
    assert!(county.units[0].weight > county.units[2].weight);
}

#[test]
fn agreements_take_the_first_pairs_and_leave_the_others_apart() {
    for shape in SHAPES {
        let whole = shape.layout(None);
        let some = shape.layout(Some(3));
        assert_eq!(some.joined, whole.joined[..3]);
        assert_eq!(some.apart, whole.joined[3..]);
        let sides = |l: &Layout| (l.units.clone(), l.sources.clone(), l.recipients.clone());
        assert_eq!(sides(&some), sides(&whole));
    }
    // In a county the practices' with the acute trust come first.
    let county = Topology::County {
        practices: 4,
        centres: 2,
    };
    let first = county.layout(Some(8)).joined;
    assert!(first.iter().all(|(s, r)| *s == 0 || *r == 0), "{first:?}");
}

#[test]
fn more_agreements_than_pairs_are_idle_ones() {
    let layout = Topology::Ring { units: 4 }.layout(Some(1_004));
    assert_eq!((layout.joined.len(), layout.idle.len()), (4, 1_000));
    assert!(distinct(&layout.idle));
    // 33 units have 1,056 ordered pairs, 32 only 992.
    assert_eq!(layout.idle_units.len(), 33);
    let names = |units: &[super::Unit]| units.iter().map(|u| u.ods.clone()).collect::<BTreeSet<_>>();
    assert!(names(&layout.units).is_disjoint(&names(&layout.idle_units)));
}
