//! What can be found wrong with a configuration before anything is opened.

use super::Config;
use crate::{
    camera::{LARGEST_SIDE, Source},
    decision::PolicyError,
    door::{ChipPath, Line},
};
use facelatch_kernels::MOST_THREADS;
use std::fmt::Display;

/// A value that cannot work.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Fault {
    /// A value of the policy, by its key in the file.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// Another value out of its range.
    #[error("{key} is {value}; choose {least} to {most}")]
    Range {
        /// Its key in the file.
        key: String,
        /// What it is.
        value: String,
        /// The least it may be.
        least: String,
        /// The most it may be.
        most: String,
    },
    /// Two uses of one line.
    #[error("door.{one} and door.{other} are both on {line}; give each a line of its own")]
    SharedLine {
        /// A key of `[door]`.
        one: &'static str,
        /// Another.
        other: &'static str,
        /// The line as the second one has it.
        line: String,
    },
    /// Inputs of two kinds.
    #[error("door.{one} and door.{other} are of different kinds; name all inputs by the same one")]
    MixedKinds {
        /// A key of `[door]`.
        one: &'static str,
        /// Another.
        other: &'static str,
    },
}

/// What a configuration asks for and this build does not have. It is no fault of the file: another
/// build may have it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lack {
    /// Cameras.
    #[error(
        "camera.source is {0}, and this facelatch was built without cameras; build it with \
         `--features v4l`, or name a replay (dir:, y4m:)"
    )]
    Cameras(String),
    /// rppal.
    #[error(
        "door.{key} is {line}, and this facelatch was built without rppal; build it with `--features \
         rppal`, or name the line as gpiocdev:/dev/gpiochip0:NUMBER"
    )]
    Rppal {
        /// A key of `[door]`.
        key: &'static str,
        /// Its line.
        line: String,
    },
    /// A liveness check.
    #[error(
        "recognition.least_liveness is {0}, and there is no liveness check yet: no face opens the door; \
         leave it out, and use a second factor"
    )]
    Liveness(String),
}

impl Config {
    /// Every value that cannot work, as far as the file alone tells.
    pub fn faults(&self) -> Vec<Fault> {
        let policy = self.policy();
        let mut faults: Vec<Fault> =
            policy.faults().map(|e| Fault::Policy(e.renamed(key_of))).collect();
        faults.extend(self.out_of_range());
        faults.extend(self.wrong_lines());
        faults
    }

    /// What this build does not have and the configuration asks for.
    pub fn lacks(&self) -> Vec<Lack> {
        let mut lacks = Vec::new();
        if let (Source::V4l(_), false) = (&self.camera.source, cfg!(feature = "v4l")) {
            lacks.push(Lack::Cameras(self.camera.source.to_string()));
        }
        if cfg!(not(feature = "rppal")) {
            let rppal = self.lines().into_iter().filter(|(_, line)| matches!(line, Line::Rppal(_)));
            lacks.extend(rppal.map(|(key, line)| Lack::Rppal { key, line: line.to_string() }));
        }
        let liveness = self.recognition.least_liveness;
        lacks.extend(liveness.map(|least| Lack::Liveness(least.to_string())));
        lacks
    }

    /// Every line that is used, with its key; the strike's first.
    fn lines(&self) -> Vec<(&'static str, &Line)> {
        let door = &self.door;
        let inputs = [
            ("contact", &door.contact),
            ("exit_button", &door.exit_button),
            ("tamper", &door.tamper),
        ];
        let inputs =
            inputs.into_iter().filter_map(|(key, spec)| Some((key, spec.as_ref()?.line())));
        [("lock", door.lock.line())].into_iter().chain(inputs).collect()
    }

    fn wrong_lines(&self) -> Vec<Fault> {
        let lines = self.lines();
        let mut faults = Vec::new();
        for (i, &(other, line)) in lines.iter().enumerate() {
            for &(one, earlier) in &lines[..i] {
                if is_same(earlier, line) {
                    faults.push(Fault::SharedLine { one, other, line: line.to_string() });
                }
            }
        }
        // The strike may be of another kind than the inputs.
        let kind = |line| std::mem::discriminant(line);
        if let [_, (one, first), rest @ ..] = lines.as_slice() {
            let odd = rest.iter().find(|(_, line)| kind(*line) != kind(*first));
            faults.extend(odd.map(|&(other, _)| Fault::MixedKinds { one, other }));
        }
        faults
    }

    fn out_of_range(&self) -> Vec<Fault> {
        let (camera, audit) = (&self.camera, &self.audit);
        let mut faults = Vec::new();
        let mut check = |key: &str, value: f64, least: f64, most: f64| {
            // Written so that NaN is out of range.
            if !(least..=most).contains(&value) {
                faults.push(Fault::range(key, value, least, most));
            }
        };
        check("camera.width", camera.width.into(), 16.0, LARGEST_SIDE.into());
        check("camera.height", camera.height.into(), 16.0, LARGEST_SIDE.into());
        check("camera.fps", camera.fps.into(), 1.0, 240.0);
        check("models.least_detection", self.models.least_detection.into(), 0.01, 1.0);
        check("models.threads", self.models.threads as f64, 1.0, MOST_THREADS as f64);
        // A file is synced record by record and renamed as a whole: more than 1 GiB helps nobody.
        check("audit.file_kib", audit.file_kib as f64, 1.0, f64::from(1 << 20));
        check("audit.files", audit.files.into(), 2.0, 10_000.0);
        for (key, value) in self.quality.values() {
            check(&format!("quality.{key}"), value, 0.0, 255.0);
        }
        faults
    }
}

impl Fault {
    fn range(key: &str, value: impl Display, least: impl Display, most: impl Display) -> Self {
        let (value, least, most) = (value.to_string(), least.to_string(), most.to_string());
        Self::Range { key: key.to_owned(), value, least, most }
    }
}

/// The key in the file of a value of the policy.
fn key_of(name: &'static str) -> &'static str {
    match name {
        "votes.of" => "recognition.votes_of",
        "votes.needed" => "recognition.votes_needed",
        "votes.within" => "recognition.votes_within",
        "votes.threshold" => "recognition.threshold",
        "votes.margin" => "recognition.margin",
        "votes.liveness" => "recognition.least_liveness",
        "strike.pulse" => "door.pulse",
        "strike.longest" => "door.longest",
        "strike.relock_on_open" => "door.relock_on_open",
        // attempts, lockout and door are called the same; clock_valid is not in the file.
        name => name,
    }
}

/// Whether two names are of one line. rppal drives the lines of a Raspberry Pi's own chip, which is
/// its /dev/gpiochip0.
fn is_same(a: &Line, b: &Line) -> bool {
    let own = |chip: &ChipPath| chip.as_str() == "/dev/gpiochip0";
    match (a, b) {
        (Line::Sim, _) | (_, Line::Sim) => false,
        (Line::Rppal(pin), Line::Gpiocdev { chip, offset })
        | (Line::Gpiocdev { chip, offset }, Line::Rppal(pin)) => {
            own(chip) && offset.get() == u32::from(pin.get())
        }
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn door(lines: &str) -> Result<Config, String> {
        let text = format!("[camera]\nsource = \"dir:x\"\n[door]\n{lines}");
        Config::parse(Path::new("f.toml"), &text).map_err(|e| e.to_string())
    }

    #[test]
    fn every_line_that_is_used_twice_is_found() {
        for (lines, words) in [
            (
                "lock = \"gpiocdev:/dev/gpiochip0:17\"\ncontact = \"gpiocdev:/dev/gpiochip0:17,pull-up\"",
                &["door.lock and door.contact are both on gpiocdev:/dev/gpiochip0:17"][..],
            ),
            (
                "lock = \"rppal:5\"\ntamper = \"gpiocdev:/dev/gpiochip0:5\"",
                &["door.lock and door.tamper"],
            ),
            (
                "lock = \"sim:\"\ncontact = \"rppal:5\"\nexit_button = \"rppal:5\"\ntamper = \"rppal:5\"",
                &[
                    "3 things",
                    "(1) door.contact and door.exit_button",
                    "(3) door.exit_button and door.tamper",
                ],
            ),
            (
                "lock = \"sim:\"\ncontact = \"rppal:5\"\ntamper = \"sim:\"",
                &["door.contact and door.tamper are of different kinds"],
            ),
        ] {
            let error = door(lines).unwrap_err();
            assert!(words.iter().all(|word| error.contains(word)), "{lines}: {error}");
        }
        for lines in [
            "lock = \"sim:\"\ncontact = \"sim:\"\ntamper = \"sim:\"",
            "lock = \"rppal:5\"\ntamper = \"gpiocdev:/dev/gpiochip1:5\"",
            "lock = \"rppal:5\"\ntamper = \"rppal:6\"",
        ] {
            door(lines).unwrap();
        }
    }

    #[test]
    fn what_this_build_does_not_have_is_listed_by_its_key() {
        let text = "[door]\nlock = \"rppal:5\"\ncontact = \"rppal:6\"\n[recognition]\nleast_liveness = 0.5";
        let config = Config::parse(Path::new("f.toml"), text).unwrap();
        let lacks: Vec<String> = config.lacks().iter().map(Lack::to_string).collect();
        let mut expected = Vec::new();
        if cfg!(not(feature = "v4l")) {
            expected.push("camera.source is v4l:/dev/video0");
        }
        if cfg!(not(feature = "rppal")) {
            expected.extend(["door.lock is rppal:5", "door.contact is rppal:6"]);
        }
        expected.push("recognition.least_liveness is 0.5");
        assert_eq!(lacks.len(), expected.len(), "{lacks:?}");
        assert!(
            lacks.iter().zip(expected).all(|(lack, words)| lack.starts_with(words)),
            "{lacks:?}"
        );
        assert!(door("lock = \"sim:\"").unwrap().lacks().is_empty());
    }
}
