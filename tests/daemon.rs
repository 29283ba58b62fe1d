//! The daemon as a process: started, asked, told, stopped.

#[allow(dead_code)]
mod house;

use facelatch::{
    camera::{CameraError, Frame, FrameSource},
    config::Config,
    decision::Millis,
    detect::Decoder,
    door::{DoorError, InputEvent, InputKind, InputRole, Inputs, SimInputs, SimLock, SimTimeline},
    model::Pool,
    pipeline::Recogniser,
    service::{
        Answer, Clock, Daemon, DaemonError, Eyes, House as Household, Keeper, News, Request, Sight,
        ask, socket_path,
    },
};
use house::{House, SmallDisk, repository};
use image::RgbImage;
use rustix::process::Signal;
use std::{
    fs,
    io::{BufRead, BufReader, ErrorKind},
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::channel,
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
    let mut house = House::new();
    let model = |name: &str| repository(&format!("models/embedding-int8.{name}"));
    let folder = house.folder.path().to_owned();
    let copy = |name: &str| folder.join(format!("copy.{name}"));
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
        house.start();
        house.wait_for(words);
        house.stop();
        assert!(!house.log().contains("watching the door"), "{}", house.log());
        assert_eq!(house.output(&["doctor"]).status.code(), Some(78));
    }
}

/// Networks and household alike: neither is needed to leave.
#[test]
fn what_it_cannot_recognise_anybody_with_is_waited_for_and_commands_work_meanwhile() {
    let mut house = House::new();
    let alex = repository("demo/enrol/Alex").display().to_string();
    house.done(&["enroll", "Alex", "--from", &alex]);
    let folder = house.folder.path().to_owned();
    let (detector, gallery) = (folder.join("detector.onnx"), folder.join("gallery.redb"));
    let shipped = repository("models/detector-int8.onnx");
    house.edit(&shipped.display().to_string(), &detector.display().to_string());
    let good = fs::read(&gallery).unwrap();
    let bad: Vec<u8> = good.iter().map(|byte| !byte).collect();
    let mend_detector = || assert!(fs::copy(&shipped, &detector).unwrap() > 0);
    for (break_it, mend_it, words) in [
        (
            &(|| fs::write(&detector, "no network").unwrap()) as &dyn Fn(),
            &mend_detector as &dyn Fn(),
            "not a network that can run here",
        ),
        (&|| fs::remove_file(&detector).unwrap(), &mend_detector, "detector.onnx: No such file"),
        (
            &|| fs::write(&gallery, &bad).unwrap(),
            &|| fs::write(&gallery, &good).unwrap(),
            "gallery.redb",
        ),
    ] {
        break_it();
        house.start();
        house.wait_for("no face opens the door until that is mended");
        assert!(house.log().contains(words), "{words}: {}", house.log());
        house.done(&["unlock", "--reason", "a test"]);
        let status = house.done(&["status"]);
        assert!(status.contains("unknown yet") && status.contains(words), "{status}");
        mend_it();
        house.wait_for("watching the door");
        house.stop();
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
    let (daemon, stop) = unwatched();
    let mut told = Vec::new();
    let ended = daemon.run(absent, sight, None, &mut |_, _, _| {}, &mut |eyes, _| {
        told.push(eyes);
        stop.store(told.len() == 2, Ordering::Relaxed);
    });
    ended.unwrap();
    assert_eq!(told, [Eyes::Blind, Eyes::Blind]);
}

/// A daemon of this process with a simulated strike and no log; the flag stops it.
fn unwatched() -> (Daemon, Arc<AtomicBool>) {
    let (clock, stop) = (Clock::new(), Arc::new(AtomicBool::new(false)));
    let lock = Box::new(SimLock::new(SimTimeline::default()));
    // Nothing is missed here, and so nothing saved.
    let saved = PathBuf::from("/nowhere/lockout.json");
    let (policy, house, now) = (Config::default().policy(), Household::default(), clock.now());
    let keeper = Keeper::new(policy, lock, house, None, clock.clone(), saved, now).unwrap();
    (Daemon::new(keeper, clock, Arc::clone(&stop)), stop)
}

fn sight() -> Result<Sight, DaemonError> {
    let recogniser = Recogniser::load(
        &repository("models/detector-int8.onnx"),
        &repository("models/embedding-int8.onnx"),
        Decoder::default(),
        Config::default().quality,
        &Arc::new(Pool::new(1)),
    )?;
    let reload = || Err("there is no gallery".to_owned());
    Ok(Sight { recogniser, house: Household::default(), reload: Box::new(reload) })
}

fn absent() -> Result<Box<dyn FrameSource>, CameraError> {
    let device = PathBuf::from("/dev/video7");
    let source = std::io::ErrorKind::NotFound.into();
    Err(CameraError::Device { device, doing: "opening it", source })
}

#[test]
fn on_a_full_disk_the_daemon_starts_lets_nobody_in_by_face_obeys_and_records_again_once_there_is_room()
 {
    let Some(disk) = SmallDisk::new() else { return };
    let mut house = House::new();
    let folder = |path: &Path| format!("folder = {path:?}");
    house.edit(&folder(house.folder.path()), &folder(disk.path()));
    let alex = repository("demo/enrol/Alex").display().to_string();
    house.done(&["enroll", "Alex", "--from", &alex]);
    let fill = disk.fill();
    house.start();
    house.wait_for("Alex was recognised and not let in: it could not be recorded");
    assert!(!house.log().contains("strike released"), "{}", house.log());
    let unlocked = house.done(&["unlock", "--reason", "a test"]);
    assert!(unlocked.contains("it could not be recorded"), "{unlocked}");
    house.wait_for("strike released");
    fs::remove_file(fill).unwrap();
    house.wait_for("the audit log can be written again");
    house.done(&["log", "--verify"]);
}

/// A camera that has the next frame as soon as it is asked.
struct Torrent(Arc<AtomicU64>);

impl FrameSource for Torrent {
    fn next(&mut self) -> Result<Frame, CameraError> {
        let sequence = self.0.fetch_add(1, Ordering::Relaxed);
        let at = Duration::from_millis(sequence);
        Ok(Frame { pixels: RgbImage::new(64, 48), at, sequence })
    }

    fn describe(&self) -> String {
        "a torrent".to_owned()
    }
}

#[test]
fn eyes_that_are_faster_than_the_decisions_wait_for_them() {
    let (daemon, stop) = unwatched();
    let given = Arc::new(AtomicU64::new(0));
    let torrent = Torrent(Arc::clone(&given));
    let mut torrent = Some(torrent);
    let source = move || Ok(Box::new(torrent.take().unwrap()) as Box<dyn FrameSource>);
    let (mut decided, mut most) = (0, 0);
    let ended = daemon.run(source, sight, None, &mut |_, _, _| {}, &mut |_, _| {
        // As on a disk that is slow.
        thread::sleep(Duration::from_millis(if decided < 20 { 200 } else { 0 }));
        decided += 1;
        most = most.max(given.load(Ordering::Relaxed) - decided);
        stop.store(decided == 40, Ordering::Relaxed);
    });
    ended.unwrap();
    println!("{most} looks ahead at most");
    // Two messages a look, and 32 that wait at most.
    assert!(most <= 18, "{most} looks ahead");
}

/// As behind a disk that hangs, for longer than anybody waits at a door or for an answer.
#[test]
fn what_was_pressed_and_asked_while_the_decisions_hung_is_not_done_long_afterwards() {
    let (daemon, stop) = unwatched();
    let folder = tempfile::tempdir().unwrap();
    let socket = socket_path(folder.path());
    let (inputs, panel) = SimInputs::new(&[InputRole::RequestToExit]);
    let press = move || {
        [true, false].into_iter().for_each(|pressed| {
            panel.set(InputKind::RequestToExit { pressed });
        });
    };
    let (hangs, is_hung) = channel();
    let stops = Arc::clone(&stop);
    let presses = press.clone();
    let path = socket.clone();
    let meanwhile = thread::spawn(move || {
        // As soon as the inputs are open.
        thread::sleep(Duration::from_millis(500));
        presses();
        is_hung.recv().unwrap();
        presses();
        presses();
        let unlock = Request::Unlock { reason: "parcel".into() };
        let answer = ask(&path, &unlock).unwrap();
        // The hang ends, and all that waited is told.
        thread::sleep(Duration::from_secs(3));
        let unlocked = |answer: Answer| answer.status.unwrap().unlocked;
        let late = unlocked(ask(&path, &Request::Status).unwrap());
        presses();
        thread::sleep(Duration::from_millis(500));
        let then = unlocked(ask(&path, &Request::Status).unwrap());
        let kept_out = ask(&path, &Request::Lockdown { on: true }).unwrap();
        stops.store(true, Ordering::Relaxed);
        (answer, late, then, kept_out)
    });
    let mut released = 0;
    let tell = &mut |_: Millis, news: &[News], _: &Household| {
        for _ in news.iter().filter(|news| **news == News::Unlocked) {
            released += 1;
            if released == 1 {
                hangs.send(()).unwrap();
                thread::sleep(Duration::from_secs(7));
            }
        }
    };
    let blind = || {
        thread::sleep(Duration::from_secs(60));
        sight()
    };
    let daemon = daemon.controlled(socket);
    daemon.run(absent, blind, Some(Box::new(inputs)), tell, &mut |_, _| {}).unwrap();
    let (answer, late, then, kept_out) = meanwhile.join().unwrap();
    assert!(!answer.done && answer.text.contains("busy"), "{answer:?}");
    assert_eq!((late, then, released), (false, true, 2), "once before it hung, once after");
    assert!(kept_out.done && kept_out.text.contains("could not be saved"), "{kept_out:?}");
}

#[test]
fn the_exit_button_works_before_the_networks_are_there() {
    let (daemon, stop) = unwatched();
    let (inputs, panel) = SimInputs::new(&[InputRole::RequestToExit]);
    panel.set(InputKind::RequestToExit { pressed: true });
    let (let_out, is_out) = channel();
    let prepare = move || {
        is_out.recv_timeout(Duration::from_secs(30)).map_err(|_| DaemonError::Thread("waits"))?;
        sight()
    };
    let mut told = Vec::new();
    let ended = daemon.run(
        absent,
        prepare,
        Some(Box::new(inputs)),
        &mut |_, news, _| {
            if news.contains(&News::Unlocked) {
                let_out.send(()).unwrap();
            }
        },
        &mut |eyes, _| {
            told.push(eyes);
            stop.store(true, Ordering::Relaxed);
        },
    );
    ended.unwrap();
    assert_eq!(told, [Eyes::Blind], "ready once the networks are there, and no sooner");
}

#[test]
fn while_the_networks_are_read_commands_are_heard_and_it_is_not_ready() {
    let mut house = House::new();
    let detector = house.folder.path().join("detector.onnx");
    assert!(Command::new("mkfifo").arg(&detector).status().unwrap().success());
    let shipped = repository("models/detector-int8.onnx").display().to_string();
    house.edit(&shipped, &detector.display().to_string());
    let systemd = UnixDatagram::bind(house.notify_socket()).unwrap();
    systemd.set_nonblocking(true).unwrap();
    house.start();
    let patience = Instant::now() + Duration::from_secs(60);
    while !house.output(&["unlock", "--reason", "a test"]).status.success() {
        assert!(Instant::now() < patience, "{}", house.log());
        thread::sleep(Duration::from_millis(50));
    }
    house.wait_for("strike released");
    assert!(house.done(&["status"]).contains("networks are being prepared"));
    house.signal(Signal::HUP);
    house.wait_for("the gallery is read once the networks are prepared");
    let told = systemd.recv(&mut [0; 512]);
    assert_eq!(told.unwrap_err().kind(), ErrorKind::WouldBlock, "it is not ready");
    fs::write(&detector, "no network").unwrap();
    house.wait_for("not a network that can run here");
}

/// Others go on, so that nothing but the panic itself could tell.
#[test]
fn a_thread_that_panics_ends_the_daemon() {
    struct Panics;
    impl Inputs for Panics {
        fn poll(&mut self, _: Duration) -> Result<Option<InputEvent>, DoorError> {
            panic!("as the test wants")
        }
    }
    let blind = || {
        thread::sleep(Duration::from_secs(60));
        sight()
    };
    let (at_rest, _panel) = SimInputs::new(&[InputRole::RequestToExit]);
    let (daemon, _) = unwatched();
    let nobody = &mut |_: Millis, _: &[News], _: &Household| {};
    let ended = daemon.run(
        absent,
        || -> Result<Sight, DaemonError> { panic!("as the test wants") },
        Some(Box::new(at_rest)),
        nobody,
        &mut |_, _| {},
    );
    assert!(matches!(ended, Err(DaemonError::Thread("looks"))), "{ended:?}");
    let (daemon, _) = unwatched();
    let ended = daemon.run(absent, blind, Some(Box::new(Panics)), nobody, &mut |_, _| {});
    assert!(matches!(ended, Err(DaemonError::Thread("feels the inputs"))), "{ended:?}");
}
