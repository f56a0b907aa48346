//! Numbers in verdicts: short, with their unit, and never rounded to a limit that they miss.

use shakedown_schemas::first_few;
use shakedown_schemas::result::Unit;
use shakedown_schemas::units::short;

/// The maximum number of lines or names in a sentence.
pub(super) const QUOTED: usize = 3;

/// The first of these names, and the number of the others.
pub(super) fn quoted(names: impl Iterator<Item = String>) -> String {
    first_few(&names.collect::<Vec<_>>(), QUOTED)
}

/// At most three significant digits, without needless zeros; whole numbers from 100 on.
pub(super) fn digits(value: f64) -> String {
    let magnitude = value.abs().log10().floor();
    let decimals = (2.0 - magnitude).clamp(0.0, 6.0) as i32;
    let scale = 10_f64.powi(decimals);
    short((value * scale).round() / scale)
}

/// A fraction as a percentage: `99.2%`. It has two decimals, and more where two would round it to 0 % or 100 %.
pub(super) fn percent(fraction: f64) -> String {
    let value = fraction * 100.0;
    for decimals in 2..6 {
        let scale = 10_f64.powi(decimals);
        let rounded = (value * scale).round() / scale;
        let is_whole = rounded == 100.0 || rounded == 0.0;
        if !is_whole || rounded == value {
            return format!("{}%", short(rounded));
        }
    }
    format!("{}%", short(value))
}

/// Seconds with the unit that reads best: `850us`, `142ms`, `1.94s`, `75s`.
pub(super) fn seconds(value: f64) -> String {
    if value == 0.0 {
        "0s".to_owned()
    } else if value < 0.000_999_5 {
        format!("{}us", digits(value * 1e6))
    } else if value < 0.999_5 {
        format!("{}ms", digits(value * 1e3))
    } else {
        format!("{}s", digits(value))
    }
}

/// A value in its unit.
pub(super) fn worded(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Fraction => percent(value),
        Unit::Seconds => seconds(value),
        Unit::Times | Unit::Count => digits(value),
    }
}

/// An interval in its unit.
pub(super) fn interval(unit: Unit, [low, high]: [f64; 2]) -> String {
    format!("{} to {}", worded(unit, low), worded(unit, high))
}

/// `1 request`, `20 requests`.
pub(super) fn requests(count: u64) -> String {
    counted(count, "request")
}

/// A number and a noun, in the singular where it is one.
pub(super) fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// Names in a sentence: `a`, `a and b`, `a, b and c`.
pub(super) fn list(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [all @ .., last] => format!("{} and {last}", all.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        for (value, text) in
            [(3.8234, "3.82"), (0.05, "0.05"), (123.4, "123"), (1234.6, "1235"), (3.0, "3"), (0.0, "0")]
        {
            assert_eq!(digits(value), text);
        }
        assert_eq!([f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 4e-9].map(digits), ["inf", "-inf", "NaN", "0"]);
        for (value, text) in
            [(0.99, "99%"), (0.99234, "99.23%"), (1.0, "100%"), (0.0, "0%"), (0.99999, "99.999%"), (0.000_01, "0.001%")]
        {
            assert_eq!(percent(value), text);
        }
        for (value, text) in
            [(0.000_85, "850us"), (0.1416, "142ms"), (1.944, "1.94s"), (75.0, "75s"), (0.0, "0s"), (0.9999, "1s")]
        {
            assert_eq!(seconds(value), text);
        }
        // A value that rounds to a whole larger unit is shown in that unit.
        assert_eq!([0.000_999_4, 0.000_999_5, 0.9994, 0.9995].map(seconds), ["999us", "1ms", "999ms", "1s"]);
        let in_units = [Unit::Fraction, Unit::Seconds, Unit::Times, Unit::Count].map(|it| interval(it, [0.25, 0.5]));
        assert_eq!(in_units, ["25% to 50%", "250ms to 500ms", "0.25 to 0.5", "0.25 to 0.5"]);
    }

    #[test]
    fn words_read_well() {
        assert_eq!(requests(1), "1 request");
        assert_eq!(requests(0), "0 requests");
        let names = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(list(&names), "a, b and c");
        assert_eq!(list(&names[..2]), "a and b");
        assert_eq!(list(&names[..1]), "a");
    }
}
