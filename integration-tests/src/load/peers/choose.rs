//! Who takes part, and what a machine lacks for it. Nobody is left out in silence: who was asked for by name and is
//! missing is an error, who was not stands in the result.

use anyhow::ensure;

use super::{
    compared::Missing,
    find,
    options::{Kind, PeersOptions},
};

/// Debian's packages of the peers that were asked for and are not installed.
pub fn packages_lacking(options: &PeersOptions) -> Vec<&'static str> {
    let lacking = asked(options).into_iter().filter(|kind| !find::installed(*kind));
    lacking.filter_map(find::package).collect()
}

fn asked(options: &PeersOptions) -> Vec<Kind> {
    if options.against.is_empty() {
        Kind::OTHERS.to_vec()
    } else {
        options.against.clone()
    }
}

/// Who takes part, Handfast first, and who cannot.
pub(super) fn choose(
    options: &PeersOptions,
    installed: impl Fn(Kind) -> bool,
) -> anyhow::Result<(Vec<Kind>, Vec<Missing>)> {
    let mut kinds = vec![Kind::Handfastd];
    let mut missing = Vec::new();
    for kind in asked(options) {
        if installed(kind) {
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
            continue;
        }
        let package = find::package(kind).unwrap_or_default();
        let why =
            format!("it is not installed: add --install, or run `apt-get install -y {package}` as root");
        ensure!(options.against.is_empty(), "{kind} was asked for, and {why}");
        missing.push(Missing { peer: kind, why });
    }
    Ok((kinds, missing))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        options: PeersOptions,
    }

    fn options(args: &[&str]) -> PeersOptions {
        Command::parse_from(std::iter::once(&"peers").chain(args)).options
    }

    fn without_redis(kind: Kind) -> bool {
        kind != Kind::Redis
    }

    #[test]
    fn who_was_asked_for_and_is_missing_is_an_error_with_what_to_do() {
        let error = choose(&options(&["--against", "relay,redis"]), without_redis).unwrap_err();
        let said = error.to_string();
        for part in [
            "Redis was asked for",
            "--install",
            "apt-get install -y redis-server",
        ] {
            assert!(said.contains(part), "{said}");
        }
        let (kinds, missing) = choose(&options(&["--against", "relay,relay"]), without_redis).unwrap();
        assert_eq!((kinds, missing), (vec![Kind::Handfastd, Kind::Relay], Vec::new()));
    }

    #[test]
    fn who_was_not_asked_for_by_name_is_named_as_missing() {
        let (kinds, missing) = choose(&options(&[]), without_redis).unwrap();
        assert_eq!(kinds, [Kind::Handfastd, Kind::Relay, Kind::PostgreSql]);
        assert_eq!(missing.len(), 1);
        assert_eq!(missing[0].peer, Kind::Redis);
        assert!(missing[0].why.contains("redis-server"));
    }
}
