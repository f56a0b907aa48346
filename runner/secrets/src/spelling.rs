//! The spellings of one character, and where one ends in a text.

use std::ops::Deref;
use std::sync::LazyLock;

/// How often an escape may itself be escaped: JSON in a string of JSON in HTML.
pub(crate) const DEPTH: u32 = 3;

/// The longest spelling of a character that a cut may break, in bytes: four `\xXX`, each in three strings of JSON, have 44.
pub(crate) const LONGEST: usize = 48;

/// Any number of zeros, in an escape.
const ZEROS: u8 = 0;

/// The signs with which an escape begins that may be escaped itself.
pub(crate) const SIGNS: [u8; 3] = *br"\%&";

/// The bytes with which an escape begins.
const QUOTING: [u8; 6] = *br#"\%&+'""#;

/// The sign of an escape, and the letters and digits after it, which say whose it is.
pub(crate) type Code = (u8, u128);

/// The maximum length of the second part of a code: `u{10ffff` and `U0010ffff` have fewer bytes.
const CODE: u32 = 12;

/// Marks a code that ends where the next character of the escape is escaped itself.
const OPEN: u128 = 1 << 127;

/// The codes in front of a number: `#`, `#x` and `u{`.
const NUMBERS: [u128; 3] = [0x23, 0x2378, 0x757b];

/// Characters that HTML writes by name.
const ENTITIES: [(char, &str); 5] = [('&', "&amp;"), ('"', "&quot;"), ('<', "&lt;"), ('>', "&gt;"), ('\'', "&apos;")];

/// Control characters that JSON writes with a backslash and a letter (RFC 8259, section 7).
const CONTROLS: [(char, char); 5] = [('\n', 'n'), ('\r', 'r'), ('\t', 't'), ('\u{8}', 'b'), ('\u{c}', 'f')];

/// A character, or a byte that belongs to none, and the ways to escape it.
#[derive(Debug, Clone)]
pub(crate) struct Character {
    literal: Vec<u8>,
    /// Whether the literal may be in upper or lower case.
    pub(crate) is_hex: bool,
    /// Its escapes. The case of their letters does not matter.
    escapes: Vec<String>,
    /// The ASCII characters that may follow the backslashes of an escape, each as a bit.
    follows: u128,
}

/// A character of a pattern. A long secret has many, so most refer to a table.
#[derive(Debug)]
pub(crate) enum Place {
    Known(&'static Character),
    Own(Box<Character>),
}

impl Deref for Place {
    type Target = Character;

    fn deref(&self) -> &Character {
        match self {
            Self::Known(it) => it,
            Self::Own(it) => it,
        }
    }
}

/// The ASCII characters, of which escapes consist.
static ASCII: LazyLock<Vec<Character>> =
    LazyLock::new(|| (0..128_u8).map(|byte| Character::new(byte.into())).collect());

/// The ASCII characters without escapes.
static PLAIN: LazyLock<Vec<Character>> =
    LazyLock::new(|| (0..128).map(|byte| Character::with(vec![byte], Vec::new())).collect());

/// The digits in hexadecimal.
static DIGITS: LazyLock<Vec<Character>> = LazyLock::new(|| {
    let digits = b"0123456789abcdef".iter();
    digits.map(|digit| Character { is_hex: true, ..Character::with(vec![*digit], Vec::new()) }).collect()
});

impl Character {
    fn new(it: char) -> Self {
        let literal = it.to_string().into_bytes();
        let (code, mut units) = (u32::from(it), [0; 2]);
        let join = |parts: &mut dyn Iterator<Item = String>| parts.collect::<String>();
        let mut escapes = vec![
            join(&mut literal.iter().map(|byte| format!("%{byte:02x}"))),
            join(&mut literal.iter().map(|byte| format!(r"\x{byte:02x}"))),
            join(&mut it.encode_utf16(&mut units).iter().map(|unit| format!(r"\u{unit:04x}"))),
            format!(r"\U{code:08x}"),
        ];
        let zeros = if code > 0 { char::from(ZEROS).to_string() } else { String::new() };
        escapes.push(format!(r"\u{{{zeros}{code:x}}}"));
        escapes.extend([format!("&#x{zeros}{code:x};"), format!("&#{zeros}{code};")]);
        if code < 256 {
            escapes.push(format!(r"\x{code:02x}"));
        }
        escapes.extend(ENTITIES.iter().filter(|(of, _)| *of == it).map(|(_, name)| (*name).to_owned()));
        escapes.extend(CONTROLS.iter().filter(|(of, _)| *of == it).map(|(_, letter)| format!(r"\{letter}")));
        if it.is_ascii_punctuation() || it == ' ' {
            escapes.push(format!(r"\{it}"));
        }
        match it {
            ' ' => escapes.push("+".to_owned()),
            // YAML, SQL and CSV double quotes; a shell ends its string for one.
            '"' => escapes.push(r#""""#.to_owned()),
            '\'' => escapes.extend(["''".to_owned(), r"'\''".to_owned()]),
            _ => {}
        }
        escapes.sort();
        escapes.dedup();
        Self::with(literal, escapes)
    }

    fn with(literal: Vec<u8>, escapes: Vec<String>) -> Self {
        let mut follows = 0;
        // What may also begin an escape of a sign.
        let seconds = escapes.iter().filter_map(|escape| escape.strip_prefix('\\')?.bytes().next());
        for byte in seconds.chain(*b"uUxX%&") {
            follows |= 1 << byte.to_ascii_lowercase() | 1 << byte.to_ascii_uppercase();
        }
        Self { literal, is_hex: false, escapes, follows }
    }

    /// The characters of a text in UTF-8. A byte that belongs to none is one by itself.
    pub(crate) fn all(text: &[u8]) -> Vec<Place> {
        let mut all = Vec::new();
        for chunk in text.utf8_chunks() {
            all.extend(chunk.valid().chars().map(|it| match ASCII.get(it as usize) {
                Some(known) => Place::Known(known),
                None => Place::Own(Box::new(Self::new(it))),
            }));
            all.extend(chunk.invalid().iter().map(|byte| {
                let escapes = vec![format!("%{byte:02x}"), format!(r"\x{byte:02x}")];
                Place::Own(Box::new(Self::with(vec![*byte], escapes)))
            }));
        }
        all
    }

    /// The characters of a text in base64. Only its signs are escaped.
    pub(crate) fn base64(text: &str) -> Vec<Place> {
        let table = |byte: u8| if byte.is_ascii_alphanumeric() { &PLAIN } else { &ASCII };
        text.bytes().map(|byte| Place::Known(&table(byte)[usize::from(byte)])).collect()
    }

    /// The digits of a text in hexadecimal.
    pub(crate) fn hex(text: &[u8]) -> Vec<Place> {
        let digits = text.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        digits.map(|it| Place::Known(&DIGITS[usize::from(it)])).collect()
    }

    /// The pairs of bytes with which a spelling of this character and of the next one can begin.
    pub(crate) fn starts(&self, next: &Self) -> Vec<(u8, u8)> {
        let mut pairs = Vec::new();
        let mut add = |first: u8, seconds: Vec<u8>| pairs.extend(seconds.into_iter().map(|second| (first, second)));
        for first in self.literals() {
            add(first, self.literal.get(1).map_or_else(|| next.firsts(), |second| vec![*second]));
        }
        let signs = if self.escapes.is_empty() { &[] } else { &SIGNS[..] };
        let of_signs = signs.iter().flat_map(|sign| &ASCII[usize::from(*sign)].escapes);
        for escape in self.escapes.iter().chain(of_signs) {
            let second = match escape.as_bytes().get(1) {
                None => next.firsts(),
                Some(second) if second.is_ascii_alphanumeric() => {
                    vec![second.to_ascii_lowercase(), second.to_ascii_uppercase()]
                }
                Some(second) => ASCII[usize::from(*second)].firsts(),
            };
            add(escape.as_bytes()[0], second);
        }
        pairs
    }

    /// The codes of its escapes.
    pub(crate) fn codes(&self) -> Vec<Code> {
        let mut codes = Vec::new();
        for escape in &self.escapes {
            let (sign, rest) = (escape.as_bytes()[0], &escape.as_bytes()[1..]);
            let Some(second) = rest.first() else { continue };
            let (code, _) = code(rest);
            codes.push((sign, if code > 0 { code } else { (*second).into() }));
            if !second.is_ascii_alphanumeric() {
                codes.push((sign, OPEN));
            } else if rest.starts_with(b"u{") {
                codes.push((sign, OPEN | u128::from(b'u')));
            }
        }
        codes
    }

    /// Whether its literal begins with this byte.
    pub(crate) fn is_literal(&self, byte: u8) -> bool {
        self.literal[0] == byte
    }

    /// The first bytes of its literal.
    fn literals(&self) -> Vec<u8> {
        let byte = self.literal[0];
        if self.is_hex { vec![byte.to_ascii_lowercase(), byte.to_ascii_uppercase()] } else { vec![byte] }
    }

    /// The bytes with which a spelling of it can begin.
    fn firsts(&self) -> Vec<u8> {
        let mut all = self.literals();
        all.extend(self.escapes.iter().map(|escape| escape.as_bytes()[0]));
        all.extend(if self.escapes.is_empty() { &[] } else { &SIGNS[..] });
        all
    }

    /// Adds the ends of its spellings that begin at a place of a text.
    pub(crate) fn ends(&self, text: &[u8], at: usize, depth: u32, ends: &mut Vec<usize>) {
        let rest = &text[at..];
        if rest.starts_with(&self.literal) || self.is_hex && rest[0].eq_ignore_ascii_case(&self.literal[0]) {
            ends.push(at + self.literal.len());
        }
        if depth > 0 && QUOTING.contains(&rest[0]) && self.may_follow(rest) {
            self.escaped_ends(text, at, depth - 1, ends);
        }
    }

    /// Whether an escape of it may end what begins with backslashes: what follows them says which character it is.
    fn may_follow(&self, text: &[u8]) -> bool {
        let Some(follows) = text.iter().take(1 << (DEPTH + 1)).find(|byte| **byte != b'\\') else {
            return self.literal == *b"\\";
        };
        text[0] != b'\\' || self.literal == *b"\\" || follows.is_ascii() && self.follows >> *follows & 1 == 1
    }

    fn escaped_ends(&self, text: &[u8], at: usize, depth: u32, ends: &mut Vec<usize>) {
        let mut signs = Vec::new();
        if depth > 0 && may_be_sign(&text[at..]) {
            for sign in SIGNS {
                let mut ends = Vec::new();
                ASCII[usize::from(sign)].escaped_ends(text, at, depth - 1, &mut ends);
                signs.extend(ends.into_iter().map(|end| (sign, end)));
            }
        }
        for escape in &self.escapes {
            let (sign, rest) = (escape.as_bytes()[0], &escape.as_bytes()[1..]);
            if text[at] == sign {
                rest_ends(rest, text, at + 1, depth, ends);
            }
            for (_, end) in signs.iter().filter(|(it, _)| *it == sign) {
                rest_ends(rest, text, *end, depth, ends);
            }
        }
    }

    /// Whether a text ends before a spelling of this character does.
    pub(crate) fn is_begun(&self, rest: &[u8]) -> bool {
        let Some(first) = rest.first() else { return true };
        let mut ends = Vec::new();
        self.ends(rest, 0, DEPTH, &mut ends);
        let is_escape = SIGNS.contains(first) && !self.escapes.is_empty() && rest.iter().all(is_of_escape);
        // A sign may be the character itself, or begin an escape of it.
        let is_open = ends.is_empty() || ends == [1] && rest.len() > 1;
        rest.len() < LONGEST && is_open && (is_escape || self.literal.starts_with(rest))
    }
}

/// Whether the beginning of an escape may contain this byte.
fn is_of_escape(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || br"\%&#;{".contains(byte)
}

/// The codes of the characters that a text may spell at a place with a sign.
pub(crate) fn codes_at(text: &[u8], at: usize) -> Vec<Code> {
    let mut codes = Vec::new();
    if !SIGNS.contains(&text[at]) {
        return codes;
    }
    // So many backslashes spell another backslash, if anything.
    if text[at..].iter().take(1 << (DEPTH + 1)).all(|byte| *byte == b'\\') {
        return vec![(b'\\', b'\\'.into())];
    }
    add_codes(text, text[at], at + 1, &mut codes);
    if may_be_sign(&text[at..]) {
        let mut ends = Vec::new();
        for sign in SIGNS {
            ASCII[usize::from(sign)].escaped_ends(text, at, DEPTH - 2, &mut ends);
            ends.drain(..).for_each(|end| add_codes(text, sign, end, &mut codes));
        }
    }
    codes
}

/// Adds the codes of the escapes with this sign, which ends here.
fn add_codes(text: &[u8], sign: u8, at: usize, codes: &mut Vec<Code>) {
    let Some(second) = text.get(at) else { return };
    let (mut code, length) = code(&text[at..]);
    let is_escaped = |byte: u8| {
        let mut ends = Vec::new();
        ASCII[usize::from(byte)].ends(text, at + length, DEPTH, &mut ends);
        !ends.is_empty()
    };
    let is_open = text.get(at + length).is_some_and(|byte| SIGNS.contains(byte));
    if code == 0 {
        codes.push((sign, (*second).into()));
        if *second == b'+' {
            codes.push((sign, b' '.into()));
        }
        if is_open && (sign != b'&' || is_escaped(b'#')) {
            codes.push((sign, OPEN));
        }
    } else if code == b'u'.into() && is_open && is_escaped(b'{') {
        codes.push((sign, OPEN | code));
    }
    // It may end before what is behind it does.
    while code > 0 {
        codes.push((sign, code));
        code >>= 8;
    }
}

/// What is behind the sign of an escape, in lower case, up to a character that may be escaped itself or ends it; and its length.
/// Zeros in front of a number are left out.
fn code(text: &[u8]) -> (u128, usize) {
    let mut code = 0;
    for (at, byte) in text.iter().enumerate() {
        let is_zero = *byte == b'0' && NUMBERS.contains(&code);
        if is_zero || *byte == ZEROS {
            continue;
        }
        if code >> (8 * (CODE - 1)) > 0 || !(byte.is_ascii_alphanumeric() || b"#{".contains(byte)) {
            return (code, at);
        }
        code = code << 8 | u128::from(byte.to_ascii_lowercase());
    }
    (code, text.len())
}

/// Whether a text may begin with an escape of a sign.
fn may_be_sign(text: &[u8]) -> bool {
    match text {
        [b'%', b'2', third, ..] => matches!(third, b'5' | b'6'),
        [b'%', b'5', third, ..] => matches!(third, b'c' | b'C'),
        [b'\\', b'\\' | b'%' | b'&', ..] | [b'&', b'a' | b'A', ..] => true,
        [b'\\', b'u' | b'U' | b'x' | b'X', rest @ ..] | [b'&', b'#', rest @ ..] => is_code_of_sign(rest),
        _ => false,
    }
}

/// Whether a text begins with the number of a sign, in hexadecimal or decimal.
fn is_code_of_sign(text: &[u8]) -> bool {
    let rest = text.iter().position(|byte| !b"xX{0".contains(byte)).map_or(&[][..], |at| &text[at..]);
    matches!(rest, [b'5', b'c' | b'C', ..] | [b'2', b'5' | b'6', ..] | [b'3', b'7' | b'8', ..] | [b'9', b'2', ..])
}

/// Adds the ends of the rest of an escape. Its letters and digits stand as they are; other characters may be escaped themselves.
fn rest_ends(rest: &[u8], text: &[u8], at: usize, depth: u32, ends: &mut Vec<usize>) {
    let Some((byte, rest)) = rest.split_first() else { return ends.push(at) };
    if *byte == ZEROS {
        let zeros = text[at..].iter().take_while(|it| **it == b'0').count();
        return rest_ends(rest, text, at + zeros, depth, ends);
    }
    let Some(there) = text.get(at) else { return };
    if byte.is_ascii_alphanumeric() {
        if there.eq_ignore_ascii_case(byte) {
            rest_ends(rest, text, at + 1, depth, ends);
        }
        return;
    }
    if !QUOTING.contains(there) {
        return if there == byte {
            rest_ends(rest, text, at + 1, depth, ends)
        };
    }
    let mut next = Vec::new();
    ASCII[usize::from(*byte)].ends(text, at, depth, &mut next);
    next.into_iter().for_each(|end| rest_ends(rest, text, end, depth, ends));
}
