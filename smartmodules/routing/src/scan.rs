//! Reads the few top-level members of a JSON record that routing needs, in one pass and without allocating.
//!
//! The whole text is checked (grammar, UTF-8, nesting), not just read up to the first `type`: a second `type` may
//! follow, and a record cut short must not be taken for a whole one. It accepts what `serde_json` accepts, except for
//! the members of [`Members`] given twice, and it leaves the size of numbers alone.

use std::str::Chars;

use crate::limits::DEPTH_MAX;

/// The top-level members of a record that routing looks at; `None` where one is missing or no string.
#[derive(Debug, Clone, Copy, Default)]
pub struct Members<'a> {
    /// `type`: of a command or of an event.
    pub kind: Option<JsonStr<'a>>,
    /// `subject`: the aggregate id of a CloudEvent.
    pub subject: Option<JsonStr<'a>>,
    /// `orderId`: the aggregate id of a command.
    pub order_id: Option<JsonStr<'a>>,
}

/// Reads a record. Returns `None` for anything but one well-formed JSON object, and for an object that has one of the
/// [`Members`] twice: its readers could disagree about which one counts.
pub fn members(value: &[u8]) -> Option<Members<'_>> {
    let mut scanner = Scanner::new(value)?;
    let members = scanner.record()?;
    (scanner.at == value.len()).then_some(members)
}

/// A string as it stands in the JSON text, between its quotes.
#[derive(Debug, Clone, Copy)]
pub struct JsonStr<'a> {
    raw: &'a str,
    escaped: bool,
}

impl JsonStr<'_> {
    /// Says whether the string, its escapes decoded, is `text`.
    pub fn is(&self, text: &str) -> bool {
        if self.escaped { self.chars().eq(text.chars()) } else { self.raw == text }
    }

    fn chars(&self) -> impl Iterator<Item = char> {
        let mut chars = self.raw.chars();
        std::iter::from_fn(move || match chars.next()? {
            '\\' => unescape(&mut chars),
            plain => Some(plain),
        })
    }
}

/// Decodes what follows a backslash. Returns `None` where it stands for no character.
fn unescape(chars: &mut Chars<'_>) -> Option<char> {
    Some(match chars.next()? {
        plain @ ('"' | '\\' | '/') => plain,
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => {
            let unit = utf16_unit(chars)?;
            if !(0xD800..0xE000).contains(&unit) {
                return char::from_u32(unit);
            }
            if chars.next()? != '\\' || chars.next()? != 'u' {
                return None;
            }
            let low = utf16_unit(chars)?;
            if unit >= 0xDC00 || !(0xDC00..0xE000).contains(&low) {
                return None;
            }
            return char::from_u32(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00));
        }
        _ => return None,
    })
}

fn utf16_unit(chars: &mut Chars<'_>) -> Option<u32> {
    (0..4).try_fold(0, |unit, _| Some(unit << 4 | chars.next()?.to_digit(16)?))
}

/// A cursor over the text. Every method returns `None` at the first byte that JSON does not allow there.
pub(crate) struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    /// Returns a cursor at the beginning of `value`, which must be UTF-8.
    pub(crate) fn new(value: &'a [u8]) -> Option<Self> {
        Some(Self { text: std::str::from_utf8(value).ok()?, bytes: value, at: 0 })
    }

    /// How many bytes are behind the cursor.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Goes on to the next string of a well-formed text, from outside of one, and past it. Returns it and where it began.
    pub(crate) fn next_string(&mut self) -> Option<(usize, JsonStr<'a>)> {
        self.at += self.bytes.get(self.at..)?.iter().position(|&byte| byte == b'"')?;
        Some((self.at, self.string()?))
    }

    /// Goes past a colon and the blanks around it, if there is one: what stands before it is a member's name.
    pub(crate) fn colon(&mut self) -> bool {
        self.blank();
        let found = self.eat(b':');
        self.blank();
        found
    }

    /// Goes past a comma and the blanks around it, if there is one.
    pub(crate) fn comma(&mut self) {
        self.blank();
        self.eat(b',');
        self.blank();
    }

    fn record(&mut self) -> Option<Members<'a>> {
        let mut members = Members::default();
        let mut seen = [false; 3];
        self.blank();
        self.expect(b'{')?;
        self.blank();
        if self.eat(b'}') {
            self.blank();
            return Some(members);
        }
        loop {
            let name = self.name()?;
            let found = if self.peek() == Some(b'"') {
                Some(self.string()?)
            } else {
                self.value()?;
                None
            };
            let wanted = [("type", &mut members.kind), ("subject", &mut members.subject), ("orderId", &mut members.order_id)];
            for ((wanted, member), seen) in wanted.into_iter().zip(&mut seen) {
                if name.is(wanted) {
                    if std::mem::replace(seen, true) {
                        return None;
                    }
                    *member = found;
                }
            }
            self.blank();
            if !self.eat(b',') {
                self.expect(b'}')?;
                self.blank();
                return Some(members);
            }
            self.blank();
        }
    }

    /// Skips a value below the record's own object. A loop and one bit per open container instead of recursion, so
    /// that no text can exhaust the small stack of a WASM instance.
    pub(crate) fn value(&mut self) -> Option<()> {
        let mut open = Containers::default();
        loop {
            match self.peek()? {
                b'"' => drop(self.string()?),
                b'{' => {
                    self.at += 1;
                    open.push(true)?;
                    self.blank();
                    if self.peek() != Some(b'}') {
                        self.name()?;
                        continue;
                    }
                }
                b'[' => {
                    self.at += 1;
                    open.push(false)?;
                    self.blank();
                    if self.peek() != Some(b']') {
                        continue;
                    }
                }
                b't' => self.literal(b"true")?,
                b'f' => self.literal(b"false")?,
                b'n' => self.literal(b"null")?,
                _ => self.number()?,
            }
            // A value, or an opening bracket with nothing behind it, ended here: so may the containers around it.
            loop {
                let Some(in_object) = open.innermost() else { return Some(()) };
                self.blank();
                match (self.next()?, in_object) {
                    (b'}', true) | (b']', false) => open.pop(),
                    (b',', true) => {
                        self.blank();
                        self.name()?;
                        break;
                    }
                    (b',', false) => {
                        self.blank();
                        break;
                    }
                    _ => return None,
                }
            }
        }
    }

    /// A member's name, its colon and the blanks up to its value.
    fn name(&mut self) -> Option<JsonStr<'a>> {
        let name = self.string()?;
        self.blank();
        self.expect(b':')?;
        self.blank();
        Some(name)
    }

    fn string(&mut self) -> Option<JsonStr<'a>> {
        self.expect(b'"')?;
        let start = self.at;
        let mut escaped = false;
        loop {
            let rest = self.bytes.get(self.at..)?;
            let plain = rest.iter().position(|&byte| !PLAIN[usize::from(byte)])?;
            self.at += plain;
            match self.peek()? {
                b'"' => {
                    let raw = self.text.get(start..self.at)?;
                    self.at += 1;
                    return Some(JsonStr { raw, escaped });
                }
                b'\\' => {
                    escaped = true;
                    let mut rest = self.text.get(self.at + 1..)?.chars();
                    unescape(&mut rest)?;
                    self.at = self.text.len() - rest.as_str().len();
                }
                _ => return None,
            }
        }
    }

    fn number(&mut self) -> Option<()> {
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            let _sign = self.eat(b'+') || self.eat(b'-');
            self.digits()?;
        }
        Some(())
    }

    /// One digit or more.
    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    fn literal(&mut self, word: &[u8]) -> Option<()> {
        let found = self.bytes.get(self.at..)?.starts_with(word);
        self.at += word.len();
        found.then_some(())
    }

    fn blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.eat(byte).then_some(())
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }
}

/// The bytes that stand for themselves within a string.
const PLAIN: [bool; 256] = {
    let mut plain = [true; 256];
    let mut byte = 0;
    while byte < 0x20 {
        plain[byte] = false;
        byte += 1;
    }
    plain[b'"' as usize] = false;
    plain[b'\\' as usize] = false;
    plain
};

/// The open containers below the record's own object, innermost in the lowest bit: set for an object.
#[derive(Default)]
struct Containers {
    kinds: u128,
    depth: u32,
}

impl Containers {
    fn push(&mut self, is_object: bool) -> Option<()> {
        if self.depth + 1 >= DEPTH_MAX {
            return None;
        }
        self.kinds = self.kinds << 1 | u128::from(is_object);
        self.depth += 1;
        Some(())
    }

    fn pop(&mut self) {
        self.kinds >>= 1;
        self.depth = self.depth.saturating_sub(1);
    }

    fn innermost(&self) -> Option<bool> {
        (self.depth > 0).then_some(self.kinds & 1 == 1)
    }
}

#[cfg(test)]
mod tests;
