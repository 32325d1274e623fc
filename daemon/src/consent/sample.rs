//! A book of three units, for the tests of this module.

use handfast_proto::{
    amendment::{Category, Confidentiality, Subject},
    ids::{NhsNumber, OdsCode},
};

use super::{
    agreement::{GrantId, HalfTerms, Pair, Side},
    book::{Book, PairTerms},
    emergency::Emergency,
    gate::Standing,
    patient::{EmergencyWindow, PatientWord, Policy},
};

pub(super) fn unit(n: u8) -> OdsCode {
    format!("Z0010{n}").parse().unwrap()
}

pub(super) fn patient(n: usize) -> NhsNumber {
    let numbers = (9_990_000_000..).filter_map(|n| NhsNumber::from_u64(n).ok());
    numbers.take(n + 1).last().unwrap()
}

pub(super) fn pair(source: u8, recipient: u8) -> Pair {
    Pair {
        source: unit(source),
        recipient: unit(recipient),
    }
}

/// Both halves on.
pub(super) fn on(grant: u64) -> PairTerms {
    PairTerms {
        share_out: HalfTerms::ON,
        share_in: HalfTerms::ON,
        grant: Some(GrantId(grant)),
    }
}

/// 1 shares with 2 and with 3, 2 with 1.
pub(super) fn book() -> Book {
    let units = [1, 2, 3].map(|n| (unit(n), Standing::Enrolled));
    let pairs = [(pair(1, 2), on(1)), (pair(1, 3), on(2)), (pair(2, 1), on(3))];
    Book::new(Policy::UnlessDissented, units, pairs)
}

/// The book after a patient said something at a unit.
pub(super) fn said(book: &Book, at: u8, whose: usize, side: Side, word: PatientWord) -> Book {
    book.with_facts(unit(at), [patient(whose)], |facts| facts.with_word(side, word))
}

/// A patient's allergy, with no mark on it.
pub(super) fn allergy(whose: usize) -> Subject {
    Subject {
        patient: patient(whose),
        category: Category::Allergies,
        confidentiality: Confidentiality::NORMAL,
    }
}

/// An emergency access from 0 until before 10.
pub(super) fn opened(of: Pair, whose: usize) -> Emergency {
    Emergency {
        pair: of,
        patient: patient(whose),
        window: EmergencyWindow { from: 0, until: 10 },
    }
}
