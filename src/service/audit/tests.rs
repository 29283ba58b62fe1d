use super::{tail::faults, *};
use crate::gallery::PersonId;
use proptest::prelude::*;
use serde_json::json;
use std::{fs, os::unix::fs::MetadataExt, path::Path};
use tempfile::TempDir;

const ROOMY: Limits = Limits { file_bytes: 1 << 20, files: 4 };
/// A record of these tests is about 300 bytes: three or four fit.
const TIGHT: Limits = Limits { file_bytes: 1200, files: 3 };

fn at(second: i64) -> Moment {
    Moment {
        wall: jiff::Timestamp::from_second(1_800_000_000 + second).ok(),
        monotonic_ms: 1000 * second as u64,
        boot: BootId("8c5b2b8e".into()),
    }
}

fn entry(kind: &'static str, person: u32) -> Entry {
    let fields = json!({ "person": person, "name": "Ada", "score": 0.625, "live": true });
    Entry { kind, fields: fields.as_object().unwrap().clone() }
}

fn open(dir: &Path, limits: Limits) -> AuditLog {
    AuditLog::open(dir, limits, &at(0)).unwrap()
}

/// A log of `count` records, closed, and its last place.
fn written(count: u32, limits: Limits) -> (TempDir, Head) {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), limits);
    for i in 0..count {
        log.append(&at(i.into()), entry("granted", i)).unwrap();
    }
    let head = log.head();
    (dir, head)
}

fn records(dir: &Path) -> Vec<Record> {
    read(dir, Filter::default()).unwrap().collect::<Result<_, _>>().unwrap()
}

fn kinds(dir: &Path) -> Vec<String> {
    records(dir).into_iter().map(|r| r.kind).collect()
}

fn names(dir: &Path) -> Vec<String> {
    let files = files::all(dir).unwrap();
    files.iter().map(|f| f.file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn a_log_that_root_begins_can_be_written_by_the_owner_of_its_folder() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIP: only root can give files away");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(dir.path(), Some(1234), Some(1235)).unwrap();
    let mut log = open(dir.path(), TIGHT);
    for i in 0..8 {
        log.append(&at(i.into()), entry("granted", i)).unwrap();
    }
    assert!(names(dir.path()).len() > 1, "full files too");
    for name in names(dir.path()) {
        assert_eq!(fs::metadata(dir.path().join(&name)).unwrap().uid(), 1234, "{name}");
    }
}

#[test]
fn a_link_in_the_place_of_the_newest_file_is_refused_and_its_target_untouched() {
    // One line counts as torn, and would be cut off.
    for target in [Some("precious"), Some(""), None] {
        let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (path, victim) = (dir.path().join("audit.log"), elsewhere.path().join("victim"));
        if let Some(text) = target {
            fs::write(&victim, text).unwrap();
        }
        let owner = || fs::metadata(&victim).ok().map(|found| found.uid());
        let before = owner();
        // Only root can give files away.
        let _ = std::os::unix::fs::chown(dir.path(), Some(1234), Some(1235));
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        let error = AuditLog::open(dir.path(), ROOMY, &at(0)).unwrap_err();
        for words in [path.to_str().unwrap(), "it is a link"] {
            assert!(error.to_string().contains(words), "{target:?}: {error}");
        }
        assert_eq!(fs::read_to_string(&victim).ok().as_deref(), target);
        assert_eq!(owner(), before, "{target:?}");
    }
}

#[test]
fn a_record_is_one_line_of_json_with_both_hashes() {
    let (dir, head) = written(2, ROOMY);
    let text = fs::read_to_string(dir.path().join("audit.log")).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["seq"], 1);
    assert_eq!(lines[0]["wall"], "2027-01-15T08:00:00Z");
    assert_eq!(lines[0]["fields"]["score"], 0.625);
    assert_eq!(lines[0]["prev"], "0".repeat(64));
    assert_eq!(lines[1]["prev"], lines[0]["hash"]);
    assert_eq!(lines[1]["hash"], head.hash.to_string());
    let dir = tempfile::tempdir().unwrap();
    let unset = Moment { wall: None, ..at(5) };
    open(dir.path(), ROOMY).append(&unset, entry("denied", 1)).unwrap();
    assert_eq!(records(dir.path())[0].wall, None);
}

#[test]
fn a_log_goes_on_after_it_was_closed() {
    let (dir, head) = written(3, ROOMY);
    let mut log = open(dir.path(), ROOMY);
    assert_eq!(log.head(), head);
    assert_eq!(log.append(&at(9), entry("denied", 1)).unwrap().seq, 4);
    let verified = verify(dir.path(), Some(head)).unwrap();
    assert_eq!((verified.records, verified.files, verified.last), (4, 1, Some(log.head())));
    assert_eq!(verified.first.unwrap().seq, 1);
}

#[test]
fn an_empty_folder_verifies_and_one_writer_has_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let verified = verify(dir.path(), None).unwrap();
    assert_eq!((verified.records, verified.first, verified.last), (0, None, None));
    let log = open(dir.path(), ROOMY);
    let second = AuditLog::open(dir.path(), ROOMY, &at(0));
    assert!(matches!(second, Err(AuditError::InUse(_))), "{second:?}");
    drop(log);
    open(dir.path(), ROOMY);
    let absent = AuditLog::open(&dir.path().join("absent"), ROOMY, &at(0));
    assert!(matches!(absent, Err(AuditError::Unwritable { .. })), "{absent:?}");
}

#[test]
fn what_does_not_belong_in_the_log_is_refused_and_leaves_no_gap() {
    let (dir, _) = written(1, ROOMY);
    let mut log = open(dir.path(), ROOMY);
    let with = |value| Entry {
        kind: "granted",
        fields: json!({ "x": value }).as_object().unwrap().clone(),
    };
    let embedding = json!(vec![0.1; 128]);
    for (name, entry) in [
        ("an embedding", with(embedding)),
        ("a picture", with(json!("A".repeat(MAX_TEXT + 1)))),
        ("an object", with(json!({ "a": 1 }))),
    ] {
        assert!(matches!(log.append(&at(1), entry), Err(AuditError::Field(_))), "{name}");
    }
    let many = (0..100).map(|i| (format!("f{i}"), json!("x".repeat(MAX_TEXT)))).collect();
    let long = log.append(&at(1), Entry { kind: "granted", fields: many });
    assert!(matches!(long, Err(AuditError::TooLong(_))), "{long:?}");
    for kind in ["rotated", "recovered"] {
        assert!(matches!(log.append(&at(1), entry(kind, 1)), Err(AuditError::Reserved(_))));
    }
    assert_eq!(log.append(&at(1), with(json!("x".repeat(MAX_TEXT)))).unwrap().seq, 2);
    assert_eq!(verify(dir.path(), None).unwrap().records, 2);
}

#[test]
fn a_power_cut_at_any_byte_leaves_a_log_that_opens_and_verifies() {
    let (dir, _) = written(4, ROOMY);
    let bytes = fs::read(dir.path().join("audit.log")).unwrap();
    for cut in 0..=bytes.len() {
        let copy = tempfile::tempdir().unwrap();
        fs::write(copy.path().join("audit.log"), &bytes[..cut]).unwrap();
        let whole = bytes[..cut].iter().filter(|&&b| b == b'\n').count() as u64;
        let torn = cut > 0 && bytes[cut - 1] != b'\n';
        open(copy.path(), ROOMY).append(&at(9), entry("granted", 9)).unwrap();
        let verified = verify(copy.path(), None).unwrap();
        assert_eq!(verified.records, whole + u64::from(torn) + 1, "cut at {cut}");
        let noted = kinds(copy.path()).contains(&"recovered".to_owned());
        assert_eq!(noted, torn, "cut at {cut}");
    }
}

fn copy_of(dir: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for name in names(dir) {
        fs::copy(dir.join(&name), copy.path().join(name)).unwrap();
    }
    copy
}

#[test]
fn a_power_cut_while_files_change_leaves_a_log_that_opens_and_verifies() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), TIGHT);
    let mut changes = 0;
    for i in 0..14 {
        let before = copy_of(dir.path());
        log.append(&at(i), entry("granted", 1)).unwrap();
        let newest = files::archives(dir.path()).unwrap().pop();
        if newest == files::archives(before.path()).unwrap().pop() {
            continue;
        }
        changes += 1;
        // The old file has its new name, the surplus one is still there, and the new file is not
        // (None) or has any part of its first record.
        let full = files::archive(before.path(), newest.unwrap());
        fs::rename(files::current(before.path()), full).unwrap();
        let bytes = fs::read(files::current(dir.path())).unwrap();
        let first = bytes.iter().position(|&b| b == b'\n').unwrap() + 1;
        for cut in [None, Some(first)].into_iter().chain((0..first).step_by(9).map(Some)) {
            let copy = copy_of(before.path());
            if let Some(cut) = cut {
                fs::write(files::current(copy.path()), &bytes[..cut]).unwrap();
            }
            open(copy.path(), TIGHT).append(&at(i), entry("granted", 9)).unwrap();
            assert_eq!(verify(copy.path(), None).err(), None, "change {changes} cut at {cut:?}");
        }
    }
    assert!(changes >= 4, "only {changes}, so none that deletes a file");
}

#[test]
fn the_log_is_bounded_and_says_what_it_deleted() {
    let (dir, head) = written(60, TIGHT);
    let files = names(dir.path());
    assert_eq!(files.len(), 3, "{files:?}");
    assert_eq!(files.last().unwrap(), "audit.log");
    for file in &files {
        assert!(fs::metadata(dir.path().join(file)).unwrap().len() <= TIGHT.file_bytes, "{file}");
    }
    let verified = verify(dir.path(), Some(head)).unwrap();
    assert_eq!((verified.files, verified.last), (3, Some(head)));
    assert!(verified.first.unwrap().seq > 1);
    let last = records(dir.path()).into_iter().rfind(|r| r.kind == "rotated").unwrap();
    let before = Head { seq: verified.first.unwrap().seq - 1, hash: records(dir.path())[0].prev };
    assert_eq!(last.fields["deleted"]["head"], before.to_string());
}

#[test]
fn files_that_somebody_took_away_are_missed() {
    let (dir, head) = written(60, TIGHT);
    let files = names(dir.path());
    // The newest among them: it is the one that accounts for what the log deleted itself.
    for gone in [&files[..1], &files[..2], &files[1..2], &files[2..]] {
        let copy = tempfile::tempdir().unwrap();
        for name in files.iter().filter(|f| !gone.contains(f)) {
            fs::copy(dir.path().join(name), copy.path().join(name)).unwrap();
        }
        assert!(verify(copy.path(), None).is_err(), "{gone:?}");
        assert!(verify(copy.path(), Some(head)).is_err(), "{gone:?}, with an anchor");
    }
}

#[test]
fn a_cut_tail_shows_only_against_an_anchor() {
    let (dir, head) = written(3, ROOMY);
    let path = dir.path().join("audit.log");
    let text = fs::read_to_string(&path).unwrap();
    let kept: String = text.split_inclusive('\n').take(2).collect();
    fs::write(&path, &kept).unwrap();
    assert_eq!(verify(dir.path(), None).unwrap().records, 2);
    let error = verify(dir.path(), Some(head)).unwrap_err();
    assert!(error.why.contains("before the anchor 3"), "{error}");
    // The same number of records, but another last one.
    open(dir.path(), ROOMY).append(&at(7), entry("denied", 7)).unwrap();
    let error = verify(dir.path(), Some(head)).unwrap_err();
    assert_eq!((error.line, error.why.contains("anchor")), (3, true), "{error}");
    assert_eq!(head.to_string().parse(), Ok(head));
    assert_eq!("3:ab".parse::<Head>(), Err(HeadError));
}

#[test]
fn a_log_broken_before_its_last_line_is_not_gone_on_with() {
    let (dir, _) = written(4, ROOMY);
    let path = dir.path().join("audit.log");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen("Ada", "Eva", 1)).unwrap();
    let error = AuditLog::open(dir.path(), ROOMY, &at(9)).unwrap_err();
    assert!(matches!(&error, AuditError::Damaged(VerifyError { line: 1, .. })), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap().len(), text.len());
}

/// Runs `work` on a disk with `room` bytes left, then frees it.
fn on_a_disk_with(room: usize, work: impl FnOnce()) {
    faults::ROOM.set(room);
    work();
    faults::ROOM.set(usize::MAX);
}

#[test]
fn after_a_full_disk_the_log_goes_on_without_a_gap() {
    for room in [0, 1, 100, 250] {
        let (dir, head) = written(2, ROOMY);
        let mut log = open(dir.path(), ROOMY);
        on_a_disk_with(room, || {
            for _ in 0..3 {
                let full = log.append(&at(3), entry("granted", 3));
                assert!(matches!(full, Err(AuditError::Unwritable { .. })), "{full:?}");
            }
        });
        assert_eq!(log.head(), head);
        assert_eq!(verify(dir.path(), None).unwrap().records, 2, "a torn line was left");
        assert_eq!(log.append(&at(4), entry("granted", 4)).unwrap().seq, 3);
        assert_eq!(verify(dir.path(), None).unwrap().records, 3);
    }
}

#[test]
fn after_a_full_disk_while_files_change_the_log_goes_on_without_a_gap() {
    for room in [0, 1, 200] {
        let dir = tempfile::tempdir().unwrap();
        let mut log = open(dir.path(), TIGHT);
        let mut refused = 0;
        // The disk fills before every third record, wherever the file is then.
        for i in 0..40 {
            if i % 3 == 0 {
                on_a_disk_with(room, || {
                    for _ in 0..2 {
                        refused += u32::from(log.append(&at(i), entry("granted", 1)).is_err());
                    }
                });
            }
            log.append(&at(i), entry("granted", 1)).unwrap();
            verify(dir.path(), Some(log.head())).unwrap();
        }
        assert_eq!(refused, 28);
    }
}

#[test]
fn a_record_that_could_not_be_synced_is_taken_back() {
    for cut_fails in [false, true] {
        let (dir, head) = written(2, ROOMY);
        let mut log = open(dir.path(), ROOMY);
        faults::SYNC_FAILS.set(true);
        faults::CUT_FAILS.set(cut_fails);
        assert!(log.append(&at(3), entry("granted", 3)).is_err());
        faults::SYNC_FAILS.set(false);
        if cut_fails {
            assert!(log.append(&at(3), entry("granted", 3)).is_err());
        }
        faults::CUT_FAILS.set(false);
        assert_eq!(log.head(), head);
        log.append(&at(4), entry("denied", 4)).unwrap();
        assert_eq!(kinds(dir.path()), ["granted", "granted", "denied"]);
        verify(dir.path(), Some(log.head())).unwrap();
    }
}

#[test]
fn a_reader_gets_what_it_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), TIGHT);
    for (second, kind, person) in [(10, "granted", 1), (20, "denied", 1), (30, "granted", 2)] {
        log.append(&at(second), entry(kind, person)).unwrap();
    }
    log.append(&Moment { wall: None, ..at(5) }, entry("granted", 3)).unwrap();
    let seqs = |filter| -> Vec<u64> {
        read(dir.path(), filter)
            .unwrap()
            .map(|r| r.unwrap())
            .filter(|r| r.kind != "rotated")
            .map(|r| r.mono_ms / 1000)
            .collect()
    };
    let all = Filter::default();
    assert_eq!(seqs(all.clone()), [10, 20, 30, 5]);
    assert_eq!(seqs(Filter { since: at(20).wall, ..all.clone() }), [20, 30, 5]);
    assert_eq!(seqs(Filter { kind: Some("denied".into()), ..all.clone() }), [20]);
    assert_eq!(seqs(Filter { person: Some(PersonId(1)), ..all.clone() }), [10, 20]);
    // A line that is being written is not there yet; a broken one is named and passed over.
    let path = dir.path().join("audit.log");
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend_from_slice(b"{\"seq\":");
    fs::write(&path, &bytes).unwrap();
    assert_eq!(seqs(all.clone()).len(), 4);
    bytes.extend_from_slice(b"5}\n");
    fs::write(&path, &bytes).unwrap();
    let found: Vec<_> = read(dir.path(), all).unwrap().collect();
    assert!(found.last().unwrap().is_err());
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let found: Vec<_> = read(dir.path(), Filter::default()).unwrap().collect();
    assert!(found.last().unwrap().is_err(), "a folder read as a file");
}

/// What somebody may do to the lines of a log.
#[derive(Debug, Clone)]
enum Change {
    Flip(prop::sample::Index, u8),
    Remove(prop::sample::Index),
    Duplicate(prop::sample::Index),
    Exchange(prop::sample::Index, prop::sample::Index),
}

fn change() -> impl Strategy<Value = Change> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        (index(), 0..8u8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        index().prop_map(Change::Remove),
        index().prop_map(Change::Duplicate),
        (index(), index()).prop_map(|(a, b)| Change::Exchange(a, b)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn any_change_but_a_cut_tail_is_found(
        count in 1u32..30, file in any::<prop::sample::Index>(), change in change(),
    ) {
        let (dir, _) = written(count, TIGHT);
        prop_assert!(verify(dir.path(), None).is_ok());
        let files = files::all(dir.path()).unwrap();
        let path = &files[file.index(files.len())];
        let is_newest = *path == *files.last().unwrap();
        let mut bytes = fs::read(path).unwrap();
        let mut lines: Vec<Vec<u8>> = bytes.split_inclusive(|&b| b == b'\n').map(<[u8]>::to_vec).collect();
        match change {
            Change::Flip(at, bit) => {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
            Change::Remove(at) => {
                let at = at.index(lines.len());
                prop_assume!(!(is_newest && at + 1 == lines.len()));
                lines.remove(at);
                bytes = lines.concat();
            }
            Change::Duplicate(at) => {
                let at = at.index(lines.len());
                lines.insert(at, lines[at].clone());
                bytes = lines.concat();
            }
            Change::Exchange(a, b) => {
                let (a, b) = (a.index(lines.len()), b.index(lines.len()));
                prop_assume!(a != b);
                lines.swap(a, b);
                bytes = lines.concat();
            }
        }
        fs::write(path, bytes).unwrap();
        prop_assert!(verify(dir.path(), None).is_err());
    }
}
