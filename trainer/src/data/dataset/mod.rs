//! Face crops from folders and archives, decoded once and kept in memory.

mod about;
mod decode;
mod error;
mod layout;

pub use about::About;
pub use error::DataError;

use facelatch::files::Tree;
use layout::Entry;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

/// Side of a stored crop at full size, px: the aligned face and its border.
pub const CANONICAL: u32 = 176;
/// Side of the aligned face within it, px.
pub const CROP: u32 = 160;
/// Border on each side, px, so that a shifted or turned view has something to show.
pub const BORDER: u32 = 8;

/// Pictures decoded between two reports of progress.
const CHUNK: usize = 256;
/// Broken pictures named in an error.
const NAMED: usize = 5;

/// A folder or zip archive of face crops.
///
/// Two layouts are told apart by the top folders: `train/PERSON/*`, `val/PERSON/*`,
/// `unlabelled/*`; or `PERSON/*`, in which everybody is for training but those held out by
/// `val_share`. A picture of 176×176 px, or of the side that the source's [`About`] names, is taken
/// as a canonical crop with its border; any other is cut to its largest centred square, taken as the
/// 160 px face, and its edge repeated as border.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Tells the sources apart; the teacher's table of it is `NAME.safetensors`.
    pub name: String,
    /// The folder or zip file.
    pub path: PathBuf,
    /// The same PERSON in two sources is one person only where these are equal. Default: the name.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Share of the people of a plain `PERSON/*` source held out to validate, 0 to 1. Default 0.
    #[serde(default)]
    pub val_share: f64,
    /// With the name, decides who is held out. Default 0.
    #[serde(default)]
    pub val_seed: u64,
    /// Pictures, or folders of them, that are not taken: of people who are held out under another name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leave_out: Vec<String>,
}

impl Source {
    /// A source with a namespace of its own and nobody held out but in `val/`.
    pub fn new(name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            path: path.into(),
            namespace: None,
            val_share: 0.0,
            val_seed: 0,
            leave_out: Vec::new(),
        }
    }

    /// Whether a picture is among those, or below a folder, that are not taken.
    fn leaves_out(&self, path: &str) -> bool {
        let is_it_or_above = |left: &String| {
            path.strip_prefix(left.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.leave_out.iter().any(is_it_or_above)
    }

    fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or(&self.name)
    }
}

/// How much of the sources is kept and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Side at which crops are kept in memory, px, 16 to 176. Default 176 (93 KB a picture); 128
    /// (49 KB) serves training at 112 px.
    pub store_size: u32,
    /// Share of pictures that may be unreadable, 0 to 1. Default 0.01.
    pub broken_share: f64,
    /// Most pictures taken of one labelled person in one source, the first by path. Default: all.
    pub per_person: Option<usize>,
    /// Most unlabelled pictures taken of one source, the first by path. Default: all.
    pub unlabelled: Option<usize>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { store_size: CANONICAL, broken_share: 0.01, per_person: None, unlabelled: None }
    }
}

/// What a picture is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Split {
    /// Of a known person, to learn from.
    Train,
    /// Of a known person, to measure on, never to learn from.
    Val,
    /// Of somebody, to learn from without a label.
    Unlabelled,
}

/// What is known of a picture beside its pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its path within its source.
    pub path: String,
    /// Index of its source.
    pub source: u16,
    /// What it is for.
    pub split: Split,
    /// Index among [`Dataset::people`] of a training picture, among [`Dataset::val_people`] of a
    /// validation picture.
    person: Option<u32>,
}

/// Every picture of the sources, sorted by source and path, as RGB in memory.
#[derive(Debug)]
pub struct Dataset {
    size: u32,
    pixels: Vec<u8>,
    images: Vec<Image>,
    people: Vec<String>,
    val_people: Vec<String>,
    sources: Vec<Source>,
    broken: usize,
}

impl Dataset {
    /// Reads and decodes all sources on every core. `progress` hears (done, total) pictures.
    ///
    /// The order of pictures and people depends on the names alone. A broken picture is named in
    /// the log and left out. A person held out in one source is held out in every source of the
    /// namespace; whoever goes by another name elsewhere is not known to be the same, and has to be named
    /// in [`Source::leave_out`].
    ///
    /// # Errors
    /// [`DataError`]: a source that cannot be read or understood, a setting out of range, or more
    /// broken pictures than `limits.broken_share`.
    pub fn load(
        sources: &[Source],
        limits: &Limits,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Self, DataError> {
        check(sources, limits)?;
        let (mut trees, mut sides) = (Vec::new(), Vec::new());
        let mut files = Vec::new();
        for (index, source) in sources.iter().enumerate() {
            let tree = Tree::open(&source.path)?;
            let mut entries = layout::read(source, tree.paths())?;
            entries.retain(|entry| !source.leaves_out(&entry.path));
            let entries = within(limits, entries);
            files.extend(entries.into_iter().map(|entry| (index, entry)));
            sides.push(About::read(&tree)?.canonical_side);
            trees.push(tree);
        }
        hold_out_everywhere(sources, &mut files);
        let stride = (limits.store_size * limits.store_size * 3) as usize;
        let (pixels, kept) = decode_all(&trees, &sides, &files, limits, stride, progress)?;
        let broken = files.len() - kept.len();
        let files: Vec<_> = kept.into_iter().map(|i| files[i].clone()).collect();
        let (people, train) = labels(sources, &files, Split::Train);
        let (val_people, val) = labels(sources, &files, Split::Val);
        let images = files.into_iter().zip(train.into_iter().zip(val));
        let images = images.map(|((source, entry), (train, val))| Image {
            path: entry.path,
            source: source as u16,
            split: entry.split,
            person: train.or(val),
        });
        Ok(Self {
            size: limits.store_size,
            pixels,
            images: images.collect(),
            people,
            val_people,
            sources: sources.to_vec(),
            broken,
        })
    }

    /// What is known of every picture.
    pub fn images(&self) -> &[Image] {
        &self.images
    }

    /// How many pictures there are.
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// Whether there is no picture.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// Side of a stored crop, px.
    pub fn size(&self) -> usize {
        self.size as usize
    }

    /// RGB of picture `i`, rows from the top: [`size`](Self::size)² · 3 bytes.
    ///
    /// # Panics
    /// When `i` is not below [`len`](Self::len); so do all methods that take a picture.
    pub fn pixels(&self, i: usize) -> &[u8] {
        let stride = self.size() * self.size() * 3;
        &self.pixels[i * stride..][..stride]
    }

    /// The person in training picture `i`, an index into [`people`](Self::people).
    pub fn label(&self, i: usize) -> Option<u32> {
        self.images[i].person.filter(|_| self.images[i].split == Split::Train)
    }

    /// The person in validation picture `i`, an index into [`val_people`](Self::val_people).
    pub fn val_label(&self, i: usize) -> Option<u32> {
        self.images[i].person.filter(|_| self.images[i].split == Split::Val)
    }

    /// What picture `i` is for.
    pub fn split(&self, i: usize) -> Split {
        self.images[i].split
    }

    /// Path of picture `i` within its source.
    pub fn name(&self, i: usize) -> &str {
        &self.images[i].path
    }

    /// Where picture `i` comes from.
    pub fn source(&self, i: usize) -> &Source {
        &self.sources[usize::from(self.images[i].source)]
    }

    /// Every source, in the order given.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// Everybody to learn from, as `NAMESPACE/PERSON`, sorted; the index is the label.
    pub fn people(&self) -> &[String] {
        &self.people
    }

    /// Everybody held out, as `NAMESPACE/PERSON`, sorted.
    pub fn val_people(&self) -> &[String] {
        &self.val_people
    }

    /// Pictures that were left out as broken.
    pub fn broken(&self) -> usize {
        self.broken
    }

    /// For each of [`people`](Self::people), the training pictures.
    pub fn by_person(&self) -> Vec<Vec<u32>> {
        let mut images = vec![Vec::new(); self.people.len()];
        for i in 0..self.len() {
            if let Some(label) = self.label(i) {
                images[label as usize].push(i as u32);
            }
        }
        images
    }

    /// Checks that labels can be learnt from.
    ///
    /// # Errors
    /// [`DataError::TooFewIdentities`] with fewer than two people of two or more pictures.
    pub fn require_identities(&self) -> Result<(), DataError> {
        match self.by_person().iter().filter(|images| images.len() >= 2).count() {
            people @ (0 | 1) => Err(DataError::TooFewIdentities { people }),
            _ => Ok(()),
        }
    }
}

fn check(sources: &[Source], limits: &Limits) -> Result<(), DataError> {
    let setting = |text: String| Err(DataError::Setting(text));
    if sources.is_empty() {
        return Err(DataError::NoSources);
    }
    if !(16..=CANONICAL).contains(&limits.store_size) {
        return setting(format!("store_size is {} and must be 16 to 176", limits.store_size));
    }
    if !(0.0..=1.0).contains(&limits.broken_share) {
        return setting(format!("broken_share is {} and must be 0 to 1", limits.broken_share));
    }
    let mut names = BTreeSet::new();
    for source in sources {
        if !(0.0..=1.0).contains(&source.val_share) {
            let (name, share) = (&source.name, source.val_share);
            return setting(format!("val_share of source `{name}` is {share} and must be 0 to 1"));
        }
        if !names.insert(&source.name) {
            return Err(DataError::SameName(source.name.clone()));
        }
    }
    Ok(())
}

fn within(limits: &Limits, mut entries: Vec<Entry>) -> Vec<Entry> {
    let mut taken: BTreeMap<(bool, Option<String>), usize> = BTreeMap::new();
    entries.retain(|entry| {
        let most = if entry.person.is_some() { limits.per_person } else { limits.unlabelled };
        let key = (entry.split == Split::Val, entry.person.clone());
        let count = taken.entry(key).or_default();
        *count += 1;
        most.is_none_or(|most| *count <= most)
    });
    entries
}

fn full_name(sources: &[Source], (source, entry): &(usize, Entry)) -> Option<String> {
    Some(format!("{}/{}", sources[*source].namespace(), entry.person.as_deref()?))
}

fn hold_out_everywhere(sources: &[Source], files: &mut [(usize, Entry)]) {
    let held = files.iter().filter(|(_, entry)| entry.split == Split::Val);
    let held: BTreeSet<String> = held.filter_map(|file| full_name(sources, file)).collect();
    let mut moved = BTreeMap::<String, usize>::new();
    for file in files.iter_mut().filter(|(_, entry)| entry.split == Split::Train) {
        let Some(name) = full_name(sources, file).filter(|name| held.contains(name)) else {
            continue;
        };
        file.1.split = Split::Val;
        *moved.entry(name).or_default() += 1;
    }
    for (name, count) in moved {
        log::warn!("{name} is held out in another source: {count} training pictures now validate");
    }
}

type Decoded = (Vec<u8>, Vec<usize>);

fn decode_all(
    trees: &[Tree],
    sides: &[u32],
    files: &[(usize, Entry)],
    limits: &Limits,
    stride: usize,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Decoded, DataError> {
    let mut pixels = vec![0; files.len() * stride];
    let mut kept = Vec::with_capacity(files.len());
    let mut broken = Vec::new();
    progress(0, files.len());
    for start in (0..files.len()).step_by(CHUNK) {
        let chunk = &files[start..files.len().min(start + CHUNK)];
        let room = &mut pixels[start * stride..][..chunk.len() * stride];
        let results: Vec<Result<(), String>> = chunk
            .par_iter()
            .zip(room.par_chunks_mut(stride))
            .map(|((source, entry), room)| {
                let bytes = trees[*source].read(&entry.path).map_err(|e| e.to_string())?;
                let picture = decode::stored(&bytes, sides[*source], limits.store_size);
                let picture = picture.map_err(|e| {
                    format!("{}: {}: {e}", trees[*source].root().display(), entry.path)
                })?;
                room.copy_from_slice(&picture);
                Ok(())
            })
            .collect();
        for (offset, result) in results.into_iter().enumerate() {
            match result {
                Ok(()) => kept.push(start + offset),
                Err(why) => {
                    log::warn!("left out: {why}");
                    broken.push(why);
                }
            }
        }
        progress(start + chunk.len(), files.len());
    }
    if broken.len() as f64 > limits.broken_share * files.len() as f64 {
        return Err(DataError::Broken {
            broken: broken.len(),
            total: files.len(),
            most: limits.broken_share * 100.0,
            first: broken[..broken.len().min(NAMED)].join("; "),
        });
    }
    for (to, &from) in kept.iter().enumerate().filter(|(to, from)| to != *from) {
        pixels.copy_within(from * stride..(from + 1) * stride, to * stride);
    }
    pixels.truncate(kept.len() * stride);
    Ok((pixels, kept))
}

/// The sorted people of a split, and for each file its person's index among them.
fn labels(
    sources: &[Source],
    files: &[(usize, Entry)],
    split: Split,
) -> (Vec<String>, Vec<Option<u32>>) {
    let name = |file: &(usize, Entry)| {
        if file.1.split == split { full_name(sources, file) } else { None }
    };
    let people: BTreeSet<String> = files.iter().filter_map(name).collect();
    let people: Vec<String> = people.into_iter().collect();
    let index = |name: String| people.binary_search(&name).ok().map(|i| i as u32);
    let labels = files.iter().map(|file| name(file).and_then(index)).collect();
    (people, labels)
}

#[cfg(test)]
pub(crate) mod tests;
