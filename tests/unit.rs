//! The systemd unit that ships, as systemd-analyze sees it: it is understood, what it starts exists, and
//! it is shut in as tightly as we say.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

const FACELATCH: &str = env!("CARGO_BIN_EXE_facelatch");

/// The highest exposure, in tenths of systemd's scale from 0 (best) to 10.
const EXPOSURE: &str = "10";

fn unit() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/facelatch.service");
    fs::read_to_string(path).unwrap()
}

/// Lets systemd-analyze look at a unit; `None`, and a word about it, where there is none.
fn analyze(args: &[&str], unit: &str) -> Option<Output> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("facelatch.service");
    fs::write(&path, unit).unwrap();
    match Command::new("systemd-analyze").args(args).arg(&path).output() {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            println!("SKIP: there is no systemd-analyze; install systemd to check the unit");
            None
        }
        output => Some(output.unwrap()),
    }
}

fn exposure(unit: &str) -> Option<Output> {
    analyze(&["security", "--offline=true", &format!("--threshold={EXPOSURE}")], unit)
}

fn all(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat()
}

#[test]
fn systemd_understands_every_line() {
    // The binary lies elsewhere while it is tested, and its page is not installed.
    let here = unit().replace("/usr/bin/facelatch", FACELATCH);
    let Some(output) = analyze(&["verify", "--man=no"], &here) else { return };
    assert!(output.status.success() && output.stderr.is_empty(), "{}", all(&output));
    let misspelled = here.replace("WatchdogSec=", "WatchdogSecs=");
    let output = analyze(&["verify", "--man=no"], &misspelled).unwrap();
    assert!(all(&output).contains("WatchdogSecs"), "a misspelled key passed: {}", all(&output));
}

#[test]
fn the_service_is_shut_in_and_the_test_would_tell() {
    let Some(output) = exposure(&unit()) else { return };
    assert!(output.status.success(), "{}", all(&output));
    let open = ["PrivateNetwork=yes", "CapabilityBoundingSet=\n", "NoNewPrivileges=yes"]
        .iter()
        .fold(unit(), |unit, line| unit.replace(line, "\n"));
    assert!(!exposure(&open).unwrap().status.success(), "an open unit passed");
}

#[test]
fn what_the_unit_starts_are_commands_of_ours() {
    let unit = unit();
    let started: Vec<_> = unit
        .lines()
        // A reload is a signal.
        .filter(|line| line.starts_with("Exec") && !line.starts_with("ExecReload="))
        .map(|line| line.split_once("=/usr/bin/facelatch ").expect(line).1)
        .collect();
    assert_eq!(started, ["run", "lock"]);
    for command in started {
        let help = Command::new(FACELATCH).args([command, "--help"]).output().unwrap();
        assert!(help.status.success(), "{command}");
    }
}
