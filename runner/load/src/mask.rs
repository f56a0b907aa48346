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

/// Masks credentials in a text whose cuts are marked with an ellipsis, also the beginning of one in front of a cut.
pub(super) fn mask_text(secrets: &Secrets, text: &mut String) {
    let masked = |text: &str, is_cut: bool| {
        let mut bytes = text.as_bytes().to_vec();
        secrets.mask(&mut bytes, is_cut);
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let whole = masked(text, false);
    let last = whole.matches('…').count();
    let parts: Vec<String> = whole.split('…').enumerate().map(|(at, part)| masked(part, at < last)).collect();
    *text = parts.join("…");
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

    /// A header of a sample that was cut kept the beginning of a credential.
    #[test]
    fn masks_the_beginning_of_a_credential_in_front_of_an_ellipsis() {
        let secrets = credentials(&[secret("sess-4f2a9")]);
        for (text, shown) in [
            ("id=sess-4f2…", "id=[redacted]…"),
            ("id=sess-4f2a9; a", "id=[redacted]; a"),
            ("found `sess-4f…`, expected `b`", "found `[redacted]…`, expected `b`"),
            ("id=sess-4f2", "id=sess-4f2"),
        ] {
            let mut masked = text.to_owned();
            mask_text(&secrets, &mut masked);
            assert_eq!(masked, shown);
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
