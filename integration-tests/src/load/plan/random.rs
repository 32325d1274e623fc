//! A small random generator whose algorithm never changes, so that a seed means the same for ever.

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitMix64(u64);

impl SplitMix64 {
    /// The step between states: 2^64 divided by the golden ratio.
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// One of many generators from one seed, none of which follows another.
    pub fn of(seed: u64, purpose: u64, place: u64) -> Self {
        Self(mix(mix(mix(seed).wrapping_add(purpose)).wrapping_add(place)))
    }

    /// The next number.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(Self::STEP);
        mix(self.0)
    }

    /// Below a bound, which is not 0; even but for one part in 2^32.
    #[inline]
    pub fn below(&mut self, bound: u32) -> u32 {
        scaled(self.next_u64(), bound)
    }

    /// From 0 up to, not including, 1.
    #[inline]
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The upper half of a random number, scaled to lie below a bound.
#[inline]
pub(in crate::load) fn scaled(random: u64, bound: u32) -> u32 {
    (((random >> 32) * u64::from(bound)) >> 32) as u32
}

/// Spreads a number over all 64 bits; SplitMix64's own mixing.
#[inline]
pub(in crate::load) fn mix(number: u64) -> u64 {
    let mut z = number;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_published_algorithm() {
        // The first outputs for seed 1234567, as other implementations give them.
        let mut random = SplitMix64::new(1_234_567);
        let first: Vec<u64> = (0..3).map(|_| random.next_u64()).collect();
        assert_eq!(
            first,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
    }

    #[test]
    fn what_is_drawn_stays_below_its_bound_and_reaches_all_below_it() {
        let mut random = SplitMix64::of(1, 2, 3);
        let drawn: std::collections::BTreeSet<u32> = (0..200).map(|_| random.below(7)).collect();
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6]);
        assert!((0..1000).map(|_| random.unit()).all(|u| (0.0..1.0).contains(&u)));
        assert_ne!(SplitMix64::of(1, 2, 3), SplitMix64::of(1, 3, 2));
    }
}
