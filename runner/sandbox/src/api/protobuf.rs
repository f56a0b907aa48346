//! Bodies in protobuf, which kubectl since 1.32 sends for the few kinds that it makes itself (`create namespace`,
//! `create configmap`, `create secret`, `create serviceaccount`, `auth can-i`, evictions).
//!
//! In scope: from the wire to the JSON of those kinds. Out of scope: other kinds; they get 415, and `-f` works
//! for all of them. Answers are always JSON, which every client takes.
//!
//! The numbers of the fields are those of the API's published `generated.proto` files.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};

/// The first bytes of every such body.
const MAGIC: &[u8] = b"k8s\0";
/// How deep messages of the known kinds can be nested at most.
const MAX_DEPTH: u32 = 8;

struct Field(u64, &'static str, Form);

#[derive(Clone, Copy)]
enum Form {
    Text,
    Texts,
    Number,
    Flag,
    /// A map to text.
    TextMap,
    /// A map to bytes, in base64 as JSON has it.
    BytesMap,
    Message(&'static [Field]),
    Messages(&'static [Field]),
}

use Form::{BytesMap, Flag, Message, Messages, Number, Text, TextMap, Texts};

const OWNER: &[Field] = &[
    Field(1, "kind", Text),
    Field(3, "name", Text),
    Field(4, "uid", Text),
    Field(5, "apiVersion", Text),
    Field(6, "controller", Flag),
    Field(7, "blockOwnerDeletion", Flag),
];
const METADATA: Field = Field(
    1,
    "metadata",
    Message(&[
        Field(1, "name", Text),
        Field(2, "generateName", Text),
        Field(3, "namespace", Text),
        Field(5, "uid", Text),
        Field(6, "resourceVersion", Text),
        Field(11, "labels", TextMap),
        Field(12, "annotations", TextMap),
        Field(13, "ownerReferences", Messages(OWNER)),
        Field(14, "finalizers", Texts),
    ]),
);
const DELETE_OPTIONS: &[Field] = &[
    Field(1, "gracePeriodSeconds", Number),
    Field(2, "preconditions", Message(&[Field(1, "uid", Text), Field(2, "resourceVersion", Text)])),
    Field(3, "orphanDependents", Flag),
    Field(4, "propagationPolicy", Text),
    Field(5, "dryRun", Texts),
];
const REVIEW: &[Field] = &[
    Field(
        1,
        "resourceAttributes",
        Message(&[
            Field(1, "namespace", Text),
            Field(2, "verb", Text),
            Field(3, "group", Text),
            Field(4, "version", Text),
            Field(5, "resource", Text),
            Field(6, "subresource", Text),
            Field(7, "name", Text),
        ]),
    ),
    Field(2, "nonResourceAttributes", Message(&[Field(1, "path", Text), Field(2, "verb", Text)])),
];

fn fields(kind: &str) -> Option<&'static [Field]> {
    Some(match kind {
        "ConfigMap" => {
            &[METADATA, Field(2, "data", TextMap), Field(3, "binaryData", BytesMap), Field(4, "immutable", Flag)]
        }
        "DeleteOptions" => DELETE_OPTIONS,
        "Eviction" => &[METADATA, Field(2, "deleteOptions", Message(DELETE_OPTIONS))],
        "Namespace" => &[METADATA],
        "Secret" => &[METADATA, Field(2, "data", BytesMap), Field(3, "type", Text), Field(4, "stringData", TextMap)],
        "SelfSubjectAccessReview" => &[METADATA, Field(2, "spec", Message(REVIEW))],
        "ServiceAccount" => &[METADATA],
        _ => return None,
    })
}

/// The object in a body. `None` where the body is not of this form, or of a kind that is not known here.
pub(super) fn read(body: &[u8]) -> Option<Value> {
    const TYPE: &[Field] = &[Field(1, "apiVersion", Text), Field(2, "kind", Text)];
    let (mut types, mut raw) = (Value::Null, &[][..]);
    for (number, wire) in Wire(body.strip_prefix(MAGIC)?).collect::<Option<Vec<_>>>()? {
        match (number, wire) {
            (1, Datum::Bytes(bytes)) => types = message(bytes, TYPE, MAX_DEPTH)?,
            (2, Datum::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let mut object = message(raw, fields(types["kind"].as_str()?)?, MAX_DEPTH)?;
    object["apiVersion"] = types["apiVersion"].take();
    object["kind"] = types["kind"].take();
    Some(object)
}

fn message(bytes: &[u8], fields: &[Field], depth: u32) -> Option<Value> {
    let depth = depth.checked_sub(1)?;
    let mut object = Map::new();
    for (number, datum) in Wire(bytes).collect::<Option<Vec<_>>>()? {
        // Fields that are not listed are those that the server sets itself.
        let Some(Field(_, name, form)) = fields.iter().find(|field| field.0 == number) else { continue };
        let name = name.to_string();
        match (form, datum) {
            (Text, Datum::Bytes(bytes)) => drop(object.insert(name, text(bytes)?.into())),
            (Number, Datum::Number(number)) => drop(object.insert(name, number.cast_signed().into())),
            (Flag, Datum::Number(number)) => drop(object.insert(name, (number != 0).into())),
            (Message(fields), Datum::Bytes(bytes)) => drop(object.insert(name, message(bytes, fields, depth)?)),
            (Texts, Datum::Bytes(bytes)) => push(&mut object, name, text(bytes)?.into()),
            (Messages(fields), Datum::Bytes(bytes)) => push(&mut object, name, message(bytes, fields, depth)?),
            (TextMap | BytesMap, Datum::Bytes(bytes)) => {
                let (key, value) = entry(bytes)?;
                let value = match form {
                    BytesMap => BASE64_STANDARD.encode(value),
                    _ => text(value)?.to_string(),
                };
                object.entry(name).or_insert(json!({}))[text(key)?] = value.into();
            }
            _ => return None,
        }
    }
    // In protobuf, an empty string means "not set".
    object.retain(|_, value| value != "");
    Some(Value::Object(object))
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

fn push(object: &mut Map<String, Value>, name: String, value: Value) {
    if let Value::Array(items) = object.entry(name).or_insert(json!([])) {
        items.push(value);
    }
}

/// The key and value of an entry of a map; either may be left out when it is empty.
fn entry(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (mut key, mut value) = (&[][..], &[][..]);
    for (number, datum) in Wire(bytes).collect::<Option<Vec<_>>>()? {
        match (number, datum) {
            (1, Datum::Bytes(bytes)) => key = bytes,
            (2, Datum::Bytes(bytes)) => value = bytes,
            _ => {}
        }
    }
    Some((key, value))
}

/// The fields of a message; an item `None` where it is broken.
struct Wire<'a>(&'a [u8]);

enum Datum<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Of eight or four bytes; no field here has them.
    Fixed,
}

impl<'a> Iterator for Wire<'a> {
    type Item = Option<(u64, Datum<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        (!self.0.is_empty()).then(|| self.field())
    }
}

impl<'a> Wire<'a> {
    fn field(&mut self) -> Option<(u64, Datum<'a>)> {
        let tag = self.varint()?;
        let datum = match tag & 7 {
            0 => Datum::Number(self.varint()?),
            1 => self.take(8).map(|_| Datum::Fixed)?,
            2 => {
                let length = self.varint()?;
                Datum::Bytes(self.take(usize::try_from(length).ok()?)?)
            }
            5 => self.take(4).map(|_| Datum::Fixed)?,
            _ => return None,
        };
        Some((tag >> 3, datum))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(number: u8, bytes: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
    }

    fn body(version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let types = [part(1, version.as_bytes()), part(2, kind.as_bytes())].concat();
        [MAGIC.to_vec(), part(1, &types), part(2, raw), part(3, b""), part(4, b"")].concat()
    }

    #[test]
    fn a_config_map_is_read() {
        let label = [part(1, b"app"), part(2, b"x")].concat();
        // The creation time (8) is a message that says nothing.
        let metadata = [part(1, b"name"), part(3, b""), part(8, b""), part(11, &label), part(14, b"a/b")].concat();
        let data = [part(1, b"key"), part(2, b"value")].concat();
        let binary = [part(1, b"raw"), part(2, &[0xff, 0])].concat();
        let raw = [part(1, &metadata), part(2, &data), part(3, &binary), vec![4 << 3, 1]].concat();
        assert_eq!(
            read(&body("v1", "ConfigMap", &raw)),
            Some(json!({
                "metadata": {"name": "name", "labels": {"app": "x"}, "finalizers": ["a/b"]},
                "data": {"key": "value"}, "binaryData": {"raw": "/wA="}, "immutable": true,
                "apiVersion": "v1", "kind": "ConfigMap",
            }))
        );
    }

    #[test]
    fn what_is_broken_or_unknown_is_not_read() {
        let good = body("v1", "Namespace", &part(1, &part(1, b"a")));
        assert!(read(&good).is_some());
        for length in 0..good.len() - 4 {
            // Cut anywhere but between the two empty fields at the end; it must never panic.
            let cut = read(&good[..length]);
            assert!(cut.is_none() || cut.is_some_and(|c| c["kind"] == "Namespace"), "{length}");
        }
        assert_eq!(read(&body("apps/v1", "Deployment", b"")), None);
        assert_eq!(read(b"{}"), None);
        assert_eq!(read(&[MAGIC, &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]].concat()), None);
    }
}
