//! Checks of one key each: what is there is taken, or a fault is noted at its place.

use std::{net::SocketAddr, ops::Range, path::PathBuf};

use clap::ValueEnum;
use toml::Spanned;

use super::{super::paths, Check};

/// Characters of a connector's name.
const MAX_NAME_CHARS: usize = 64;

/// Where a connector stands in the file, for its faults.
pub(super) struct Table {
    /// `[[input]] number 2`.
    pub(super) title: String,
    pub(super) span: Range<usize>,
}

impl Table {
    pub(super) fn new(header: &str, index: usize, span: Range<usize>) -> Self {
        Self {
            title: format!("[[{header}]] number {}", index + 1),
            span,
        }
    }
}

impl Check<'_> {
    pub(super) fn at<T>(&mut self, table: Option<&Table>, key: &str, place: &Spanned<T>, problem: String) {
        let key = table.map_or_else(|| key.to_owned(), |t| format!("{key} in {}", t.title));
        self.faults.push(self.source.fault(&place.span(), key, problem));
    }

    pub(super) fn required<'r, T>(
        &mut self,
        table: &Table,
        key: &str,
        place: Option<&'r Spanned<T>>,
    ) -> Option<&'r Spanned<T>> {
        if place.is_none() {
            let problem = format!("the key '{key}' is missing");
            self.faults
                .push(self.source.fault(&table.span, table.title.clone(), problem));
        }
        place
    }

    pub(super) fn unused<T>(&mut self, table: &Table, kind: &str, key: &str, place: Option<&Spanned<T>>) {
        if let Some(place) = place {
            let problem = format!("it has no meaning where type = \"{kind}\"; remove it");
            self.at(Some(table), key, place, problem);
        }
    }

    pub(super) fn wrong_type<T>(&mut self, table: &Table, place: Option<&Spanned<String>>) -> Option<T> {
        if let Some(place) = place {
            let problem = format!("expected \"directory\" or \"fhir\", found {:?}", place.get_ref());
            self.at(Some(table), "type", place, problem);
        }
        None
    }

    pub(super) fn one_of<T: ValueEnum>(&mut self, key: &str, place: Option<&Spanned<String>>) -> Option<T> {
        let place = place?;
        let found = T::from_str(place.get_ref(), false).ok();
        if found.is_none() {
            let names: Vec<String> = T::value_variants()
                .iter()
                .filter_map(|v| v.to_possible_value().map(|p| format!("{:?}", p.get_name())))
                .collect();
            let problem = format!(
                "expected one of {}, found {:?}",
                names.join(", "),
                place.get_ref()
            );
            self.at(None, key, place, problem);
        }
        found
    }

    pub(super) fn number(
        &mut self,
        key: &str,
        table: Option<&Table>,
        place: Option<&Spanned<i64>>,
        least: u64,
        most: u64,
    ) -> Option<u64> {
        let place = place?;
        let number = u64::try_from(*place.get_ref())
            .ok()
            .filter(|n| (least..=most).contains(n));
        if number.is_none() {
            let problem = format!(
                "expected a whole number from {least} to {most}, found {}",
                place.get_ref()
            );
            self.at(table, key, place, problem);
        }
        number
    }

    pub(super) fn name(&mut self, table: &Table, place: Option<&Spanned<String>>, default: String) -> String {
        let name = place.map_or(default, |p| p.get_ref().clone());
        let fits = (1..=MAX_NAME_CHARS).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let problem = if !fits {
            format!("expected 1 to {MAX_NAME_CHARS} small letters, digits and '-'")
        } else if !self.names.insert(name.clone()) {
            format!("another connector is called {name:?} too; names must differ")
        } else {
            return name;
        };
        match place {
            Some(place) => self.at(Some(table), "name", place, problem),
            None => self
                .faults
                .push(self.source.fault(&table.span, table.title.clone(), problem)),
        }
        name
    }

    pub(super) fn file(
        &mut self,
        key: &str,
        table: &Table,
        place: Option<&Spanned<PathBuf>>,
    ) -> Option<PathBuf> {
        let place = place?;
        match paths::readable_file(&self.base.join(place.get_ref())) {
            Ok(path) => Some(path),
            Err(problem) => {
                self.at(Some(table), key, place, problem);
                None
            }
        }
    }

    pub(super) fn folder(&mut self, table: &Table, place: Option<&Spanned<PathBuf>>) -> Option<PathBuf> {
        let place = self.required(table, "path", place)?;
        match paths::usable_folder(&self.base.join(place.get_ref())) {
            Ok(path) => Some(path),
            Err(problem) => {
                self.at(Some(table), "path", place, problem);
                None
            }
        }
    }

    pub(super) fn listen(
        &mut self,
        table: &Table,
        place: Option<&Spanned<String>>,
        allow_remote: bool,
    ) -> Option<SocketAddr> {
        let place = self.required(table, "listen", place)?;
        let problem = match place.get_ref().parse::<SocketAddr>() {
            Ok(addr) if addr.ip().is_loopback() || allow_remote => return Some(addr),
            Ok(addr) => format!(
                "{addr} can be reached from other machines, and whoever reaches it can enter records of \
                 this unit without a password or TLS; listen on 127.0.0.1, or write allow_remote = true"
            ),
            Err(_) => format!(
                "expected IP:PORT such as \"127.0.0.1:8089\", found {:?}",
                place.get_ref()
            ),
        };
        self.at(Some(table), "listen", place, problem);
        None
    }

    pub(super) fn base_url(
        &mut self,
        table: &Table,
        place: Option<&Spanned<String>>,
        allow_plaintext: bool,
    ) -> Option<String> {
        let place = self.required(table, "base_url", place)?;
        match paths::base_url(place.get_ref(), allow_plaintext) {
            Ok(url) => Some(url),
            Err(problem) => {
                self.at(Some(table), "base_url", place, problem);
                None
            }
        }
    }
}
