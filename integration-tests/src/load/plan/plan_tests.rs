//! Scenarios, flags, and what each fault says.

use std::{fs, path::Path};

use clap::Parser;

use super::{Agents, Flags, MAX_PAIRS, Payload, Plan, Rate, Sabotage, Topology};

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    flags: Flags,
}

fn flags(given: &[&str]) -> anyhow::Result<Plan> {
    let all = std::iter::once("run").chain(given.iter().copied());
    Command::try_parse_from(all)?.flags.plan()
}

fn examples() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/load")
}

fn fault(toml: &str) -> String {
    format!("{:#}", Plan::from_toml(toml).unwrap_err())
}

#[test]
fn the_shipped_scenarios_are_sound() {
    let mut names = Vec::new();
    for entry in fs::read_dir(examples()).unwrap() {
        let path = entry.unwrap().path();
        let plan = Plan::from_toml(&fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(path.file_stem().unwrap().to_string_lossy(), plan.name);
        assert_eq!(plan.sabotage, None);
        // The result's JSON repeats the whole plan, and a plan can be written down.
        assert_eq!(Plan::from_toml(&plan.to_toml().unwrap()).unwrap(), plan);
        let json = serde_json::to_value(&plan).unwrap();
        assert_eq!(serde_json::from_value::<Plan>(json).unwrap(), plan);
        names.push(plan.name);
    }
    names.sort();
    assert_eq!(names, ["county", "morning-peak", "saturation", "toggles"]);
}

#[test]
fn a_scenario_says_only_what_differs() {
    let plan = Plan::from_toml("seconds = 5").unwrap();
    let expected = Plan {
        seconds: 5,
        ..Plan::default()
    };
    assert_eq!(plan, expected);
    let plan = Plan::from_toml("[topology]\nshape = \"county\"").unwrap();
    assert_eq!(plan.topology.units(), 142);
}

#[test]
fn an_unknown_field_is_refused_wherever_it_stands() {
    for (toml, field) in [
        ("second = 5", "second"),
        ("[topology]\nshape = \"ring\"\nunits = 3\nsources = 1", "sources"),
        ("[rate]\nshape = \"closed\"\nper_second = 1.0", "per_second"),
        ("[data]\npatient = 5", "patient"),
        ("[data.mix]\nprivate = 5.0", "private"),
        ("[changes]\ntoggles = 5.0", "toggles"),
        ("[slow]\nrecipient = 1", "recipient"),
        ("[loaded]\nwords = 1", "words"),
    ] {
        let told = fault(toml);
        assert!(told.contains("unknown field") && told.contains(field), "{told}");
        assert!(told.contains("fixtures/load"), "{told}");
    }
    assert!(fault("[topology]\nshape = \"square\"").contains("square"));
}

#[test]
fn a_fault_names_the_field_its_value_and_what_to_do() {
    for (toml, told) in [
        ("seconds = 0", "seconds is 0: choose 1 to 604800"),
        ("name = \"a/b\"", "name is \"a/b\": choose 1 to 60 letters"),
        ("[data]\npatients = 0", "data.patients is 0: choose 1 to 900000"),
        (
            "[data]\npayload = { fixed = 100 }",
            "data.payload.fixed (bytes) is 100: choose 1024 to 1048576",
        ),
        (
            "[data.mix]\ncreate_percent = 90.0",
            "90, amend_percent 45 and retract_percent 5 make 140: let them make 100",
        ),
        (
            "[data.mix]\nprivate_percent = -1.0",
            "data.mix.private_percent is -1: choose 0 to 100 percent",
        ),
        (
            "[rate]\nshape = \"constant\"\nper_second = 0.0",
            "rate.per_second is 0: choose more than 0",
        ),
        (
            "[rate]\nshape = \"constant\"\nper_second = nan",
            "rate.per_second is NaN: choose more than 0",
        ),
        (
            "[rate]\nshape = \"ramp\"\nfrom_per_second = 0.0\nto_per_second = 0.0",
            "nothing would be sent; raise one",
        ),
        (
            "[changes]\ntoggles_per_second = 1e6",
            "changes.toggles_per_second is 1000000: choose 0 to 1000",
        ),
        (
            "[topology]\nshape = \"ring\"\nunits = 1",
            "topology.units of a ring is 1: choose 2 to 1000",
        ),
        (
            "[topology]\nshape = \"mesh\"\nunits = 300",
            "topology has 89700 ordered pairs: choose a smaller one",
        ),
        (
            "[slow]\nrecipients = 3\ndelay_ms = 1",
            "slow.recipients is 3: choose 0 to 2",
        ),
        (
            "[slow]\nrecipients = 1",
            "slow.delay_ms is 0 and slow.recipients is 1: give a delay",
        ),
        (
            "[loaded]\npatients = 900000",
            "loaded.patients is 900000: choose 0 to 800000",
        ),
        (
            "agents = \"full\"\n[topology]\nshape = \"county\"\npractices = 300",
            "agents is \"full\" and topology has 302 units: choose at most 200",
        ),
    ] {
        let said = fault(toml);
        assert!(said.contains(told), "{said}");
    }
    assert!(Plan::from_toml(&format!("agreements = {}", MAX_PAIRS + 1)).is_err());
}

#[test]
fn flags_make_the_common_case() {
    let plan = flags(&[
        "--sources",
        "3",
        "--recipients",
        "2",
        "--seconds",
        "5",
        "--toggles-per-second",
        "0.5",
    ]);
    let plan = plan.unwrap();
    let bipartite = Topology::Bipartite {
        sources: 3,
        recipients: 2,
    };
    assert_eq!(
        (plan.topology, plan.seconds, plan.rate),
        (bipartite, 5, Rate::Closed)
    );
    assert!((plan.changes.toggles_per_second - 0.5).abs() < f64::EPSILON);
    let plan = flags(&[
        "--county",
        "--rate",
        "100",
        "--payload-bytes",
        "1024",
        "--sabotage",
        "leak",
    ])
    .unwrap();
    assert_eq!(plan.topology.units(), 142);
    assert_eq!(plan.rate, Rate::Poisson { per_second: 100.0 });
    assert_eq!(
        (plan.data.payload, plan.sabotage),
        (Payload::Fixed(1024), Some(Sabotage::Leak))
    );
    assert!(
        flags(&["--seconds", "0"])
            .unwrap_err()
            .to_string()
            .contains("seconds is 0")
    );
    assert!(flags(&["--county", "--sources", "2"]).is_err());
}

#[test]
fn flags_replace_what_a_scenario_says() {
    let file = examples().join("toggles.toml");
    let file = file.to_str().unwrap();
    let plan = flags(&[
        "--scenario",
        file,
        "--seconds",
        "7",
        "--recipients",
        "3",
        "--agents",
        "full",
    ])
    .unwrap();
    let bipartite = Topology::Bipartite {
        sources: 8,
        recipients: 3,
    };
    assert_eq!(
        (plan.name.as_str(), plan.seconds, plan.topology),
        ("toggles", 7, bipartite)
    );
    assert_eq!(plan.agents, Agents::Full);
    assert_eq!(plan.rate, Rate::Constant { per_second: 2000.0 });
    let missing = format!("{:#}", flags(&["--scenario", "/no/such.toml"]).unwrap_err());
    assert!(missing.contains("/no/such.toml"), "{missing}");
}
