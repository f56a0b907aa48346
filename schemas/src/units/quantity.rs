//! Quantities, as Kubernetes writes amounts of resources.

/// A quantity such as `100Mi`, `1.5G`, `250m` or `128974848`, as a number; none for anything else.
pub fn quantity(text: &str) -> Option<f64> {
    const UNITS: [(&str, f64); 16] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("Ei", 1_152_921_504_606_846_976.0),
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("E", 1e18),
        ("", 1.0),
    ];
    UNITS.iter().find_map(|(unit, factor)| {
        let number: f64 = text.strip_suffix(unit)?.parse().ok()?;
        number.is_finite().then_some(number * factor)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_writes_them() {
        for (text, amount) in [
            ("100Mi", 104_857_600.0),
            ("1.5G", 1.5e9),
            ("128974848", 128_974_848.0),
            ("129e6", 129e6),
            ("1E", 1e18),
            ("400m", 0.4),
            ("2k", 2000.0),
            ("250000n", 0.000_25),
            ("3u", 3e-6),
        ] {
            let read = quantity(text).unwrap();
            assert!((read / amount - 1.0).abs() < 1e-12, "{text}: {read}");
        }
        assert_eq!([quantity("much"), quantity("1Zi"), quantity("")], [None; 3]);
    }
}
