//! Pseudorandom numbers from a seed: the same seed gives the same numbers on every machine and with every version of the
//! dependencies. No random number library promises that. For everything that must be repeatable: the judge's intervals and
//! the load's arrivals.

/// SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014).
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// A generator for one purpose, from the run's seed and words that name the purpose.
    pub fn new(seed: u64, words: &[&str]) -> Self {
        // FNV-1a over the words, with a separator that occurs in no word.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ seed;
        for byte in words.iter().flat_map(|word| word.bytes().chain([0xff])) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Self(hash)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A uniform number between 0 and 1, both excluded.
    pub fn uniform(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// An exponentially distributed number with mean 1.
    pub fn exponential(&mut self) -> f64 {
        -self.uniform().ln()
    }

    /// A standard normal number (Box and Muller, 1958).
    pub fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// A uniform number below `bound`. `bound` is positive and small: the bias of the multiplication is below 2^-40.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first outputs for the seed 1234567, as published with the generator and its ports.
    #[test]
    fn it_is_splitmix64() {
        let mut chance = Chance(1_234_567);
        let first: Vec<u64> = (0..5).map(|_| chance.next()).collect();
        let published = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ];
        assert_eq!(first, published);
    }

    /// Published: FNV-1a of "a" with 64 bits is 0xaf63dc4c8601ec8c; the separator is one more step.
    #[test]
    fn the_start_depends_on_seed_and_words() {
        let after_a = 0xaf63_dc4c_8601_ec8c_u64;
        assert_eq!(Chance::new(0, &["a"]).0, (after_a ^ 0xff).wrapping_mul(0x0100_0000_01b3));
        assert_eq!(Chance::new(7, &[]).0, 0xcbf2_9ce4_8422_2325 ^ 7);
        assert_ne!(Chance::new(0, &["ab", "c"]).0, Chance::new(0, &["a", "bc"]).0);
    }

    #[test]
    fn the_distributions_have_the_right_moments() {
        let mut chance = Chance::new(1, &["moments"]);
        let n = 100_000;
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let uniform: Vec<f64> = (0..n).map(|_| chance.uniform()).collect();
        assert!(uniform.iter().all(|value| (0.0..1.0).contains(value)));
        assert!((mean(&uniform) - 0.5).abs() < 0.004, "{}", mean(&uniform));
        let normal: Vec<f64> = (0..n).map(|_| chance.normal()).collect();
        let squares: Vec<f64> = normal.iter().map(|value| value * value).collect();
        let exponential: Vec<f64> = (0..n).map(|_| chance.exponential()).collect();
        assert!((mean(&exponential) - 1.0).abs() < 0.013, "{}", mean(&exponential));
        assert!(mean(&normal).abs() < 0.013 && (mean(&squares) - 1.0).abs() < 0.018);
        let mut counts = [0; 7];
        (0..70_000).for_each(|_| counts[chance.below(7)] += 1);
        assert!(counts.iter().all(|count| (9600..10_400).contains(count)), "{counts:?}");
    }
}
