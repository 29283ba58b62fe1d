//! The power fails at every write.

use super::{
    journal::{self, Disk, Inode, Step},
    *,
};
use std::{
    collections::{BTreeMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    mem,
};

/// What a disk writes whole or not at all, bytes.
const SECTOR: usize = 512;

/// A gallery's life, step by step, and what was in it whenever a change had returned.
fn life(home: &Home) -> (Vec<Step>, Vec<Contents>) {
    let mut kept = Vec::new();
    let mut done = |gallery: &Gallery| {
        journal::note(Step::Done);
        kept.push(gallery.contents().unwrap());
    };
    let steps = journal::of(|| {
        let mut gallery = home.create();
        done(&gallery);
        let ada = gallery.enrol(&name("Ada"), &templates(0, 2), None).unwrap();
        done(&gallery);
        gallery.set_schedule(ada, Some("Mon-Fri 07:00-19:00")).unwrap();
        done(&gallery);
        let bob = gallery.enrol(&name("Bob"), &templates(1, 8), None).unwrap();
        done(&gallery);
        gallery.set_disabled(bob, true).unwrap();
        done(&gallery);
        gallery.add_templates(ada, &templates(2, 6)).unwrap();
        done(&gallery);
        drop(gallery);
        let mut gallery = home.open().unwrap();
        gallery.remove(bob).unwrap();
        done(&gallery);
        gallery.rename(ada, &name("Ada Lovelace")).unwrap();
        done(&gallery);
        let eve = gallery.enrol(&name("Eve"), &templates(3, 1), None).unwrap();
        done(&gallery);
        gallery.remove(ada).unwrap();
        done(&gallery);
        gallery.set_schedule(eve, None).unwrap();
        done(&gallery);
    });
    (steps, kept)
}

/// Looks at what power cuts leave.
struct Inspector<'a> {
    home: &'a Home,
    kept: &'a [Contents],
    /// Changes that have returned.
    done: usize,
    scratch: Home,
    seen: HashSet<u64>,
}

impl<'a> Inspector<'a> {
    fn new(home: &'a Home, kept: &'a [Contents]) -> Self {
        // Thousands of databases are opened, and each syncs: where there is memory for that, in memory.
        let memory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let scratch = Home(memory.unwrap());
        fs::copy(home.path("key"), scratch.path("key")).unwrap();
        Self { home, kept, done: 0, scratch, seen: HashSet::new() }
    }

    /// The gallery opens, and holds all that has returned; of a change under way, all or nothing.
    fn look(&mut self, disk: &Disk, when: &str) {
        let file = |name: &str| disk.file(&self.home.path(name));
        let (old, new) = (file("gallery"), file("gallery.new"));
        let mut hasher = DefaultHasher::new();
        (old, new, self.done).hash(&mut hasher);
        if !self.seen.insert(hasher.finish()) {
            return;
        }
        let Some(old) = old else {
            assert_eq!(self.done, 0, "{when}: the gallery is gone");
            return;
        };
        fs::write(self.scratch.path("gallery"), old).unwrap();
        if let Some(new) = new {
            fs::write(self.scratch.path("gallery.new"), new).unwrap();
        }
        let found = self.scratch.open().and_then(|gallery| gallery.contents());
        let found = found.unwrap_or_else(|e| panic!("{when}, after {} changes: {e}", self.done));
        let may_be = &self.kept[self.done.saturating_sub(1)..self.kept.len().min(self.done + 1)];
        assert!(may_be.contains(&found), "{when}, after {} changes: {found:#?}", self.done);
    }
}

/// How many different disks were looked at.
fn cut_everywhere(home: &Home, steps: &[Step], kept: &[Contents]) -> usize {
    let mut inspector = Inspector::new(home, kept);
    // Everything is on the disk at once; `durable` is what a sync has made sure of.
    let (mut disk, mut durable) = (Disk::default(), Disk::default());
    let mut waiting: BTreeMap<Inode, Vec<&Step>> = BTreeMap::new();
    for (number, step) in steps.iter().enumerate() {
        let when = format!("step {number}");
        match step {
            Step::Write(inode, offset, data) => {
                tear(&disk, (*inode, *offset as usize, data), |torn, at| {
                    inspector.look(torn, &format!("{when}, torn at sector {at}"));
                });
                waiting.entry(*inode).or_default().push(step);
            }
            Step::SetLen(inode, _) => waiting.entry(*inode).or_default().push(step),
            Step::Synced(inode) => {
                let written = waiting.remove(inode).unwrap_or_default();
                lose(&durable, &written, |lost, which| {
                    inspector.look(lost, &format!("{when}, lost {which}"));
                });
                written.iter().for_each(|step| durable.apply(step));
            }
            Step::Created(..) => durable.apply(step),
            Step::FolderSynced => durable.names = disk.names.clone(),
            Step::Done => inspector.done += 1,
            Step::Renamed(..) => {}
        }
        disk.apply(step);
        inspector.look(&disk, &when);
        // Nothing that was not synced has come to the disk, not even a new name.
        inspector.look(&durable, &format!("{when}, nothing unsynced"));
        // A name may come before what is in the file, and the other way about.
        let names = mem::replace(&mut durable.names, disk.names.clone());
        inspector.look(&durable, &format!("{when}, names alone"));
        durable.names = names.clone();
        let names = mem::replace(&mut disk.names, names);
        inspector.look(&disk, &format!("{when}, all but names"));
        disk.names = names;
    }
    assert_eq!(inspector.done, kept.len());
    inspector.seen.len()
}

/// A write of which only the first sectors, or only the last ones, come to the disk.
fn tear(
    disk: &Disk,
    (inode, offset, data): (Inode, usize, &[u8]),
    mut look: impl FnMut(&Disk, usize),
) {
    // What goes over an old file that has no name any more is nobody's gallery.
    if !disk.names.values().any(|named| *named == inode) {
        return;
    }
    let sectors = data.len().div_ceil(SECTOR);
    for at in 1..sectors {
        let (first, last) = data.split_at(at * SECTOR);
        for (offset, part) in [(offset, first), (offset + first.len(), last)] {
            let mut torn = disk.clone();
            torn.write(inode, offset, part);
            look(&torn, at);
        }
    }
}

/// Writes since the last sync of which one is lost, or all but one.
fn lose(durable: &Disk, written: &[&Step], mut look: impl FnMut(&Disk, usize)) {
    for which in 0..written.len() {
        for is_lost in [true, false] {
            let mut lost = durable.clone();
            for (i, step) in written.iter().enumerate() {
                // How long a file is, its file system writes down in order.
                if (i == which) != is_lost || matches!(step, Step::SetLen(..)) {
                    lost.apply(step);
                }
            }
            look(&lost, which);
        }
    }
}

#[test]
fn a_power_cut_at_any_write_loses_no_change_that_returned_and_brings_nobody_back() {
    let home = Home::new();
    let (steps, kept) = life(&home);
    let looked = cut_everywhere(&home, &steps, &kept);
    println!("{} steps, {looked} disks looked at", steps.len());
    // 1,284 where the build has debug assertions, 528 without.
    assert!(looked > 500, "{looked}");
}

/// The test above can tell.
#[test]
#[should_panic(expected = "names alone, after 0 changes")]
fn a_gallery_that_does_not_sync_is_found_out() {
    let home = Home::new();
    let (mut steps, kept) = life(&home);
    steps.retain(|step| !matches!(step, Step::Synced(_)));
    cut_everywhere(&home, &steps, &kept);
}
