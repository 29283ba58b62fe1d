//! Embeddings of every picture by a published network, computed beforehand: `SOURCE.safetensors`
//! with `embedding` f16 \[N, 2, 128\] (0 as is, 1 mirrored) and `SOURCE.txt`, the N paths.

use super::dataset::{Dataset, Split};
use rayon::prelude::*;
use safetensors::{Dtype, SafeTensors};
use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
};

/// Values of an embedding.
pub const DIM: usize = 128;
/// How far from 1 the length of a row may be; f16 leaves about 0.001.
const LENGTH_TOLERANCE: f32 = 0.02;

/// The embeddings of one picture: as is and mirrored.
pub type Row = [[f32; DIM]; 2];

/// Why the teacher's tables could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TeacherError {
    /// A file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// A file is not what a table must be.
    #[error("{path}: {why}; compute the teacher's table again")]
    Table {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// No picture of the dataset is in any table.
    #[error("{0}: not one picture of the dataset has a row in the teacher's tables there")]
    AllMissing(PathBuf),
}

/// The teacher's embeddings, matched to the pictures of a [`Dataset`] by source name and path.
#[derive(Debug)]
pub struct TeacherTable {
    rows: Vec<Option<Row>>,
    training: Vec<u32>,
}

/// Every training row as one matrix, for a memory bank or for look-ups on a GPU.
#[derive(Debug, PartialEq)]
pub struct Bank {
    /// f32 \[2 · pictures, 128\]: each picture as is and then mirrored.
    pub values: Vec<f32>,
    /// For each picture of the dataset, its place among the bank's pictures.
    pub place: Vec<Option<u32>>,
}

impl Bank {
    /// The row of `values` that holds picture `i`, if it is a training picture with a row.
    pub fn row(&self, i: usize, mirrored: bool) -> Option<u32> {
        self.place[i].map(|place| place * 2 + u32::from(mirrored))
    }

    /// How many rows `values` has.
    pub fn len(&self) -> usize {
        self.values.len() / DIM
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

impl TeacherTable {
    /// Reads the tables of all sources of `dataset` from `folder`. Pictures without a row are
    /// counted in the log.
    ///
    /// # Errors
    /// [`TeacherError`]: a table that is there but broken, or no row for any picture at all.
    pub fn load(folder: &Path, dataset: &Dataset) -> Result<Self, TeacherError> {
        let mut rows: Vec<Option<Row>> = vec![None; dataset.len()];
        for (index, source) in dataset.sources().iter().enumerate() {
            let images: Vec<usize> = (0..dataset.len())
                .filter(|i| usize::from(dataset.images()[*i].source) == index)
                .collect();
            let tensor = folder.join(format!("{}.safetensors", source.name));
            if !tensor.exists() {
                let name = &source.name;
                log::warn!("{}: no table for source `{name}`", tensor.display());
                continue;
            }
            let table = read(&tensor, &folder.join(format!("{}.txt", source.name)))?;
            let missing = images
                .iter()
                .filter(|i| {
                    rows[**i] = table.get(dataset.name(**i)).copied();
                    rows[**i].is_none()
                })
                .count();
            if missing > 0 {
                let (total, name) = (images.len(), &source.name);
                log::warn!("{missing} of {total} pictures of `{name}` have no teacher's row");
            }
        }
        if rows.iter().all(Option::is_none) {
            return Err(TeacherError::AllMissing(folder.to_path_buf()));
        }
        let training = (0..dataset.len()).filter(|i| dataset.split(*i) != Split::Val);
        Ok(Self { rows, training: training.map(|i| i as u32).collect() })
    }

    /// The unit-length embedding of picture `i` of the dataset, as is or mirrored.
    pub fn get(&self, i: usize, mirrored: bool) -> Option<&[f32; DIM]> {
        self.rows[i].as_ref().map(|row| &row[usize::from(mirrored)])
    }

    /// Pictures, of any split, that have no row.
    pub fn missing(&self) -> usize {
        self.rows.iter().filter(|row| row.is_none()).count()
    }

    /// The rows of every picture to learn from, labelled or not; those held out are not in it.
    pub fn bank(&self) -> Bank {
        let mut bank = Bank { values: Vec::new(), place: vec![None; self.rows.len()] };
        for &i in &self.training {
            if let Some(row) = &self.rows[i as usize] {
                bank.place[i as usize] = Some((bank.values.len() / (2 * DIM)) as u32);
                bank.values.extend_from_slice(row.as_flattened());
            }
        }
        bank
    }
}

fn read(tensor: &Path, names: &Path) -> Result<HashMap<String, Row>, TeacherError> {
    let unreadable = |path: &Path| {
        let path = path.to_path_buf();
        move |source| TeacherError::Read { path, source }
    };
    let bytes = fs::read(tensor).map_err(unreadable(tensor))?;
    let names = fs::read_to_string(names).map_err(unreadable(names))?;
    let names: Vec<&str> = names.lines().collect();
    parse(&bytes, &names).map_err(|why| TeacherError::Table { path: tensor.to_path_buf(), why })
}

/// The rows of a table, `bytes` being its safetensors file and `names` the lines of its text file.
///
/// # Errors
/// What is wrong with it.
pub fn parse(bytes: &[u8], names: &[&str]) -> Result<HashMap<String, Row>, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
    let tensor = file.tensor("embedding").map_err(|e| e.to_string())?;
    let expected = [names.len(), 2, DIM];
    if tensor.dtype() != Dtype::F16 || tensor.shape() != expected {
        let (dtype, shape) = (tensor.dtype(), tensor.shape());
        return Err(format!("`embedding` is {dtype:?} {shape:?} and must be F16 {expected:?}"));
    }
    let rows = tensor.data().as_chunks::<2>().0.par_chunks_exact(2 * DIM);
    names
        .par_iter()
        .zip(rows)
        .map(|(name, halves)| {
            let row: Row = std::array::from_fn(|view| {
                std::array::from_fn(|d| f32_of(u16::from_le_bytes(halves[view * DIM + d])))
            });
            for view in &row {
                let length = view.iter().map(|v| v * v).sum::<f32>().sqrt();
                if length.is_nan() || (length - 1.0).abs() > LENGTH_TOLERANCE {
                    return Err(format!("the row of {name} has length {length} and must have 1"));
                }
            }
            Ok(((*name).to_owned(), row))
        })
        .collect()
}

/// IEEE 754 binary16 to binary32, exact.
fn f32_of(half: u16) -> f32 {
    let sign = if half & 0x8000 == 0 { 1.0 } else { -1.0 };
    let fraction = f32::from(half & 0x03ff);
    let magnitude = match half >> 10 & 0x1f {
        0 => fraction * 2f32.powi(-24),
        0x1f if fraction == 0.0 => f32::INFINITY,
        0x1f => f32::NAN,
        exponent => (1.0 + fraction / 1024.0) * 2f32.powi(i32::from(exponent) - 15),
    };
    sign * magnitude
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::data::dataset::tests::{Scratch, load};
    use safetensors::tensor::TensorView;

    const HALF_OF_ONE: u16 = 0x3c00;

    pub fn unit(axis: usize) -> [u16; DIM] {
        std::array::from_fn(|d| if d == axis { HALF_OF_ONE } else { 0 })
    }

    pub fn write(
        dir: &Path,
        source: &str,
        rows: &[(&str, [u16; DIM], [u16; DIM])],
        shape: [usize; 3],
    ) {
        let values = rows.iter().flat_map(|(_, a, b)| a.iter().chain(b));
        let bytes: Vec<u8> = values.flat_map(|v| v.to_le_bytes()).collect();
        let view = TensorView::new(Dtype::F16, shape.to_vec(), &bytes).unwrap();
        let file = safetensors::serialize([("embedding", view)], None).unwrap();
        fs::write(dir.join(format!("{source}.safetensors")), file).unwrap();
        let names: String = rows.iter().map(|(name, ..)| format!("{name}\n")).collect();
        fs::write(dir.join(format!("{source}.txt")), names).unwrap();
    }

    #[test]
    fn halves_become_the_floats_they_stand_for() {
        for (half, expected) in [
            (0x0000, 0.0),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x3555, 0.333_251_95),
            (0x0001, 5.960_464_5e-8),
            (0x03ff, 6.097_555e-5),
            (0x7bff, 65504.0),
            (0x7c00, f32::INFINITY),
            (0xfc00, f32::NEG_INFINITY),
        ] {
            assert_eq!(f32_of(half), expected, "{half:#06x}");
        }
        assert!(f32_of(0x7e00).is_nan());
        assert!(f32_of(0x8000).is_sign_negative());
    }

    #[test]
    fn rows_are_matched_by_path_and_the_bank_leaves_out_those_held_out() {
        let scratch = Scratch::new(&["train/a/1", "train/a/2", "unlabelled/3", "val/b/4"]);
        let dataset = load(&[scratch.source("s")]);
        let tables = tempfile::tempdir().unwrap();
        let rows = [
            ("val/b/4.png", unit(4), unit(5)),
            ("absent.png", unit(9), unit(9)),
            ("unlabelled/3.png", unit(2), unit(3)),
            ("train/a/1.png", unit(0), unit(1)),
        ];
        write(tables.path(), "s", &rows, [4, 2, DIM]);
        let table = TeacherTable::load(tables.path(), &dataset).unwrap();
        assert_eq!(table.missing(), 1);
        let axis = |row: &[f32]| row.iter().position(|v| *v == 1.0).unwrap();
        let found: Vec<_> = (0..4)
            .map(|i| {
                let row = |mirrored| table.get(i, mirrored).map(|r| axis(r));
                (dataset.name(i), row(false), row(true))
            })
            .collect();
        assert_eq!(
            found,
            [
                ("train/a/1.png", Some(0), Some(1)),
                ("train/a/2.png", None, None),
                ("unlabelled/3.png", Some(2), Some(3)),
                ("val/b/4.png", Some(4), Some(5)),
            ]
        );
        let bank = table.bank();
        assert_eq!(bank.len(), 4);
        for i in 0..4 {
            for mirrored in [false, true] {
                let row = bank.row(i, mirrored);
                let row = row.map(|row| &bank.values[row as usize * DIM..][..DIM]);
                let expected = table.get(i, mirrored).filter(|_| dataset.split(i) != Split::Val);
                assert_eq!(row, expected.map(|r| &r[..]));
            }
        }
    }

    #[test]
    fn a_table_that_does_not_fit_says_why() {
        let scratch = Scratch::new(&["train/a/1"]);
        let dataset = load(&[scratch.source("s")]);
        let tables = tempfile::tempdir().unwrap();
        let error = || TeacherTable::load(tables.path(), &dataset).unwrap_err().to_string();
        assert!(error().contains("not one picture"), "{}", error());
        write(tables.path(), "s", &[("other.png", unit(0), unit(0))], [1, 2, DIM]);
        assert!(error().contains("not one picture"), "{}", error());
        write(tables.path(), "s", &[("train/a/1.png", unit(0), [0; DIM])], [1, 2, DIM]);
        assert!(error().contains("train/a/1.png has length 0"), "{}", error());
        write(tables.path(), "s", &[("train/a/1.png", unit(0), unit(0))], [2, 1, DIM]);
        assert!(error().contains("must be F16 [1, 2, 128]"), "{}", error());
        fs::write(tables.path().join("s.safetensors"), b"rubbish").unwrap();
        assert!(error().contains("s.safetensors"), "{}", error());
    }
}
