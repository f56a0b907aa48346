//! Compares an object in the cluster with the sent one.

use serde_json::Value;

/// Whether the object contains everything that was sent. The server may add defaults, but no list may be longer: a longer
/// list of allowed peers is another policy.
pub(super) fn includes(there: &Value, sent: &Value) -> bool {
    match (there, sent) {
        (Value::Object(there), Value::Object(sent)) => {
            // The server omits empty lists.
            let empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
            sent.iter().all(|(key, value)| there.get(key).map_or_else(|| empty(value), |there| includes(there, value)))
        }
        (Value::Array(there), Value::Array(sent)) => {
            there.len() == sent.len() && there.iter().zip(sent).all(|(there, sent)| includes(there, sent))
        }
        (there, sent) => there == sent,
    }
}

/// Whether both are equal, apart from fields that the server omits.
pub(super) fn same(there: &Value, sent: &Value) -> bool {
    includes(there, sent) && includes(sent, there)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_policy_is_as_sent_when_only_defaults_were_added() {
        let sent = json!({"egress": [{"ports": [{"port": 53}]}], "policyTypes": ["Egress"]});
        let with_default =
            json!({"egress": [{"ports": [{"port": 53, "protocol": "TCP"}]}], "policyTypes": ["Egress"], "x": 1});
        assert!(includes(&with_default, &sent));
        let widened = json!({"egress": [{"ports": [{"port": 53}]}, {}], "policyTypes": ["Egress"]});
        assert!(!includes(&widened, &sent));
        let dropped = json!({"egress": [{"ports": [{}]}], "policyTypes": ["Egress"]});
        assert!(!includes(&dropped, &sent));
    }

    #[test]
    fn a_rule_that_lost_its_ports_is_another_rule() {
        let narrow = json!({"egress": [{"ports": [{"port": 53, "protocol": "TCP"}], "to": [{"podSelector": {}}]}]});
        let wide = json!({"egress": [{"to": [{"podSelector": {}}]}], "ingress": []});
        assert!(includes(&narrow, &wide) && !same(&narrow, &wide));
        assert!(same(&json!({"egress": []}), &json!({"egress": [], "ingress": []})));
    }
}
