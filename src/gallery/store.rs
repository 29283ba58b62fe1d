use super::{
    GalleryError, Key, MAX_PEOPLE, MAX_SCHEDULE, MAX_TEMPLATES, Matcher, ModelHash, Name, Person,
    PersonId, disk,
    rows::{Contents, Head, Trouble, Vault, contained, delete},
};
use crate::{
    embed::Embedding,
    files::{file_itself, give_to_owner_of},
};
use jiff::Timestamp;
use redb::{Database, Durability, ReadableDatabase, WriteTransaction};
use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// redb would keep up to 1 GiB of pages; a full gallery is under 8 MiB.
const CACHE: usize = 8 << 20;

/// The enrolled household on disk: up to 1,000 people of up to 8 templates, each row encrypted and
/// bound to its place and to the model that made it.
///
/// Every change is one transaction, on the disk before it returns, or it changed nothing. One process
/// has a gallery open at a time. A change writes through the file system, so it may block for as long
/// as the disk does.
///
/// # What it cannot promise
/// [`remove`](Self::remove) writes a new file, puts zeros over the old one and gives it back to the
/// file system. A journalling or copy-on-write file system, or an SD card's or SSD's controller, may
/// still keep old blocks, and so do backups: they stay encrypted, so destroy the key as well where
/// that matters. Against somebody who may write the file, encryption shows changed, moved, lost and
/// foreign rows, but not a whole older copy put back.
#[derive(Debug)]
pub struct Gallery {
    path: PathBuf,
    db: Database,
    vault: Vault,
}

impl Gallery {
    /// A new, empty gallery in a new file of mode 0600.
    ///
    /// # Errors
    /// [`GalleryError::Exists`], or [`GalleryError::File`].
    pub fn create(path: &Path, key: Key, model: ModelHash) -> Result<Self, GalleryError> {
        Self::create_with(path, Vault { key, model }, &Contents::default())
    }

    pub(super) fn create_with(
        path: &Path,
        vault: Vault,
        contents: &Contents,
    ) -> Result<Self, GalleryError> {
        if path.symlink_metadata().is_ok() {
            return Err(GalleryError::Exists { path: path.to_path_buf() });
        }
        match contained(|| replace(path, &vault, contents)) {
            Ok(db) => Ok(Self { path: path.to_path_buf(), db, vault }),
            Err(trouble) => Err(trouble.at(path, vault.model)),
        }
    }

    /// Opens a gallery, and verifies the checksum of every page. What a crash left half-written is
    /// rolled back to the last change that returned.
    ///
    /// # Errors
    /// [`GalleryError`]: no such file, in use, damaged, of another format, under another key, or
    /// enrolled with another model, in this order.
    pub fn open(path: &Path, key: Key, model: ModelHash) -> Result<Self, GalleryError> {
        let vault = Vault { key, model };
        let opened = contained(|| {
            let db = disk::open(&builder(), path)?;
            vault.people(&db.begin_read()?)?;
            // Left by a crash while the gallery was rewritten; the lock says that nobody is at it now.
            remove_if_there(&beside(path))?;
            Ok(db)
        });
        match opened {
            Ok(db) => Ok(Self { path: path.to_path_buf(), db, vault }),
            Err(trouble) => Err(trouble.at(path, vault.model)),
        }
    }

    /// Everybody enrolled, disabled or not, in the order of their numbers.
    ///
    /// # Errors
    /// [`GalleryError::Corrupt`] or [`GalleryError::File`].
    pub fn list(&self) -> Result<Vec<Person>, GalleryError> {
        self.run(|| Ok(self.vault.people(&self.db.begin_read()?)?.1))
    }

    /// Everybody's templates, disabled people's too, for measuring how a household scores.
    ///
    /// # Errors
    /// [`GalleryError::Corrupt`] or [`GalleryError::File`].
    pub fn templates(&self) -> Result<Vec<(PersonId, Vec<Embedding>)>, GalleryError> {
        let people = self.contents()?.people;
        Ok(people.into_iter().map(|e| (e.person.id, e.templates)).collect())
    }

    /// The whole gallery in memory, ready to search.
    ///
    /// # Errors
    /// [`GalleryError::Corrupt`] or [`GalleryError::File`].
    pub fn matcher(&self) -> Result<Matcher, GalleryError> {
        let contents = self.contents()?;
        Ok(Matcher::new(
            contents
                .people
                .iter()
                .map(|e| (e.person.id, e.person.disabled, e.templates.as_slice())),
        ))
    }

    /// Enrols somebody with 1 to 8 templates; `created` is `None` while the clock is not set. Whether
    /// the templates are fit for it is for [`check_agreement`](super::check_agreement) and
    /// [`check_stranger`](super::check_stranger) to say, beforehand.
    ///
    /// # Errors
    /// [`GalleryError::NameTaken`], [`GalleryError::Full`], [`GalleryError::Templates`], and what
    /// [`list`](Self::list) and the disk may say.
    pub fn enrol(
        &mut self,
        name: &Name,
        templates: &[Embedding],
        created: Option<Timestamp>,
    ) -> Result<PersonId, GalleryError> {
        self.run(|| {
            let (head, people) = self.vault.people(&self.db.begin_read()?)?;
            free(name, None, &people)?;
            let next_id = head.next_id.checked_add(1).filter(|_| people.len() < MAX_PEOPLE);
            let next_id = next_id.ok_or(GalleryError::Full)?;
            let person = Person {
                id: PersonId(head.next_id),
                name: name.clone(),
                created,
                disabled: false,
                schedule: None,
                templates: count_of(templates.len())?,
            };
            self.write(|txn| {
                self.vault.write_head(txn, &Head { next_id, people: head.people + 1 })?;
                self.vault.write_person(txn, &person)?;
                self.vault.write_templates(txn, person.id, 0, templates)
            })?;
            Ok(person.id)
        })
    }

    /// Adds templates to somebody's.
    ///
    /// # Errors
    /// [`GalleryError::Unknown`], [`GalleryError::Templates`] when they would be over 8 or none is
    /// given, and what [`list`](Self::list) and the disk may say.
    pub fn add_templates(
        &mut self,
        id: PersonId,
        templates: &[Embedding],
    ) -> Result<(), GalleryError> {
        self.run(|| {
            let people = self.vault.people(&self.db.begin_read()?)?.1;
            let mut person = find(id, &people)?.clone();
            let first = person.templates;
            count_of(templates.len())?;
            person.templates = count_of(first + templates.len())?;
            self.write(|txn| {
                self.vault.write_person(txn, &person)?;
                self.vault.write_templates(txn, id, first, templates)
            })
        })
    }

    /// Keeps somebody known, but not let in, or lets them in again.
    ///
    /// # Errors
    /// [`GalleryError::Unknown`], and what [`list`](Self::list) and the disk may say.
    pub fn set_disabled(&mut self, id: PersonId, disabled: bool) -> Result<(), GalleryError> {
        self.change(id, |person, _| {
            person.disabled = disabled;
            Ok(())
        })
    }

    /// Gives somebody another name.
    ///
    /// # Errors
    /// [`GalleryError::NameTaken`], [`GalleryError::Unknown`], and what [`list`](Self::list) and the
    /// disk may say.
    pub fn rename(&mut self, id: PersonId, name: &Name) -> Result<(), GalleryError> {
        self.change(id, |person, people| {
            free(name, Some(id), people)?;
            person.name = name.clone();
            Ok(())
        })
    }

    /// Sets when somebody is let in, in words that are not looked at here; `None` is always.
    ///
    /// # Errors
    /// [`GalleryError::Schedule`] over 4096 bytes, [`GalleryError::Unknown`], and what
    /// [`list`](Self::list) and the disk may say.
    pub fn set_schedule(
        &mut self,
        id: PersonId,
        schedule: Option<&str>,
    ) -> Result<(), GalleryError> {
        self.change(id, |person, _| {
            let length = schedule.map_or(0, str::len);
            if length > MAX_SCHEDULE {
                return Err(GalleryError::Schedule(length));
            }
            person.schedule = schedule.map(str::to_owned);
            Ok(())
        })
    }

    /// Takes somebody out, then [`scrub`](Self::scrub)s the file of their templates. The number is
    /// never given again.
    ///
    /// # Errors
    /// [`GalleryError::NotScrubbed`]: they are out, but the file still holds their templates.
    /// [`GalleryError::Unknown`], and what [`list`](Self::list) and the disk may say: they are not.
    pub fn remove(&mut self, id: PersonId) -> Result<(), GalleryError> {
        self.run(|| {
            let (head, people) = self.vault.people(&self.db.begin_read()?)?;
            find(id, &people)?;
            self.write(|txn| {
                self.vault.write_head(txn, &Head { people: head.people - 1, ..head })?;
                delete(txn, id)
            })
        })?;
        self.scrub()
            .map_err(|e| GalleryError::NotScrubbed { path: self.path.clone(), why: e.to_string() })
    }

    /// Writes the gallery into a new file, puts that in the place of the old one and zeros over the old
    /// one's bytes: redb never overwrites, so what was removed would stay in its free pages.
    ///
    /// # Errors
    /// [`GalleryError::Corrupt`] or [`GalleryError::File`]; the gallery is whole, old or new.
    pub fn scrub(&mut self) -> Result<(), GalleryError> {
        let contents = self.contents()?;
        let zeroed = contained(|| {
            // Never what a link in its place points to: zeros are written over all of it.
            let old = file_itself(&self.path, OpenOptions::new().write(true))?;
            // The old database writes once more as it is dropped here: before the zeros.
            self.db = replace(&self.path, &self.vault, &contents)?;
            Ok(disk::zero(old)?)
        });
        zeroed.map_err(|trouble| trouble.at(&self.path, self.vault.model))
    }

    pub(super) fn contents(&self) -> Result<Contents, GalleryError> {
        self.run(|| self.vault.contents(&self.db.begin_read()?))
    }

    pub(super) fn vault(&self) -> &Vault {
        &self.vault
    }

    fn change(
        &mut self,
        id: PersonId,
        edit: impl FnOnce(&mut Person, &[Person]) -> Result<(), GalleryError>,
    ) -> Result<(), GalleryError> {
        self.run(|| {
            let people = self.vault.people(&self.db.begin_read()?)?.1;
            let mut person = find(id, &people)?.clone();
            edit(&mut person, &people)?;
            self.write(|txn| self.vault.write_person(txn, &person))
        })
    }

    fn write(
        &self,
        rows: impl FnOnce(&WriteTransaction) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        commit(&self.db, rows)
    }

    fn run<T>(&self, work: impl FnOnce() -> Result<T, Trouble>) -> Result<T, GalleryError> {
        contained(work).map_err(|trouble| trouble.at(&self.path, self.vault.model))
    }
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    // Without the check redb trusts a file that was closed in order, and panics where it is damaged.
    builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
    builder
}

/// Commits `rows`, then nothing: redb keeps the commit before the last and one bit of its head says
/// which counts, so only a second commit leaves no older state for a flipped bit to bring back.
fn commit(
    db: &Database,
    rows: impl FnOnce(&WriteTransaction) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    commit_once(db, rows)?;
    // The change is on the disk by now: an error here must not say that it is not.
    let _ = commit_once(db, |_| Ok(()));
    Ok(())
}

fn commit_once(
    db: &Database,
    rows: impl FnOnce(&WriteTransaction) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let mut txn = db.begin_write()?;
    txn.set_durability(Durability::Immediate)?;
    // In one phase, redb falls back in silence from a damaged last commit to the one before: somebody
    // disabled would be let in again. In two, it is an error.
    txn.set_two_phase_commit(true);
    rows(&txn)?;
    Ok(txn.commit()?)
}

/// A new database with `contents`, renamed to `path` once it is whole and synced.
fn replace(path: &Path, vault: &Vault, contents: &Contents) -> Result<Database, Trouble> {
    let new = beside(path);
    remove_if_there(&new)?;
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)
        .map_err(Trouble::from)
        .and_then(|file| {
            give_to_owner_of(folder_of(path), &file)?;
            let db = disk::create(&builder(), &new)?;
            commit(&db, |txn| vault.write_contents(txn, contents))?;
            disk::put_in_place(&new, path)?;
            Ok(db)
        });
    if written.is_err() {
        // What counts is the first error; a later open takes the file away.
        let _ = remove_if_there(&new);
    }
    written
}

/// Where a new file is prepared: beside the old one, so that a rename can replace it.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

fn find(id: PersonId, people: &[Person]) -> Result<&Person, GalleryError> {
    people.iter().find(|p| p.id == id).ok_or(GalleryError::Unknown(id))
}

fn free(name: &Name, own: Option<PersonId>, people: &[Person]) -> Result<(), GalleryError> {
    match people.iter().find(|p| Some(p.id) != own && p.name.reads_like(name)) {
        Some(p) => Err(GalleryError::NameTaken { name: name.clone(), id: p.id }),
        None => Ok(()),
    }
}

fn count_of(templates: usize) -> Result<usize, GalleryError> {
    if (1..=MAX_TEMPLATES).contains(&templates) {
        Ok(templates)
    } else {
        Err(GalleryError::Templates(templates))
    }
}

#[cfg(test)]
pub(super) type Templates<'t> = redb::Table<'t, (u32, u8), &'static [u8]>;
#[cfg(test)]
pub(super) type People<'t> = redb::Table<'t, u32, &'static [u8]>;

#[cfg(test)]
impl Gallery {
    pub(super) fn raw_template(&self, PersonId(id): PersonId, index: u8) -> Vec<u8> {
        let txn = self.db.begin_read().unwrap();
        let table = txn.open_table(super::rows::TEMPLATES).unwrap();
        table.get((id, index)).unwrap().unwrap().value().to_vec()
    }

    /// Changes rows behind the gallery's back, as somebody who may write the file could.
    pub(super) fn vandalise(&self, work: impl FnOnce(&mut Templates, &mut People)) {
        let txn = self.db.begin_write().unwrap();
        work(
            &mut txn.open_table(super::rows::TEMPLATES).unwrap(),
            &mut txn.open_table(super::rows::PEOPLE).unwrap(),
        );
        txn.commit().unwrap();
    }
}
