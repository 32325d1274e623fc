//! Synthetic patients. Every NHS number begins with 999, which is never issued; one in eleven such numbers has
//! no check digit, so that there are some 909,000 of them.

use std::sync::OnceLock;

use handfast_proto::ids::NhsNumber;

use crate::load::plan::MAX_PATIENTS;

/// The first number's first nine digits, as in the harness; the numbers below it come last.
const FIRST: u64 = 999_100_000;
const LEAST: u64 = 999_000_000;
const MOST: u64 = 999_999_999;

/// The patients of all runs; the first of them are those of `harness::nhs_numbers`.
#[derive(Debug, Clone, Copy)]
pub struct Patients;

impl Patients {
    /// The NHS number of patient `k`, of [`MAX_PATIENTS`], round and round.
    pub fn nhs(k: u32) -> NhsNumber {
        static NUMBERS: OnceLock<Vec<NhsNumber>> = OnceLock::new();
        let numbers = NUMBERS.get_or_init(|| all().take(MAX_PATIENTS as usize).collect());
        numbers[k as usize % numbers.len()]
    }
}

fn all() -> impl Iterator<Item = NhsNumber> {
    (FIRST..=MOST).chain(LEAST..FIRST).filter_map(checked)
}

/// A number with its check digit (NHS Data Dictionary, "NHS NUMBER": modulus 11), where it has one.
fn checked(nine: u64) -> Option<NhsNumber> {
    let digit = |n: u32| nine / 10_u64.pow(n) % 10;
    let sum: u64 = (0..9).map(|n| digit(n) * u64::from(n + 2)).sum();
    let check = (11 - sum % 11) % 11;
    // From_u64 refuses a check of ten, which would be carried into the digit before.
    (check < 10)
        .then(|| NhsNumber::from_u64(nine * 10 + check).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::harness::nhs_numbers;

    #[test]
    fn numbers_are_synthetic_and_distinct() {
        let numbers: BTreeSet<u64> = (0..MAX_PATIENTS).map(|k| Patients::nhs(k).as_u64()).collect();
        assert_eq!(numbers.len(), MAX_PATIENTS as usize);
        assert!(numbers.iter().all(|n| n / 10_000_000 == 999));
    }

    #[test]
    fn they_are_those_of_the_harness() {
        assert!(nhs_numbers().take(5_000).eq((0..5_000).map(Patients::nhs)));
    }
}
