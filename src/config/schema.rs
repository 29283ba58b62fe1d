use super::Span;
use crate::{
    camera::{PixelFormat, Source},
    decision::{LivenessPolicy, LivenessScore, Margin, Policy, Threshold},
    detect::Limits,
    door::{InputSpec, LockSpec},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt::Display, path::PathBuf, str::FromStr, time::Duration};

/// Everything that the daemon is told, section by section.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where frames come from.
    pub camera: CameraConfig,
    /// The networks.
    pub models: Models,
    /// What is kept, and where.
    pub state: State,
    /// The strike and the lines beside it.
    pub door: Door,
    /// When a face has been recognised.
    pub recognition: Recognition,
    /// When a face is fit to be recognised.
    pub quality: Limits,
    /// When a face's try has failed.
    pub attempts: Attempts,
    /// What happens after too many misses.
    pub lockout: Lockout,
    /// What holds when something is out of order.
    pub safety: Safety,
    /// The log of decisions.
    pub audit: Audit,
}

/// `[camera]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CameraConfig {
    /// `v4l:/dev/video0`, `dir:FOLDER@FPS` or `y4m:FILE`.
    #[serde(with = "text")]
    pub source: Source,
    /// Wanted width, px.
    pub width: u32,
    /// Wanted height, px.
    pub height: u32,
    /// Wanted frames a second.
    pub fps: u32,
    /// The only pixel format to take; absent for the best there is.
    #[serde(with = "text_option", skip_serializing_if = "Option::is_none")]
    pub format: Option<PixelFormat>,
}

/// `[models]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Models {
    /// The face detector.
    pub detector: PathBuf,
    /// The embedding network.
    pub embedding: PathBuf,
    /// Least score of a face, 0 to 1.
    pub least_detection: f32,
    /// Threads that share the work of a frame, 1 to 4.
    pub threads: usize,
}

/// `[state]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct State {
    /// Holds the gallery, its key where systemd gives none, the audit log and the lockout.
    pub folder: PathBuf,
}

/// `[door]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Door {
    /// The line that energises the strike.
    #[serde(with = "text")]
    pub lock: LockSpec,
    /// The door contact.
    #[serde(with = "text_option", skip_serializing_if = "Option::is_none")]
    pub contact: Option<InputSpec>,
    /// The request-to-exit button.
    #[serde(with = "text_option", skip_serializing_if = "Option::is_none")]
    pub exit_button: Option<InputSpec>,
    /// The tamper switch.
    #[serde(with = "text_option", skip_serializing_if = "Option::is_none")]
    pub tamper: Option<InputSpec>,
    /// How long the strike is released.
    pub pulse: Span,
    /// How long further grants can keep it released without a lock in between.
    pub longest: Span,
    /// Lock this long after the door opened; `"0s"` lets the pulse run out.
    pub relock_on_open: Span,
    /// An opening this long after the strike was last released is not forced.
    pub grace: Span,
    /// A door open for longer is held open.
    pub held_open: Span,
    /// This long before that the person is asked to close it.
    pub held_open_warning: Span,
}

/// `[recognition]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recognition {
    /// Least score of a match, a cosine.
    pub threshold: f32,
    /// Least lead over the second-best person.
    pub margin: f32,
    /// Frames of one track that must match,
    pub votes_needed: u8,
    /// of so many of its last,
    pub votes_of: u8,
    /// within this time.
    pub votes_within: Span,
    /// Least liveness score; absent while there is no check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub least_liveness: Option<f32>,
}

/// `[attempts]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Attempts {
    /// So many frames make an attempt.
    pub frames: u16,
    /// A track without a grant has failed after this time.
    pub timeout: Span,
    /// A track has ended when not seen for this time.
    pub gap: Span,
    /// A track that was granted is not granted again for this time.
    pub regrant_after: Span,
}

/// `[lockout]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lockout {
    /// Misses that start one.
    pub misses: u8,
    /// How long the first one lasts.
    pub first: Span,
    /// The longest.
    pub longest: Span,
    /// Without a miss for this time all is forgotten.
    pub quiet: Span,
}

/// `[safety]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Safety {
    /// The exit button works in a lockout.
    pub exit_in_lockout: bool,
    /// The exit button works in a lockdown.
    pub exit_in_lockdown: bool,
    /// No face opens while the audit cannot be written.
    pub faces_need_audit: bool,
}

/// `[audit]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Audit {
    /// Largest file, KiB; then the next is begun.
    pub file_kib: u64,
    /// Files kept.
    pub files: u32,
}

/// The one key that [`Config::state_folder`] reads, all others left aside.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct OnlyState {
    pub(super) state: OnlyFolder,
}

/// `[state]` of [`OnlyState`].
#[derive(Deserialize)]
#[serde(default)]
pub(super) struct OnlyFolder {
    pub(super) folder: PathBuf,
}

impl Default for OnlyFolder {
    fn default() -> Self {
        Self { folder: State::default().folder }
    }
}

/// The one key that [`Config::lock_line`] reads, all others left aside.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct OnlyLock {
    pub(super) door: OnlyLockDoor,
}

/// `[door]` of [`OnlyLock`].
#[derive(Deserialize)]
#[serde(default)]
pub(super) struct OnlyLockDoor {
    #[serde(with = "text")]
    pub(super) lock: LockSpec,
}

impl Default for OnlyLockDoor {
    fn default() -> Self {
        Self { lock: Door::default().lock }
    }
}

impl Default for CameraConfig {
    fn default() -> Self {
        let source = "v4l:/dev/video0".parse().expect("the default source parses");
        Self { source, width: 640, height: 480, fps: 10, format: None }
    }
}

impl Default for Models {
    fn default() -> Self {
        Self {
            detector: "/usr/share/facelatch/models/detector-int8.onnx".into(),
            embedding: "/usr/share/facelatch/models/embedding-int8.onnx".into(),
            least_detection: 0.5,
            threads: 1,
        }
    }
}

impl Default for State {
    fn default() -> Self {
        Self { folder: "/var/lib/facelatch".into() }
    }
}

impl Default for Door {
    fn default() -> Self {
        let policy = Policy::default();
        let (strike, door) = (policy.strike, policy.door);
        Self {
            lock: "gpiocdev:/dev/gpiochip0:17".parse().expect("the default line parses"),
            contact: None,
            exit_button: None,
            tamper: None,
            pulse: Span(strike.pulse),
            longest: Span(strike.longest),
            relock_on_open: Span(strike.relock_on_open.unwrap_or_default()),
            grace: Span(door.grace),
            held_open: Span(door.held_open),
            held_open_warning: Span(door.held_open_warning),
        }
    }
}

impl Default for Recognition {
    fn default() -> Self {
        let votes = Policy::default().votes;
        Self {
            threshold: votes.threshold.0,
            margin: votes.margin.0,
            votes_needed: votes.needed,
            votes_of: votes.of,
            votes_within: Span(votes.within),
            least_liveness: None,
        }
    }
}

impl Default for Attempts {
    fn default() -> Self {
        let attempts = Policy::default().attempts;
        Self {
            frames: attempts.frames,
            timeout: Span(attempts.timeout),
            gap: Span(attempts.gap),
            regrant_after: Span(attempts.regrant_after),
        }
    }
}

impl Default for Lockout {
    fn default() -> Self {
        let lockout = Policy::default().lockout;
        Self {
            misses: lockout.misses,
            first: Span(lockout.first),
            longest: Span(lockout.longest),
            quiet: Span(lockout.quiet),
        }
    }
}

impl Default for Safety {
    fn default() -> Self {
        let policy = Policy::default();
        Self {
            exit_in_lockout: policy.exit_in_lockout,
            exit_in_lockdown: policy.exit_in_lockdown,
            faces_need_audit: policy.faces_need_audit,
        }
    }
}

impl Default for Audit {
    fn default() -> Self {
        Self { file_kib: 1024, files: 16 }
    }
}

impl Door {
    pub(super) fn apply(&self, policy: &mut Policy) {
        let relock = Some(self.relock_on_open.0).filter(|span| *span > Duration::ZERO);
        let strike = &mut policy.strike;
        (strike.pulse, strike.longest, strike.relock_on_open) =
            (self.pulse.0, self.longest.0, relock);
        let door = &mut policy.door;
        (door.grace, door.held_open, door.held_open_warning) =
            (self.grace.0, self.held_open.0, self.held_open_warning.0);
    }
}

impl Recognition {
    pub(super) fn apply(&self, policy: &mut Policy) {
        let votes = &mut policy.votes;
        votes.threshold = Threshold(self.threshold);
        votes.margin = Margin(self.margin);
        (votes.needed, votes.of, votes.within) =
            (self.votes_needed, self.votes_of, self.votes_within.0);
        votes.liveness = match self.least_liveness {
            None => LivenessPolicy::UnknownAccepted,
            Some(score) => LivenessPolicy::Required(LivenessScore(score)),
        };
    }
}

impl Attempts {
    pub(super) fn apply(&self, policy: &mut Policy) {
        let attempts = &mut policy.attempts;
        attempts.frames = self.frames;
        (attempts.timeout, attempts.gap, attempts.regrant_after) =
            (self.timeout.0, self.gap.0, self.regrant_after.0);
    }
}

impl Lockout {
    pub(super) fn apply(&self, policy: &mut Policy) {
        let lockout = &mut policy.lockout;
        lockout.misses = self.misses;
        (lockout.first, lockout.longest, lockout.quiet) =
            (self.first.0, self.longest.0, self.quiet.0);
    }
}

impl Safety {
    pub(super) fn apply(&self, policy: &mut Policy) {
        policy.exit_in_lockout = self.exit_in_lockout;
        policy.exit_in_lockdown = self.exit_in_lockdown;
        policy.faces_need_audit = self.faces_need_audit;
    }
}

/// Values that are written as text and have their own reader.
mod text {
    use super::{Deserialize, Deserializer, Display, FromStr, Serializer};
    use serde::de::Error;

    pub fn serialize<T: Display, S: Serializer>(value: &T, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(value)
    }

    pub fn deserialize<'de, T, D>(d: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

mod text_option {
    use super::{Deserializer, Display, FromStr, Serializer, text};

    pub fn serialize<T: Display, S: Serializer>(
        value: &Option<T>,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => text::serialize(value, s),
            None => s.serialize_none(),
        }
    }

    pub fn deserialize<'de, T, D>(d: D) -> Result<Option<T>, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        text::deserialize(d).map(Some)
    }
}
