//! The configuration file: TOML, every key with a default, unknown keys refused. What it says about
//! decisions becomes a [`Policy`]; `facelatch.example.toml` lists and explains every key.

mod check;
mod schema;
mod span;
mod suggest;

pub use check::{Fault, Lack};
pub use schema::{
    Attempts, Audit, CameraConfig, Config, Door, Lockout, Models, Recognition, Safety, State,
};
pub use span::Span;

use crate::{decision::Policy, door::LockSpec};
use serde::de::DeserializeOwned;
use std::{
    fmt::Display,
    fs, io,
    path::{Path, PathBuf},
};

/// Where the daemon looks unless it is told otherwise.
pub const DEFAULT_PATH: &str = "/etc/facelatch/facelatch.toml";

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {source}; {}", help(.source))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// It is no TOML, or has a key or value that is unknown.
    #[error("{path}: {}", listed(.reasons))]
    Parse {
        /// The file.
        path: PathBuf,
        /// Which keys or lines, and what may stand there.
        reasons: Vec<String>,
    },
    /// Values that cannot work.
    #[error("{path}: {}", listed(.faults))]
    Values {
        /// The file.
        path: PathBuf,
        /// Every one of them, and what may stand there.
        faults: Vec<Fault>,
    },
}

/// What to do about a file that cannot be read.
fn help(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => {
            "copy facelatch.example.toml there, or name another with --config"
        }
        io::ErrorKind::PermissionDenied => "read it as root, or as the user that runs facelatch",
        io::ErrorKind::InvalidData => "write it anew, as text in UTF-8",
        _ => "name a file with --config",
    }
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::parse(path, &text_of(path)?)
    }

    /// [`Config::load`] of text that is read already; errors call it `path`.
    ///
    /// # Errors
    /// [`ConfigError::Parse`], [`ConfigError::Values`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let config: Self = from_toml(path, text)?;
        match config.faults() {
            faults if faults.is_empty() => Ok(config),
            faults => Err(ConfigError::Values { path: path.into(), faults }),
        }
    }

    /// The strike's line, from a file that may be wrong in everything else: nothing but its own line may
    /// keep a strike from being locked.
    ///
    /// # Errors
    /// [`ConfigError::Read`]; [`ConfigError::Parse`] if it is no TOML or the line itself is wrong.
    pub fn lock_line(path: &Path) -> Result<LockSpec, ConfigError> {
        only(path).map(|only: schema::OnlyLock| only.door.lock)
    }

    /// The state folder, from a file that may be wrong in everything else: a daemon that runs on with an
    /// older one can still be asked and told.
    ///
    /// # Errors
    /// As [`Config::lock_line`].
    pub fn state_folder(path: &Path) -> Result<PathBuf, ConfigError> {
        only(path).map(|only: schema::OnlyState| only.state.folder)
    }

    /// What a running daemon takes over of a file that was read again, and the keys that wait for a
    /// restart: those of files, devices and lines that are open, and of the bound that guards the strike.
    pub fn taking_over(&self, read: Self) -> (Self, Vec<&'static str>) {
        let mut next = read.clone();
        next.camera = self.camera.clone();
        next.models.detector.clone_from(&self.models.detector);
        next.models.embedding.clone_from(&self.models.embedding);
        next.models.threads = self.models.threads;
        next.state = self.state.clone();
        next.audit = self.audit.clone();
        let door = self.door.clone();
        (next.door.lock, next.door.contact) = (door.lock, door.contact);
        (next.door.exit_button, next.door.tamper) = (door.exit_button, door.tamper);
        (next.door.pulse, next.door.longest) = (door.pulse, door.longest);
        let waiting = [
            ("camera", next.camera != read.camera),
            ("models.detector", next.models.detector != read.models.detector),
            ("models.embedding", next.models.embedding != read.models.embedding),
            ("models.threads", next.models.threads != read.models.threads),
            ("state.folder", next.state != read.state),
            ("audit", next.audit != read.audit),
            ("door.lock", next.door.lock != read.door.lock),
            ("door.contact", next.door.contact != read.door.contact),
            ("door.exit_button", next.door.exit_button != read.door.exit_button),
            ("door.tamper", next.door.tamper != read.door.tamper),
            ("door.pulse", next.door.pulse != read.door.pulse),
            ("door.longest", next.door.longest != read.door.longest),
        ];
        let waiting = waiting.into_iter().filter_map(|(key, waits)| waits.then_some(key)).collect();
        (next, waiting)
    }

    /// What the decision core goes by.
    pub fn policy(&self) -> Policy {
        let mut policy = Policy::default();
        self.recognition.apply(&mut policy);
        self.attempts.apply(&mut policy);
        self.lockout.apply(&mut policy);
        self.door.apply(&mut policy);
        self.safety.apply(&mut policy);
        policy
    }

    /// The text of this configuration, every key written out.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("a configuration has only values that TOML knows")
    }
}

fn text_of(path: &Path) -> Result<String, ConfigError> {
    fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.into(), source })
}

fn from_toml<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, ConfigError> {
    reasons_or(text).map_err(|reasons| ConfigError::Parse { path: path.into(), reasons })
}

fn reasons_or<T: DeserializeOwned>(text: &str) -> Result<T, Vec<String>> {
    toml::from_str(text).map_err(|first| suggest::explain_all::<T>(first, text))
}

/// Any configuration from TOML, for a program beside the daemon.
///
/// # Errors
/// All that is wrong with the text, in one line, by lines of the text and keys.
pub fn read_toml<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    reasons_or(text).map_err(|reasons| listed(&reasons))
}

/// What `T` has of a file, whatever else is in it.
fn only<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    from_toml(path, &text_of(path)?)
}

/// One, or several with numbers before them: what each says has punctuation of its own.
pub(crate) fn listed<T: Display>(faults: &[T]) -> String {
    match faults {
        [fault] => fault.to_string(),
        faults => {
            let numbered = (1..).zip(faults).map(|(i, fault)| format!("({i}) {fault}"));
            let numbered: Vec<_> = numbered.collect();
            format!("{} things are wrong: {}", faults.len(), numbered.join(" "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::PixelFormat;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(Path::new("f.toml"), text).map_err(|e| e.to_string())
    }

    #[test]
    fn an_empty_file_is_the_default_and_the_default_survives_its_own_text() {
        assert_eq!(parse("").unwrap(), Config::default());
        assert_eq!(parse(&Config::default().to_toml()).unwrap(), Config::default());
        assert_eq!(Config::default().policy(), Policy::default());
    }

    #[test]
    fn every_pixel_format_can_be_named_and_is_written_out_again() {
        for format in PixelFormat::ALL {
            let config = parse(&format!("[camera]\nformat = \"{format}\"")).unwrap();
            assert_eq!(config.camera.format, Some(format));
            assert_eq!(parse(&config.to_toml()).unwrap(), config);
        }
    }

    #[test]
    fn the_example_names_every_key_with_its_default() {
        let text = include_str!("../../facelatch.example.toml");
        assert_eq!(parse(text).unwrap(), Config::default());
        let keys = |text: &str| {
            let table: toml::Table = toml::from_str(text).unwrap();
            let sections = table.into_iter().flat_map(|(section, value)| {
                let keys: Vec<String> = value.as_table().unwrap().keys().cloned().collect();
                keys.into_iter().map(move |key| format!("{section}.{key}"))
            });
            let mut keys: Vec<_> = sections.collect();
            keys.sort();
            keys
        };
        // An optional key has no default to be written out; the example has it as a comment.
        for key in keys(&Config::default().to_toml()) {
            assert!(keys(text).contains(&key), "the example does not explain {key}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_what_would_do() {
        for (text, words) in [
            ("[door]\npulze = \"3s\"", &["pulze", "pulse"][..]),
            ("[dor]", &["dor", "door"]),
            ("[door]\npulse = 3", &["line 2", "string"]),
            ("[door]\npulse = \"-1s\"", &["-1s"]),
            ("[recognition]\nthreshold = 0.0", &["recognition.threshold is 0;"]),
            ("[recognition]\nthreshold = nan", &["recognition.threshold is NaN;"]),
            ("[recognition]\nvotes_needed = 9", &["recognition.votes_needed is 9; choose 1 to 5"]),
            ("[recognition]\nleast_liveness = 2.0", &["recognition.least_liveness is 2;"]),
            (
                "[door]\npulse = \"2m\"\n[lockout]\nmisses = 0",
                &["2 things", "(1) lockout.misses", "(2) door.pulse is 120s; choose 100ms to 60s"],
            ),
            ("[camera]\nfps = 0\nwidth = 9000", &["camera.fps is 0", "camera.width is 9000"]),
            (
                "[camera]\nformat = \"MJPEG\"",
                &["line 2", "\"MJPEG\"", "there are YUYV, UYVY", "MJPG, GREY"],
            ),
            ("[models]\nleast_detection = nan", &["models.least_detection is NaN"]),
            ("[models]\nthreads = 5", &["models.threads is 5"]),
            ("[quality]\nmost_yaw = nan", &["quality.most_yaw is NaN"]),
            ("[audit]\nfiles = 1\nfile_kib = 0", &["audit.files is 1", "audit.file_kib is 0"]),
            (
                "[dor]\npulse = 3\n[door]\npulze = \"3s\"\ngrace = 4\n[camera]\nfps = 5",
                &["3 things", "(1) line 1", "`dor`", "(2) line 4", "`pulze`", "(3) line 5"],
            ),
            ("[camera\nfsp = 3", &["f.toml: line 1"]),
            ("[camera]\nsource = \"usb:0\"", &["usb"]),
            ("[door]\nlock = \"gpio:17\"", &["gpio"]),
        ] {
            let error = parse(text).unwrap_err();
            for word in words {
                assert!(error.contains(word), "{text}: {error}");
            }
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }

    #[test]
    fn a_running_daemon_takes_over_what_touches_nothing_open() {
        let old = parse("").unwrap();
        let text = "[door]\nlock = \"sim:\"\npulse = \"5s\"\ngrace = \"5s\"\n\
                    [recognition]\nthreshold = 0.7\n[camera]\nfps = 5\n[models]\nleast_detection = 0.4";
        let (next, waiting) = old.taking_over(parse(text).unwrap());
        assert_eq!(waiting, ["camera", "door.lock", "door.pulse"]);
        let mut expected = old.clone();
        expected.recognition.threshold = 0.7;
        expected.models.least_detection = 0.4;
        expected.door.grace = Span(std::time::Duration::from_secs(5));
        assert_eq!(next, expected);
        assert_eq!(old.taking_over(old.clone()), (old.clone(), vec![]));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = parse(&text);
        }
    }
}
