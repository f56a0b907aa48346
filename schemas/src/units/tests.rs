//! Tables of quantities as people write them, with what they mean and what is said about wrong ones.

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
    assert_eq!("0.8".parse::<Percent>().unwrap_err().help.unwrap(), "write `80%`");
    "101%".parse::<Percent>().unwrap_err();
    "-1%".parse::<Percent>().unwrap_err();
    assert_eq!("300/m".parse::<Rate>().unwrap().get(), 5.0);
    assert_eq!("20".parse::<Rate>().unwrap_err().help.unwrap(), "write `20/s` for so many per second");
    "0/s".parse::<Rate>().unwrap_err();
    "nan/s".parse::<Rate>().unwrap_err();
    assert_eq!("p99.9".parse::<Percentile>().unwrap().fraction(), 0.999);
    assert_eq!("95".parse::<Percentile>().unwrap_err().help.unwrap(), "write `p95`");
    "p100".parse::<Percentile>().unwrap_err();
}
