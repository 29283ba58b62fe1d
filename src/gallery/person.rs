use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The longest name, in characters.
const MAX_NAME: usize = 64;

/// A person's number: given once, never again, so that a log names one person for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PersonId(pub u32);

impl fmt::Display for PersonId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A person's name: 1 to 64 characters on one line, no blanks around it, nothing that changes how the
/// text beside it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// Why a text is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Too short or too long.
    #[error("a name has 1 to {MAX_NAME} characters, this one {0}; choose another")]
    Length(usize),
    /// Blanks at either end, which nobody sees.
    #[error("the name begins or ends with a blank; take it away")]
    Blank,
    /// A control character, a line break or a switch of the writing direction.
    #[error("the name's character {} (counted from 1) is a control character; take it away", .0 + 1)]
    Control(usize),
    /// Nothing but digits.
    #[error("a name of digits alone could be taken for a person's number; choose another")]
    Number,
}

impl Name {
    /// The text as a name.
    ///
    /// # Errors
    /// [`NameError`].
    pub fn new(text: &str) -> Result<Self, NameError> {
        let length = text.chars().count();
        if !(1..=MAX_NAME).contains(&length) {
            return Err(NameError::Length(length));
        }
        if let Some(at) = text.chars().position(|c| c.is_control() || misleads(c)) {
            return Err(NameError::Control(at));
        }
        if text.trim() != text {
            return Err(NameError::Blank);
        }
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(NameError::Number);
        }
        Ok(Self(text.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a reader of a log would take the two for one: names that differ in case alone do.
    pub fn reads_like(&self, other: &Self) -> bool {
        self.0.to_lowercase() == other.0.to_lowercase()
    }
}

/// Unicode's line and paragraph separators and its switches of direction (UAX #9), which would let a
/// name rewrite the log line that it stands in.
fn misleads(c: char) -> bool {
    matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        Self::new(&text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

/// An enrolled person, without the templates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// The number.
    pub id: PersonId,
    /// The name; nobody else's reads like it.
    pub name: Name,
    /// When the person was enrolled; `None` if the clock was not set then.
    pub created: Option<Timestamp>,
    /// Known, but not let in.
    pub disabled: bool,
    /// When the person is let in, in the words of whoever reads schedules; `None` is always.
    pub schedule: Option<String>,
    /// How many templates there are, 1 to [`MAX_TEMPLATES`](super::MAX_TEMPLATES).
    pub templates: usize,
}

/// Which network made the templates: the SHA-256 of its weights, as in
/// [`Contract::weights_sha256`](crate::embed::Contract::weights_sha256).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ModelHash([u8; 32]);

impl ModelHash {
    /// From 64 hex digits; `None` for any other text.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits = text.as_bytes().as_chunks::<2>().0;
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(digits) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(hash))
    }

    pub(super) const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(super) const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for ModelHash {
    /// The first 12 digits, enough to tell two networks apart.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..6].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ModelHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ModelHash({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_visible_line_of_1_to_64_characters() {
        let (long, longer) = ("é".repeat(64), "é".repeat(65));
        for (text, expected) in [
            ("Ada", None),
            ("Ada Lovelace-Müller 李", None),
            ("Ada 2", None),
            ("12", Some(NameError::Number)),
            (long.as_str(), None),
            ("", Some(NameError::Length(0))),
            (longer.as_str(), Some(NameError::Length(65))),
            (" Ada", Some(NameError::Blank)),
            ("Ada\u{a0}", Some(NameError::Blank)),
            ("A\nda", Some(NameError::Control(1))),
            ("Ada\0", Some(NameError::Control(3))),
            ("Ad\u{202e}a", Some(NameError::Control(2))),
        ] {
            assert_eq!(Name::new(text).err(), expected, "{text:?}");
        }
    }

    #[test]
    fn names_that_differ_in_case_alone_read_alike() {
        let name = |text| Name::new(text).unwrap();
        assert!(name("Ada").reads_like(&name("aDA")));
        assert!(!name("Ada").reads_like(&name("Adam")));
    }

    #[test]
    fn a_model_is_64_hex_digits() {
        let text = "00ff".repeat(16);
        let hash = ModelHash::from_hex(&text).unwrap();
        assert_eq!((hash.0[0], hash.0[1]), (0, 255));
        assert_eq!(hash.to_string(), "00ff00ff00ff");
        for wrong in ["", "00", &text[1..], &text.replace('f', "g"), &text.replace("0f", "é")] {
            assert_eq!(ModelHash::from_hex(wrong), None, "{wrong}");
        }
    }
}
