//! The configuration file: TOML, every key with a default, unknown keys refused. What it says about
//! decisions becomes a [`Policy`]; `facelatch.example.toml` lists and explains every key.

mod schema;
mod span;
mod suggest;

pub use schema::{
    Attempts, Audit, CameraConfig, Config, Door, Lockout, Models, Recognition, Safety, State,
};
pub use span::Span;

use crate::decision::{Policy, PolicyError};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Where the daemon looks unless it is told otherwise.
pub const DEFAULT_PATH: &str = "/etc/facelatch/facelatch.toml";

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {source}; copy facelatch.example.toml there, or name another with --config")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// It is no TOML, or has a key or value that is unknown.
    #[error("{path}: {reason}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Which key or line, and what may stand there.
        reason: String,
    },
    /// A value of the policy is out of its range.
    #[error("{path}: {source}")]
    Policy {
        /// The file.
        path: PathBuf,
        /// Which, and its range.
        source: PolicyError,
    },
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.into(), source })?;
        Self::parse(path, &text)
    }

    /// [`Config::load`] of text that is read already; errors call it `path`.
    ///
    /// # Errors
    /// [`ConfigError::Parse`], [`ConfigError::Policy`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|e| ConfigError::Parse {
            path: path.into(),
            reason: suggest::explain(&e, text),
        })?;
        config
            .policy()
            .check()
            .map_err(|source| ConfigError::Policy { path: path.into(), source })?;
        Ok(config)
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

#[cfg(test)]
mod tests {
    use super::*;
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
            ("[recognition]\nthreshold = 0.0", &["threshold"]),
            ("[recognition]\nthreshold = nan", &["threshold"]),
            ("[recognition]\nvotes_needed = 9", &["votes"]),
            ("[camera\n", &["line 1"]),
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

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = parse(&text);
        }
    }
}
