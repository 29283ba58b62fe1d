use super::*;
use crate::gallery::{
    rows::Contents,
    store::{People, Templates},
};
use proptest::prelude::*;
use redb::ReadableTable;
use std::panic;

/// Everything in a copy of the file with `damage` done to its bytes, or the error.
fn read(home: &Home, damage: impl FnOnce(&mut Vec<u8>)) -> Result<Contents, GalleryError> {
    let mut bytes = fs::read(home.path("gallery")).unwrap();
    damage(&mut bytes);
    let copy = home.path("copy");
    fs::write(&copy, bytes).unwrap();
    Gallery::open(&copy, home.key(), model('a'))?.contents()
}

/// An error or what was written: nothing else may come of damage.
fn holds(found: &Result<Contents, GalleryError>, written: &Contents) -> bool {
    found.as_ref().map_or_else(|e| !matches!(e, GalleryError::OtherModel { .. }), |c| c == written)
}

fn flips(home: &Home, written: &Contents, at: impl Iterator<Item = usize>) {
    for at in at {
        for bit in 0..8 {
            let found = read(home, |bytes| bytes[at] ^= 1 << bit);
            assert!(holds(&found, written), "bit {bit} of byte {at}: {found:?}");
        }
    }
}

#[test]
fn a_flipped_bit_in_the_files_head_is_an_error_or_changes_nothing() {
    let home = Home::new();
    let written = household(&home);
    // redb's head ends at byte 320: which commit counts, how long the file is, where the trees begin.
    flips(&home, &written, 0..320);
}

#[test]
#[ignore = "takes minutes, an open a byte; cargo test --lib a_flipped_bit_anywhere -- --ignored"]
fn a_flipped_bit_anywhere_is_an_error_or_changes_nothing() {
    let home = Home::new();
    let written = household(&home);
    for at in 0..fs::metadata(home.path("gallery")).unwrap().len() as usize {
        let found = read(&home, |bytes| bytes[at] ^= 1 << (at % 8));
        assert!(holds(&found, &written), "byte {at}: {found:?}");
    }
}

#[test]
fn after_a_power_cut_everything_is_there_and_damage_does_not_bring_back_what_was_before() {
    let home = Home::new();
    household(&home);
    let mut gallery = home.open().unwrap();
    gallery.enrol(&name("Eve"), &templates(2, 2), None).unwrap();
    gallery.set_disabled(PersonId(0), true).unwrap();
    let written = gallery.contents().unwrap();
    // What the disk holds while the gallery is open is what a power cut leaves.
    let crashed = Home::new();
    fs::copy(home.path("key"), crashed.path("key")).unwrap();
    fs::copy(home.path("gallery"), crashed.path("gallery")).unwrap();
    assert_eq!(read(&crashed, |_| {}).unwrap(), written);
    flips(&crashed, &written, 0..320);
    flips(
        &crashed,
        &written,
        (320..fs::metadata(home.path("gallery")).unwrap().len() as usize).step_by(509),
    );
}

#[test]
fn a_removed_person_does_not_come_back_by_a_flipped_bit() {
    let home = Home::new();
    household(&home);
    home.open().unwrap().remove(PersonId(1)).unwrap();
    let written = home.open().unwrap().contents().unwrap();
    assert_eq!(written.people.len(), 1);
    flips(&home, &written, 8..16);
}

#[test]
fn a_file_cut_anywhere_or_of_something_else_is_an_error() {
    let home = Home::new();
    household(&home);
    let length = fs::metadata(home.path("gallery")).unwrap().len() as usize;
    for keep in
        [0, 1, 9, 63, 64, 320, 4095, 4096, 4097, 8192, length / 2, length - 4096, length - 1]
    {
        let found = read(&home, |bytes| bytes.truncate(keep));
        assert!(found.is_err(), "{keep} bytes of {length}");
    }
    for other in [b"a text\n".repeat(2000), vec![0; length], vec![0xff; length]] {
        let found = read(&home, |bytes| *bytes = other).unwrap_err();
        assert!(matches!(found, GalleryError::Corrupt { .. }), "{found}");
    }
}

#[test]
fn a_panic_of_the_database_is_an_error() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let result = rows::contained::<()>(|| panic!("page {} is no page", 7));
    panic::set_hook(before);
    let error = result.unwrap_err().at(Path::new("gallery"), model('a'));
    assert!(matches!(error, GalleryError::Corrupt { .. }));
    assert!(error.to_string().contains("page 7 is no page"), "{error}");
}

#[test]
fn rows_that_are_exchanged_or_lost_are_found_even_with_every_checksum_right() {
    type Vandal = fn(&mut Templates, &mut People);
    let cases: [(&str, Vandal); 5] = [
        ("two templates of one person", |t, _| swap(t, (0, 0), (0, 1))),
        ("templates of two people", |t, _| swap(t, (0, 0), (1, 0))),
        ("a template less", |t, _| drop(t.remove((0, 1)).unwrap())),
        ("a person less", |_, p| drop(p.remove(1).unwrap())),
        ("a template of nobody", |t, _| {
            let row = t.get((1, 0)).unwrap().unwrap().value().to_vec();
            t.insert((2, 0), row.as_slice()).unwrap();
        }),
    ];
    for (what, vandal) in cases {
        let home = Home::new();
        household(&home);
        home.open().unwrap().vandalise(vandal);
        let found = home.open().and_then(|g| g.contents());
        assert!(matches!(found, Err(GalleryError::Corrupt { .. })), "{what}: {found:?}");
    }
}

fn swap(table: &mut Templates, a: (u32, u8), b: (u32, u8)) {
    let [row_a, row_b] = [a, b].map(|at| table.get(at).unwrap().unwrap().value().to_vec());
    table.insert(a, row_b.as_slice()).unwrap();
    table.insert(b, row_a.as_slice()).unwrap();
}

proptest! {
    // Each case opens a database, which syncs.
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn damage_anywhere_is_an_error_or_changes_nothing(
        places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let home = Home::new();
        let written = household(&home);
        let found = read(&home, |bytes| for (at, value) in &places {
            let at = at.index(bytes.len());
            bytes[at] = *value;
        });
        prop_assert!(holds(&found, &written), "{found:?}");
    }

    #[test]
    fn a_damaged_backup_is_an_error(at in any::<prop::sample::Index>(), bit in 0..8u8, cut in any::<bool>()) {
        let home = Home::new();
        household(&home);
        let backup = home.path("backup");
        home.open().unwrap().export(&backup, &home.key()).unwrap();
        let mut bytes = fs::read(&backup).unwrap();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] ^= 1 << bit }
        fs::write(&backup, bytes).unwrap();
        let to = home.path("fresh");
        prop_assert!(Gallery::import(&backup, &home.key(), &to, home.key(), model('a')).is_err());
        prop_assert!(!to.exists());
    }
}
