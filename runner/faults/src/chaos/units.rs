//! Converts quantities of scenarios to the notation of Chaos Mesh, without rounding.

use std::time::Duration;

use shakedown_schemas::units::{Bandwidth, Percent, Size, short};

/// A time in the largest unit in which it is a whole number. It never contains a decimal point: Chaos Mesh compares these as
/// text and silently drops `0.5ms`.
pub(super) fn time(duration: Duration) -> String {
    let nanoseconds = duration.as_nanos();
    const UNITS: [(u128, &str); 4] = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us"), (1, "ns")];
    let (scale, unit) = UNITS.into_iter().find(|(scale, _)| nanoseconds.is_multiple_of(*scale)).unwrap_or((1, "ns"));
    format!("{}{unit}", nanoseconds / scale)
}

/// A share in percent, without the percent sign.
pub(super) fn percent(share: Percent) -> String {
    short(share.fraction() * 100.0)
}

/// A rate in bits, as a whole number: `mbps` would be megabytes.
pub(super) fn rate(bandwidth: Bandwidth) -> String {
    let bits = bandwidth.bits_per_second();
    const UNITS: [(u64, &str); 4] = [(1_000_000_000, "gbit"), (1_000_000, "mbit"), (1_000, "kbit"), (1, "bit")];
    let (scale, unit) = UNITS.into_iter().find(|(scale, _)| bits.is_multiple_of(*scale)).unwrap_or((1, "bit"));
    format!("{}{unit}", bits / scale)
}

/// The token bucket of a bandwidth, in bytes: the queue (`limit`) and the burst (`buffer`).
///
/// The burst is the flow of 10 ms, the longest tick of a kernel, and at least ten full frames, the size of a segment that
/// the network card would split. The queue is at least the flow of 200 ms, about the queue of a slow router, and at least
/// twice the flow during an added delay (with less, packets are lost that should only be late).
pub(super) fn bucket(bandwidth: Bandwidth, delay: Duration) -> (u32, u32) {
    const FRAME: u64 = 1_514;
    let bytes = bandwidth.bits_per_second().div_ceil(8);
    let during = |time: Duration| u128::from(bytes) * time.as_nanos() / 1_000_000_000;
    let fit = |bytes: u128| u32::try_from(bytes).unwrap_or(u32::MAX);
    let buffer = during(Duration::from_millis(10)).max(u128::from(10 * FRAME));
    let queue = during(Duration::from_millis(200)).max(2 * during(delay)).max(u128::from(40 * FRAME));
    (fit(buffer + queue), fit(buffer))
}

/// A size in the largest binary unit in which it is a whole number. Chaos Mesh reads `MB` as a binary unit as well.
pub(super) fn size(size: Size) -> String {
    let bytes = size.bytes();
    const UNITS: [(u64, &str); 4] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B")];
    let (scale, unit) = UNITS.into_iter().find(|(scale, _)| bytes.is_multiple_of(*scale)).unwrap_or((1, "B"));
    format!("{}{unit}", bytes / scale)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quantities_are_spelled_as_chaos_mesh_reads_them() {
        for (nanoseconds, text) in
            [(500_000, "500us"), (100_000_000, "100ms"), (1_500_000_000, "1500ms"), (60_000_000_000, "60s"), (1, "1ns")]
        {
            assert_eq!(time(Duration::from_nanos(nanoseconds)), text);
        }
        for (text, expected) in [("50%", "50"), ("0.5%", "0.5"), ("33.3%", "33.3"), ("0.001%", "0.001")] {
            assert_eq!(percent(text.parse().unwrap()), expected);
        }
        for (text, expected) in
            [("1Mbit/s", "1mbit"), ("125kB/s", "1mbit"), ("1.5Mbit/s", "1500kbit"), ("1B/s", "8bit")]
        {
            assert_eq!(rate(text.parse().unwrap()), expected);
        }
        assert_eq!(size("1GiB".parse().unwrap()), "1GiB");
        assert_eq!(size("1GB".parse().unwrap()), "1000000000B");
    }

    #[test]
    fn buckets_grow_with_the_rate_and_the_delay() {
        let slow = bucket("64kbit/s".parse().unwrap(), Duration::ZERO);
        assert_eq!(slow, (15_140 + 60_560, 15_140));
        let fast = bucket("1Gbit/s".parse().unwrap(), Duration::ZERO);
        assert_eq!(fast, (1_250_000 + 25_000_000, 1_250_000));
        let far = bucket("10Mbit/s".parse().unwrap(), Duration::from_secs(1));
        assert_eq!(far, (15_140 + 2_500_000, 15_140));
        assert_eq!(bucket("90000Gbit/s".parse().unwrap(), Duration::from_secs(9)), (u32::MAX, u32::MAX));
    }

    proptest! {
        #[test]
        fn no_rate_and_no_time_loses_anything(bits in 1_u64..1 << 50, micros in 1_u64..1 << 40) {
            let text = rate(Bandwidth::from_bits_per_second(bits));
            let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap();
            let scale = match &text[digits..] { "bit" => 1, "kbit" => 1_000, "mbit" => 1_000_000, _ => 1_000_000_000 };
            prop_assert_eq!(text[..digits].parse::<u64>().unwrap() * scale, bits);
            let text = time(Duration::from_micros(micros));
            prop_assert_eq!(text.parse::<shakedown_schemas::units::Duration>().unwrap().get(), Duration::from_micros(micros));
            // The pattern of the definition of NetworkChaos: one number and one unit.
            prop_assert!(text.trim_start_matches(|c: char| c.is_ascii_digit()).chars().all(|c| c.is_ascii_lowercase()));
        }
    }
}
