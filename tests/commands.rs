//! The commands beside the daemon, as a careful owner and their scripts use them.

#[allow(dead_code)]
mod house;

use facelatch::service::{Answer, socket_path};
use house::{House, repository};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::{
        fs::{MetadataExt, chown, symlink},
        net::UnixListener,
    },
    path::Path,
    process::{Output, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
};

/// A folder of the demo's people.
fn demo(name: &str) -> String {
    repository(&format!("demo/enrol/{name}")).display().to_string()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A pipe whose reader has gone.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

fn full() -> Stdio {
    fs::OpenOptions::new().write(true).open("/dev/full").unwrap().into()
}

/// Answers as a daemon does. What it was asked, and whom the gallery held when it was.
fn daemon(house: &House, done: bool) -> Receiver<(String, String)> {
    let socket = socket_path(house.folder.path());
    let _ = fs::remove_file(&socket);
    let listener = UnixListener::bind(socket).unwrap();
    let (mut people, (sender, receiver)) = (house.command(&["people", "--json"]), channel());
    thread::spawn(move || {
        for stream in listener.incoming().map(Result::unwrap) {
            let mut request = String::new();
            BufReader::new(&stream).read_line(&mut request).unwrap();
            let held = String::from_utf8(people.output().unwrap().stdout).unwrap();
            // Before the answer, which ends the command: it is there when somebody looks.
            if sender.send((request, held)).is_err() {
                return;
            }
            let answer = Answer { done, text: "no, thank you".into(), status: None, frame: None };
            serde_json::to_writer(&stream, &answer).unwrap();
            (&stream).write_all(b"\n").unwrap();
        }
    });
    receiver
}

#[test]
fn the_daemon_is_told_of_a_change_whatever_becomes_of_the_words() {
    let house = House::new();
    house.done(&["enroll", "Alex", "--from", &demo("Alex")]);
    let path = |name: &str| house.folder.path().join(name);
    let asked = daemon(&house, true);
    for (args, out, code, held) in [
        (&["people", "disable", "Alex"][..], closed(), 0, "\"disabled\": true"),
        (&["people", "enable", "Alex"], full(), 74, "\"disabled\": false"),
        (&["people", "rename", "Alex", "Ann"], Stdio::null(), 0, "\"Ann\""),
        // What was removed is out, although its old file cannot be overwritten.
        (&["people", "remove", "Ann"], Stdio::null(), 65, "[]"),
    ] {
        if args[1] == "remove" {
            fs::rename(path("gallery.redb"), path("elsewhere.redb")).unwrap();
            symlink(path("elsewhere.redb"), path("gallery.redb")).unwrap();
        }
        let mut command = house.command(args);
        let output = command.stdout(out).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", stderr(&output));
        let told: Vec<_> = asked.try_iter().collect();
        assert_eq!(told.len(), 1, "{args:?}: {told:?}");
        assert!(told[0].0.contains("reload") && told[0].1.contains(held), "{args:?}: {told:?}");
    }
    house.done(&["people"]);
    assert_eq!(asked.try_iter().count(), 0, "nothing has changed");
}

#[test]
fn a_daemon_that_goes_on_as_before_is_a_failure_and_none_is_not() {
    let house = House::new();
    house.done(&["enroll", "Alex", "--from", &demo("Alex")]);
    let fails = |args: &[&str], words: &str| {
        let output = house.output(args);
        assert_eq!(output.status.code(), Some(69), "{args:?}: {}", stderr(&output));
        for words in [words, "the change is made", "restart it"] {
            assert!(stderr(&output).contains(words), "{args:?}: {}", stderr(&output));
        }
    };
    let asked = daemon(&house, false);
    fails(&["people", "disable", "Alex"], "no, thank you");
    assert!(asked.try_iter().count() > 1, "it may be busy for a moment only");
    assert!(house.done(&["people"]).contains("disabled"));
    // A daemon whose socket is gone, and one that has ended and left its own.
    let socket = socket_path(house.folder.path());
    fs::remove_file(&socket).unwrap();
    let held = fs::File::open(house.folder.path()).unwrap();
    held.lock().unwrap();
    fails(&["people", "enable", "Alex"], "does not listen");
    drop(held);
    house.done(&["people", "disable", "Alex"]);
    drop(UnixListener::bind(&socket).unwrap());
    house.done(&["people", "enable", "Alex"]);
    // Both that the daemon goes on and that the old file is left are said.
    let _asked = daemon(&house, false);
    let path = |name: &str| house.folder.path().join(name);
    fs::rename(path("gallery.redb"), path("elsewhere.redb")).unwrap();
    symlink(path("elsewhere.redb"), path("gallery.redb")).unwrap();
    fails(&["people", "remove", "Alex"], "it is a link");
}

#[test]
fn a_link_in_the_place_of_the_audit_folder_is_refused_and_its_target_untouched() {
    let mut house = House::new();
    let elsewhere = tempfile::tempdir().unwrap();
    symlink(elsewhere.path(), house.folder.path().join("audit")).unwrap();
    // Only root can give the target away.
    let _ = chown(house.folder.path(), Some(1234), Some(1235));
    let before = fs::metadata(elsewhere.path()).unwrap().uid();
    house.start();
    house.wait_for("audit: it is a link");
    house.wait_for("no face opens the door until that is mended");
    house.stop();
    assert_eq!(fs::metadata(elsewhere.path()).unwrap().uid(), before);
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn a_reader_who_has_seen_enough_is_no_error_and_a_full_disk_is_one() {
    let house = House::new();
    house.done(&["enroll", "Alex", "--from", &demo("Alex")]);
    let ben = demo("Ben");
    let [a, b] = ["Alex/0.jpg", "Ben/0.jpg"].map(demo);
    for (args, code) in [
        (&["check-config"][..], 0),
        (&["people"], 0),
        (&["people", "--json"], 0),
        (&["lock"], 0),
        (&["doctor"], 0),
        (&["man"], 0),
        (&["completions", "bash"], 0),
        (&["--help"], 0),
        // Who asks for an answer gets it.
        (&["verify", &a, &b], 1),
        (&["identify", &b], 1),
        (&["enroll", "Ben", "--from", &ben], 0),
    ] {
        let run = |out: Stdio| {
            let mut command = match args[0] {
                "man" | "completions" | "--help" => house.bare(args),
                _ => house.command(args),
            };
            command.stdout(out).stderr(Stdio::piped()).output().unwrap()
        };
        let output = run(closed());
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", stderr(&output));
        assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
        if args[0] == "enroll" {
            continue;
        }
        let output = run(full());
        assert_eq!(output.status.code(), Some(74), "{args:?}: {}", stderr(&output));
        assert!(args[0] == "--help" || stderr(&output).contains("free some space"), "{args:?}");
    }
}

#[test]
fn one_bad_picture_is_named_and_passed_over() {
    let house = House::new();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::copy(demo("Alex/0.jpg"), path("b.jpg")).unwrap();
    fs::write(path("a.jpg"), b"\xff\xd8 no picture").unwrap();
    image::RgbImage::new(64, 64).save(path("c.png")).unwrap();
    let enrolled = house.output(&["enroll", "Alex", "--from", &path("")]);
    assert!(enrolled.status.success(), "{}", stderr(&enrolled));
    assert!(stdout(&enrolled).contains("1 pictures"), "{}", stdout(&enrolled));
    for name in ["a.jpg", "c.png"] {
        assert!(stderr(&enrolled).contains(name), "{}", stderr(&enrolled));
    }
    // Files and whole folders alike.
    for named in [&[path("")][..], &[path("a.jpg"), path("b.jpg"), path("absent.jpg")]] {
        let mut args = vec!["identify"];
        args.extend(named.iter().map(String::as_str));
        let found = house.output(&args);
        assert_eq!(found.status.code(), Some(0), "{}", stderr(&found));
        assert_eq!(stdout(&found).lines().count(), 1);
        assert!(stdout(&found).contains("b.jpg: Alex") && stderr(&found).contains("a.jpg"));
    }
    let found = house.done(&["identify", "--json", &path("a.jpg"), &path("b.jpg")]);
    let lines: Vec<serde_json::Value> =
        found.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines[0]["error"].is_string() && lines[1]["name"] == "Alex", "{found}");
    // With nothing left there is no answer.
    fs::remove_file(path("b.jpg")).unwrap();
    for args in [&["enroll", "Ben", "--from", &path("")][..], &["identify", &path("")]] {
        assert_eq!(house.output(args).status.code(), Some(65), "{args:?}");
    }
}

#[test]
fn who_is_known_but_not_let_in_is_said_to_be() {
    let house = House::new();
    house.done(&["enroll", "Alex", "--from", &demo("Alex")]);
    house.done(&["people", "disable", "Alex"]);
    let picture = demo("Alex/3.jpg");
    assert!(house.done(&["identify", &picture]).contains("Alex, disabled"));
    let json = house.done(&["identify", "--json", &picture]);
    assert!(json.contains("\"disabled\":true"), "{json}");
}

#[test]
fn before_the_first_run_the_log_says_when_it_begins() {
    let house = House::new();
    for args in [&["log"][..], &["log", "--verify"]] {
        let output = house.output(args);
        assert_eq!(output.status.code(), Some(66));
        assert!(stderr(&output).contains("begins with the first"), "{}", stderr(&output));
    }
}

#[test]
fn the_log_is_searched_by_kinds_that_there_are_and_by_name() {
    let mut house = House::new();
    house.done(&["enroll", "Alex", "--from", &demo("Alex")]);
    house.start();
    house.wait_for("granted by face (most like Alex)");
    let lines = |who: &str| house.done(&["log", "--kind", "granted", "--person", who]);
    assert!(lines("alex").contains("name=\"Alex\""));
    assert_eq!(lines("alex"), lines("0"));
    assert_eq!(lines("Ben"), "");
    let unknown = house.output(&["log", "--kind", "open"]);
    assert_eq!(unknown.status.code(), Some(64), "{}", stderr(&unknown));
    assert!(stderr(&unknown).contains("recording_again"));
}

#[test]
fn the_configuration_to_try_it_with_is_in_order() {
    let house = House::new();
    let try_out = repository("demo/facelatch.toml").display().to_string();
    let output = house.bare(&["check-config", "--config", &try_out]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn a_configuration_is_checked_for_everything_at_once_and_locks_the_door_all_the_same() {
    let house = House::new();
    house.edit(
        "lock = \"sim:\"",
        "lock = \"sim:\"\npulse = \"2m\"\ncontact = \"rppal:5\"\ntamper = \"rppal:5\"",
    );
    for command in ["check-config", "run", "doctor"] {
        let output = house.output(&[command]);
        assert_eq!(output.status.code(), Some(78));
        for words in ["2 things are wrong", "door.pulse is 120s", "door.contact and door.tamper"] {
            assert!(stderr(&output).contains(words), "{command}: {}", stderr(&output));
        }
    }
    assert!(house.done(&["lock"]).contains("locked"), "only its own line counts");
    house.edit("lock = \"sim:\"", "lock = \"sin:\"");
    assert_eq!(house.output(&["lock"]).status.code(), Some(78));
    let house = House::new();
    house.edit("[door]", "[recognition]\nleast_liveness = 0.5\n[door]");
    let output = house.output(&["check-config", "--quiet"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(stderr(&output).contains("there is no liveness check yet"), "{}", stderr(&output));
    house.done(&["check-config", "--elsewhere"]);
}

#[test]
fn whoever_stands_before_the_camera_is_led_and_enrolled() {
    let house = House::new();
    // The demo's evening: Alex is the first to come, and the others are not Alex.
    let enrolled = house.output(&["enroll", "Alex", "--camera"]);
    assert!(enrolled.status.success(), "{}", stderr(&enrolled));
    for words in ["good, that is picture 1", "turn your head", "not taken"] {
        assert!(stderr(&enrolled).contains(words), "no {words} in {}", stderr(&enrolled));
    }
    assert!(house.done(&["identify", &demo("Alex/3.jpg")]).contains("Alex"));
    assert_eq!(house.output(&["identify", &demo("Ben/3.jpg")]).status.code(), Some(1));
    // The same face under another name would be two people whom the door cannot tell apart.
    let again = house.output(&["enroll", "Eve", &format!("--camera=dir:{}@1", demo("Alex"))]);
    assert_eq!(again.status.code(), Some(65));
    assert!(stderr(&again).contains("looks like person 0"), "{}", stderr(&again));
    let empty = tempfile::tempdir().unwrap();
    image::RgbImage::new(64, 64).save(empty.path().join("a.png")).unwrap();
    let nobody =
        house.output(&["enroll", "Eve", &format!("--camera=dir:{}", empty.path().display())]);
    assert_eq!(nobody.status.code(), Some(65));
    assert!(stderr(&nobody).contains("only 0 of 2"), "{}", stderr(&nobody));
    assert_eq!(house.output(&["enroll", "Eve"]).status.code(), Some(64), "neither is no way");
}

#[test]
fn a_backup_brings_everybody_back_and_nothing_else_does() {
    let house = House::new();
    let path = |name: &str| house.folder.path().join(name);
    let text = |name: &str| path(name).display().to_string();
    house.done(&["enroll", "Alex", "--from", &demo("Alex")]);
    house.done(&["people", "schedule", "Alex", "Mon-Fri 08:00-18:00"]);
    let before = house.done(&["people", "--json"]);
    let said = house.done(&["people", "export", &text("backup")]);
    assert!(said.contains("people: 1") && said.contains("keep the two apart"), "{said}");
    // Its key is kept elsewhere, as it should be: a newer backup in its place must not get another.
    fs::rename(path("backup.key"), path("away.key")).unwrap();
    let again = house.output(&["people", "export", &text("backup")]);
    assert_eq!(again.status.code(), Some(64));
    assert!(stderr(&again).contains("--key") && !path("backup.key").exists());
    fs::rename(path("away.key"), path("backup.key")).unwrap();
    house.done(&["people", "export", &text("backup")]);
    let taken = house.output(&["people", "import", &text("backup")]);
    assert!(stderr(&taken).contains("is left alone"), "{}", stderr(&taken));
    for file in ["gallery.redb", "gallery.key"] {
        fs::remove_file(path(file)).unwrap();
    }
    let missing = house.output(&["people", "import", &text("backup"), "--key", &text("none")]);
    assert_eq!(missing.status.code(), Some(66));
    fs::write(path("other.key"), [7; 32]).unwrap();
    let wrong = house.output(&["people", "import", &text("backup"), "--key", &text("other.key")]);
    assert!(stderr(&wrong).contains("under another key"), "{}", stderr(&wrong));
    assert!(!path("gallery.redb").exists());
    house.done(&["people", "import", &text("backup")]);
    assert_eq!(house.done(&["people", "--json"]), before);
    assert!(house.done(&["identify", &demo("Alex/3.jpg")]).contains("Alex"));
}

#[test]
fn doctor_tells_the_networks_apart_and_what_keeps_the_audit_log_from_going_on() {
    let house = House::new();
    house.done(&["enroll", "Alex", "--from", &demo("Alex")]);
    let said = house.done(&["doctor"]);
    assert!(said.contains("of 160 px, weights ") && said.contains("first start"), "{said}");
    let (audit, newest) = ("audit", "audit/audit.log");
    let path = |name: &str| house.folder.path().join(name);
    type Case = (&'static str, fn(&Path), &'static str);
    let cases: [Case; 4] = [
        (audit, |path| fs::write(path, "").unwrap(), "audit: "),
        (audit, |path| std::os::unix::fs::symlink("nowhere", path).unwrap(), "audit: "),
        (newest, |path| fs::create_dir(path).unwrap(), "move it away"),
        (newest, |path| fs::write(path, "").unwrap(), ""),
    ];
    for (broken, breaks, words) in cases {
        if broken == newest {
            fs::create_dir(path(audit)).unwrap();
        }
        breaks(&path(broken));
        let output = house.output(&["doctor"]);
        let said = stdout(&output);
        let wanted = if words.is_empty() { 0 } else { 78 };
        assert_eq!(output.status.code(), Some(wanted), "{said}");
        assert!(
            said.contains(words) && (wanted == 0 || said.contains("FAIL  audit log")),
            "{said}"
        );
        fs::remove_dir_all(path(audit)).or_else(|_| fs::remove_file(path(audit))).unwrap();
    }
    // A gallery of the other network: said, and nothing is lost.
    house.edit("embedding-int8.onnx", "embedding-112-int8.onnx");
    let output = house.output(&["doctor"]);
    let said = stdout(&output);
    assert!(said.contains("of 112 px") && said.contains("models.embedding"), "{said}");
    assert_eq!(output.status.code(), Some(78));
    house.edit("embedding-112-int8.onnx", "embedding-int8.onnx");
    assert!(house.done(&["doctor"]).contains("people: 1"));
}

#[test]
fn pictures_are_sorted_by_who_is_in_them_and_a_threshold_is_found_for_the_household() {
    let house = House::new();
    let groups = house.done(&["cluster", "--json", &demo("")]);
    let groups: Vec<serde_json::Value> = serde_json::from_str(&groups).unwrap();
    let names: Vec<String> = groups
        .iter()
        .map(|group| {
            let pictures = group["pictures"].as_array().unwrap();
            let mut names: Vec<&str> =
                pictures.iter().map(|p| p.as_str().unwrap().split('/').next().unwrap()).collect();
            names.dedup();
            names.join("+")
        })
        .collect();
    assert_eq!(names.len(), 2, "{groups:?}");
    assert!(names.contains(&"Alex".to_owned()) && names.contains(&"Ben".to_owned()), "{names:?}");
    let listed = house.done(&["cluster", &demo("Alex")]);
    assert!(listed.contains("people at a threshold of 0.46: 1"), "{listed}");
    house.done(&["enroll", "Alex", "--from", &demo("Alex")]);
    let plot = house.folder.path().join("plot").display().to_string();
    let tuned = house.output(&["tune", "--strangers", &demo("Ben"), "--json", "--plot", &plot]);
    // Five strangers, however unlike, are no reason to open the door wider.
    assert!(stderr(&tuned).contains("cannot show a rate of 0.001"), "{}", stderr(&tuned));
    let found: serde_json::Value = serde_json::from_slice(&tuned.stdout).unwrap();
    assert_eq!((&found["people"], &found["measured"]), (&1.into(), &false.into()), "{found}");
    assert_eq!(found["suggested"], found["configured"]);
    assert_eq!(found["suggested"]["residents"], 1.0);
    let enough = house.done(&["tune", "--strangers", &demo("Ben"), "--far", "0.6", "--json"]);
    let found: serde_json::Value = serde_json::from_str(&enough).unwrap();
    let [suggested, configured] =
        ["suggested", "configured"].map(|at| found[at]["threshold"].as_f64().unwrap());
    assert!(0.0 < suggested && suggested < configured, "{found}");
    assert!(fs::metadata(format!("{plot}.png")).is_ok());
    assert!(house.done(&["tune", "--strangers", &demo("Ben")]).contains("suggested"));
}

#[test]
fn a_person_has_eight_templates_and_nobody_poses_for_nothing() {
    let house = House::new();
    let alex = demo("Alex");
    let early = house.output(&["enroll", "Alex", "--add", "--camera"]);
    assert!(stderr(&early).contains("leave out --add"), "{}", stderr(&early));
    assert!(!stderr(&early).contains("look into the camera"), "{}", stderr(&early));
    assert!(house.done(&["enroll", "Alex", "--from", &alex]).contains("5 pictures"));
    let added = house.output(&["enroll", "Alex", "--add", "--from", &alex]);
    assert!(stdout(&added).contains("3 pictures"), "{}", stdout(&added));
    assert!(stderr(&added).contains("the last 2 are left out"), "{}", stderr(&added));
    let full = house.output(&["enroll", "Alex", "--add", "--camera"]);
    assert_eq!(full.status.code(), Some(65));
    assert!(stderr(&full).contains("has 8 templates"), "{}", stderr(&full));
}
