use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::{borrow::Cow, fmt, str::FromStr};

/// The longest line, in bytes with its end: far above any event, and what a torn one can be at most.
pub const MAX_LINE: usize = 16 << 10;

/// The longest text in a field, in characters: a name or a reason fits, a picture does not.
pub const MAX_TEXT: usize = 256;

/// The log's own record at the start of a file that follows another.
pub(crate) const ROTATED: &str = "rotated";
/// The log's own record of a torn line that was cut off.
pub(crate) const RECOVERED: &str = "recovered";

/// A SHA-256, written as 64 lower-case hex digits. All zeros stands before the first record.
#[derive(Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Cow<'_, str>", into = "String")]
pub struct Hash([u8; 32]);

/// A place in the chain: a record's number and hash. Written to the journal (as `number:hash`), it
/// anchors the chain outside the log's folder: see [`verify`](super::verify).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Head {
    /// The record's number, from 1; 0 before the first.
    pub seq: u64,
    /// Its hash.
    pub hash: Hash,
}

/// A text that is no `number:hash`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "an anchor is a record's number, a colon and 64 hex digits; copy it from the journal whole"
)]
pub struct HeadError;

/// The kernel's id of this boot (`/proc/sys/kernel/random/boot_id`), within which monotonic times can
/// be compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootId(pub String);

/// When something happened, by every clock there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// The time of day; `None` while the clock is not synchronised, for a wrong time is worse.
    pub wall: Option<Timestamp>,
    /// Milliseconds of the monotonic clock since boot.
    pub monotonic_ms: u64,
    /// Which boot.
    pub boot: BootId,
}

/// What happened: a kind, and facts about it. Facts are numbers, flags and short texts, never lists or
/// objects: an embedding or a picture does not fit in. [`Filter`](super::Filter) finds people by the
/// number in the field `person`.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The kind of event, e.g. `granted`.
    pub kind: &'static str,
    /// The facts, by name.
    pub fields: Map<String, Value>,
}

/// A line of the log, apart from its own hash, in the order it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Counts up by one from 1, over all files.
    pub seq: u64,
    /// The time of day, RFC 3339; null if the clock was not synchronised.
    pub wall: Option<Timestamp>,
    /// Milliseconds since boot.
    pub mono_ms: u64,
    /// Which boot.
    pub boot: BootId,
    /// The kind of event.
    pub kind: String,
    /// The facts.
    pub fields: Map<String, Value>,
    /// The hash of the record before.
    pub prev: Hash,
}

impl Record {
    pub(super) fn after(head: Head, now: &Moment, kind: &str, fields: &Map<String, Value>) -> Self {
        Self {
            seq: head.seq + 1,
            wall: now.wall,
            mono_ms: now.monotonic_ms,
            boot: now.boot.clone(),
            kind: kind.to_owned(),
            fields: fields.clone(),
            prev: head.hash,
        }
    }

    /// The line with its end, and the place it gives the chain. The hash covers the very bytes before
    /// it, `prev` among them, so that no reader has to write JSON the way this version does.
    pub(super) fn to_line(&self) -> (Vec<u8>, Head) {
        let mut line = serde_json::to_vec(self).expect("a record is plain data");
        line.pop();
        let hash = Hash::of(&line);
        line.extend_from_slice(suffix(hash).as_bytes());
        line.push(b'\n');
        (line, Head { seq: self.seq, hash })
    }

    /// A line's record and place, or why it is none: its end counts as part of it.
    pub(super) fn from_line(line: &[u8]) -> Result<(Self, Head), String> {
        let Some(line) = line.strip_suffix(b"\n") else { return Err("it is cut short".into()) };
        let split = line.len().checked_sub(suffix(Hash::default()).len());
        let Some((body, end)) = split.and_then(|at| line.split_at_checked(at)) else {
            return Err("it is too short for a record".into());
        };
        let hash = Hash::of(body);
        if end != suffix(hash).as_bytes() {
            return Err("its hash does not match: it was changed".into());
        }
        let record: Self = serde_json::from_slice(&[body, b"}"].concat())
            .map_err(|e| format!("it is no record of this version ({e})"))?;
        let head = Head { seq: record.seq, hash };
        Ok((record, head))
    }

    /// Whether this record is the next after `head`.
    pub(super) fn follows(&self, head: Head) -> Result<(), String> {
        if Some(self.seq) != head.seq.checked_add(1) {
            return Err(format!("record {} does not follow record {}", self.seq, head.seq));
        }
        if self.prev != head.hash {
            return Err("the record before it is not the one that was there".into());
        }
        Ok(())
    }
}

fn suffix(hash: Hash) -> String {
    format!(r#","hash":"{hash}"}}"#)
}

impl Hash {
    fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = HeadError;

    fn from_str(text: &str) -> Result<Self, HeadError> {
        let digits = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 64 || !text.bytes().all(digits) {
            return Err(HeadError);
        }
        let byte = |i: usize| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap_or_default();
        Ok(Self(std::array::from_fn(byte)))
    }
}

impl TryFrom<Cow<'_, str>> for Hash {
    type Error = HeadError;

    fn try_from(text: Cow<'_, str>) -> Result<Self, HeadError> {
        text.parse()
    }
}

impl From<Hash> for String {
    fn from(hash: Hash) -> Self {
        hash.to_string()
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, self.hash)
    }
}

impl FromStr for Head {
    type Err = HeadError;

    fn from_str(text: &str) -> Result<Self, HeadError> {
        let (seq, hash) = text.split_once(':').ok_or(HeadError)?;
        Ok(Self { seq: seq.parse().map_err(|_| HeadError)?, hash: hash.parse()? })
    }
}
