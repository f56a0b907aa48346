use super::*;

/// A letter at its end and its beginning, and what encoders escape in between.
const SECRET: &str = "Tr0ub4&dor<3/o'x \"zz\\é+=end";

fn masked(secret: &str, text: &str) -> String {
    let mut secrets = Secrets::default();
    assert!(secrets.learn(secret.as_bytes()));
    let mut bytes = text.as_bytes().to_vec();
    secrets.mask(&mut bytes, false);
    String::from_utf8(bytes).unwrap()
}

#[test]
fn every_spelling_is_found() {
    for shown in SPELLINGS {
        assert_eq!(masked(SECRET, &format!("<{shown}>")), "<[redacted]>", "{shown}");
    }
    for (text, shown) in [("%25x 100%25x", "%25x [redacted]"), ("100%x100%x", "[redacted][redacted]")] {
        assert_eq!(masked("100%x", text), shown);
    }
    assert_eq!(masked("50%25ab", "50%25ab"), MASK, "as it is, though it looks escaped");
}

/// A user's name in front of a secret shifts its bits in base64.
#[test]
fn base64_is_found_whatever_is_around_it() {
    for secret in [SECRET, "h/n?r2", "pass"] {
        for before in ["", "u", "us", "user:", "{\"auth\":\""] {
            for behind in ["", "\n", "!!", "\"}}"] {
                let text = format!("{before}{secret}{behind}");
                for encoded in [base64::engine::general_purpose::STANDARD.encode(&text), URL_SAFE_NO_PAD.encode(&text)]
                {
                    let shown = masked(secret, &encoded);
                    assert!(shown.contains(MASK), "{text}: {encoded}: {shown}");
                    let kept = shown.replace(MASK, "").len();
                    assert!(kept <= (before.len() + behind.len()) * 4 / 3 + 3, "{text}: {encoded}: {shown}");
                }
            }
        }
    }
}

#[test]
fn what_is_no_secret_stays() {
    for text in ["Tr0ub4&dor", "tr0ub4&dor<3/o'x \"zz\\é+=end", "%54%72", r"\\\\\\\\\\\\\\\\\\", "%25%25%25%25%25%25"]
    {
        assert_eq!(masked(SECRET, text), text);
    }
    assert!(!Secrets::default().learn(b"abc"));
}

#[test]
fn the_beginning_of_a_secret_is_found_where_a_text_is_cut() {
    let mut secrets = Secrets::default();
    secrets.learn(b"abc/def");
    secrets.learn("it is ab\u{e9}\u{e9}".as_bytes());
    secrets.learn(b"ab\xff\xfe");
    for (text, shown) in [
        (&b"the end is abc/d"[..], "the end is [redacted]"),
        (b"the end is abc%2", "the end is abc%2"),
        (b"the end is abc%2Fd%", "the end is [redacted]"),
        (b"the end is abc", "the end is abc"),
        (b"it is ab\xc3", "[redacted]"),
        (b"<ab\xff\xfe>", "<[redacted]>"),
        (b"nothing", "nothing"),
        (b"", ""),
    ] {
        let mut text = text.to_vec();
        secrets.mask(&mut text, true);
        assert_eq!(String::from_utf8(text).unwrap(), shown);
    }
}

/// What begins within a secret, or where another ends, is the beginning of one too.
#[test]
fn a_secret_at_the_end_of_a_cut_text_is_masked_completely() {
    let mut secrets = Secrets::default();
    for secret in ["hunter2-hunter2", "sess-4f2a9", "4f2a9-refresh"] {
        secrets.learn(secret.as_bytes());
    }
    for (text, shown) in [
        ("it is hunter2-hunter2", "it is [redacted]"),
        ("it is hunter2-hunter2-hunter2", "it is [redacted]"),
        ("it is sess-4f2a9", "it is [redacted]"),
        ("it is sess-4f2a9-ref", "it is [redacted]"),
        ("sess-4f2a9 and 4f2a9-r", "[redacted] and [redacted]"),
    ] {
        let mut text = text.as_bytes().to_vec();
        secrets.mask(&mut text, true);
        assert_eq!(String::from_utf8(text).unwrap(), shown);
    }
}

#[test]
fn the_beginning_of_a_secret_is_found_where_an_escape_is_cut() {
    let mut secrets = Secrets::default();
    secrets.learn(b"abcd\"efgh");
    secrets.learn(b"abcd&efgh");
    for (text, shown) in [
        (r"<abcd\u0026amp;quot", "<[redacted]"),
        (r"<abcd\u0026amp;quo", "<[redacted]"),
        (r"<abcd\\\\u0026amp;#x0002", "<[redacted]"),
        ("<abcd&amp", "<[redacted]"),
        ("<abcd& and more", "<abcd& and more"),
        ("<abcd\\ and more", "<abcd\\ and more"),
        // Digits in hexadecimal: three characters are too short, four are not.
        ("id 616263", "id 616263"),
        ("id 6162636", "id 6162636"),
        ("id 61626364", "id [redacted]"),
    ] {
        let mut masked = text.as_bytes().to_vec();
        secrets.mask(&mut masked, true);
        assert_eq!(String::from_utf8(masked).unwrap(), shown, "{text}");
    }
}

/// HTML and some languages allow any number of zeros in front.
#[test]
fn zeros_in_front_of_a_number_are_ignored() {
    for slash in ["&#0000047;", "&#x0002F;", "&#00000000000000000000000000000000000000000047;", r"\u{00002f}", "&#47;"]
    {
        assert_eq!(masked("abc/def", &format!("<abc{slash}def>")), "<[redacted]>", "{slash}");
    }
    assert_eq!(masked("abc\0def", "abc&#0;def abc&#x0;def"), "[redacted] [redacted]");
}

/// As the named programs write [`SECRET`].
const SPELLINGS: [&str; 20] = [
    SECRET,
    // JSON; PHP escapes slashes; Go escapes HTML; Jackson escapes what is not ASCII; .NET and Gson write upper case.
    r#"Tr0ub4&dor<3/o'x \"zz\\é+=end"#,
    r#"Tr0ub4&dor<3\/o'x \"zz\\\u00e9+=end"#,
    r#"Tr0ub4\u0026dor\u003c3/o'x \"zz\\é+=end"#,
    r"Tr0ub4\u0026dor\u003C3/o\u0027x \u0022zz\\\u00E9\u002B\u003Dend",
    // JSON in JSON, and in JSON again.
    r#"Tr0ub4&dor<3/o'x \\\"zz\\\\é+=end"#,
    r#"Tr0ub4\\u0026dor\\u003c3/o'x \\\"zz\\\\é+=end"#,
    r#"Tr0ub4&dor<3/o'x \\\\\\\"zz\\\\\\\\é+=end"#,
    // JSON in HTML, and HTML in JSON.
    r"Tr0ub4&amp;dor&lt;3/o&#x27;x \&quot;zz\\é+=end",
    r#"Tr0ub4\u0026amp;dor\u0026lt;3/o\u0026#39;x \u0026#34;zz\\é+=end"#,
    // HTML by names, by numbers, and twice.
    "Tr0ub4&amp;dor&lt;3/o&apos;x &quot;zz\\é+=end",
    "Tr0ub4&#38;dor&#60;3&#x2F;o&#039;x &#34;zz&#92;&#233;&#43;&#61;end",
    "Tr0ub4&amp;amp;dor&amp;lt;3/o&amp;#x27;x &amp;quot;zz\\é+=end",
    // URLs and forms, in both cases, and twice.
    "Tr0ub4%26dor%3C3%2Fo%27x%20%22zz%5C%C3%A9%2B%3Dend",
    "Tr0ub4%26dor%3c3%2fo'x+%22zz%5c%c3%a9%2b%3dend",
    "Tr0ub4%2526dor%253C3%252Fo%2527x%2520%2522zz%255C%25C3%25A9%252B%253Dend",
    // Python's `repr` of a text and of bytes, a shell, SQL and CSV.
    r#"Tr0ub4&dor<3/o\'x "zz\\\xe9+=end"#,
    r#"Tr0ub4&dor<3/o\'x "zz\\\xc3\xa9+=end"#,
    r#"Tr0ub4&dor<3/o'\''x "zz\é+=end"#,
    r#"Tr0ub4&dor<3/o''x ""zz\é+=end"#,
];

/// Every character escaped, whatever it is, and hexadecimal.
#[test]
fn what_escapes_everything_is_found() {
    let each = |write: fn(u8) -> String| SECRET.bytes().map(write).collect::<String>();
    for shown in [
        each(|byte| format!("%{byte:02X}")),
        each(|byte| format!(r"\x{byte:02x}")),
        each(|byte| format!("{byte:02x}")),
        each(|byte| format!("{byte:02X}")),
        SECRET.encode_utf16().map(|unit| format!(r"\u{unit:04x}")).collect(),
        SECRET.chars().map(|it| format!("&#{};", u32::from(it))).collect(),
    ] {
        assert_eq!(masked(SECRET, &format!("<{shown}>")), "<[redacted]>", "{shown}");
    }
}

/// The search tries only the patterns that may begin at a place. These are all that do.
#[test]
fn no_spelling_of_a_first_character_is_missed() {
    let wrap = |text: &str, write: &dyn Fn(char) -> String| -> String {
        text.chars().map(|it| if it.is_alphanumeric() { it.to_string() } else { write(it) }).collect()
    };
    let writes: [&dyn Fn(char) -> String; 8] = [
        &|it| it.to_string(),
        &|it| format!("%{:02X}", u32::from(it)),
        &|it| format!(r"\u{:04x}", u32::from(it)),
        &|it| format!(r"\{it}"),
        &|it| format!(r"\u{{0{:X}}}", u32::from(it)),
        &|it| format!("&#x0{:x};", u32::from(it)),
        &|it| format!("&#{};", u32::from(it)),
        &|it| match it {
            '&' => "&amp;".to_owned(),
            '"' => "&quot;".to_owned(),
            ' ' => "+".to_owned(),
            _ => it.to_string(),
        },
    ];
    let mut found = 0;
    for first in r#"aB7%\&+'" #{/<é中😀"#.chars().chain(['\0', '\n']) {
        let mut secrets = Secrets::default();
        secrets.learn(format!("{first}bcdef").as_bytes());
        for (one, two) in writes.iter().flat_map(|one| writes.iter().map(move |two| (one, two))) {
            for three in writes {
                let text = format!("{}bcdef", wrap(&wrap(&one(first), two), three)).into_bytes();
                let all = secrets.patterns.iter().filter_map(|pattern| pattern.range(&text, 0)).max();
                let tried = secrets.ranges(&text).first().copied().filter(|it| it.0 == 0);
                assert_eq!(all, tried, "{first}: {}", String::from_utf8_lossy(&text));
                found += usize::from(all.is_some());
            }
        }
    }
    assert!(found > 5_000, "{found}");
}
