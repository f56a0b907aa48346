//! The closed forms behind the intervals: normal and Student quantiles, the binomial tail, Wilson's interval. Each is
//! computed from its definition rather than from a table of coefficients, and tested against published tables.

/// The standard normal distribution function from -8 to 8: Marsaglia's series, "Evaluating the Normal Distribution", Journal
/// of Statistical Software 11(4), 2004. Exact to about 1e-15.
fn normal_cdf(x: f64) -> f64 {
    let (mut sum, mut term, mut k) = (x, x, 1.0);
    loop {
        k += 2.0;
        term *= x * x / k;
        let next = sum + term;
        if next == sum {
            return 0.5 + sum * (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
        }
        sum = next;
    }
}

/// Finds where a rising function reaches a target between two bounds, by bisection.
fn invert(target: f64, mut low: f64, mut high: f64, function: impl Fn(f64) -> f64) -> f64 {
    for _ in 0..80 {
        let middle = (low + high) / 2.0;
        if function(middle) < target { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

/// The standard normal quantile: 1.96 for 0.975.
pub(super) fn normal_quantile(probability: f64) -> f64 {
    invert(probability, -8.0, 8.0, normal_cdf)
}

/// Student's distribution function for whole degrees of freedom, by the finite trigonometric sums of Abramowitz and
/// Stegun, 26.7.3 and 26.7.4.
fn student_cdf(t: f64, freedom: u32) -> f64 {
    let theta = (t / f64::from(freedom).sqrt()).atan();
    let (sine, cosine) = theta.sin_cos();
    let first = if freedom % 2 == 1 { 1 } else { 0 };
    let mut term = if first == 1 { cosine } else { 1.0 };
    let mut sum = 0.0;
    let mut k = first;
    while k + 2 <= freedom {
        sum += term;
        k += 2;
        term *= cosine * cosine * f64::from(k - 1) / f64::from(k);
    }
    let central = if first == 1 { (theta + sine * sum) * std::f64::consts::FRAC_2_PI } else { sine * sum };
    (1.0 + central) / 2.0
}

/// Student's quantile for at least one degree of freedom: 2.571 for 0.975 and 5. Between whole degrees it is
/// interpolated in their reciprocals, in which it is nearly a straight line.
pub(super) fn student_quantile(probability: f64, freedom: f64) -> f64 {
    if freedom > 300.0 {
        return normal_quantile(probability);
    }
    let below = freedom.floor().max(1.0);
    let at = |freedom: f64| invert(probability, -1e4, 1e4, |t| student_cdf(t, freedom as u32));
    let part = ((1.0 / below - 1.0 / freedom.max(1.0)) * below * (below + 1.0)).clamp(0.0, 1.0);
    if part == 0.0 { at(below) } else { at(below) * (1.0 - part) + at(below + 1.0) * part }
}

/// The degrees of freedom of a sum of two estimated variances, each given with its own: Welch's second formula ("The
/// generalization of 'Student's' problem when several different population variances are involved", Biometrika 34, 1947),
/// which is right on average where his first, also Satterthwaite's, is too low for few degrees.
pub(super) fn freedom_of_sum((a, of_a): (f64, f64), (b, of_b): (f64, f64)) -> f64 {
    if a + b <= 0.0 {
        return of_a + of_b;
    }
    (a + b).powi(2) / (a * a / (of_a + 2.0) + b * b / (of_b + 2.0)) - 2.0
}

/// The chance of at most `successes` successes in `n` independent trials that each succeed with chance `p`.
pub(super) fn binomial_at_most(successes: u64, n: u64, p: f64) -> f64 {
    if successes >= n || p <= 0.0 {
        return 1.0;
    }
    if p >= 1.0 {
        return 0.0;
    }
    let odds = (p / (1.0 - p)).ln();
    let mut log = n as f64 * (1.0 - p).ln();
    let mut sum = log.exp();
    for k in 0..successes {
        log += ((n - k) as f64 / (k + 1) as f64).ln() + odds;
        sum += log.exp();
    }
    sum.min(1.0)
}

/// The chance of at least `count` marked ones among `drawn` from `all`, of which `marked` are marked, if each choice is
/// equally likely: the one-sided p-value of Fisher's exact test.
pub(super) fn hypergeometric_at_least(count: u64, drawn: u64, marked: u64, all: u64) -> f64 {
    let most = drawn.min(marked);
    if count <= (drawn + marked).saturating_sub(all) {
        return 1.0;
    }
    if count > most {
        return 0.0;
    }
    // The chance of the largest count, and from there downwards by the ratio of neighbours.
    let log_choose = |n: u64, k: u64| (0..k).map(|i| ((n - i) as f64 / (i + 1) as f64).ln()).sum::<f64>();
    let mut log = log_choose(marked, most) + log_choose(all - marked, drawn - most) - log_choose(all, drawn);
    let mut sum = log.exp();
    for k in (count..most).rev() {
        let (more, fewer) = ((k + 1) as f64, (marked - k) as f64 * (drawn - k) as f64);
        log += (more * (all + k + 1 - marked - drawn) as f64 / fewer).ln();
        sum += log.exp();
    }
    sum.min(1.0)
}

/// Wilson's score interval for a share, two-sided at the confidence level. E. B. Wilson, 1927; recommended for small
/// samples by Brown, Cai and DasGupta, "Interval Estimation for a Binomial Proportion", Statistical Science 16(2),
/// 2001. It takes requests as independent: failures in clumps make it too narrow. Without trials it is the whole range.
pub(super) fn wilson(successes: u64, n: u64, confidence: f64) -> [f64; 2] {
    if n == 0 {
        return [0.0, 1.0];
    }
    let z = normal_quantile(0.5 + confidence / 2.0);
    let (n, share) = (n as f64, successes as f64 / n as f64);
    let centre = share + z * z / (2.0 * n);
    let half = z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z * z / n;
    // At the ends the bounds are exactly 0 and 1; rounding would put them slightly inside.
    let low = if successes == 0 { 0.0 } else { ((centre - half) / scale).max(0.0) };
    let high = if share == 1.0 { 1.0 } else { ((centre + half) / scale).min(1.0) };
    [low, high]
}

/// How many times as many trials, with the same share of successes, Wilson's interval needs to exclude a limit within it.
/// It excludes every probability from which the share differs by more standard errors than the confidence level allows,
/// with the standard error at that probability.
pub(super) fn wilson_factor(share: f64, limit: f64, n: u64, confidence: f64) -> f64 {
    if share == limit {
        return f64::INFINITY;
    }
    let z = normal_quantile(0.5 + confidence / 2.0);
    z * z * limit * (1.0 - limit) / ((share - limit).powi(2) * n as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::near;
    use proptest::prelude::*;

    #[test]
    fn the_factor_of_trials_excludes_the_limit() {
        for (successes, n, limit) in [(320, 320, 0.999), (360, 400, 0.88), (0, 100, 0.01), (40, 100, 0.45)] {
            let share = successes as f64 / n as f64;
            let factor = wilson_factor(share, limit, n, 0.95);
            let trials = |factor: f64| (n as f64 * factor) as u64;
            let holds = |n: u64| {
                let [low, high] = wilson((share * n as f64).round() as u64, n, 0.95);
                low <= limit && limit <= high
            };
            assert!(factor > 1.0 && holds(trials(factor * 0.95)) && !holds(trials(factor * 1.05)), "{limit}: {factor}");
        }
        // z^2 * 0.999 * 0.001 / 0.001^2 = 3838 trials without a failure.
        near(wilson_factor(1.0, 0.999, 320, 0.95) * 320.0, 3837.6, 0.1);
        assert_eq!(wilson_factor(1.0, 1.0, 320, 0.95), f64::INFINITY);
    }

    #[test]
    fn normal_quantiles_agree_with_the_table() {
        for (probability, z) in
            [(0.5, 0.0), (0.9, 1.281_552), (0.95, 1.644_854), (0.975, 1.959_964), (0.995, 2.575_829)]
        {
            near(normal_quantile(probability), z, 1e-6);
            near(normal_quantile(1.0 - probability), -z, 1e-6);
        }
    }

    #[test]
    fn student_quantiles_agree_with_the_table() {
        for (freedom, t) in
            [(1, 12.7062), (2, 4.3027), (3, 3.1824), (5, 2.5706), (10, 2.2281), (30, 2.0423), (120, 1.9799)]
        {
            near(student_quantile(0.975, f64::from(freedom)), t, 1e-4);
        }
        near(student_quantile(0.95, 4.0), 2.1318, 1e-4);
        near(student_quantile(0.975, 300.0), 1.9679, 1e-4);
        near(student_quantile(0.975, 300.1), 1.959_964, 1e-6);
        // Between whole degrees the true values are 2.9401, 2.3863 and 2.0827.
        for (freedom, t) in [(3.5, 2.9504), (6.7, 2.3867), (20.5, 2.0827)] {
            near(student_quantile(0.975, freedom), t, 1e-4);
        }
    }

    /// With `n` observations on either side and the same variance: `(2n + 2) - 2` degrees for one less each.
    #[test]
    fn degrees_of_freedom_of_a_sum() {
        near(freedom_of_sum((2.0, 3.0), (2.0, 3.0)), 8.0, 1e-12);
        near(freedom_of_sum((2.0, 9.0), (1.0, 4.0)), 9.0 / (4.0 / 11.0 + 1.0 / 6.0) - 2.0, 1e-12);
        near(freedom_of_sum((2.0, 5.0), (0.0, 3.0)), 5.0, 1e-12);
        near(freedom_of_sum((0.0, 5.0), (2.0, 3.0)), 3.0, 1e-12);
        near(freedom_of_sum((0.0, 5.0), (0.0, 3.0)), 8.0, 1e-12);
    }

    /// One-sided 95 % lower bounds of the project's fact sheet (section 10), which were computed by other code.
    #[test]
    fn wilson_agrees_with_the_fact_sheet() {
        for (n, failures, bound) in [
            (100, 0, 0.9737),
            (100, 1, 0.9564),
            (300, 0, 0.9911),
            (300, 1, 0.9852),
            (300, 3, 0.9752),
            (1000, 0, 0.9973),
            (1000, 1, 0.9955),
            (1000, 10, 0.9833),
            (3000, 0, 0.9991),
            (3000, 1, 0.9985),
            (3000, 30, 0.9865),
            (10_000, 0, 0.9997),
            (10_000, 1, 0.9996),
            (10_000, 100, 0.9882),
        ] {
            near(wilson(n - failures, n, 0.90)[0], bound, 0.000_051);
        }
        assert!(wilson(268, 268, 0.90)[0] >= 0.99 && wilson(267, 267, 0.90)[0] < 0.99);
    }

    /// Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17, 1998, table I,
    /// method 3 (score method without continuity correction).
    #[test]
    fn wilson_agrees_with_newcombe() {
        for (successes, n, low, high) in
            [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)]
        {
            let [lower, upper] = wilson(successes, n, 0.95);
            near(lower, low, 0.000_051);
            near(upper, high, 0.000_051);
        }
    }

    #[test]
    fn binomial_tails_agree_with_direct_sums() {
        near(binomial_at_most(0, 10, 0.5), 1.0 / 1024.0, 1e-12);
        near(binomial_at_most(2, 10, 0.5), 56.0 / 1024.0, 1e-12);
        near(binomial_at_most(9, 10, 0.99), 1.0 - 0.99_f64.powi(10), 1e-12);
        assert_eq!(binomial_at_most(10, 10, 0.3), 1.0);
        assert_eq!(binomial_at_most(3, 10, 1.0), 0.0);
        assert_eq!(binomial_at_most(0, 10, 0.0), 1.0);
    }

    #[test]
    fn hypergeometric_tails_agree_with_direct_sums() {
        // Fisher's tea: 4 of 4 of 8 cups, and 3 or more.
        near(hypergeometric_at_least(4, 4, 4, 8), 1.0 / 70.0, 1e-12);
        near(hypergeometric_at_least(3, 4, 4, 8), 17.0 / 70.0, 1e-12);
        // More are drawn than are not marked: at least one is.
        near(hypergeometric_at_least(2, 5, 4, 8), (6.0 * 4.0 + 4.0 * 6.0 + 4.0) / 56.0, 1e-12);
        assert_eq!([hypergeometric_at_least(0, 4, 4, 8), hypergeometric_at_least(1, 5, 4, 8)], [1.0, 1.0]);
        assert_eq!(hypergeometric_at_least(5, 5, 4, 8), 0.0);
        near(hypergeometric_at_least(60, 60, 60, 120).ln(), -80.556, 0.001);
    }

    proptest! {
        #[test]
        fn wilson_holds_the_share_and_narrows(n in 1_u64..5000, part in 0.0_f64..=1.0) {
            let successes = (part * n as f64).round() as u64;
            let share = successes as f64 / n as f64;
            let [low, high] = wilson(successes, n, 0.95);
            prop_assert!(0.0 <= low && low <= share && share <= high && high <= 1.0);
            let [wide_low, wide_high] = wilson(successes, n, 0.99);
            prop_assert!(wide_low <= low && high <= wide_high);
            let [more_low, more_high] = wilson(successes * 4, n * 4, 0.95);
            prop_assert!(more_high - more_low < high - low);
        }

        #[test]
        fn binomial_tail_rises_with_the_count_and_falls_with_the_chance(n in 1_u64..300, k in 0_u64..300, p in 0.01_f64..0.98) {
            let k = k.min(n);
            prop_assert!(binomial_at_most(k, n, p) <= binomial_at_most(k + 1, n, p) + 1e-12);
            prop_assert!(binomial_at_most(k, n, p) + 1e-12 >= binomial_at_most(k, n, p + 0.01));
        }
    }
}
