//! JSON values as YAML, the usual form of Kubernetes objects. Output only, and only JSON's types.
//!
//! By hand, because it cannot fail, and because golden files, plans and reports contain its bytes: how serde-saphyr quotes and
//! folds texts may change with its next version.

use serde_json::Value;

/// A JSON value as a YAML document. Keys keep their order.
pub fn to_yaml(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => block(value, 0, &mut out),
        Value::Array(list) if !list.is_empty() => block(value, 0, &mut out),
        _ => {
            out.push_str(&flow(value));
            out.push('\n');
        }
    }
    out
}

/// Writes a non-empty map or list, each entry on its own line. The cursor is at the start of a line, or after `- ` at the
/// same indentation.
fn block(value: &Value, indent: usize, out: &mut String) {
    let pad = |out: &mut String| {
        if out.is_empty() || out.ends_with('\n') {
            out.extend(std::iter::repeat_n(' ', indent));
        }
    };
    match value {
        Value::Object(map) => {
            for (key, item) in map {
                pad(out);
                out.push_str(&scalar(key));
                out.push(':');
                match item {
                    Value::Object(inner) if !inner.is_empty() => {
                        out.push('\n');
                        block(item, indent + 2, out);
                    }
                    Value::Array(inner) if !inner.is_empty() => {
                        out.push('\n');
                        block(item, indent, out);
                    }
                    _ => {
                        out.push(' ');
                        out.push_str(&flow(item));
                        out.push('\n');
                    }
                }
            }
        }
        Value::Array(list) => {
            for item in list {
                pad(out);
                out.push_str("- ");
                match item {
                    Value::Object(inner) if !inner.is_empty() => block(item, indent + 2, out),
                    Value::Array(inner) if !inner.is_empty() => block(item, indent + 2, out),
                    _ => {
                        out.push_str(&flow(item));
                        out.push('\n');
                    }
                }
            }
        }
        _ => {}
    }
}

/// A value on the current line.
fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        Value::Object(_) => "{}".to_owned(),
        Value::Array(_) => "[]".to_owned(),
        other => other.to_string(),
    }
}

/// A string: plain if every YAML 1.1 and 1.2 parser reads it as a string, otherwise in double quotes. All escapes of JSON
/// are valid there.
fn scalar(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./ @".contains(c))
        && !text.ends_with(' ')
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n" | "null"
        );
    if plain { text.to_owned() } else { Value::String(text.to_owned()).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_object_reads_like_kubectl_writes_it() {
        let policy = json!({
            "apiVersion": "networking.k8s.io/v1",
            "metadata": {"name": "cut", "labels": {"a.b/c": "yes", "n": "1"}, "annotations": {}},
            "spec": {
                "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": []}}, {"podSelector": {}}]}],
                "matrix": [[1, 2], ["x"]],
                "ports": [80, null, true, -1.5],
                "note": "line\nbreak: \"quoted\"",
            },
        });
        let expected = r#"apiVersion: networking.k8s.io/v1
metadata:
  name: cut
  labels:
    a.b/c: "yes"
    "n": "1"
  annotations: {}
spec:
  egress:
  - to:
    - ipBlock:
        cidr: "10.0.0.0/8"
        except: []
    - podSelector: {}
  matrix:
  - - 1
    - 2
  - - x
  ports:
  - 80
  - null
  - true
  - -1.5
  note: "line\nbreak: \"quoted\""
"#;
        assert_eq!(to_yaml(&policy), expected);
        assert_eq!(to_yaml(&json!({})), "{}\n");
        assert_eq!(to_yaml(&json!([])), "[]\n");
        assert_eq!(to_yaml(&json!("x: y")), "\"x: y\"\n");
    }
}
