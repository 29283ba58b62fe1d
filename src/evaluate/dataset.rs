use super::{ImageId, LandmarkTable, LandmarksError, Pairs, PairsError};
use crate::{
    align::{Landmarks, crop},
    files::{Tree, TreeError},
    parallel,
};
use image::RgbImage;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
};

/// Pairs of pictures with every face in them cut out and aligned, held in memory.
pub struct FaceSet {
    pairs: Pairs,
    faces: BTreeMap<ImageId, RgbImage>,
    size: u32,
}

/// A picture that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenImage {
    /// Its path in the tree.
    pub path: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Why a set of faces cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// The folder or archive cannot be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A file that the set needs is not there.
    #[error("{root}: no `{name}` in it; name a folder or zip that has one")]
    NotFound {
        /// The tree.
        root: PathBuf,
        /// What was looked for.
        name: &'static str,
    },
    /// There are several, and none is the obvious one.
    #[error("{root}: more than one `{name}` in it; name the folder that has the right one")]
    Ambiguous {
        /// The tree.
        root: PathBuf,
        /// What was looked for.
        name: &'static str,
    },
    /// A text file is not UTF-8.
    #[error("{0}: not text; copy it again")]
    NotText(String),
    /// The list of pairs is wrong.
    #[error(transparent)]
    Pairs(#[from] PairsError),
    /// The list of landmarks is wrong.
    #[error(transparent)]
    Landmarks(#[from] LandmarksError),
    /// Pictures are missing, broken or without landmarks: all of them, sorted.
    #[error("{} of the pictures cannot be used: {}", .0.len(), a_few(.0))]
    Broken(Vec<BrokenImage>),
}

impl FaceSet {
    /// Loads a set laid out like LFW from a folder or zip that has, at any depth, one `pairs.txt`, one
    /// `landmarks.tsv` and one folder `images/`, and aligns every face that the pairs use to
    /// `size`×`size` pixels.
    ///
    /// # Errors
    /// [`DatasetError`]; [`DatasetError::Broken`] names every picture that cannot be used.
    pub fn lfw(tree: &Tree, size: u32) -> Result<Self, DatasetError> {
        let pairs = Pairs::parse(&text_in(tree, "pairs.txt")?)?;
        let landmarks = LandmarkTable::parse(&text_in(tree, "landmarks.tsv")?)?;
        Self::new(tree, pairs, &landmarks, size)
    }

    /// [`FaceSet::lfw`] with pairs and landmarks from elsewhere. Without a folder `images/`, paths
    /// count from the root of the tree.
    ///
    /// # Errors
    /// [`DatasetError::Ambiguous`] for two folders `images/`, or [`DatasetError::Broken`].
    pub fn new(
        tree: &Tree,
        pairs: Pairs,
        landmarks: &LandmarkTable,
        size: u32,
    ) -> Result<Self, DatasetError> {
        let folder = image_folder(tree)?;
        let ids: BTreeSet<&ImageId> = pairs.0.iter().flat_map(|p| [&p.a, &p.b]).collect();
        let ids: Vec<&ImageId> = ids.into_iter().collect();
        let loaded = parallel::map(&ids, |id| {
            let path = id.to_string();
            let face = face(tree, &format!("{folder}{path}"), landmarks.get(&path), size);
            face.map_err(|reason| BrokenImage { path: format!("{folder}{path}"), reason })
        });
        let (mut faces, mut broken) = (BTreeMap::new(), Vec::new());
        for (id, result) in ids.into_iter().zip(loaded) {
            match result {
                Ok(face) => drop(faces.insert(id.clone(), face)),
                Err(image) => broken.push(image),
            }
        }
        if !broken.is_empty() {
            return Err(DatasetError::Broken(broken));
        }
        Ok(Self { pairs, faces, size })
    }

    /// The side of every crop in pixels.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// The pairs, in file order.
    pub fn pairs(&self) -> &Pairs {
        &self.pairs
    }

    /// Every face that a pair uses, aligned, sorted by person and number.
    pub fn faces(&self) -> &BTreeMap<ImageId, RgbImage> {
        &self.faces
    }
}

/// The text of the only file called `name` in a tree, at any depth.
///
/// # Errors
/// [`DatasetError::NotFound`], [`DatasetError::Ambiguous`], [`DatasetError::Tree`],
/// [`DatasetError::NotText`].
pub fn text_in(tree: &Tree, name: &'static str) -> Result<String, DatasetError> {
    let called = |path: &&String| path.rsplit('/').next() == Some(name);
    let mut found = tree.paths().iter().filter(called);
    let root = || tree.root().to_path_buf();
    match (found.next(), found.next()) {
        (Some(path), None) => String::from_utf8(tree.read(path)?)
            .map_err(|_| DatasetError::NotText(format!("{}: {path}", tree.root().display()))),
        (None, _) => Err(DatasetError::NotFound { root: root(), name }),
        (Some(_), Some(_)) => Err(DatasetError::Ambiguous { root: root(), name }),
    }
}

/// The path up to and with the only folder `images/`, or nothing where there is none.
pub(super) fn image_folder(tree: &Tree) -> Result<String, DatasetError> {
    let up_to = |path: &String| {
        let start = format!("/{path}").find("/images/")?;
        Some(path[..start + "images/".len()].to_owned())
    };
    let mut folders: Vec<String> = tree.paths().iter().filter_map(up_to).collect();
    folders.dedup();
    match folders.len() {
        0 | 1 => Ok(folders.pop().unwrap_or_default()),
        _ => Err(DatasetError::Ambiguous { root: tree.root().to_path_buf(), name: "images/" }),
    }
}

fn face(
    tree: &Tree,
    path: &str,
    landmarks: Option<&Landmarks>,
    size: u32,
) -> Result<RgbImage, String> {
    let landmarks = landmarks.ok_or("no landmarks for it")?;
    crop(&picture(tree, path)?, landmarks, size).map_err(|e| e.to_string())
}

pub(super) fn picture(tree: &Tree, path: &str) -> Result<RgbImage, String> {
    let bytes = tree.read(path).map_err(|e| match e {
        TreeError::Read { source, .. } => source.to_string(),
        other => other.to_string(),
    })?;
    Ok(image::load_from_memory(&bytes).map_err(|e| e.to_string())?.into_rgb8())
}

impl fmt::Display for BrokenImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.reason)
    }
}

fn a_few(broken: &[BrokenImage]) -> String {
    let named: Vec<String> = broken.iter().take(3).map(BrokenImage::to_string).collect();
    let more = if broken.len() > named.len() { "; …" } else { "" };
    format!("{}{more}", named.join("; "))
}
