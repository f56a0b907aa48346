//! Removes captured credentials from texts that are shown, in every spelling in which an answer may repeat them.

use shakedown_secrets::Secrets;

use super::capture::Values;

/// The captured credentials, for the search in all texts of a sample.
pub(super) fn credentials(values: &Values) -> Secrets {
    let mut secrets = Secrets::default();
    for value in values.iter().flatten().filter(|value| value.is_secret) {
        secrets.learn(&value.text);
    }
    secrets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Captured;

    fn masked(text: &str, values: &Values, is_cut: bool) -> String {
        let mut bytes = text.as_bytes().to_vec();
        credentials(values).mask(&mut bytes, is_cut);
        String::from_utf8(bytes).unwrap()
    }

    fn secret(text: &str) -> Option<Captured> {
        Some(Captured { text: text.as_bytes().into(), is_json: false, is_url: false, is_secret: true })
    }

    #[test]
    fn masks_credentials_also_where_a_text_is_cut() {
        let open = Some(Captured { text: b"order-7"[..].into(), is_json: false, is_url: false, is_secret: false });
        let values = [secret("abc/def"), None, open, secret("abc/def/ghi"), secret("xy")];
        for (text, is_cut, shown) in [
            ("token abc/def of order-7 xy", false, "token [redacted] of order-7 xy"),
            ("abc/def/ghi abc%2Fdef", false, "[redacted] [redacted]"),
            ("the end is abc/d", true, "the end is [redacted]"),
            ("the end is abc/d", false, "the end is abc/d"),
            ("the end is abc/def%2", true, "the end is [redacted]"),
            ("the end is abc", true, "the end is abc"),
            ("abc", true, "abc"),
        ] {
            assert_eq!(masked(text, &values, is_cut), shown);
        }
    }

    /// The table of spellings is in the crate `secrets`.
    #[test]
    fn masks_a_credential_as_an_answer_spells_it() {
        let values = [secret("a/b+c=\"d\"&end")];
        for shown in [
            r#"a\/b+c=\"d\"&end"#,
            "a%2fb%2bc%3d%22d%22%26end",
            "a&#x2F;b&#43;c=&#34;d&#34;&amp;end",
            "YS9iK2M9ImQiJmVuZA==",
        ] {
            assert_eq!(masked(&format!("<{shown}>"), &values, false), "<[redacted]>");
        }
        assert_eq!(masked("user YS9iK2M9ImQ", &values, true), "user [redacted]", "its beginning in base64");
    }
}
