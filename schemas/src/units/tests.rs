//! Tables of quantities with their values, and with the messages for invalid ones.

use super::*;

#[test]
fn durations_need_a_unit_and_read_back() {
    for (text, nanoseconds, shown) in [
        ("500ms", 500_000_000, "500ms"),
        ("1.5s", 1_500_000_000, "1s500ms"),
        ("1m30s", 90_000_000_000, "1m30s"),
        ("250us", 250_000, "250us"),
        ("2h", 7_200_000_000_000, "2h"),
        (" 30 s ", 30_000_000_000, "30s"),
    ] {
        let duration: Duration = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(duration.get().as_nanos(), nanoseconds, "{text}");
        assert_eq!(duration.to_string(), shown);
        assert_eq!(shown.parse::<Duration>().unwrap(), duration);
    }
    for text in ["", "10", "-3s", "3 parsecs", "s", "1e400h", "5s-3s", "900000000h"] {
        text.parse::<Duration>().expect_err(text);
    }
    assert_eq!(
        "10".parse::<Duration>().unwrap_err().help.unwrap(),
        "write `10s` for seconds or `10ms` for milliseconds"
    );
}

#[test]
fn percentages_rates_and_percentiles() {
    assert_eq!("99.9%".parse::<Percent>().unwrap().to_string(), "99.9%");
    assert_eq!("99.9%".parse::<Percent>().unwrap().fraction(), 0.999);
    assert_eq!("0.8".parse::<Percent>().unwrap_err().help.unwrap(), "write `80%` for this share of 1, or `0.8%`");
    "101%".parse::<Percent>().unwrap_err();
    "-1%".parse::<Percent>().unwrap_err();
    assert_eq!("300/m".parse::<Rate>().unwrap().get(), 5.0);
    assert_eq!("20".parse::<Rate>().unwrap_err().help.unwrap(), "write `20/s` for requests per second");
    assert_eq!("0/s".parse::<Rate>().unwrap().to_string(), "0/s");
    "-1/s".parse::<Rate>().unwrap_err();
    "nan/s".parse::<Rate>().unwrap_err();
    assert_eq!("p99.9".parse::<Percentile>().unwrap().fraction(), 0.999);
    assert_eq!("95".parse::<Percentile>().unwrap_err().help.unwrap(), "write `p95`");
    "p100".parse::<Percentile>().unwrap_err();
}

#[test]
fn bandwidths_are_exact_and_never_guessed() {
    for (text, bits, shown) in [
        ("1Mbit/s", 1_000_000, "1Mbit/s"),
        ("125kB/s", 1_000_000, "1Mbit/s"),
        ("0.1Mbit/s", 100_000, "100kbit/s"),
        ("1.5 Gbit/s", 1_500_000_000, "1500Mbit/s"),
        ("1 B/s", 8, "8bit/s"),
        ("10MB/s", 80_000_000, "80Mbit/s"),
    ] {
        let bandwidth: Bandwidth = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!((bandwidth.bits_per_second(), bandwidth.to_string().as_str()), (bits, shown), "{text}");
    }
    for (text, help) in [
        ("1mbps", "write `1Mbit/s` for bits or `1MB/s` for bytes"),
        ("20 kbps", "write `20kbit/s` for bits or `20kB/s` for bytes"),
        ("1Mb/s", "write `1Mbit/s` for bits or `1MB/s` for bytes"),
        ("1mbit", "write `1Mbit/s`"),
        ("10", "write `10Mbit/s` for megabits or `10MB/s` for megabytes per second"),
    ] {
        assert_eq!(text.parse::<Bandwidth>().unwrap_err().help.unwrap(), help, "{text}");
    }
    for text in ["0Mbit/s", "", "fast", "-1Mbit/s", "0.5bit/s", "1e3kbit/s", "99999999999999999Gbit/s"] {
        text.parse::<Bandwidth>().expect_err(text);
    }
}

#[test]
fn sizes_and_offsets() {
    assert_eq!("256MiB".parse::<Size>().unwrap().bytes(), 256 << 20);
    assert_eq!("1.5GB".parse::<Size>().unwrap().to_string(), "1500MB");
    assert_eq!("256Mi".parse::<Size>().unwrap().to_string(), "256MiB", "as Kubernetes writes it");
    assert_eq!("256M".parse::<Size>().unwrap_err().help.unwrap(), "write `256MB`, or `256MiB`");
    "0MiB".parse::<Size>().unwrap_err();
    for (text, shown) in [("-10m", "-10m"), ("+1h", "+1h"), ("90s", "+1m30s")] {
        assert_eq!(text.parse::<Offset>().unwrap().to_string(), shown);
    }
    "-0s".parse::<Offset>().unwrap_err();
    "10".parse::<Offset>().unwrap_err();
}
