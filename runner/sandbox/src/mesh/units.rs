//! Numbers in the notation of Chaos Mesh's API: Go's durations, percentages as text, rates in tc's units.
//!
//! The unit rules are those of Go's `time.ParseDuration` and of tc(8): `bit` counts bits, `bps` counts bytes.

use std::time::Duration;

/// Reads a duration as Go does: `300ms`, `1h30m`, `-1.5s`. `None` where Go refuses; a negative one is zero here.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let unsigned = text.trim_start_matches(['+', '-']);
    if text.len() - unsigned.len() > 1 || unsigned.is_empty() {
        return None;
    }
    let negative = text.starts_with('-');
    if unsigned == "0" {
        return Some(Duration::ZERO);
    }
    let (mut rest, mut seconds) = (unsigned, 0.0);
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let value: f64 = rest[..number].parse().ok()?;
        rest = &rest[number..];
        let unit = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        seconds += value
            * match &rest[..unit] {
                "ns" => 1e-9,
                "us" | "µs" | "μs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return None,
            };
        rest = &rest[unit..];
    }
    if negative { Some(Duration::ZERO) } else { Duration::try_from_secs_f64(seconds).ok() }
}

/// Reads an amount of memory (`125000KiB`, `1GB`) in bytes. Every unit is a power of 1024.
pub(crate) fn size(text: &str) -> Option<f64> {
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let power = match text[at..].trim().to_ascii_lowercase().trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        _ => return None,
    };
    text[..at].parse::<f64>().ok().map(|number| number * 1024_f64.powi(power))
}

/// Reads a percentage without its sign, such as `12.5`, as a share from 0 to 1. Values beyond 100 are `None`: tc refuses
/// them.
pub(crate) fn share(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().map(|percent| percent / 100.0).filter(|share| (0.0..=1.0).contains(share))
}

/// Reads a rate (`1mbps` is a million bytes, `1mbit` a million bits) in bytes per second.
pub(crate) fn rate(text: &str) -> Option<f64> {
    let text = text.trim().to_ascii_lowercase();
    let at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = (text[..at].parse::<u64>().ok()?, text[at..].trim());
    let (scale, divisor) = match unit.strip_suffix("bit") {
        Some(scale) => (scale, 8.0),
        None => (unit.strip_suffix("bps")?, 1.0),
    };
    let factor = match scale {
        "" => 1.0,
        "k" => 1e3,
        "m" => 1e6,
        "g" => 1e9,
        "t" => 1e12,
        _ => return None,
    };
    Some(number as f64 * factor / divisor)
}

/// Whether text matches a pattern, in which `*` matches any characters and `?` matches one.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    match (pattern.chars().next(), text.chars().next()) {
        (None, None) => true,
        (Some('*'), _) => {
            let rest = &pattern[1..];
            text.char_indices().map(|(at, _)| at).chain([text.len()]).any(|at| glob(rest, &text[at..]))
        }
        (Some(p), Some(c)) if p == '?' || p == c => glob(&pattern[p.len_utf8()..], &text[c.len_utf8()..]),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, millis) in
            [("300ms", 300), ("1h30m", 5_400_000), ("1.5s", 1_500), ("-3s", 0), ("0", 0), ("500us", 0)]
        {
            assert_eq!(duration(text).map(|d| d.as_millis()), Some(millis), "{text}");
        }
        for text in ["", "5", "5 s", "1d", "s", "--1s", "1..2s"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn bps_are_bytes_and_bit_are_bits() {
        assert_eq!(rate("1mbps"), Some(1e6));
        assert_eq!(rate("1Mbit"), Some(125e3));
        assert_eq!(rate("8bit"), Some(1.0));
        for text in ["1.5mbps", "mbps", "1", "1mb", "-1bps"] {
            assert_eq!(rate(text), None, "{text}");
        }
    }

    #[test]
    fn shares_end_at_the_whole() {
        assert_eq!((share("50"), share("12.5"), share("0")), (Some(0.5), Some(0.125), Some(0.0)));
        assert_eq!((share("150"), share("-1"), share("x"), share("NaN")), (None, None, None, None));
    }

    #[test]
    fn patterns_match_names() {
        assert!(glob("nats.*", "nats.dynamo.svc") && glob("n?ts", "nats") && glob("*", "") && glob("/v1/*", "/v1/x"));
        assert!(!glob("nats", "nats.dynamo") && !glob("?", ""));
    }
}
