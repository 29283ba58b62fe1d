//! The gallery as a whole: what it keeps, what it refuses, and what damage does to it.

mod damage;
pub(super) mod journal;
mod power;

use super::{rows::Contents, *};
use crate::embed::Embedding;
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// A folder of one key and one gallery.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn key(&self) -> Key {
        Key::load_or_create(&self.path("key")).unwrap()
    }

    fn create(&self) -> Gallery {
        Gallery::create(&self.path("gallery"), self.key(), model('a')).unwrap()
    }

    fn open(&self) -> Result<Gallery, GalleryError> {
        Gallery::open(&self.path("gallery"), self.key(), model('a'))
    }

    fn files(&self) -> usize {
        fs::read_dir(self.0.path()).unwrap().count()
    }
}

fn model(digit: char) -> ModelHash {
    ModelHash::from_hex(&digit.to_string().repeat(64)).unwrap()
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// Templates that no two numbers share.
fn templates(who: u32, count: usize) -> Vec<Embedding> {
    let template = |index: usize| {
        let seed = (who as usize * MAX_TEMPLATES + index + 1) as f32;
        Embedding::new(std::array::from_fn(|i| (seed * (i as f32 + 1.3)).sin())).unwrap()
    };
    (0..count).map(template).collect()
}

/// Ada with two templates and a schedule, Bob with one, disabled.
fn household(home: &Home) -> Contents {
    let mut gallery = home.create();
    let ada = gallery.enrol(&name("Ada"), &templates(0, 2), "2026-01-02T03:04:05Z".parse().ok());
    gallery.set_schedule(ada.unwrap(), Some("weekdays 7 to 19")).unwrap();
    let bob = gallery.enrol(&name("Bob"), &templates(1, 1), None).unwrap();
    gallery.set_disabled(bob, true).unwrap();
    gallery.contents().unwrap()
}

fn count_of(needle: &[u8], haystack: &[u8]) -> usize {
    haystack.windows(needle.len()).filter(|w| *w == needle).count()
}

#[test]
fn what_is_enrolled_is_there_after_opening_again() {
    let home = Home::new();
    let before = household(&home);
    let gallery = home.open().unwrap();
    assert_eq!(gallery.contents().unwrap(), before);
    let people = gallery.list().unwrap();
    assert_eq!(people.len(), 2);
    assert_eq!(
        (people[0].id, people[0].name.as_str(), people[0].templates),
        (PersonId(0), "Ada", 2)
    );
    assert_eq!(people[0].created.unwrap().to_string(), "2026-01-02T03:04:05Z");
    assert_eq!(people[0].schedule.as_deref(), Some("weekdays 7 to 19"));
    assert!(people[1].disabled && people[1].created.is_none());
    assert_eq!(before.people[0].templates, templates(0, 2));
    let mode = fs::metadata(home.path("gallery")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(home.files(), 2, "a key, a gallery, nothing else");
}

#[test]
fn the_matcher_finds_whom_the_gallery_holds_disabled_or_not() {
    let home = Home::new();
    household(&home);
    let matcher = home.open().unwrap().matcher().unwrap();
    let found = matcher.search(&templates(0, 2)[1]).unwrap();
    assert_eq!((found.best.id, found.best.disabled), (PersonId(0), false));
    let found = matcher.search(&templates(1, 1)[0]).unwrap();
    assert_eq!((found.best.id, found.best.disabled), (PersonId(1), true));
    assert!((found.best.score.0 - 1.0).abs() < 1e-5);
}

#[test]
fn a_person_gets_more_templates_up_to_eight() {
    let home = Home::new();
    household(&home);
    let mut gallery = home.open().unwrap();
    gallery.add_templates(PersonId(0), &templates(2, 6)).unwrap();
    let contents = gallery.contents().unwrap();
    assert_eq!(contents.people[0].person.templates, 8);
    assert_eq!(contents.people[0].templates[2..], templates(2, 6));
    for (id, count, refused) in [(0, 1, 9), (1, 0, 0), (1, 8, 9)] {
        let result = gallery.add_templates(PersonId(id), &templates(3, count));
        assert!(matches!(result, Err(GalleryError::Templates(n)) if n == refused), "{result:?}");
    }
    for count in [0, 9] {
        let result = gallery.enrol(&name("Eve"), &templates(3, count), None);
        assert!(matches!(result, Err(GalleryError::Templates(n)) if n == count), "{result:?}");
    }
    assert_eq!(gallery.contents().unwrap(), contents, "a refused change changed something");
}

#[test]
fn a_name_is_nobody_elses() {
    let home = Home::new();
    household(&home);
    let mut gallery = home.open().unwrap();
    let taken = |r: Result<(), GalleryError>| {
        matches!(r, Err(GalleryError::NameTaken { id: PersonId(0), .. }))
    };
    assert!(taken(gallery.enrol(&name("Ada"), &templates(2, 1), None).map(drop)));
    assert!(taken(gallery.rename(PersonId(1), &name("ADA"))));
    gallery.rename(PersonId(0), &name("ada")).unwrap();
    gallery.rename(PersonId(1), &name("Robert")).unwrap();
    assert_eq!(gallery.list().unwrap()[1].name, name("Robert"));
}

#[test]
fn whoever_is_not_there_cannot_be_changed() {
    let home = Home::new();
    household(&home);
    let mut gallery = home.open().unwrap();
    let id = PersonId(2);
    for result in [
        gallery.add_templates(id, &templates(2, 1)),
        gallery.set_disabled(id, true),
        gallery.rename(id, &name("Eve")),
        gallery.set_schedule(id, None),
        gallery.remove(id),
    ] {
        assert!(matches!(result, Err(GalleryError::Unknown(PersonId(2)))), "{result:?}");
    }
    let long = "x".repeat(MAX_SCHEDULE + 1);
    let result = gallery.set_schedule(PersonId(0), Some(&long));
    assert!(matches!(result, Err(GalleryError::Schedule(4097))), "{result:?}");
}

#[test]
fn a_removed_person_leaves_no_byte_of_theirs_and_their_number_stays_unused() {
    let home = Home::new();
    household(&home);
    let mut gallery = home.open().unwrap();
    let row = gallery.raw_template(PersonId(1), 0);
    let inode = home.path("old inode");
    fs::hard_link(home.path("gallery"), &inode).unwrap();
    assert!(
        count_of(&row[..64], &fs::read(&inode).unwrap()) >= 1,
        "the test looks for the wrong row"
    );
    gallery.remove(PersonId(1)).unwrap();
    for path in [&inode, &home.path("gallery")] {
        assert_eq!(count_of(&row[..16], &fs::read(path).unwrap()), 0, "{}", path.display());
    }
    assert!(fs::read(&inode).unwrap().iter().all(|&b| b == 0), "the old file is not zeroed");
    assert_eq!(gallery.list().unwrap().len(), 1);
    assert_eq!(gallery.enrol(&name("Bob"), &templates(1, 1), None).unwrap(), PersonId(2));
    drop(gallery);
    assert_eq!(home.open().unwrap().list().unwrap().len(), 2);
}

#[test]
fn a_gallery_is_open_in_one_process_at_a_time() {
    let home = Home::new();
    let mut gallery = home.create();
    assert!(matches!(home.open(), Err(GalleryError::InUse { .. })));
    // The file is another one now, and must be locked like the first.
    gallery.scrub().unwrap();
    assert!(matches!(home.open(), Err(GalleryError::InUse { .. })));
    drop(gallery);
    home.open().unwrap();
}

#[test]
fn another_key_or_model_is_named_and_nothing_is_touched() {
    let home = Home::new();
    household(&home);
    let path = home.path("gallery");
    let wrong = Gallery::open(&path, Key::generate().unwrap(), model('a')).unwrap_err();
    assert!(matches!(wrong, GalleryError::WrongKey { .. }), "{wrong}");
    let other = Gallery::open(&path, home.key(), model('b')).unwrap_err();
    assert!(matches!(other, GalleryError::OtherModel { .. }), "{other}");
    assert!(other.to_string().contains("enrol everybody again"), "{other}");
    let absent = Gallery::open(&home.path("absent"), home.key(), model('a')).unwrap_err();
    assert!(matches!(absent, GalleryError::File { .. }), "{absent}");
    assert!(!home.path("absent").exists());
    let exists = Gallery::create(&path, home.key(), model('a')).unwrap_err();
    assert!(matches!(exists, GalleryError::Exists { .. }), "{exists}");
    assert_eq!(home.open().unwrap().list().unwrap().len(), 2);
}

#[test]
fn no_name_and_no_number_of_a_template_is_in_the_file_in_the_clear() {
    let home = Home::new();
    household(&home);
    let bytes = fs::read(home.path("gallery")).unwrap();
    assert_eq!(count_of(b"Ada", &bytes), 0);
    assert_eq!(count_of(b"weekdays", &bytes), 0);
    for value in &templates(0, 2)[0].values()[..4] {
        assert_eq!(count_of(&value.to_le_bytes(), &bytes), 0);
    }
}

#[test]
fn what_a_crash_left_beside_the_gallery_is_taken_away() {
    let home = Home::new();
    let before = household(&home);
    fs::write(home.path("gallery.new"), b"half a gallery").unwrap();
    assert_eq!(home.open().unwrap().contents().unwrap(), before);
    assert_eq!(home.files(), 2);
}

#[test]
fn a_full_gallery_takes_nobody_else_and_comes_back_whole() {
    let home = Home::new();
    let people = (0..MAX_PEOPLE as u32).map(|id| rows::Enrolled {
        person: Person {
            id: PersonId(id),
            name: name(&format!("Person {id}")),
            created: None,
            disabled: false,
            schedule: None,
            templates: MAX_TEMPLATES,
        },
        templates: templates(id, MAX_TEMPLATES),
    });
    let contents = Contents { next_id: MAX_PEOPLE as u32, people: people.collect() };
    let vault = rows::Vault { key: home.key(), model: model('a') };
    drop(Gallery::create_with(&home.path("gallery"), vault, &contents).unwrap());
    let mut gallery = home.open().unwrap();
    let refused = gallery.enrol(&name("One more"), &templates(2000, 1), None);
    assert!(matches!(refused, Err(GalleryError::Full)), "{refused:?}");
    gallery.remove(PersonId(500)).unwrap();
    gallery.enrol(&name("One more"), &templates(2000, 1), None).unwrap();
    assert_eq!(gallery.matcher().unwrap().len(), MAX_PEOPLE);
    let backup = home.path("backup");
    gallery.export(&backup, &home.key()).unwrap();
    let back = Gallery::import(&backup, &home.key(), &home.path("second"), home.key(), model('a'));
    assert_eq!(back.unwrap().contents().unwrap(), gallery.contents().unwrap());
}

#[test]
fn a_backup_brings_everything_back_under_new_keys() {
    let home = Home::new();
    let before = household(&home);
    let (backup, spare) = (home.path("backup"), Key::load_or_create(&home.path("spare")).unwrap());
    home.open().unwrap().export(&backup, &spare).unwrap();
    assert_eq!(count_of(b"Ada", &fs::read(&backup).unwrap()), 0);
    let import = |key: &Key, to: &Path, model| Gallery::import(&backup, key, to, home.key(), model);
    let fresh = home.path("fresh");
    let other = import(&spare, &fresh, model('b')).unwrap_err();
    assert!(matches!(other, GalleryError::OtherModel { .. }), "{other}");
    let wrong = import(&home.key(), &fresh, model('a')).unwrap_err();
    assert!(matches!(wrong, GalleryError::WrongKey { .. }), "{wrong}");
    let exists = import(&spare, &home.path("gallery"), model('a')).unwrap_err();
    assert!(matches!(exists, GalleryError::Exists { .. }), "{exists}");
    assert!(!fresh.exists());
    assert_eq!(import(&spare, &fresh, model('a')).unwrap().contents().unwrap(), before);
}

#[test]
fn what_root_writes_belongs_to_the_user_of_the_folder() {
    if !rustix::process::geteuid().is_root() {
        println!("SKIP: only root can give files away");
        return;
    }
    let home = Home::new();
    std::os::unix::fs::chown(home.0.path(), Some(1234), Some(1235)).unwrap();
    let mut gallery = home.create();
    let ada = gallery.enrol(&name("Ada"), &templates(1, 1), None).unwrap();
    // Removing somebody writes the whole file anew.
    gallery.remove(ada).unwrap();
    for file in ["key", "gallery"] {
        let meta = fs::metadata(home.path(file)).unwrap();
        assert_eq!((meta.uid(), meta.gid(), meta.mode() & 0o777), (1234, 1235, 0o600), "{file}");
    }
}

/// Somebody who may write the folder puts it there while root has the gallery open.
#[test]
fn zeros_are_written_over_nothing_that_a_link_in_the_place_of_the_gallery_points_to() {
    let home = Home::new();
    household(&home);
    let mut gallery = home.open().unwrap();
    fs::rename(home.path("gallery"), home.path("away")).unwrap();
    fs::write(home.path("victim"), "precious").unwrap();
    std::os::unix::fs::symlink(home.path("victim"), home.path("gallery")).unwrap();
    let error = gallery.remove(PersonId(0)).unwrap_err();
    assert!(matches!(error, GalleryError::NotScrubbed { .. }), "{error}");
    for words in [home.path("gallery").to_str().unwrap(), "it is a link"] {
        assert!(error.to_string().contains(words), "{error}");
    }
    assert_eq!(fs::read(home.path("victim")).unwrap(), b"precious");
    assert!(fs::symlink_metadata(home.path("gallery")).unwrap().is_symlink());
    assert_eq!(gallery.list().unwrap().len(), 1, "the change was made");
}
