//! The daemon as a process: started, asked, told, stopped.

#[allow(dead_code)]
mod house;

use facelatch::{
    camera::CameraError,
    config::Config,
    detect::Decoder,
    door::{SimLock, SimTimeline},
    model::Pool,
    pipeline::Recogniser,
    service::{Clock, Daemon, Eyes, House as Household, Keeper},
};
use house::{House, repository};
use rustix::process::Signal;
use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::net::UnixDatagram,
    path::PathBuf,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

#[test]
fn the_daemon_watches_answers_and_ends_locked() {
    let mut house = House::new();
    let alex = repository("demo/enrol/Alex").display().to_string();
    assert!(house.done(&["enroll", "Alex", "--from", &alex]).contains("Alex"));
    assert_eq!(house.output(&["enroll", "Alex", "--from", &alex]).status.code(), Some(65));
    assert!(
        house.output(&["status"]).status.code().is_some_and(|code| code != 0),
        "nobody listens"
    );

    let systemd = UnixDatagram::bind(house.notify_socket()).unwrap();
    systemd.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let told = || {
        let mut bytes = [0; 512];
        let length = systemd.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).trim().to_owned()
    };
    house.start();
    assert_eq!(told(), "WATCHDOG=1\nREADY=1\nSTATUS=watching the door");
    assert_eq!(told(), "WATCHDOG=1");
    // As a full queue must not stop the daemon, its reader may go.
    drop(systemd);
    house.wait_for("watching the door");
    house.wait_for("no liveness check");
    house.wait_for("granted by face (most like Alex)");
    let status = house.done(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!((&status["people"], &status["audit_writable"]), (&1.into(), &true.into()));
    house.done(&["unlock", "--reason", "parcel"]);
    house.done(&["lockdown", "on"]);
    assert_eq!(house.output(&["unlock", "--reason", "parcel"]).status.code(), Some(70));
    // Whoever is changed while the daemon runs counts from then on.
    let ben = repository("demo/enrol/Ben").display().to_string();
    house.done(&["enroll", "Ben", "--from", &ben]);
    assert!(house.done(&["status"]).contains("people     2"));
    house.done(&["lockdown", "off"]);

    house.signal(Signal::TERM);
    let daemon = house.daemon.as_mut().unwrap();
    assert!(daemon.wait().unwrap().success(), "{}", house.log());
    house.daemon = None;
    assert!(house.log().contains("stopped, and locked"));

    assert!(house.done(&["log", "--verify"]).contains("nothing changed"));
    let log = house.done(&["log"]);
    for words in ["granted", "reason=\"parcel\"", "lockdown", "name=\"Alex\""] {
        assert!(log.contains(words), "no {words} in\n{log}");
    }
}

#[test]
fn what_it_cannot_work_with_ends_it_with_a_reason_and_a_code() {
    let house = House::new();
    let path = house.folder.path().join("facelatch.toml");
    let good = fs::read_to_string(&path).unwrap();
    for (from, to, code, words) in [
        ("[door]", "[door]\npulze = \"3s\"", 78, "did you mean `pulse`"),
        ("detector-int8", "embedding-int8", 65, "detector"),
        ("detector-int8.onnx", "absent.onnx", 66, "absent.onnx"),
        ("demo/evening@4", "demo/absent@4", 66, "absent"),
    ] {
        fs::write(&path, good.replacen(from, to, 1)).unwrap();
        let output = house.output(&["run"]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{to}: {error}");
        assert!(error.contains(words), "{to}: {error}");
    }
}

#[test]
fn a_network_that_answers_otherwise_than_it_did_guards_no_door() {
    let house = House::new();
    let model = |name: &str| repository(&format!("models/embedding-int8.{name}"));
    let copy = |name: &str| house.folder.path().join(format!("copy.{name}"));
    fs::copy(model("onnx"), copy("onnx")).unwrap();
    house.edit(&model("onnx").display().to_string(), &copy("onnx").display().to_string());
    let doctor = String::from_utf8(house.output(&["doctor"]).stdout).unwrap();
    assert!(doctor.contains("without known answers"), "{doctor}");
    let known = fs::read_to_string(model("known.json")).unwrap();
    let mut known: Vec<Vec<f32>> = serde_json::from_str(&known).unwrap();
    known[0].iter_mut().for_each(|value| *value = -*value);
    for (text, words) in [
        (serde_json::to_string(&known).unwrap(), "answers otherwise"),
        ("[]".to_owned(), "it is empty"),
        ("[[1.0]]".to_owned(), "no known answers"),
    ] {
        fs::write(copy("known.json"), text).unwrap();
        let output = house.output(&["run"]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(65), "{error}");
        assert!(error.contains(words), "{error}");
        assert_eq!(house.output(&["doctor"]).status.code(), Some(78));
    }
}

#[test]
fn pictures_are_compared_and_the_exit_code_says_how() {
    let house = House::new();
    let path = |name: &str| repository(&format!("demo/enrol/{name}.jpg")).display().to_string();
    let [alex, again, ben] = ["Alex/0", "Alex/3", "Ben/0"].map(path);
    assert_eq!(house.output(&["verify", &alex, &again]).status.code(), Some(0));
    assert_eq!(house.output(&["verify", &alex, &ben]).status.code(), Some(1));
    assert!(house.output(&["verify", &alex, "absent.jpg"]).status.code().unwrap() >= 2);
    let [folder, other] =
        ["Alex", "Ben"].map(|name| repository(&format!("demo/enrol/{name}")).display().to_string());
    house.done(&["enroll", "Alex", "--from", &folder]);
    // Somebody else's face under a name would open the door for them.
    let added = house.output(&["enroll", "Alex", "--add", "--from", &other]);
    assert_eq!(added.status.code(), Some(65));
    assert_eq!(house.output(&["enroll", "12", "--from", &other]).status.code(), Some(64));
    assert!(house.done(&["identify", &again]).contains("Alex"));
    assert_eq!(house.output(&["identify", &ben]).status.code(), Some(1));
    house.done(&["people", "schedule", "alex", "Mon-Fri 08:00-18:00"]);
    assert!(house.done(&["people"]).contains("Mon-Fri"));
    house.done(&["people", "remove", "Alex"]);
    assert_eq!(house.done(&["people", "--json"]).trim(), "[]");
    assert!(house.done(&["check-config"]).contains("pulse = \"3s\""));
    assert!(house.done(&["lock"]).contains("locked"));
}

#[test]
fn a_hangup_takes_over_a_good_configuration_and_keeps_the_old_one_from_a_bad_one() {
    let mut house = House::new();
    house.start();
    house.wait_for("watching the door");
    house.done(&["lockdown", "on"]);
    house.edit("[door]", "[recognition]\nthreshold = 0.7\n[door]\npulse = \"5s\"");
    house.signal(Signal::HUP);
    house.wait_for("threshold 0.7");
    house.wait_for("by a restart only: door.pulse");
    house.wait_for("the configuration was read again");
    house.edit("threshold = 0.7", "threshold = 7.0");
    house.signal(Signal::HUP);
    house.wait_for(
        "recognition.threshold is 7; choose a number from 0.01 to 1; the configuration stays",
    );
    let asked = house.done(&["status"]);
    assert!(
        asked.contains("lockdown   yes"),
        "a daemon can be asked whatever is in the file: {asked}"
    );
    house.edit("threshold = 7.0", "threshold = 0.7");
    let status = house.done(&["status"]);
    assert!(status.contains("lockdown   yes"), "what was under way goes on: {status}");
    house.signal(Signal::TERM);
    assert!(house.daemon.take().unwrap().wait().unwrap().success(), "{}", house.log());
    let log = house.done(&["log", "--kind", "rules"]);
    assert!(log.lines().count() == 1 && log.contains("threshold=0.7"), "{log}");
    house.done(&["log", "--verify"]);
}

#[test]
fn a_second_daemon_leaves_the_door_to_the_first() {
    let mut house = House::new();
    house.start();
    house.wait_for("watching the door");
    let second = house.output(&["run"]);
    assert_eq!(second.status.code(), Some(69), "{}", String::from_utf8_lossy(&second.stderr));
    house.done(&["lockdown", "on"]);
    assert!(house.done(&["status"]).contains("lockdown   yes"), "the first one is still heard");
}

#[test]
fn whoever_enrols_while_the_daemon_runs_borrows_its_camera_and_no_face_opens_meanwhile() {
    let mut house = House::new();
    house.start();
    house.wait_for("watching the door");
    let mut command = house.command(&["enroll", "Alex", "--camera"]);
    let mut enrolling = command.stderr(Stdio::piped()).spawn().unwrap();
    house.wait_for("somebody is being enrolled");
    let mut said = String::new();
    let mut words = BufReader::new(enrolling.stderr.take().unwrap());
    while !said.contains("good, that is picture 1") {
        assert!(words.read_line(&mut said).unwrap() > 0, "{said}");
    }
    enrolling.kill().unwrap();
    enrolling.wait().unwrap();
    house.wait_for("the enrolment is over");
    house.done(&["status"]);
}

/// Kilobytes of a process in memory, now and at most.
fn memory(pid: u32) -> [u64; 2] {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    ["VmRSS:", "VmHWM:"].map(|key| {
        let line = status.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    })
}

/// Prints how long it took from start to READY too: `cargo test --test daemon memory -- --nocapture`.
#[test]
fn the_daemon_takes_no_more_memory_than_a_small_board_can_spare() {
    let mut house = House::new();
    let alex = repository("demo/enrol/Alex").display().to_string();
    house.done(&["enroll", "Alex", "--from", &alex]);
    let begun = Instant::now();
    house.start();
    while !house.log().contains("watching the door") {
        assert!(begun.elapsed() < Duration::from_secs(60), "{}", house.log());
        thread::sleep(Duration::from_millis(2));
    }
    let ready = begun.elapsed();
    // By then it has seen a visitor and let them in.
    house.wait_for("strike released");
    let [now, most] = memory(house.daemon.as_ref().unwrap().id()).map(|kib| kib >> 10);
    println!("ready after {} ms; {now} MiB in memory, {most} MiB at most", ready.as_millis());
    assert!(most < 64, "{most} MiB");
}

#[test]
fn a_camera_that_is_not_there_is_no_hang_to_the_watchdog() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::default();
    let recogniser = Recogniser::load(
        &repository("models/detector-int8.onnx"),
        &repository("models/embedding-int8.onnx"),
        Decoder::default(),
        config.quality,
        &Arc::new(Pool::new(1)),
    )
    .unwrap();
    let (clock, stop) = (Clock::new(), Arc::new(AtomicBool::new(false)));
    let lock = Box::new(SimLock::new(SimTimeline::default()));
    let saved = folder.path().join("lockout.json");
    let (house, now) = (Household::default(), clock.now());
    let keeper =
        Keeper::new(config.policy(), lock, house, None, clock.clone(), saved, now).unwrap();
    let absent = || {
        let device = PathBuf::from("/dev/video7");
        let source = std::io::ErrorKind::NotFound.into();
        Err(CameraError::Device { device, doing: "opening it", source })
    };
    let mut told = Vec::new();
    let daemon = Daemon::new(keeper, clock, Arc::clone(&stop));
    let ended = daemon.run(absent, recogniser, None, &mut |_, _, _| {}, &mut |eyes, _| {
        told.push(eyes);
        stop.store(told.len() == 2, Ordering::Relaxed);
    });
    ended.unwrap();
    assert_eq!(told, [Eyes::Blind, Eyes::Blind]);
}
