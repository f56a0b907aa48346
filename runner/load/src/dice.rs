//! Choices that depend only on the run's seed and the request's number. Every thread and every machine makes the same
//! choice for the same request.

/// The choices of one load.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dice {
    key: u64,
}

impl Dice {
    /// The choices for a load with this name. Two loads of a run choose differently.
    pub(super) fn new(seed: u64, load: &str) -> Self {
        // FNV-1a over the name.
        let hash = load
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Self { key: mixed(hash ^ seed) }
    }

    /// A uniform number of 64 bits for this question and request.
    pub(super) fn number(self, question: Question, request: u64) -> u64 {
        mixed(mixed(self.key ^ question as u64).wrapping_add(request.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// A uniform number below `bound`, which must be positive.
    pub(super) fn below(self, question: Question, request: u64, bound: u64) -> u64 {
        ((u128::from(self.number(question, request)) * u128::from(bound)) >> 64) as u64
    }
}

/// The kind of choice. The discriminants determine the choices of a seed and must not change.
#[derive(Debug, Clone, Copy)]
pub(super) enum Question {
    /// One of several requests.
    Request = 1,
    /// The row of the table.
    Row = 2,
    /// The prompt.
    Prompt = 3,
    /// The two halves of the UUID.
    UuidHigh = 4,
    UuidLow = 5,
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014).
fn mixed(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_uniform_and_repeatable() {
        let dice = Dice::new(7, "load");
        let mut counts = [0_u32; 5];
        for request in 0..50_000 {
            counts[dice.below(Question::Row, request, 5) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (9_600..10_400).contains(count)), "{counts:?}");
        let same = Dice::new(7, "load");
        let others = [Dice::new(8, "load"), Dice::new(7, "other")];
        assert_eq!(dice.number(Question::Row, 3), same.number(Question::Row, 3));
        assert!(others.iter().all(|other| other.number(Question::Row, 3) != dice.number(Question::Row, 3)));
        assert_ne!(dice.number(Question::Prompt, 3), dice.number(Question::Row, 3));
    }
}
