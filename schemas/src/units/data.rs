//! Amounts of data and bandwidths, as exact whole numbers.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::Explained;

/// A bandwidth: `1Mbit/s`, `125kB/s`. In whole bits per second, more than zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bandwidth(u64);

/// An amount of data: `256MiB`, `1GB`. In whole bytes, more than zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(u64);

/// The units of a bandwidth, in bits per second. A value is displayed in the first unit that divides it.
const BANDWIDTHS: [(&str, u64); 8] = [
    ("Gbit/s", 1_000_000_000),
    ("Mbit/s", 1_000_000),
    ("kbit/s", 1_000),
    ("bit/s", 1),
    ("GB/s", 8_000_000_000),
    ("MB/s", 8_000_000),
    ("kB/s", 8_000),
    ("B/s", 8),
];

/// The units of a size, in bytes. A value is displayed in the first unit that divides it.
const SIZES: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("B", 1),
];

impl Bandwidth {
    /// From bits per second; more than zero.
    pub const fn from_bits_per_second(bits: u64) -> Self {
        Self(bits)
    }

    /// In bits per second.
    pub const fn bits_per_second(self) -> u64 {
        self.0
    }
}

impl Size {
    /// In bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Bandwidth {
    type Err = Explained;

    fn from_str(text: &str) -> Result<Self, Explained> {
        let trimmed = text.trim();
        let help = "write a number and one of `kbit/s`, `Mbit/s`, `Gbit/s`, `kB/s`, `MB/s`, such as `10Mbit/s`";
        let (number, unit) = parts(trimmed);
        if let Some(scale) = scale(unit, &BANDWIDTHS) {
            return whole(number, scale).map(Self).ok_or_else(|| {
                Explained::new(format!("`{trimmed}` is not a whole number of bits per second above zero"), help)
            });
        }
        if number.is_empty() {
            return Err(Explained::new(format!("`{trimmed}` is not a bandwidth"), help));
        }
        Err(match unit.to_ascii_lowercase().as_str() {
            "" => Explained::new(
                format!("the bandwidth `{trimmed}` has no unit"),
                format!("write `{number}Mbit/s` for megabits or `{number}MB/s` for megabytes per second"),
            ),
            // Tools interpret these units with a factor of eight between them, so no guess is made.
            word @ ("bps" | "kbps" | "mbps" | "gbps" | "bits" | "kb/s" | "mb/s" | "gb/s" | "b/s" | "kb" | "mb"
            | "gb") => {
                let prefix = match word.as_bytes()[0] {
                    b'k' => "k",
                    b'm' => "M",
                    b'g' => "G",
                    _ => "",
                };
                Explained::new(
                    format!(
                        "the bandwidth `{trimmed}` is ambiguous: some read bits in `{unit}`, others bytes (Chaos Mesh and tc do)"
                    ),
                    format!("write `{number}{prefix}bit/s` for bits or `{number}{prefix}B/s` for bytes"),
                )
            }
            word if word.ends_with("bit") || word.ends_with("bit/s") => Explained::new(
                format!("`{unit}` is not a unit of bandwidth"),
                format!("write `{number}{}/s`", bits_unit(word)),
            ),
            _ => Explained::new(format!("`{unit}` is not a unit of bandwidth"), help),
        })
    }
}

/// `Mbit` for any spelling of it.
fn bits_unit(word: &str) -> &'static str {
    match word.as_bytes()[0] {
        b'k' => "kbit",
        b'm' => "Mbit",
        b'g' => "Gbit",
        _ => "bit",
    }
}

impl FromStr for Size {
    type Err = Explained;

    fn from_str(text: &str) -> Result<Self, Explained> {
        let trimmed = text.trim();
        let help = "write a number and one of `kB`, `MB`, `GB`, `KiB`, `MiB`, `GiB`, such as `256MiB`";
        let (number, unit) = parts(trimmed);
        // Kubernetes leaves the `B` out.
        let kubernetes = matches!(unit, "Ki" | "Mi" | "Gi").then(|| format!("{unit}B"));
        if let Some(scale) = scale(kubernetes.as_deref().unwrap_or(unit), &SIZES) {
            return whole(number, scale)
                .map(Self)
                .ok_or_else(|| Explained::new(format!("`{trimmed}` is not a whole number of bytes above zero"), help));
        }
        let guess = match unit {
            "k" | "M" | "G" => Some(format!("write `{number}{unit}B`, or `{number}{}iB`", unit.to_ascii_uppercase())),
            "" if !number.is_empty() => Some(format!("write `{number}MiB` for mebibytes or `{number}B` for bytes")),
            _ => None,
        };
        Err(Explained::new(format!("`{trimmed}` is not a size"), guess.unwrap_or_else(|| help.to_owned())))
    }
}

/// The number at the beginning, and the rest.
fn parts(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    (&text[..end], text[end..].trim())
}

fn scale(unit: &str, units: &[(&str, u64)]) -> Option<u64> {
    units.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale)
}

/// A decimal number times a scale, if the product is a whole number above zero. It uses integers only: 0.1 of a megabit
/// is exactly 100,000.
fn whole(number: &str, scale: u64) -> Option<u64> {
    let (before, after) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.len() <= 18 && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(before) || !digits(after) {
        return None;
    }
    let scale = u128::from(scale);
    let fraction = after.parse::<u128>().ok()? * scale;
    let unit = 10_u128.pow(u32::try_from(after.len()).ok()?);
    if fraction % unit != 0 {
        return None;
    }
    let value = before.parse::<u128>().ok()? * scale + fraction / unit;
    u64::try_from(value).ok().filter(|value| *value > 0)
}

fn show(value: u64, units: &[(&str, u64)], out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (unit, scale) = units.iter().find(|(_, scale)| value.is_multiple_of(*scale)).copied().unwrap_or(("", 1));
    write!(out, "{}{unit}", value / scale)
}

impl fmt::Display for Bandwidth {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(self.0, &BANDWIDTHS, out)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(self.0, &SIZES, out)
    }
}

text_quantity!(
    Bandwidth,
    "Bandwidth",
    r"^\s*[0-9]+(\.[0-9]+)?\s*([kMG]?bit|[kMG]?B)/s\s*$",
    "a bandwidth in bits (`kbit/s`, `Mbit/s`, `Gbit/s`) or bytes (`kB/s`, `MB/s`) per second",
    ["1Mbit/s", "125kB/s"]
);
text_quantity!(
    Size,
    "Size",
    r"^\s*[0-9]+(\.[0-9]+)?\s*(B|kB|MB|GB|KiB?|MiB?|GiB?)\s*$",
    "an amount of data with its unit (`MB`, `GB`, `MiB`, `GiB`, or `Mi` and `Gi` as in Kubernetes)",
    ["256MiB", "1GB"]
);
