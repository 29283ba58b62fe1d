use facelatch::files::TreeError;
use std::path::PathBuf;

/// Why a dataset could not be loaded or does not do for what was asked.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A source cannot be opened.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// No source was given.
    #[error("no data sources are named; name at least one folder or zip file of face crops")]
    NoSources,
    /// A source holds no picture at all.
    #[error("{0}: no .jpg, .png or .webp pictures in it")]
    NoPictures(PathBuf),
    /// Two sources bear one name; names tell the teacher's tables apart.
    #[error("two data sources are named `{0}`; give each a name of its own")]
    SameName(String),
    /// A setting is out of its range.
    #[error("{0}")]
    Setting(String),
    /// A source's `source.toml` cannot be understood.
    #[error("{root}: source.toml: {why}; write `canonical_side = 176`, or leave the file out")]
    About {
        /// The folder or archive.
        root: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A picture lies where no person and no split can be read from its path.
    #[error(
        "{root}: {path} is in nobody's folder; use train/PERSON/, val/PERSON/ and unlabelled/, or PERSON/ alone"
    )]
    Stray {
        /// The folder or archive.
        root: PathBuf,
        /// The picture in it.
        path: String,
    },
    /// Too many pictures cannot be read.
    #[error(
        "{broken} of {total} pictures cannot be read, more than {most:.1} %; the first are: {first}"
    )]
    Broken {
        /// How many.
        broken: usize,
        /// Of how many.
        total: usize,
        /// The share allowed, in percent.
        most: f64,
        /// The first few, each with its reason.
        first: String,
    },
    /// Labels are needed and there are not enough of them.
    #[error(
        "{people} people have two or more training pictures and at least two must; add people under train/ or PERSON/"
    )]
    TooFewIdentities {
        /// People with two or more training pictures.
        people: usize,
    },
}
