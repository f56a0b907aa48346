//! The tests for stretches of windows: whether marked windows come together by more than chance.

use std::ops::Range;

use crate::numbers::hypergeometric_at_least;
use crate::steady::inflation;

/// The mean number of marked windows in a row. At least 1.
fn in_a_row(out: &[bool]) -> f64 {
    let marked = out.iter().filter(|it| **it).count();
    let rows = (0..out.len()).filter(|at| out[*at] && (*at == 0 || !out[at - 1])).count();
    if rows == 0 { 1.0 } else { marked as f64 / rows as f64 }
}

/// How many neighbouring windows of the rest count as one, because their levels resemble each other. 1 if no window of the rest
/// is marked: of a level that never comes near the limit, the order does not matter.
fn resemblance(rest: &[bool], levels: &[f64], is_left_out: impl Fn(usize) -> bool) -> f64 {
    let others: Vec<f64> =
        levels.iter().enumerate().filter(|(at, _)| !is_left_out(*at)).map(|(_, level)| *level).collect();
    if others.is_empty() || !rest.contains(&true) {
        return 1.0;
    }
    let mean = others.iter().sum::<f64>() / others.len() as f64;
    inflation(&others.iter().map(|level| level - mean).collect::<Vec<_>>())
}

/// The stretch of at most half of the windows in which marked ones are most concentrated, and the chance of such a
/// concentration anywhere, if any order is equally likely: Fisher's exact test, times the number of stretches of each length
/// and the number of lengths (Bonferroni). Lengths rise by the root of two. None if none is marked.
pub(super) fn cluster(out: &[bool], levels: &[f64]) -> Option<(Range<usize>, f64)> {
    let n = out.len();
    let mut lengths: Vec<usize> =
        (0..).map(|step| 2_f64.powf(f64::from(step) / 2.0) as usize).take_while(|it| *it <= n / 2).collect();
    lengths.dedup();
    let until: Vec<usize> = std::iter::once(0)
        .chain(out.iter().scan(0, |sum, it| {
            *sum += usize::from(*it);
            Some(*sum)
        }))
        .collect();
    let marked = until[n];
    let best = |length: usize| {
        let starts = 0..=n - length;
        let from = starts.rev().max_by_key(|from| until[from + length] - until[*from])?;
        let count = until[from + length] - until[from];
        let mut stretch = from..from + length;
        while stretch.start < stretch.end && !out[stretch.start] {
            stretch.start += 1;
        }
        while stretch.end > stretch.start && !out[stretch.end - 1] {
            stretch.end -= 1;
        }
        while stretch.start > 0 && out[stretch.start - 1] {
            stretch.start -= 1;
        }
        while stretch.end < n && out[stretch.end] {
            stretch.end += 1;
        }
        let mut rest = out.to_vec();
        rest[stretch.clone()].fill(false);
        let one = in_a_row(&rest).max(resemblance(&rest, levels, |at| stretch.contains(&at)));
        let fewer = |count: usize| count as f64 / one;
        let count = fewer(count).floor() as u64;
        let length = (fewer(length).round() as u64).max(count);
        let marked = (fewer(marked).ceil() as u64).max(count);
        let all = (fewer(n).floor() as u64).max(marked + length - count);
        let places = ((all - length + 1) * lengths.len() as u64) as f64;
        let chance = hypergeometric_at_least(count, length, marked, all) * places;
        (!stretch.is_empty()).then_some((stretch, chance))
    };
    lengths.iter().filter_map(|length| best(*length)).min_by(|a, b| a.1.total_cmp(&b.1))
}

/// The rows of marked windows that are longer than chance explains, each of at most half of the windows, and the chance of one
/// row as long as the shortest of them. If every order of `m` marked windows among `n` is equally likely, the expected number of
/// rows of at least `L` is `(n - m + 1) · m/n · (m-1)/(n-1) · ...` with `L` factors, which bounds the chance of one (Markov's
/// inequality; the gaps between unmarked windows are exchangeable). Each length that occurs is tried (Bonferroni). Windows
/// outside of the rows count as in [`cluster`], so that only rows unlike the others are found. Unlike there, several rows
/// can be found together: two like ones do not hide each other.
pub(super) fn rows(out: &[bool], levels: &[f64]) -> Option<(Vec<Range<usize>>, f64)> {
    let n = out.len();
    let mut all: Vec<Range<usize>> = Vec::new();
    for at in (0..n).filter(|at| out[*at]) {
        match all.last_mut().filter(|last| last.end == at) {
            Some(last) => last.end = at + 1,
            None => all.push(at..at + 1),
        }
    }
    let mut lengths: Vec<usize> = all.iter().map(Range::len).collect();
    lengths.sort_unstable();
    lengths.dedup();
    let tries = lengths.len() as f64;
    let of_length = |length: usize| {
        let found: Vec<Range<usize>> = all.iter().filter(|row| row.len() >= length).cloned().collect();
        let mut rest = out.to_vec();
        found.iter().for_each(|row| rest[row.clone()].fill(false));
        let is_in = |at: usize| found.iter().any(|row| row.contains(&at));
        let one = in_a_row(&rest).max(resemblance(&rest, levels, is_in));
        let fewer = |count: usize| count as f64 / one;
        let marked = fewer(out.iter().filter(|it| **it).count()).ceil();
        let (length, n) = (fewer(length).floor(), fewer(n).floor().max(marked));
        let each: f64 = (0..length as u64).map(|at| (marked - at as f64) / (n - at as f64)).product();
        (found, (n - marked + 1.0) * each * tries)
    };
    let of_half = |(found, _): &(Vec<Range<usize>>, f64)| found.iter().map(Range::len).sum::<usize>() * 2 <= n;
    lengths.into_iter().map(of_length).filter(of_half).min_by(|a, b| a.1.total_cmp(&b.1))
}
