//! Deserialises serde's derived types from the tree with exact positions for errors: the unknown key, the value of the
//! wrong type, the map with a missing key. Error recovery is in `recover`.

mod error;
mod guess;
mod recover;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, VariantAccess, Visitor};

pub(crate) use error::ReadError;
pub(crate) use recover::{Reading, read};

use crate::source::{Entry, Node, Span, Step, Value, scalar};

/// Stand-ins for a missing or invalid value, tried in order until one is accepted: serde does not report the expected
/// type. The first is long enough that no other duration in the file exceeds it.
pub(crate) const STAND_INS: [&str; 8] = ["8760h", "50%", "p50", "1/s", "1", "1Mbit/s", "1MiB", "a=b"];

/// A node to deserialise. `owner` is its key or list element, for the position of missing keys.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'t> {
    node: &'t Node,
    owner: Span,
}

impl<'t> Reader<'t> {
    pub(crate) fn new(root: &'t Node) -> Self {
        Self { node: root, owner: root.head() }
    }

    /// Gives an error without a position the position of this node.
    fn locate<T>(self, result: Result<T, ReadError>) -> Result<T, ReadError> {
        result.map_err(|error| error.or_at(self.node, self.owner))
    }

    fn expected<T>(self, what: impl Into<String>) -> Result<T, ReadError> {
        self.locate(Err(ReadError::wrong_type(what)))
    }

    fn any<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Int(value) => integer(*value, visitor),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::String(text) | Value::Rendered(text) => visitor.visit_str(text),
            Value::Seq(nodes) => visitor.visit_seq(Elements { nodes: nodes.iter().enumerate() }),
            Value::Map(entries) => visitor.visit_map(Entries::new("", entries)),
            Value::Hole(index) => visitor.visit_str(STAND_INS.get(*index).copied().unwrap_or("x")),
            Value::Gone => visitor.visit_unit(),
        }
    }

    /// Reads a scalar other than text. A scalar from a template is parsed as plain YAML.
    fn scalar<'de, V: Visitor<'de>>(self, visitor: V, what: &str, stand_in: i128) -> Result<V::Value, ReadError> {
        let plain;
        let value = match &self.node.value {
            Value::Hole(_) => return self.locate(integer(stand_in, visitor)),
            Value::Rendered(text) => {
                plain = scalar(text.trim());
                &plain
            }
            value => value,
        };
        self.locate(match value {
            Value::Int(value) => integer(*value, visitor),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Bool(value) => visitor.visit_bool(*value),
            _ => Err(ReadError::wrong_type(what)),
        })
    }
}

fn integer<'de, V: Visitor<'de>>(value: i128, visitor: V) -> Result<V::Value, ReadError> {
    if let Ok(value) = u64::try_from(value) {
        visitor.visit_u64(value)
    } else if let Ok(value) = i64::try_from(value) {
        visitor.visit_i64(value)
    } else {
        visitor.visit_i128(value)
    }
}

macro_rules! numbers {
    ($($method:ident, $what:literal;)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
            self.scalar(visitor, $what, 1)
        })*
    };
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.locate(self.any(visitor))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        if let Value::Hole(_) = self.node.value {
            return visitor.visit_bool(false);
        }
        self.scalar(visitor, "`true` or `false`", 0)
    }

    numbers! {
        deserialize_i8, "a whole number";
        deserialize_i16, "a whole number";
        deserialize_i32, "a whole number";
        deserialize_i64, "a whole number";
        deserialize_i128, "a whole number";
        deserialize_u8, "a whole number";
        deserialize_u16, "a whole number";
        deserialize_u32, "a whole number";
        deserialize_u64, "a whole number";
        deserialize_u128, "a whole number";
        deserialize_f32, "a number";
        deserialize_f64, "a number";
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.value {
            Value::String(text) | Value::Rendered(text) => self.locate(visitor.visit_str(text)),
            Value::Hole(_) => self.locate(visitor.visit_str("x")),
            _ => self.expected("text"),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_str(visitor)
    }

    // A key without a value is an error, never an omitted option: `count:` would silently mean all pods.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_some(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_any(visitor)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_any(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.value {
            Value::Seq(nodes) => self.locate(visitor.visit_seq(Elements { nodes: nodes.iter().enumerate() })),
            Value::Hole(_) => self.locate(visitor.visit_seq(Elements { nodes: [].iter().enumerate() })),
            _ => self.expected("a list"),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.value {
            Value::Map(entries) => self.locate(visitor.visit_map(Entries::new("", entries))),
            Value::Hole(_) => self.locate(visitor.visit_map(Entries::new("", &[]))),
            _ => self.expected("a map (`key: value`)"),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match &self.node.value {
            Value::Map(entries) => {
                self.locate(visitor.visit_map(Entries::new(name, entries)).map_err(|error| error.lacking(name)))
            }
            Value::Hole(_) => self.deserialize_map(visitor),
            _ => self.expected(format!(
                "a map with keys such as {}",
                crate::diagnostic::words(&fields[..fields.len().min(3)])
            )),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match &self.node.value {
            Value::String(text) | Value::Rendered(text) => {
                self.locate(visitor.visit_enum(Variant { reader: self, of: name, name: text, content: None }))
            }
            Value::Map(entries) => match entries.as_slice() {
                [entry] => {
                    let variant = Variant { reader: self, of: name, name: &entry.key, content: Some(entry) };
                    self.locate(visitor.visit_enum(variant))
                }
                [] => self.locate(Err(ReadError::no_kind(name, variants))),
                [_, second, ..] => Err(ReadError::two_kinds(name, entries, second)),
            },
            _ => self.locate(Err(ReadError::not_a_kind(name, variants))),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_unit()
    }
}

/// The elements of a list, without removed ones.
struct Elements<'t> {
    nodes: std::iter::Enumerate<std::slice::Iter<'t, Node>>,
}

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadError> {
        match self.nodes.find(|(_, node)| node.value != Value::Gone) {
            None => Ok(None),
            Some((index, node)) => seed
                .deserialize(Reader { node, owner: node.head() })
                .map(Some)
                .map_err(|error| error.within(Step::Index(index))),
        }
    }
}

struct Entries<'t> {
    /// The name of the type that has them; empty for a map with any keys.
    of: &'static str,
    /// All of them.
    map: &'t [Entry],
    /// Those that are not read yet.
    entries: std::slice::Iter<'t, Entry>,
    value: Option<&'t Entry>,
}

impl<'t> Entries<'t> {
    fn new(of: &'static str, entries: &'t [Entry]) -> Self {
        Self { of, map: entries, entries: entries.iter(), value: None }
    }
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        let Some(entry) = self.entries.next() else { return Ok(None) };
        self.value = Some(entry);
        let key: de::value::StrDeserializer<'_, ReadError> =
            de::IntoDeserializer::into_deserializer(entry.key.as_str());
        seed.deserialize(key)
            .map(Some)
            .map_err(|error| error.at_key(entry).guessed(self.of, entry, self.map).within(Step::Key(entry.key.clone())))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, ReadError> {
        let Some(entry) = self.value.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        seed.deserialize(Reader { node: &entry.node, owner: entry.key_span })
            .map_err(|error| error.guessed(self.of, entry, self.map).within(Step::Key(entry.key.clone())))
    }
}

/// A kind: a single word, or a map with one key and the fields of the kind.
struct Variant<'t> {
    reader: Reader<'t>,
    /// The name of the type whose kind it is.
    of: &'static str,
    name: &'t str,
    content: Option<&'t Entry>,
}

impl<'de, 't> de::EnumAccess<'de> for Variant<'t> {
    type Error = ReadError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), ReadError> {
        let name: de::value::StrDeserializer<'_, ReadError> = de::IntoDeserializer::into_deserializer(self.name);
        match (seed.deserialize(name), self.content) {
            (Ok(variant), _) => Ok((variant, self)),
            // No `within`: the map is nothing without its one key, so the whole map is removed.
            (Err(error), Some(entry)) => Err(error.at_key(entry).guessed(self.of, entry, &[])),
            (Err(error), None) => {
                Err(error.or_at(self.reader.node, self.reader.owner).guessed_text(self.of, self.name))
            }
        }
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = ReadError;

    fn unit_variant(self) -> Result<(), ReadError> {
        match self.content {
            None => Ok(()),
            Some(_) => self.reader.expected(format!("the word `{}` alone", self.name)),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, ReadError> {
        match self.content {
            Some(entry) => seed
                .deserialize(Reader { node: &entry.node, owner: entry.key_span })
                .map_err(|error| error.guessed(self.of, entry, &[]).within(Step::Key(entry.key.clone()))),
            None => self.reader.expected(format!("a map with the key `{}`", self.name)),
        }
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, ReadError> {
        self.reader.expected("a kind with a map")
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match self.content {
            Some(entry) => Reader { node: &entry.node, owner: entry.key_span }
                .deserialize_struct("", fields, visitor)
                .map_err(|error| error.within(Step::Key(entry.key.clone()))),
            None => self.reader.expected(format!("a map with the key `{}`", self.name)),
        }
    }
}
