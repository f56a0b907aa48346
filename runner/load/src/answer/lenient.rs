//! Lenient JSON parsing: a field whose type the API does not define is not an error. It is flagged as odd and ignored.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A type that can be read from any JSON value.
pub(super) trait Lenient: Default {
    /// The result for a value of another type.
    fn odd() -> Self;

    /// The result for a string.
    fn text(_: &str) -> Self {
        Self::odd()
    }

    /// The result for a number. `is_written_whole` is true unless it has a point or an exponent.
    fn number(_: f64, _is_written_whole: bool) -> Self {
        Self::odd()
    }

    /// The result for a list.
    fn list<'de, A: SeqAccess<'de>>(list: A) -> Result<Self, A::Error> {
        skip_list(list)?;
        Ok(Self::odd())
    }

    /// The result for an object.
    fn object<'de, A: MapAccess<'de>>(object: A) -> Result<Self, A::Error> {
        skip_object(object)?;
        Ok(Self::odd())
    }
}

/// Skips the rest of a list and returns the number of its elements.
pub(super) fn skip_list<'de, A: SeqAccess<'de>>(mut list: A) -> Result<usize, A::Error> {
    let mut count = 0;
    while list.next_element::<IgnoredAny>()?.is_some() {
        count += 1;
    }
    Ok(count)
}

/// Skips the rest of an object and returns the number of its keys.
pub(super) fn skip_object<'de, A: MapAccess<'de>>(mut object: A) -> Result<usize, A::Error> {
    let mut count = 0;
    while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
        count += 1;
    }
    Ok(count)
}

/// Reads a value of any type.
pub(super) fn read<'de, T: Lenient, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    from.deserialize_any(Reader(PhantomData))
}

struct Reader<T>(PhantomData<T>);

impl<'de, T: Lenient> Visitor<'de> for Reader<T> {
    type Value = T;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("any JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<T, E> {
        Ok(T::odd())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        Ok(T::number(number as f64, true))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        Ok(T::number(number as f64, true))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        Ok(T::number(number, false))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        Ok(T::text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<T, A::Error> {
        T::list(list)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<T, A::Error> {
        T::object(object)
    }
}

/// A key of an object, as one of the known keys.
pub(super) struct Key(pub(super) &'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Option<&'static str>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Option<&'static str>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().find(|known| **known == key).copied())
    }
}

/// A list. Empty for a value of another type.
#[derive(Debug)]
pub(super) struct List<T> {
    pub(super) all: Vec<T>,
    pub(super) is_odd: bool,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self { all: Vec::new(), is_odd: false }
    }
}

impl<T: for<'any> Deserialize<'any>> Lenient for List<T> {
    fn odd() -> Self {
        Self { all: Vec::new(), is_odd: true }
    }

    fn list<'de, A: SeqAccess<'de>>(mut list: A) -> Result<Self, A::Error> {
        let mut all = Vec::new();
        while let Some(one) = list.next_element()? {
            all.push(one);
        }
        Ok(Self { all, is_odd: false })
    }
}

impl<'de, T: for<'any> Deserialize<'any>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        read(from)
    }
}

/// An object with these keys. Other keys are skipped; of a repeated key the last value counts.
macro_rules! lenient_object {
    ($(#[doc = $doc:literal])+ $type:ident { $($field:ident: $of:ty,)* }) => {
        $(#[doc = $doc])+
        #[derive(Debug, Default)]
        pub(super) struct $type {
            $(pub(super) $field: $of,)*
            /// The value has another type.
            pub(super) is_odd: bool,
        }

        impl Lenient for $type {
            fn odd() -> Self {
                Self { is_odd: true, ..Self::default() }
            }

            fn object<'de, A: MapAccess<'de>>(mut object: A) -> Result<Self, A::Error> {
                let mut it = Self::default();
                while let Some(key) = object.next_key_seed(Key(&[$(stringify!($field)),*]))? {
                    match key {
                        $(Some(key) if key == stringify!($field) => it.$field = object.next_value()?,)*
                        _ => drop(object.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(it)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                read(from)
            }
        }
    };
}

pub(super) use lenient_object;
