use super::{
    Gallery, GalleryError, Key, MAX_PEOPLE, MAX_TEMPLATES, ModelHash, Person,
    rows::{Contents, Enrolled, TEMPLATE_LEN, Trouble, Vault, decode, encode},
};
use crate::files::write_atomically;
use serde::{Deserialize, Serialize};
use std::{fs, io::Read, path::Path};
use zeroize::Zeroizing;

const MAGIC: &[u8] = b"facelatch gallery backup 1\n";

/// 1,000 people of 8 templates and 4 KiB of schedule each are under 9 MB.
const LARGEST: u64 = 32 << 20;

/// What stands before the templates, which follow as little-endian f32 in the order of the people.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    model: [u8; 32],
    next_id: u32,
    people: Vec<Person>,
}

impl Gallery {
    /// Writes everything to one file, encrypted under a key of its own, so that a backup can be kept
    /// where the gallery's key is not. Replaces the file that is there, whole or not at all.
    ///
    /// # Errors
    /// What [`list`](Self::list) may say, or [`GalleryError::File`] of the backup.
    pub fn export(&self, path: &Path, key: &Key) -> Result<(), GalleryError> {
        let plain = encode_contents(&self.contents()?, self.vault().model);
        let sealed = key.seal(MAGIC, &plain)?;
        let bytes = [MAGIC, &key.check_value(), &sealed].concat();
        write_atomically(path, &bytes)
            .map_err(|source| GalleryError::File { path: path.to_path_buf(), source })
    }

    /// A new gallery with what [`export`](Self::export) wrote, people's numbers included. The backup
    /// is under `backup_key`, the gallery at `path` will be under `key`.
    ///
    /// # Errors
    /// [`GalleryError`] of the backup, by its path: unreadable, damaged, under another key or of
    /// another model. [`GalleryError::Exists`] where there is a gallery at `path` already.
    pub fn import(
        backup: &Path,
        backup_key: &Key,
        path: &Path,
        key: Key,
        model: ModelHash,
    ) -> Result<Self, GalleryError> {
        let contents = read(backup, backup_key, model).map_err(|t| t.at(backup, model))?;
        Self::create_with(path, Vault { key, model }, &contents)
    }
}

fn read(path: &Path, key: &Key, model: ModelHash) -> Result<Contents, Trouble> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    let rest = bytes.strip_prefix(MAGIC).filter(|_| bytes.len() as u64 <= LARGEST);
    let checked = rest.and_then(|rest| rest.split_first_chunk::<32>());
    let (check, sealed) = checked.ok_or_else(|| corrupt("it is no backup of a gallery"))?;
    if *check != key.check_value() {
        return Err(Trouble::WrongKey);
    }
    let plain = key.unseal(MAGIC, sealed).ok_or_else(|| corrupt("its contents were changed"))?;
    decode_contents(&plain, model)
}

fn encode_contents(contents: &Contents, model: ModelHash) -> Zeroizing<Vec<u8>> {
    let people = contents.people.iter().map(|e| e.person.clone()).collect();
    let head = Head { model: *model.bytes(), next_id: contents.next_id, people };
    let head = Zeroizing::new(serde_json::to_vec(&head).expect("people are plain data"));
    let mut plain = Zeroizing::new((head.len() as u32).to_le_bytes().to_vec());
    // Reserved at once: a buffer that grows leaves unwiped copies behind.
    let templates: usize = contents.people.iter().map(|e| e.templates.len()).sum();
    plain.reserve_exact(head.len() + templates * TEMPLATE_LEN);
    plain.extend_from_slice(&head);
    for template in contents.people.iter().flat_map(|e| &e.templates) {
        plain.extend_from_slice(&encode(template));
    }
    plain
}

fn decode_contents(plain: &[u8], model: ModelHash) -> Result<Contents, Trouble> {
    let cut = || corrupt("it is cut short");
    let (length, rest) = plain.split_first_chunk::<4>().ok_or_else(cut)?;
    let (head, templates) =
        rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(cut)?;
    let head: Head = serde_json::from_slice(head).map_err(|e| corrupt(&e.to_string()))?;
    let found = ModelHash::from_bytes(head.model);
    if found != model {
        return Err(Trouble::OtherModel(found));
    }
    check_people(&head)?;
    let (templates, []) = templates.as_chunks::<TEMPLATE_LEN>() else { return Err(cut()) };
    let mut templates = templates.iter();
    let mut people = Vec::with_capacity(head.people.len());
    for person in head.people {
        let own = templates.by_ref().take(person.templates).map(|t| decode(t));
        let own: Vec<_> = own.collect::<Option<_>>().ok_or_else(|| corrupt("a template"))?;
        if own.len() != person.templates {
            return Err(cut());
        }
        people.push(Enrolled { person, templates: own });
    }
    match templates.next() {
        None => Ok(Contents { next_id: head.next_id, people }),
        Some(_) => Err(corrupt("it has templates of nobody")),
    }
}

/// A backup of a later version, or of another hand with the key, may break what the gallery relies on.
fn check_people(head: &Head) -> Result<(), Trouble> {
    let ordered = head.people.is_sorted_by(|a, b| a.id < b.id);
    let below = head.people.last().is_none_or(|p| p.id.0 < head.next_id);
    let counts = head.people.iter().all(|p| (1..=MAX_TEMPLATES).contains(&p.templates));
    if ordered && below && counts && head.people.len() <= MAX_PEOPLE {
        Ok(())
    } else {
        Err(corrupt("its people are not as a gallery has them"))
    }
}

fn corrupt(why: &str) -> Trouble {
    Trouble::Corrupt(why.to_owned())
}
