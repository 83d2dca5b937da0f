//! Random choices that a seed repeats: SplitMix64.

/// A sequence of numbers that look random and depend on the seed alone.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Starts the sequence of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// A number below `bound`, which is not zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }

    /// True once in `times`.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of them; `None` of none.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        if of.is_empty() {
            return None;
        }
        let count = u64::try_from(of.len()).expect("a slice's length fits");
        of.get(usize::try_from(self.below(count)).expect("below a length"))
    }

    /// Brings them into another order.
    pub fn shuffle<T>(&mut self, them: &mut [T]) {
        for last in (1..them.len()).rev() {
            let bound = u64::try_from(last + 1).expect("a slice's length fits");
            them.swap(last, usize::try_from(self.below(bound)).expect("below a length"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_sequence_and_another_gives_another() {
        let draw = |seed| {
            let mut dice = Dice::new(seed);
            std::array::from_fn::<_, 8, _>(|_| dice.roll())
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn a_shuffle_loses_nothing() {
        let mut them: Vec<_> = (0..100).collect();
        Dice::new(5).shuffle(&mut them);
        assert!(!them.is_sorted());
        them.sort_unstable();
        assert_eq!(them, (0..100).collect::<Vec<_>>());
    }
}
