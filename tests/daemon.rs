//! The daemon as a process: started, asked, told, stopped.

use facelatch::{
    camera::CameraError,
    config::Config,
    detect::Decoder,
    door::{SimLock, SimTimeline},
    pipeline::Recogniser,
    service::{Clock, Daemon, Eyes, House as Household, Keeper},
};
use std::{
    fs,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A scratch house: its configuration, its state, and the daemon while it runs.
struct House {
    folder: tempfile::TempDir,
    daemon: Option<Child>,
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| repository(name).display().to_string();
        let config = format!(
            "[camera]\nsource = \"dir:{}@4\"\n[models]\ndetector = {:?}\nembedding = {:?}\n\
             [state]\nfolder = {:?}\n[door]\nlock = \"sim:\"\n",
            path("demo/evening"),
            path("models/detector-int8.onnx"),
            path("models/embedding-int8.onnx"),
            folder.path()
        );
        fs::write(folder.path().join("facelatch.toml"), config).unwrap();
        Self { folder, daemon: None }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_facelatch"));
        command.args(args).arg("--config").arg(self.folder.path().join("facelatch.toml"));
        command
    }

    fn output(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn done(&self, args: &[&str]) -> String {
        let output = self.output(args);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn start(&mut self) {
        let log = fs::File::create(self.folder.path().join("daemon.log")).unwrap();
        let mut command = self.command(&["run"]);
        command.env("NOTIFY_SOCKET", self.notify_socket());
        self.daemon = Some(command.stderr(log).stdout(Stdio::null()).spawn().unwrap());
    }

    /// Where systemd would listen.
    fn notify_socket(&self) -> PathBuf {
        self.folder.path().join("notify.sock")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("daemon.log")).unwrap()
    }

    /// Waits until the daemon's log says something.
    fn wait_for(&self, words: &str) {
        let patience = Instant::now() + Duration::from_secs(60);
        while !self.log().contains(words) {
            assert!(Instant::now() < patience, "no `{words}` in\n{}", self.log());
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Some(daemon) = &mut self.daemon {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

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
    house.wait_for("Granted for Face (most like Alex)");
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

    let daemon = house.daemon.as_mut().unwrap();
    let pid = rustix::process::Pid::from_child(daemon);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
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
fn a_camera_that_is_not_there_is_no_hang_to_the_watchdog() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::default();
    let recogniser = Recogniser::load(
        &repository("models/detector-int8.onnx"),
        &repository("models/embedding-int8.onnx"),
        Decoder::default(),
        config.quality,
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
    let ended = daemon.run(absent, recogniser, None, &mut |_, _, _| {}, &mut |eyes| {
        told.push(eyes);
        stop.store(told.len() == 2, Ordering::Relaxed);
    });
    ended.unwrap();
    assert_eq!(told, [Eyes::Blind, Eyes::Blind]);
}
