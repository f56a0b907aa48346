//! Redaction: every result, every event and the terminal's text pass through here before they leave the process.
//!
//! This module finds known secrets in a text, in every spelling that [`Secrets`] knows, and texts that look like a secret (an
//! Authorization header, a password in a URL, a JSON web token). It does not collect secrets: the runner knows the
//! command line, the scenario and the kubeconfig.

use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use serde_json::Value;
use shakedown_schemas::Event;
use shakedown_schemas::result::{RunDigest, RunResult};
use shakedown_schemas::scenario::Secret;
use shakedown_schemas::texts;

use crate::{MASK, Secrets};

/// The minimum length of a path with a query that is treated as a key, in bytes.
const LINK: usize = 12;

/// Header names that contain one of these words have secret values.
const HEADERS: [&str; 13] = [
    "authorization",
    "cookie",
    "token",
    "secret",
    "password",
    "api-key",
    "apikey",
    "credential",
    "access-key",
    "private-key",
    "x-auth",
    "signature",
    "session",
];

/// Names in a query, a form, a JSON object or a log line that end with one of these words have secret values, with any
/// separator between their parts.
const NAMES: [&str; 11] = [
    "password",
    "passwd",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "authkey",
    "credential",
    "signature",
    "sig",
];
/// The minimum length of a value after such a name, in characters: `token=3` is a count.
const VALUE: usize = 6;

/// Redacts secrets in texts. Clones share their secrets, so a secret that is learned late is redacted everywhere from then
/// on.
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    known: Arc<RwLock<Secrets>>,
}

impl Redactor {
    /// Learns a secret, and each of its lines. Returns false if it is too short.
    pub fn learn(&self, secret: &str) -> bool {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let secret = secret.trim();
        for line in secret.lines() {
            known.learn(line.trim().as_bytes());
        }
        known.learn(secret.as_bytes())
    }

    /// Learns the value of a header whose name marks it as secret: the whole value, and the part after its scheme.
    pub fn learn_header(&self, name: &str, value: &str) {
        let name = name.to_ascii_lowercase();
        if HEADERS.iter().any(|word| name.contains(word)) {
            self.learn(value);
            if let Some((_, credentials)) = value.trim().split_once(' ') {
                self.learn(credentials);
            }
        }
    }

    /// Learns the password in a URL, if any.
    pub fn learn_url(&self, url: &str) {
        if let Some((_, password)) = user_info(url).and_then(|(from, to)| url[from..to].split_once(':')) {
            self.learn(password);
        }
    }

    /// Learns a value that a scenario declares as secret, or that may be one.
    pub fn learn_secret(&self, secret: &Secret) {
        match secret {
            Secret::Header { name, value } => self.learn_header(name, value),
            Secret::Url(url) => self.learn_url(url),
            Secret::Text(text) => _ = self.learn(text),
            Secret::Base64(text) => {
                self.learn(text);
                let decoded = base64::engine::general_purpose::STANDARD.decode(text.trim());
                if let Some(text) = decoded.ok().and_then(|bytes| String::from_utf8(bytes).ok()) {
                    self.learn(&text);
                }
            }
        }
    }

    /// Learns the path and the query of a URL that is itself a key, such as a webhook's.
    pub fn learn_link(&self, url: &str) {
        self.learn_url(url);
        let behind = url.split_once("://").and_then(|(_, rest)| Some(&rest[rest.find(['/', '?'])?..]));
        // A short path is not a key and may be an ordinary word.
        if let Some(link) = behind.filter(|it| it.len() >= LINK) {
            self.learn(link);
        }
    }

    /// Redacts a text.
    pub fn text(&self, text: &str) -> String {
        let mut out = text.to_owned();
        self.clean(&mut out);
        out
    }

    fn clean(&self, text: &mut String) {
        self.mask_known(text, false);
        mask_patterns(text);
    }

    /// Redacts the known secrets, in a truncated text also the beginning of one at its end.
    fn mask_known(&self, text: &mut String, is_cut: bool) {
        let mut bytes = std::mem::take(text).into_bytes();
        self.known.read().unwrap_or_else(PoisonError::into_inner).mask(&mut bytes, is_cut);
        *text = String::from_utf8_lossy(&bytes).into_owned();
    }

    /// Redacts every text of a result.
    pub fn result(&self, result: &RunResult) -> RunResult {
        let mut out = result.clone();
        texts::of_result(&mut out, &mut |text, _| self.clean(text));
        let raw = result.scenarios.iter().flat_map(|it| &it.phases).flat_map(|it| &it.loads).flat_map(|it| &it.samples);
        let phases = out.scenarios.iter_mut().flat_map(|it| &mut it.phases);
        let samples = phases.flat_map(|phase| &mut phase.loads).flat_map(|load| &mut load.samples);
        for (sample, raw) in samples.zip(raw) {
            // A broken connection also truncates a body.
            sample.body = self.truncated(&raw.body);
            sample.cause = self.with_cuts(&raw.cause);
            sample.headers.values_mut().zip(raw.headers.values()).for_each(|(text, raw)| *text = self.with_cuts(raw));
        }
        out
    }

    /// Redacts every text of a digest.
    pub fn digest(&self, mut digest: RunDigest) -> RunDigest {
        texts::of_digest(&mut digest, &mut |text, _| self.clean(text));
        digest
    }

    /// Redacts a text that was cut before each of its ellipses.
    fn with_cuts(&self, text: &str) -> String {
        let mut pieces: Vec<String> = text.split('…').map(str::to_owned).collect();
        let cut = pieces.len() - 1;
        for (at, piece) in pieces.iter_mut().enumerate() {
            self.mask_known(piece, at < cut);
        }
        // What looks like a secret may hold an ellipsis.
        let mut text = pieces.join("…");
        mask_patterns(&mut text);
        let mut pieces: Vec<String> = text.split('…').map(str::to_owned).collect();
        let cut = pieces.len() - 1;
        pieces[..cut].iter_mut().for_each(mask_open);
        pieces.join("…")
    }

    /// Redacts a text that was cut at its end.
    fn truncated(&self, text: &str) -> String {
        let mut text = text.to_owned();
        self.mask_known(&mut text, true);
        mask_patterns(&mut text);
        mask_open(&mut text);
        text
    }

    /// Redacts every text of a JSON value, including its keys.
    pub fn value(&self, mut value: Value) -> Value {
        texts::of_value(&mut value, &mut |text, _| self.clean(text));
        value
    }

    /// Redacts every text of an event.
    pub fn event(&self, event: &mut Event) {
        texts::of_event(event, &mut |text, _| self.clean(text));
    }
}

/// Redacts texts that look like a secret.
fn mask_patterns(text: &mut String) {
    let mut ranges = Vec::new();
    // ASCII lower case keeps byte positions.
    let lower = text.to_ascii_lowercase();
    for (at, word) in lower.match_indices("authorization") {
        let from = at + word.len();
        let rest = &text[from..];
        let value = rest.trim_start_matches(['"', '\'', '`', ' ']);
        let Some(value) = value.strip_prefix([':', '=']) else { continue };
        let value = value.trim_start_matches([' ', '"', '\'', '`']);
        let start = text.len() - value.len();
        let length = value.find(['\n', '"', '\'', '`', ',', '}']).unwrap_or(value.len());
        // A template contains no secret itself.
        if !value[..length].contains("{{") {
            ranges.push((start, start + length));
        }
    }
    ranges.extend(named(text, &lower));
    for (at, word) in lower.match_indices("bearer ") {
        let from = at + word.len();
        let length = token(&text[from..]);
        if length >= 8 {
            ranges.push((from, from + length));
        }
    }
    for (at, _) in text.match_indices("eyJ") {
        let length = token(&text[at..]);
        if text[at..at + length].split('.').filter(|part| part.len() > 8).count() >= 3 {
            ranges.push((at, at + length));
        }
    }
    for (at, _) in text.match_indices("://") {
        if let Some((from, to)) = user_info(&text[at..])
            && let Some(colon) = text[at + from..at + to].find(':')
        {
            ranges.push((at + from + colon + 1, at + to));
        }
    }
    ranges.retain(|(from, to)| from < to && &text[*from..*to] != MASK);
    ranges.sort_unstable();
    let mut joined: Vec<(usize, usize)> = Vec::new();
    for (from, to) in ranges {
        match joined.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => joined.push((from, to)),
        }
    }
    replace(text, &joined);
}

/// Redacts what looks like the beginning of a secret at the end of a truncated text.
fn mask_open(text: &mut String) {
    const PAD: &str = "aaaaaaaaaaaaaaaa";
    // A web token without its last parts, and a password without its `@`.
    let mut begins = text.match_indices("eyJ").map(|(at, _)| at);
    let web_token = begins.find(|at| text.len() - at > 8 && token(&text[*at..]) == text.len() - at);
    let password = text.rfind("://").map(|at| at + 3).and_then(|at| {
        let is_open = !text[at..].contains(|c: char| "/?#@\"'<>".contains(c) || c.is_whitespace());
        text[at..].find(':').filter(|_| is_open).map(|colon| at + colon + 1)
    });
    if let Some(at) = web_token.or(password) {
        text.replace_range(at.., MASK);
        return;
    }
    // The others are recognised by the text before them, if they are long enough.
    let mut padded = format!("{text}{PAD}");
    mask_patterns(&mut padded);
    if !padded.ends_with(PAD) {
        *text = padded;
    }
}

/// Replaces each range with the mask. The ranges are sorted and do not overlap.
fn replace(text: &mut String, ranges: &[(usize, usize)]) {
    if ranges.is_empty() {
        return;
    }
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for (from, to) in ranges {
        out.push_str(&text[at..*from]);
        out.push_str(MASK);
        at = *to;
    }
    out.push_str(&text[at..]);
    *text = out;
}

/// The values after names that mark them as secret: `api_key=VALUE` and `"password": "VALUE"`.
fn named(text: &str, lower: &str) -> Vec<(usize, usize)> {
    let mut ranges = Vec::new();
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    for (at, sign) in lower.match_indices(['=', ':']) {
        // A colon counts only in JSON, after a quoted name. Elsewhere it is punctuation.
        let before = &lower[..at];
        let before = if sign == ":" { before.strip_suffix('"').unwrap_or_default() } else { before };
        let name = before.rfind(|c| !part(c)).map_or(before, |gap| &before[gap..]);
        let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
        if !NAMES.iter().any(|word| name.ends_with(word)) {
            continue;
        }
        let behind = &text[at + 1..];
        let value = if sign == ":" { behind.trim_start_matches(' ') } else { behind };
        let value = match value.strip_prefix(['"', '\'']) {
            Some(quoted) => quoted,
            None if sign == ":" => continue,
            None => value,
        };
        let start = text.len() - value.len();
        let ends = |c: char| c.is_whitespace() || "\"'`&,;)}]#<>".contains(c);
        let length = value.find(ends).unwrap_or(value.len());
        let is_mask = value.starts_with(MASK);
        if value[..length].chars().count() >= VALUE && !value[..length].contains("{{") && !is_mask {
            ranges.push((start, start + length));
        }
    }
    ranges
}

/// The length of the token at the start of a text.
fn token(text: &str) -> usize {
    text.find(|c: char| !(c.is_ascii_alphanumeric() || "-._~+/=".contains(c))).unwrap_or(text.len())
}

/// The range of `user:password` in a text that begins with a URL (or with its `://`).
fn user_info(url: &str) -> Option<(usize, usize)> {
    let from = url.find("://")? + 3;
    let length = url[from..].find(|c: char| "/?# \n\"'<>".contains(c)).unwrap_or(url.len() - from);
    let at = url[from..from + length].rfind('@')?;
    Some((from, from + at))
}

#[cfg(test)]
mod tests {
    use shakedown_reports::sample;

    use super::*;

    #[test]
    fn redacts_a_secret_in_every_encoding() {
        let redactor = Redactor::default();
        assert!(redactor.learn("pa\"ss/wörd"));
        for text in [
            "pa\"ss/wörd",
            r#"{"a":"pa\"ss/wörd"}"#,
            r#"{"a":"{\"b\":\"pa\\\"ss\\/w\\u00f6rd\"}"}"#,
            "x?y=pa%22ss%2Fw%C3%B6rd",
            "x?y=pa%22ss%2fw%c3%b6rd",
            "<b>pa&quot;ss/w&#246;rd</b>",
            "cGEic3Mvd8O2cmQ=",
            "basic bWU6cGEic3Mvd8O2cmQ=",
            "70612273732f77c3b67264",
        ] {
            assert!(redactor.text(text).contains(MASK), "{text}: {}", redactor.text(text));
            let rest = redactor.text(text).replace(MASK, "");
            assert!(!rest.contains("rd") && !rest.contains("cmQ") && !rest.contains("7264"), "{text}: {rest}");
        }
        assert_eq!(redactor.text("nothing to hide"), "nothing to hide");
    }

    #[test]
    fn prefers_the_longest_secret_and_rejects_short_ones() {
        let redactor = Redactor::default();
        assert!(redactor.learn("hunter"));
        assert!(redactor.learn("hunter2-and-more"));
        assert_eq!(redactor.text("a hunter2-and-more b hunter c"), "a [redacted] b [redacted] c");
        assert!(!redactor.learn("abc"));
        assert!(!redactor.learn("  x  "));
        assert_eq!(redactor.text("abc x"), "abc x");
    }

    #[test]
    fn redacts_overlapping_secrets_completely() {
        let redactor = Redactor::default();
        for secret in ["abcd", "cdefgh", "xabcdy", "hunter", "redacted"] {
            assert!(redactor.learn(secret));
        }
        for (text, clean) in [
            ("-abcdefgh-", "-[redacted]-"),
            ("-xabcdy-abcd-", "-[redacted]-[redacted]-"),
            ("-xabcdefgh-", "-x[redacted]-"),
            ("hunterhunter", "[redacted][redacted]"),
            ("é-abcd-é", "é-[redacted]-é"),
        ] {
            assert_eq!(redactor.text(text), clean, "{text}");
        }
    }

    #[test]
    fn redacts_a_truncated_secret() {
        let redactor = Redactor::default();
        redactor.learn("hunter2-and-more");
        for (body, is_cut, clean) in [
            ("you sent hunter2-and-more", false, "you sent [redacted]"),
            ("you sent hunter2-a", true, "you sent [redacted]"),
            ("you sent hunter2-a", false, "you sent [redacted]"),
            ("jwt eyJhbGciOiJIUzI1.eyJzdW", true, "jwt [redacted]"),
            (r#"{"password": "ab"#, true, r#"{"password": "[redacted]"#),
            ("bearer abc", true, "bearer [redacted]"),
            ("postgres://me:hid", true, "postgres://me:[redacted]"),
            ("nothing to hide", true, "nothing to hide"),
        ] {
            let mut result = sample::failing();
            let it = &mut result.scenarios[0].phases[1].loads[0].samples[0];
            (it.body, it.body_is_cut) = (body.to_owned(), is_cut);
            it.cause = format!("found `{body}…`, and more");
            let clean_result = redactor.result(&result);
            let it = &clean_result.scenarios[0].phases[1].loads[0].samples[0];
            assert_eq!(it.body, clean);
            assert!(!it.cause.contains("hunter") && !it.cause.contains("eyJ"), "{}", it.cause);
        }
    }

    #[test]
    fn redacts_a_truncated_secret_that_overlaps_another() {
        let redactor = Redactor::default();
        for secret in ["first-hunter2", "hunter2-and-more"] {
            redactor.learn(secret);
        }
        let mut result = sample::failing();
        let it = &mut result.scenarios[0].phases[1].loads[0].samples[0];
        it.body = "you sent first-hunter2-and".to_owned();
        it.cause = "found `first-hunter2-and…`".to_owned();
        it.headers.insert("via".to_owned(), "first-hunter2-and…".to_owned());
        let clean = redactor.result(&result);
        let it = &clean.scenarios[0].phases[1].loads[0].samples[0];
        assert_eq!((&it.body[..], &it.cause[..]), ("you sent [redacted]", "found `[redacted]…`"));
        assert_eq!(it.headers["via"], "[redacted]…");
    }

    #[test]
    fn redacts_a_multi_line_key_line_by_line() {
        let redactor = Redactor::default();
        redactor.learn("-----BEGIN KEY-----\nMIIEpAIBAAKC\n-----END KEY-----\n");
        assert_eq!(redactor.text("    MIIEpAIBAAKC"), "    [redacted]");
    }

    #[test]
    fn redacts_texts_that_look_like_a_secret() {
        let redactor = Redactor::default();
        for (text, clean) in [
            ("GET / Authorization: Basic dXNlcjpwYXNz\nHost: x", "GET / Authorization: [redacted]\nHost: x"),
            (r#"{"authorization":"Bearer abcdefgh.ijk"}"#, r#"{"authorization":"[redacted]"}"#),
            ("sent bearer abcdefghijkl, refused", "sent bearer [redacted], refused"),
            ("http://me:hidden@db:5432/x", "http://me:[redacted]@db:5432/x"),
            ("authorization failed for the bearer of it", "authorization failed for the bearer of it"),
            (r#"Authorization: "{{ scheme }} {{ token }}""#, r#"Authorization: "{{ scheme }} {{ token }}""#),
            ("jwt eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.SflKxwRJSMeKKF2Q end", "jwt [redacted] end"),
            ("http://10.0.0.1:6443/api", "http://10.0.0.1:6443/api"),
            ("GET /x?api_key=abcdefg&n=1 and Sig='0123456'", "GET /x?api_key=[redacted]&n=1 and Sig='[redacted]'"),
            (r#"{"db_password": "hunter22", "n": 3}"#, r#"{"db_password": "[redacted]", "n": 3}"#),
            ("login failed, access-key=AKIA01234567;", "login failed, access-key=[redacted];"),
            ("max_tokens=100000 token=3 first token: 93.5ms", "max_tokens=100000 token=3 first token: 93.5ms"),
            ("url: 'http://x/?token={{ token }}'", "url: 'http://x/?token={{ token }}'"),
            ("design=12345678 secret: none-of-yours", "design=12345678 secret: none-of-yours"),
        ] {
            assert_eq!(redactor.text(text), clean);
            assert_eq!(redactor.text(clean), clean, "a second time changes nothing");
        }
    }

    #[test]
    fn learns_secrets_from_headers_and_urls() {
        let redactor = Redactor::default();
        redactor.learn_header("X-Api-Key", "k3y-of-mine");
        redactor.learn_header("Authorization", "Bearer t0ken-of-mine");
        redactor.learn_header("Accept", "text/html");
        redactor.learn_url("https://me:s3cret@db/x");
        redactor.learn_link("https://chat.example/services/T0/B0/k3y");
        redactor.learn_link("https://chat.example/x");
        redactor.learn_link("no url");
        assert_eq!(
            redactor.text("--notify https://chat.example/services/T0/B0/k3y"),
            "--notify https://chat.example[redacted]"
        );
        assert_eq!(redactor.text("https://chat.example/x"), "https://chat.example/x");
        let text = "k3y-of-mine t0ken-of-mine s3cret text/html";
        assert_eq!(redactor.text(text), "[redacted] [redacted] [redacted] text/html");
    }

    #[test]
    fn redacts_secrets_of_a_scenario() {
        let redactor = Redactor::default();
        for secret in [
            Secret::Header { name: "Cookie".into(), value: "session=c00kie".into() },
            Secret::Url("http://me:passw0rd@h".into()),
            Secret::Text("plain-text".into()),
            // `inside-an-object`
            Secret::Base64("aW5zaWRlLWFuLW9iamVjdA==".into()),
        ] {
            redactor.learn_secret(&secret);
        }
        let text = "session=c00kie passw0rd plain-text inside-an-object aW5zaWRlLWFuLW9iamVjdA==";
        assert_eq!(redactor.text(text), [MASK; 5].join(" "));
    }
}
