//! Formats numbers, the same in every report and on the terminal: durations, shares, factors, counts, rates.
//!
//! The text never claims more precision than the number has. Sentences about a run are the judge's, and each report does
//! its own escaping.

use crate::result::{Unit, Verdict};

/// A duration in seconds: `250µs`, `12.3ms`, `340ms`, `1.84s`, `42.5s`, `2m05s`, `1h02m`. NaN gives `–`.
pub fn seconds(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let sign = if value < 0.0 { "-" } else { "" };
    let size = value.abs();
    let text = if size < 0.5e-6 {
        return "0s".to_owned();
    } else if size < 0.9995e-3 {
        format!("{}µs", digits(size * 1e6))
    } else if size < 0.9995 {
        format!("{}ms", digits(size * 1e3))
    } else if size < 59.95 {
        format!("{}s", digits(size))
    } else if size.round() < 3600.0 {
        let whole = size.round() as u64;
        parts(whole / 60, "m", whole % 60, "s")
    } else {
        let whole = (size / 60.0).round() as u64;
        parts(whole / 60, "h", whole % 60, "m")
    };
    format!("{sign}{text}")
}

/// A duration in milliseconds, in the format of [`seconds`].
pub fn millis(value: f64) -> String {
    seconds(value / 1e3)
}

/// A moment on the timeline, in seconds since the load's start: `0.0s`, `31.2s`, `2m05.4s`, `1h02m05s`.
pub fn moment(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let sign = if value < -0.05 { "-" } else { "" };
    let tenths = (value.abs() * 10.0).round() as u64;
    let (whole, tenth) = (tenths / 10, tenths % 10);
    let text = match whole {
        0..60 => format!("{whole}.{tenth}s"),
        60..3600 => format!("{}m{:02}.{tenth}s", whole / 60, whole % 60),
        _ => format!("{}h{:02}m{:02}s", whole / 3600, whole / 60 % 60, whole % 60),
    };
    format!("{sign}{text}")
}

/// A share between 0 and 1 as a percentage with at most two decimals. `100%` means all and `0%` means none: a share close
/// to them gets more decimals, or `>` and `<`.
pub fn fraction(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let percent = value * 100.0;
    if percent == 0.0 || percent == 100.0 {
        return format!("{percent}%");
    }
    for decimals in 2..=4 {
        let text = format!("{percent:.decimals$}");
        let trimmed = trim_zeros(&text);
        if trimmed != "100" && trimmed != "0" && trimmed != "-0" {
            return format!("{trimmed}%");
        }
    }
    (if percent > 50.0 { "> 99.9999%" } else { "< 0.0001%" }).to_owned()
}

/// A factor: `0.97x`, `3.8x`, `12.5x`.
pub fn times(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    format!("{}x", digits(value))
}

/// A count with thousands separators: `1,234,567`. With decimals only if it has a fraction.
pub fn count(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let text = if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.2}") };
    let text = trim_zeros(&text);
    let (sign, rest) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (whole, decimals) = rest.split_once('.').map_or((rest, None), |(whole, part)| (whole, Some(part)));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    match decimals {
        Some(decimals) => format!("{sign}{grouped}.{decimals}"),
        None => format!("{sign}{grouped}"),
    }
}

/// A rate per second: `20/s`, `0.5/s`, `1,250/s`.
pub fn rate(value: f64) -> String {
    if value.abs() >= 1000.0 { format!("{}/s", count(value.round())) } else { format!("{}/s", digits(value)) }
}

/// A value in its unit.
pub fn value(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Fraction => fraction(value),
        Unit::Seconds => seconds(value),
        Unit::Times => times(value),
        Unit::Count => count(value),
    }
}

/// An interval in its unit: `3.4x to 4.3x`.
pub fn interval(unit: Unit, [low, high]: [f64; 2]) -> String {
    format!("{} to {}", value(unit, low), value(unit, high))
}

/// A number and its noun: `1 request`, `3 requests`. The plural is the noun with an `s`.
pub fn plural(number: usize, noun: &str) -> String {
    format!("{} {noun}{}", count(number as f64), if number == 1 { "" } else { "s" })
}

/// Values as blocks of rising height between two limits. A space for a missing value.
pub fn sparkline(values: &[Option<f64>], low: f64, high: f64) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let block = |value: f64| {
        let share = if high > low { (value - low) / (high - low) } else { 1.0 };
        BLOCKS[((share * 7.0).round().clamp(0.0, 7.0)) as usize]
    };
    values.iter().map(|value| value.map_or(' ', block)).collect()
}

/// The verdict as a past participle, for the start of a sentence.
pub const fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "passed",
        Verdict::Fail => "failed",
        Verdict::Inconclusive => "inconclusive",
        Verdict::Error => "error",
    }
}

/// A sign for a verdict, for places without colour. Always used together with a word.
pub const fn symbol(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "✓",
        Verdict::Fail => "✗",
        Verdict::Inconclusive => "?",
        Verdict::Error => "!",
    }
}

/// The meaning of an exit code.
pub const fn exit_code(code: u8) -> &'static str {
    match code {
        0 => "every scenario passed",
        1 => "an expectation failed",
        2 => "usage, or an invalid scenario",
        3 => "the environment failed, not the service",
        4 => "inconclusive",
        5 => "nothing was selected",
        6 => "something was left behind in the cluster",
        129 => "interrupted by SIGHUP",
        130 => "interrupted by SIGINT",
        143 => "interrupted by SIGTERM",
        _ => "unknown",
    }
}

/// Three significant digits, without trailing zeros. Whole numbers from 100 up.
fn digits(value: f64) -> String {
    let size = value.abs();
    let decimals = if size >= 99.95 {
        0
    } else if size >= 9.995 {
        1
    } else if size >= 0.0995 || size == 0.0 {
        2
    } else {
        3
    };
    let text = format!("{value:.decimals$}");
    let text = trim_zeros(&text);
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// A number of large units and of small ones. The small ones are omitted if zero: `2m05s`, `2m`.
fn parts(large: u64, unit: &str, small: u64, small_unit: &str) -> String {
    if small == 0 { format!("{large}{unit}") } else { format!("{large}{unit}{small:02}{small_unit}") }
}

/// Removes trailing zeros after the decimal point, and the point.
fn trim_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_use_a_common_unit() {
        for (value, text) in [
            (0.0, "0s"),
            (0.000_25, "250µs"),
            (0.0123, "12.3ms"),
            (0.34, "340ms"),
            (0.9996, "1s"),
            (1.84, "1.84s"),
            (9.999, "10s"),
            (42.5, "42.5s"),
            (59.96, "1m"),
            (125.4, "2m05s"),
            (3599.6, "1h"),
            (3725.0, "1h02m"),
            (-2.5, "-2.5s"),
            (f64::NAN, "–"),
        ] {
            assert_eq!(seconds(value), text, "{value}");
        }
        assert_eq!(millis(1840.0), "1.84s");
    }

    #[test]
    fn moments_keep_a_tenth_of_a_second() {
        for (value, text) in [
            (0.0, "0.0s"),
            (31.24, "31.2s"),
            (59.97, "1m00.0s"),
            (125.4, "2m05.4s"),
            (3725.0, "1h02m05s"),
            (-0.01, "0.0s"),
            (-1.5, "-1.5s"),
        ] {
            assert_eq!(moment(value), text, "{value}");
        }
    }

    #[test]
    fn never_rounds_to_all_or_none() {
        for (value, text) in [
            (1.0, "100%"),
            (0.0, "0%"),
            (0.8, "80%"),
            (0.7996, "79.96%"),
            (0.99996, "99.996%"),
            (0.999_999_9, "> 99.9999%"),
            (0.000_04, "0.004%"),
            (1e-9, "< 0.0001%"),
            (0.991_67, "99.17%"),
        ] {
            assert_eq!(fraction(value), text, "{value}");
        }
    }

    #[test]
    fn counts_factors_and_rates() {
        assert_eq!(count(1_234_567.0), "1,234,567");
        assert_eq!(count(999.0), "999");
        assert_eq!(count(-1000.0), "-1,000");
        assert_eq!(count(0.5), "0.5");
        assert_eq!(times(3.8), "3.8x");
        assert_eq!(times(0.966), "0.97x");
        assert_eq!(times(12.54), "12.5x");
        assert_eq!(rate(20.0), "20/s");
        assert_eq!(rate(1249.7), "1,250/s");
        assert_eq!(interval(Unit::Times, [3.4, 4.3]), "3.4x to 4.3x");
        assert_eq!(plural(1, "fault"), "1 fault");
        assert_eq!(plural(1200, "fault"), "1,200 faults");
    }
}
