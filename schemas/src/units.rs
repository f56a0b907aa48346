//! Quantities with units: `30s`, `80%`, `20/s`. A bare number is refused, with the spelling that was probably meant.
//! All quantities are displayed in the notation of scenarios.

pub mod as_text;
mod quantity;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

pub use quantity::quantity;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::Explained;

/// A duration, never negative: `250us`, `500ms`, `1.5s`, `30s`, `5m`, `1h`, `1m30s`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Duration(std::time::Duration);

/// A share between 0 % and 100 %, written `99.9%`.
#[derive(Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct Percent(f64);

/// A rate: `20/s`, `300/m`, `10/h`. `0/s` means never.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
pub struct Rate {
    per_second: f64,
}

/// A percentile between `p1` and `p99.99`: `p50`, `p95`, `p99.9`.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
pub struct Percentile(f64);

impl Duration {
    /// A duration of zero.
    pub const ZERO: Self = Self(std::time::Duration::ZERO);

    /// A duration of whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(std::time::Duration::from_secs(seconds))
    }

    /// A duration of whole milliseconds.
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(std::time::Duration::from_millis(milliseconds))
    }

    /// The standard library's duration.
    pub const fn get(self) -> std::time::Duration {
        self.0
    }

    /// In seconds.
    pub fn as_secs_f64(self) -> f64 {
        self.0.as_secs_f64()
    }

    /// True for zero.
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl From<std::time::Duration> for Duration {
    fn from(value: std::time::Duration) -> Self {
        Self(value)
    }
}

/// A duration whose unit is a word: `1m` of `1min`.
fn spelled_out(text: &str) -> Option<String> {
    let at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, word) = text.split_at(at);
    let unit = match word.trim().to_lowercase().as_str() {
        "sec" | "secs" | "second" | "seconds" | "s" => "s",
        "min" | "mins" | "minute" | "minutes" | "m" => "m",
        "hour" | "hours" | "hr" | "hrs" | "h" => "h",
        "msec" | "msecs" | "millis" | "millisecond" | "milliseconds" | "ms" => "ms",
        "day" | "days" | "d" => return decimal(number.trim()).map(|days| format!("{}h", short(days * 24.0))),
        _ => return None,
    };
    decimal(number.trim()).map(|_| format!("{}{unit}", number.trim()))
}

impl FromStr for Duration {
    type Err = Explained;

    fn from_str(text: &str) -> Result<Self, Explained> {
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Err(Explained::new("this duration is empty", "write a number and a unit, such as `30s`"));
        }
        if trimmed.starts_with('-') {
            return Err(Explained::new(
                format!("the duration `{trimmed}` is negative"),
                "durations count from zero upwards, such as `30s`",
            ));
        }
        if trimmed.parse::<f64>().is_ok() {
            return Err(Explained::new(
                format!("the duration `{trimmed}` has no unit"),
                format!("write `{trimmed}s` for seconds or `{trimmed}ms` for milliseconds"),
            ));
        }
        let bad = || {
            let help =
                "write a number and one of `us`, `ms`, `s`, `m`, `h`, such as `500ms`, `30s` or `1m30s`".to_owned();
            Explained::new(
                format!("`{trimmed}` is not a duration"),
                spelled_out(trimmed).map_or(help, |text| format!("write `{text}`")),
            )
        };
        let mut rest = trimmed;
        let mut nanoseconds = 0.0_f64;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
            let number = decimal(&rest[..digits]).ok_or_else(bad)?;
            rest = &rest[digits..];
            let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
            let scale = match rest[..letters].trim() {
                "ns" => 1.0,
                "us" | "µs" => 1e3,
                "ms" => 1e6,
                "s" => 1e9,
                "m" => 60e9,
                "h" => 3600e9,
                _ => return Err(bad()),
            };
            nanoseconds += number * scale;
            rest = &rest[letters..];
        }
        // More than a century is a typing error, and the arithmetic of instants would overflow.
        if nanoseconds > 100.0 * 365.0 * 86400e9 {
            return Err(Explained::new(
                format!("the duration `{trimmed}` is longer than a century"),
                "write a shorter one",
            ));
        }
        Ok(Self(std::time::Duration::from_nanos(nanoseconds.round() as u64)))
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanoseconds = self.0.as_nanos();
        const UNITS: [(u128, &str); 5] =
            [(3_600_000_000_000, "h"), (60_000_000_000, "m"), (1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")];
        if nanoseconds == 0 {
            return out.write_str("0s");
        }
        let mut rest = nanoseconds;
        for (scale, unit) in UNITS {
            if rest >= scale {
                write!(out, "{}{unit}", rest / scale)?;
                rest %= scale;
            }
        }
        if rest > 0 { write!(out, "{rest}ns") } else { Ok(()) }
    }
}

impl Percent {
    /// From a fraction between 0 and 1.
    pub const fn from_fraction(fraction: f64) -> Self {
        Self(fraction)
    }

    /// As a fraction between 0 and 1.
    pub const fn fraction(self) -> f64 {
        self.0
    }
}

impl FromStr for Percent {
    type Err = Explained;

    fn from_str(text: &str) -> Result<Self, Explained> {
        let trimmed = text.trim();
        let Some(number) = trimmed.strip_suffix('%') else {
            return Err(match trimmed.parse::<f64>() {
                Ok(value) if value > 0.0 && value <= 1.0 => Explained::new(
                    format!("the percentage `{trimmed}` has no `%`"),
                    format!("write `{}%` for this share of 1, or `{trimmed}%`", short(value * 100.0)),
                ),
                Ok(_) => {
                    Explained::new(format!("the percentage `{trimmed}` has no `%`"), format!("write `{trimmed}%`"))
                }
                Err(_) => Explained::new(
                    format!("`{trimmed}` is not a percentage"),
                    "write a number and `%`, such as `99.9%`",
                ),
            });
        };
        let value = number
            .trim()
            .strip_prefix('-')
            .map_or_else(|| decimal(number.trim()), |positive| decimal(positive).map(|value| -value));
        let value = value.ok_or_else(|| {
            Explained::new(format!("`{trimmed}` is not a percentage"), "write a number and `%`, such as `99.9%`")
        })?;
        if !(0.0..=100.0).contains(&value) {
            return Err(Explained::new(
                format!("the percentage `{trimmed}` is outside 0% to 100%"),
                format!("a share is at most `100%`: write `{}%`", short(value.clamp(0.0, 100.0))),
            ));
        }
        // Not `value / 100.0`: that gives slightly more than 0.999 for 99.9%, which 999 of 1000 would miss.
        let fraction = (value * 1e6).round() / 1e8;
        Ok(Self(fraction))
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}%", short(self.0 * 100.0))
    }
}

impl Rate {
    /// From a number per second, at least zero.
    pub const fn per_second(value: f64) -> Self {
        Self { per_second: value }
    }

    /// The rate per second.
    pub const fn get(self) -> f64 {
        self.per_second
    }
}

impl FromStr for Rate {
    type Err = Explained;

    fn from_str(text: &str) -> Result<Self, Explained> {
        let trimmed = text.trim();
        let Some((number, unit)) = trimmed.split_once('/') else {
            return Err(if trimmed.parse::<f64>().is_ok() {
                Explained::new(
                    format!("the rate `{trimmed}` has no unit"),
                    format!("write `{trimmed}/s` for requests per second"),
                )
            } else {
                Explained::new(
                    format!("`{trimmed}` is not a rate"),
                    "write a number per second, minute or hour, such as `20/s`",
                )
            });
        };
        let bad = || {
            Explained::new(
                format!("`{trimmed}` is not a rate"),
                "write a number per second, minute or hour, such as `20/s`",
            )
        };
        let number = decimal(number.trim()).ok_or_else(bad)?;
        let seconds = match unit.trim() {
            "s" | "sec" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            _ => return Err(bad()),
        };
        if !number.is_finite() {
            return Err(bad());
        }
        if number / seconds > 1e6 {
            return Err(Explained::new(
                format!("the rate `{trimmed}` is more than a million a second"),
                "write a smaller rate",
            ));
        }
        Ok(Self { per_second: number / seconds })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.per_second;
        if rate >= 1.0 || rate == 0.0 {
            write!(out, "{}/s", short(rate))
        } else if rate * 60.0 >= 1.0 {
            write!(out, "{}/m", short(rate * 60.0))
        } else {
            write!(out, "{}/h", short(rate * 3600.0))
        }
    }
}

impl Percentile {
    /// From a number of percent, such as 95.0.
    pub const fn new(percent: f64) -> Self {
        Self(percent)
    }

    /// As a fraction between 0 and 1, such as 0.95.
    pub const fn fraction(self) -> f64 {
        // Rounded to a whole number first, so that p99.9 equals the literal 0.999 and not the next larger number.
        ((self.0 * 1e6 + 0.5) as u64) as f64 / 1e8
    }

    /// In percent, such as 95.0.
    pub const fn percent(self) -> f64 {
        self.0
    }
}

impl FromStr for Percentile {
    type Err = Explained;

    fn from_str(text: &str) -> Result<Self, Explained> {
        let trimmed = text.trim();
        let help = "write `p` and a number between 1 and 99.99, such as `p50`, `p95` or `p99.9`";
        let Some(number) = trimmed.strip_prefix(['p', 'P']) else {
            return Err(Explained::new(
                format!("`{trimmed}` is not a percentile"),
                if trimmed.parse::<f64>().is_ok() { format!("write `p{trimmed}`") } else { help.to_owned() },
            ));
        };
        let value = decimal(number).ok_or_else(|| Explained::new(format!("`{trimmed}` is not a percentile"), help))?;
        if !(1.0..=99.99).contains(&value) {
            return Err(Explained::new(format!("the percentile `{trimmed}` is outside p1 to p99.99"), help));
        }
        Ok(Self(value))
    }
}

impl fmt::Display for Percentile {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "p{}", short(self.0))
    }
}

/// A decimal number, as in the patterns of the schema: digits, with an optional point and more digits.
fn decimal(text: &str) -> Option<f64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if digits(whole) && digits(part) { text.parse().ok() } else { None }
}

/// A number with at most six decimals and without trailing zeros.
pub fn short(value: f64) -> String {
    let text = format!("{value:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The conversions from and to text, and a schema with a pattern, for all quantities.
macro_rules! text_quantity {
    ($type:ty, $name:literal, $pattern:literal, $description:literal, $examples:expr) => {
        impl fmt::Debug for $type {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, out)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl de::Visitor<'_> for Text {
                    type Value = $type;

                    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                        out.write_str($description)
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$type, E> {
                        // The help follows after a line break. The parser of scenario files splits it off.
                        text.parse::<$type>().map_err(|error| match error.help {
                            Some(help) => E::custom(format_args!("{}\n{help}", error.message)),
                            None => E::custom(error.message),
                        })
                    }

                    // A bare number is read as text, so that it gets the error about the missing unit.
                    fn visit_u64<E: de::Error>(self, value: u64) -> Result<$type, E> {
                        self.visit_str(&value.to_string())
                    }

                    fn visit_i64<E: de::Error>(self, value: i64) -> Result<$type, E> {
                        self.visit_str(&value.to_string())
                    }

                    fn visit_f64<E: de::Error>(self, value: f64) -> Result<$type, E> {
                        self.visit_str(&value.to_string())
                    }
                }
                deserializer.deserialize_any(Text)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string",
                    "pattern": $pattern,
                    "description": $description,
                    "examples": $examples,
                })
            }
        }
    };
}

text_quantity!(
    Duration,
    "Duration",
    r"^\s*([0-9]+(\.[0-9]+)?\s*(ns|us|µs|ms|s|m|h)\s*)+$",
    "a duration with its unit (`us`, `ms`, `s`, `m`, `h`), such as `500ms`, `30s` or `1m30s`",
    ["500ms", "30s", "5m", "1m30s"]
);
text_quantity!(
    Percent,
    "Percent",
    r"^\s*0*(100(\.0+)?|[0-9]{1,2}(\.[0-9]+)?)\s*%\s*$",
    "a percentage between `0%` and `100%`",
    ["80%", "99.9%"]
);
text_quantity!(
    Rate,
    "Rate",
    r"^\s*[0-9]+(\.[0-9]+)?\s*/\s*(s|sec|m|min|h)\s*$",
    "how often requests start, per second, minute or hour, such as `20/s`",
    ["20/s", "300/m"]
);
text_quantity!(
    Percentile,
    "Percentile",
    r"^\s*[pP]0*[1-9][0-9]?(\.[0-9]+)?\s*$",
    "a percentile between `p1` and `p99.99`",
    ["p50", "p95", "p99.9"]
);

// After the macro that they use.
mod data;
mod offset;

pub use data::{Bandwidth, Size};
pub use offset::Offset;
