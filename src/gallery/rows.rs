//! What a gallery's file holds: three tables of sealed rows, and how they are read and written.

use super::{GalleryError, Key, KeyError, ModelHash, Person, PersonId};
use crate::embed::{EMBEDDING_LEN, Embedding};
use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};
use std::{io, panic, path::Path};
use zeroize::Zeroizing;

/// The format's number, in the clear; a version that changes the rows counts it up.
const FORMAT: u32 = 1;

const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
pub(super) const PEOPLE: TableDefinition<u32, &[u8]> = TableDefinition::new("people");
pub(super) const TEMPLATES: TableDefinition<(u32, u8), &[u8]> = TableDefinition::new("templates");

pub(super) const TEMPLATE_LEN: usize = EMBEDDING_LEN * size_of::<f32>();

/// Somebody with the templates, at least one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Enrolled {
    pub person: Person,
    pub templates: Vec<Embedding>,
}

/// Everything in a gallery, people in the order of their numbers.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Contents {
    pub next_id: u32,
    pub people: Vec<Enrolled>,
}

/// The one row that vouches for the others: how many people there must be, and for which model.
pub(super) struct Head {
    pub next_id: u32,
    pub people: u32,
}

/// What goes wrong below the gallery, before it is known which file to blame.
#[derive(Debug)]
pub(super) enum Trouble {
    Redb(redb::Error),
    Corrupt(String),
    Format(u32),
    WrongKey,
    OtherModel(ModelHash),
    Refused(GalleryError),
}

macro_rules! from_redb {
    ($($error:ident)*) => {$(
        impl From<redb::$error> for Trouble {
            fn from(error: redb::$error) -> Self {
                Self::Redb(error.into())
            }
        }
    )*};
}
from_redb!(StorageError TableError TransactionError CommitError DatabaseError SetDurabilityError);

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Redb(redb::Error::Io(error))
    }
}

impl From<KeyError> for Trouble {
    fn from(error: KeyError) -> Self {
        Self::Refused(error.into())
    }
}

impl From<GalleryError> for Trouble {
    fn from(error: GalleryError) -> Self {
        Self::Refused(error)
    }
}

impl Trouble {
    /// The error that names `path`.
    pub(super) fn at(self, path: &Path, needed: ModelHash) -> GalleryError {
        let path = path.to_path_buf();
        match self {
            Self::Refused(error) => error,
            Self::WrongKey => GalleryError::WrongKey { path },
            Self::OtherModel(found) => GalleryError::OtherModel { path, found, needed },
            Self::Format(found) => GalleryError::Format { path, found, needed: FORMAT },
            Self::Corrupt(why) => GalleryError::Corrupt { path, why },
            Self::Redb(redb::Error::DatabaseAlreadyOpen) => GalleryError::InUse { path },
            Self::Redb(redb::Error::Io(source)) if !is_damage(source.kind()) => {
                GalleryError::File { path, source }
            }
            // redb refuses everything after a failed write, until the file is opened again.
            Self::Redb(e @ redb::Error::PreviousIo) => {
                GalleryError::File { path, source: io::Error::other(e.to_string()) }
            }
            Self::Redb(error) => GalleryError::Corrupt { path, why: error.to_string() },
        }
    }
}

/// redb says so of a file that is cut short or is none of its own.
fn is_damage(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData)
}

/// Runs `work` on redb. It verifies every page when a file is opened, but still panics on some that
/// change afterwards, on a failing disk, say: that must not take the door's daemon with it.
pub(super) fn contained<T>(work: impl FnOnce() -> Result<T, Trouble>) -> Result<T, Trouble> {
    panic::catch_unwind(panic::AssertUnwindSafe(work)).unwrap_or_else(|cause| {
        let text = cause.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| cause.downcast_ref::<&str>().copied());
        Err(Trouble::Corrupt(format!("the database gave up: {}", text.unwrap_or("no reason"))))
    })
}

/// The key and the model, which every row is bound to.
#[derive(Debug)]
pub(super) struct Vault {
    pub key: Key,
    pub model: ModelHash,
}

impl Vault {
    /// The head, once the file is known to be of this format, this key and this model, in that order.
    pub(super) fn head(&self, txn: &ReadTransaction) -> Result<Head, Trouble> {
        let meta = txn.open_table(META)?;
        let format = u32::from_le_bytes(row(&meta, "format")?);
        if format != FORMAT {
            return Err(Trouble::Format(format));
        }
        if row::<32>(&meta, "key_check")? != self.key.check_value() {
            return Err(Trouble::WrongKey);
        }
        let sealed = meta.get("head")?.ok_or_else(|| missing("head"))?;
        let head = self.unseal("head", &[], sealed.value())?;
        let damaged = || Trouble::Corrupt("its head has a wrong length".into());
        let (model, counts) = head.split_first_chunk::<32>().ok_or_else(damaged)?;
        let ([next_id, people], []) = counts.as_chunks::<4>() else { return Err(damaged()) };
        let found = ModelHash::from_bytes(*model);
        if found != self.model {
            return Err(Trouble::OtherModel(found));
        }
        Ok(Head { next_id: u32::from_le_bytes(*next_id), people: u32::from_le_bytes(*people) })
    }

    /// Everybody in the order of their numbers, none lost and none added.
    pub(super) fn people(&self, txn: &ReadTransaction) -> Result<(Head, Vec<Person>), Trouble> {
        let head = self.head(txn)?;
        let mut people = Vec::new();
        for row in txn.open_table(PEOPLE)?.iter()? {
            let (id, sealed) = row?;
            let id = id.value();
            let plain = self.unseal("person", &id.to_le_bytes(), sealed.value())?;
            let person: Person = serde_json::from_slice(&plain)
                .map_err(|e| Trouble::Corrupt(format!("person {id}: {e}")))?;
            if person.id.0 != id || id >= head.next_id {
                return Err(Trouble::Corrupt(format!("person {id} is out of place")));
            }
            people.push(person);
        }
        if people.len() != head.people as usize {
            let (have, need) = (people.len(), head.people);
            return Err(Trouble::Corrupt(format!("it has {have} people of {need}")));
        }
        Ok((head, people))
    }

    /// All of it, with every template accounted for.
    pub(super) fn contents(&self, txn: &ReadTransaction) -> Result<Contents, Trouble> {
        let (head, people) = self.people(txn)?;
        let table = txn.open_table(TEMPLATES)?;
        let mut rows = table.iter()?;
        let mut enrolled = Vec::with_capacity(people.len());
        for person in people {
            let templates = (0..person.templates)
                .map(|index| {
                    let (place, sealed) = rows.next().ok_or_else(|| missing("last template"))??;
                    if place.value() != (person.id.0, index as u8) {
                        return Err(Trouble::Corrupt("its templates have a gap".into()));
                    }
                    self.template(place.value(), sealed.value())
                })
                .collect::<Result<_, _>>()?;
            enrolled.push(Enrolled { person, templates });
        }
        match rows.next() {
            None => Ok(Contents { next_id: head.next_id, people: enrolled }),
            Some(_) => Err(Trouble::Corrupt("it has templates of nobody".into())),
        }
    }

    fn template(&self, (id, index): (u32, u8), sealed: &[u8]) -> Result<Embedding, Trouble> {
        let place = [&id.to_le_bytes(), [index].as_slice()].concat();
        let plain = self.unseal("template", &place, sealed)?;
        decode(&plain).ok_or_else(|| Trouble::Corrupt(format!("a template of person {id}")))
    }

    pub(super) fn write_head(&self, txn: &WriteTransaction, head: &Head) -> Result<(), Trouble> {
        let mut meta = txn.open_table(META)?;
        let counts = [head.next_id.to_le_bytes(), head.people.to_le_bytes()];
        let plain = [self.model.bytes().as_slice(), counts.as_flattened()].concat();
        meta.insert("format", FORMAT.to_le_bytes().as_slice())?;
        meta.insert("key_check", self.key.check_value().as_slice())?;
        meta.insert("head", self.seal("head", &[], &plain)?.as_slice())?;
        Ok(())
    }

    pub(super) fn write_person(
        &self,
        txn: &WriteTransaction,
        person: &Person,
    ) -> Result<(), Trouble> {
        let plain = Zeroizing::new(serde_json::to_vec(person).expect("a person is plain data"));
        let sealed = self.seal("person", &person.id.0.to_le_bytes(), &plain)?;
        txn.open_table(PEOPLE)?.insert(person.id.0, sealed.as_slice())?;
        Ok(())
    }

    /// Writes templates of a person from number `first` on.
    pub(super) fn write_templates(
        &self,
        txn: &WriteTransaction,
        PersonId(id): PersonId,
        first: usize,
        templates: &[Embedding],
    ) -> Result<(), Trouble> {
        let mut table = txn.open_table(TEMPLATES)?;
        for (index, template) in (first as u8..).zip(templates) {
            let place = [&id.to_le_bytes(), [index].as_slice()].concat();
            let sealed = self.seal("template", &place, encode(template).as_slice())?;
            table.insert((id, index), sealed.as_slice())?;
        }
        Ok(())
    }

    pub(super) fn write_contents(
        &self,
        txn: &WriteTransaction,
        contents: &Contents,
    ) -> Result<(), Trouble> {
        txn.open_table(PEOPLE)?;
        txn.open_table(TEMPLATES)?;
        let people = contents.people.len() as u32;
        self.write_head(txn, &Head { next_id: contents.next_id, people })?;
        for Enrolled { person, templates } in &contents.people {
            self.write_person(txn, person)?;
            self.write_templates(txn, person.id, 0, templates)?;
        }
        Ok(())
    }

    fn seal(&self, kind: &str, place: &[u8], plain: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.key.seal(&self.context(kind, place), plain)
    }

    fn unseal(
        &self,
        kind: &str,
        place: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Trouble> {
        let plain = self.key.unseal(&self.context(kind, place), sealed);
        plain.ok_or_else(|| Trouble::Corrupt(format!("a {kind} was changed or moved")))
    }

    /// What a row is, where it belongs and which model made it, so that none passes for another. The
    /// head says itself which model it is of, so that another model can be told from damage.
    fn context(&self, kind: &str, place: &[u8]) -> Vec<u8> {
        let model = if kind == "head" { [0; 32] } else { *self.model.bytes() };
        [b"facelatch gallery 1 ", kind.as_bytes(), b"\0", place, &model].concat()
    }
}

/// Takes somebody's rows out.
pub(super) fn delete(txn: &WriteTransaction, PersonId(id): PersonId) -> Result<(), Trouble> {
    txn.open_table(PEOPLE)?.remove(id)?;
    txn.open_table(TEMPLATES)?.retain(|(owner, _), _| owner != id)?;
    Ok(())
}

/// Little-endian f32, wiped when done with.
pub(super) fn encode(template: &Embedding) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(template.values().iter().flat_map(|v| v.to_le_bytes()).collect())
}

pub(super) fn decode(bytes: &[u8]) -> Option<Embedding> {
    let (numbers, []) = bytes.as_chunks::<4>() else { return None };
    let mut values = Zeroizing::new([0.0; EMBEDDING_LEN]);
    if numbers.len() != values.len() {
        return None;
    }
    values.iter_mut().zip(numbers).for_each(|(v, b)| *v = f32::from_le_bytes(*b));
    Embedding::new(*values).ok()
}

fn row<const N: usize>(
    meta: &impl ReadableTable<&'static str, &'static [u8]>,
    name: &'static str,
) -> Result<[u8; N], Trouble> {
    let row = meta.get(name)?.ok_or_else(|| missing(name))?;
    row.value().try_into().map_err(|_| Trouble::Corrupt(format!("its {name} has a wrong length")))
}

fn missing(what: &str) -> Trouble {
    Trouble::Corrupt(format!("its {what} is missing"))
}
