//! A scratch house for tests of the program: a configuration, state, and the daemon while it runs.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

/// A file of this repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A scratch house: its configuration, its state, and the daemon while it runs.
pub struct House {
    pub folder: tempfile::TempDir,
    pub daemon: Option<Child>,
}

impl House {
    pub fn new() -> Self {
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

    /// The configuration's file.
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("facelatch.toml")
    }

    /// Puts `to` in the place of `from` in the configuration.
    pub fn edit(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.config()).unwrap();
        assert!(text.contains(from), "no {from} in {text}");
        fs::write(self.config(), text.replacen(from, to, 1)).unwrap();
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_facelatch"));
        command.args(args).arg("--config").arg(self.config());
        command
    }

    /// A command that reads no configuration.
    pub fn bare(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_facelatch"));
        command.args(args);
        command
    }

    pub fn output(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    pub fn done(&self, args: &[&str]) -> String {
        let output = self.output(args);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    pub fn start(&mut self) {
        let log = fs::File::create(self.folder.path().join("daemon.log")).unwrap();
        let mut command = self.command(&["run"]);
        command.env("NOTIFY_SOCKET", self.notify_socket());
        self.daemon = Some(command.stderr(log).stdout(Stdio::null()).spawn().unwrap());
    }

    /// Kills the daemon.
    pub fn stop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }

    /// Where systemd would listen.
    pub fn notify_socket(&self) -> PathBuf {
        self.folder.path().join("notify.sock")
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(self.daemon.as_ref().unwrap());
        rustix::process::kill_process(pid, signal).unwrap();
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("daemon.log")).unwrap()
    }

    /// Waits until the daemon's log says something.
    pub fn wait_for(&self, words: &str) {
        let patience = Instant::now() + Duration::from_secs(60);
        while !self.log().contains(words) {
            assert!(Instant::now() < patience, "no `{words}` in\n{}", self.log());
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A file system in memory, for a test of its own.
pub struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None` where this user may not mount.
    pub fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = mount(&["-t", "tmpfs", "-o", "size=8m", "tmpfs"], folder.path());
        if !mounted {
            eprintln!("SKIP: only root may mount a small disk");
        }
        mounted.then(|| Self(folder))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Leaves no room for another byte in a file that has none to spare.
    pub fn fill(&self) -> PathBuf {
        let path = self.0.path().join("fill");
        let full = io::copy(&mut io::repeat(1), &mut File::create(&path).unwrap()).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

pub fn mount(args: &[&str], at: &Path) -> bool {
    let mut mount = Command::new("mount");
    let tried = mount.args(args).arg(at).stderr(Stdio::null()).status();
    tried.is_ok_and(|status| status.success())
}
