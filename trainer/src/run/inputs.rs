use super::config::{DataConfig, RunConfig, Sees};
use crate::{
    data::{Batch, Dataset, Split, TeacherError, TeacherTable, resample::canonical},
    engine::{Teacher, images_from_bytes, send},
};
use indicatif::{ProgressBar, ProgressStyle};
use rayon::prelude::*;
use std::{borrow::Cow, error::Error, path::Path};
use tch::{Device, Tensor};

/// Reads the pictures of a configuration, showing how far it is.
///
/// # Errors
/// What the dataset says.
pub fn load_dataset(config: &RunConfig) -> Result<Dataset, Box<dyn Error + Send + Sync>> {
    let bar = progress(0, "reading pictures {bar:30} {pos}/{len} {eta}");
    let dataset = Dataset::load(&config.data.sources, &config.data.limits, &mut |done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    })?;
    bar.finish_and_clear();
    if config.loss.needs_labels() {
        dataset.require_identities()?;
    }
    Ok(dataset)
}

/// At most `count` training pictures, evenly spread and without augmentation, [N, size, size, 3].
pub fn training_pixels(dataset: &Dataset, size: usize, count: usize) -> Vec<u8> {
    let images = training_images(dataset);
    let count = count.min(images.len());
    let mut pixels = vec![0; count * size * size * 3];
    for (n, out) in pixels.chunks_mut(size * size * 3).enumerate() {
        canonical(dataset.pixels(images[n * images.len() / count]), dataset.size(), size, out);
    }
    pixels
}

/// A progress bar with our look; on something that is not a terminal it shows nothing.
pub fn progress(length: u64, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).expect("our own templates parse");
    ProgressBar::new(length).with_style(style.progress_chars("━╸─"))
}

/// Whose embeddings a run distils.
pub struct Target {
    /// None where the teacher looks at every view.
    table: Option<TeacherTable>,
    teacher: Option<Teacher>,
    /// [R, 128] on the device.
    pub bank: Option<Tensor>,
}

impl Target {
    /// Loads what the configuration names.
    ///
    /// # Errors
    /// A broken table or checkpoint, or training pictures without a row where no teacher can stand in.
    pub fn load(
        config: &RunConfig,
        dataset: &Dataset,
        device: Device,
    ) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let DataConfig { teacher_tables, teacher, teacher_sees, .. } = &config.data;
        if !config.loss.needs_teacher() {
            return Ok(Self { table: None, teacher: None, bank: None });
        }
        let teacher = match teacher {
            Some(path) => Some(load_teacher(path, device)?),
            None => None,
        };
        let table = match teacher_tables {
            Some(folder) => Some(TeacherTable::load(folder, dataset)?),
            None => None,
        };
        if let (Some(table), None) = (&table, &teacher) {
            let lacks =
                |&i: &usize| dataset.split(i) != Split::Val && table.get(i, false).is_none();
            let missing = (0..dataset.len()).filter(lacks).count();
            if missing > 0 {
                return Err(format!(
                    "{missing} training pictures have no row in the teacher's tables; name the \
                     teacher's weights as data.teacher, or leave those sources out"
                )
                .into());
            }
        }
        let bank = match (&table, &teacher) {
            _ if config.loss.distill_bank == 0.0 => None,
            (Some(table), _) => {
                // Mirrored rows would halve each picture's share: the bank has one row a picture.
                let rows = Tensor::from_slice(&table.bank().values).view([-1, 2, 128]);
                Some(rows.select(1, 0).contiguous().to_device(device))
            }
            (None, teacher) => teacher.as_ref().map(|teacher| bank_of(teacher, dataset, device)),
        };
        Ok(Self::new(table, teacher, *teacher_sees, bank))
    }

    fn new(
        table: Option<TeacherTable>,
        teacher: Option<Teacher>,
        sees: Sees,
        bank: Option<Tensor>,
    ) -> Self {
        Self { table: table.filter(|_| sees == Sees::Rowless), teacher, bank }
    }

    /// Whether [`of`](Self::of) needs [`Batch::clean`].
    pub fn looks(&self) -> bool {
        self.teacher.is_some()
    }

    /// The teacher's embeddings of a batch, [N, 128] on the device of `images`; `None` where nothing is distilled.
    ///
    /// However a view degrades a face, the target stays that of the clean one: its row of the table, or what the
    /// teacher makes of the view before light, covers, lens and sensor. The teacher is asked about what the table
    /// has no row for, about every blend of two faces, and about every view where there is no table.
    pub fn of(&self, batch: &Batch, images: &Tensor) -> Option<Tensor> {
        if self.table.is_none() && self.teacher.is_none() {
            return None;
        }
        let device = images.device();
        let (rows, asked) = known(self.table.as_ref(), batch);
        let rows = send(&Tensor::from_slice(rows.as_flattened()).view([-1, 128]), device);
        if asked.is_empty() {
            return Some(rows);
        }
        let teacher =
            self.teacher.as_ref().expect("without a teacher every picture has a row: checked");
        let stride = batch.size * batch.size * 3;
        let view = |&n: &i64| &batch.clean[n as usize * stride..][..stride];
        let views = match asked.len() == batch.images.len() {
            true => Cow::Borrowed(&batch.clean),
            false => Cow::Owned(asked.iter().map(view).collect::<Vec<_>>().concat()),
        };
        let views = images_from_bytes(&views, [batch.size; 2], device).to_kind(images.kind());
        // In bfloat16 the teacher gives what it gives in f32 but for a cosine of 0.9994 on real crops.
        let seen = teacher.embed(&views);
        Some(rows.index_copy(0, &send(&Tensor::from_slice(&asked), device), &seen))
    }
}

/// The table's row of each view of a batch, and the views that it has none of: their rows are zeros.
fn known(table: Option<&TeacherTable>, batch: &Batch) -> (Vec<[f32; 128]>, Vec<i64>) {
    let mut rows = vec![[0.0; 128]; batch.images.len()];
    let mut none = Vec::new();
    for (n, row) in rows.iter_mut().enumerate() {
        match table.and_then(|table| table.get(batch.images[n] as usize, batch.mirrored[n])) {
            Some(known) if !batch.blended[n] => *row = *known,
            _ => none.push(n as i64),
        }
    }
    (rows, none)
}

/// The teacher's embeddings of every training picture as it is, [R, 128]: without a table they are
/// worked out at every start, a fifth of a teraflop for each thousand pictures.
fn bank_of(teacher: &Teacher, dataset: &Dataset, device: Device) -> Tensor {
    let (images, size) = (training_images(dataset), teacher.input_size());
    let bar = progress(images.len() as u64, "asking the teacher {bar:30} {pos}/{len} {eta}");
    let rows = images.chunks(256).map(|images| {
        let mut pixels = vec![0; images.len() * size * size * 3];
        pixels.par_chunks_mut(size * size * 3).zip(images).for_each(|(out, &i)| {
            canonical(dataset.pixels(i), dataset.size(), size, out);
        });
        bar.inc(images.len() as u64);
        teacher.embed(&images_from_bytes(&pixels, [size; 2], device))
    });
    let bank = Tensor::cat(&rows.collect::<Vec<_>>(), 0);
    bar.finish_and_clear();
    bank
}

/// Pictures to learn from, labelled or not.
fn training_images(dataset: &Dataset) -> Vec<usize> {
    (0..dataset.len()).filter(|&i| dataset.split(i) != Split::Val).collect()
}

/// Reads the teacher's published weights.
///
/// # Errors
/// The file cannot be read, or holds something else.
pub fn load_teacher(path: &Path, device: Device) -> Result<Teacher, Box<dyn Error + Send + Sync>> {
    let unreadable = |source| TeacherError::Read { path: path.into(), source };
    let bytes = std::fs::read(path).map_err(unreadable)?;
    let named = super::tensors(&bytes).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(Teacher::new(&named, device).map_err(|e| format!("{}: {e}", path.display()))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{
        dataset::tests::{Scratch, load},
        teacher::tests::{unit, write},
    };
    use std::time::Duration;

    #[test]
    fn a_blend_and_a_picture_without_a_row_are_the_teachers_and_all_else_has_its_row() {
        let scratch = Scratch::new(&["train/a/1", "train/a/2", "unlabelled/3"]);
        let dataset = load(&[scratch.source("s")]);
        let tables = tempfile::tempdir().unwrap();
        let rows = [("train/a/1.png", unit(0), unit(1)), ("unlabelled/3.png", unit(2), unit(3))];
        write(tables.path(), "s", &rows, [2, 2, 128]);
        let table = TeacherTable::load(tables.path(), &dataset).unwrap();
        let rowless = |i: &usize| table.get(*i, false).is_none();
        let without = (0..3).find(rowless).unwrap() as u32;
        let [one, other] = [0, 2].map(|axis| {
            (0..3).find(|i| table.get(*i, false).is_some_and(|row| row[axis] == 1.0)).unwrap()
                as u32
        });
        let batch = Batch {
            mirrored: vec![false, true, true, false, false],
            blended: vec![false, false, false, false, true],
            ..batch(&[one, one, other, without, other])
        };
        let (rows, none) = known(Some(&table), &batch);
        let axes: Vec<_> = rows.iter().map(|row| row.iter().position(|v| *v != 0.0)).collect();
        assert_eq!(axes, [Some(0), Some(1), Some(3), None, None]);
        assert_eq!(none, [3, 4]);
        assert_eq!(known(None, &batch).1, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn the_teacher_looks_at_the_clean_view_where_it_is_asked_to() {
        let scratch = Scratch::new(&["train/a/1", "train/a/2"]);
        let dataset = load(&[scratch.source("s")]);
        let folder = tempfile::tempdir().unwrap();
        let rows = ["train/a/1.png", "train/a/2.png"].map(|name| (name, unit(0), unit(1)));
        write(folder.path(), "s", &rows, [2, 2, 128]);
        let target = |sees| {
            let table = TeacherTable::load(folder.path(), &dataset).unwrap();
            Target::new(Some(table), Some(Teacher::untaught()), sees, None)
        };
        let mut batch = Batch { blended: vec![false, true], size: 112, ..batch(&[0, 1]) };
        let bytes = 2 * 112 * 112 * 3;
        (batch.pixels, batch.clean) =
            (vec![0; bytes], (0..bytes).map(|i| (i / 97) as u8).collect());
        let images = |pixels| images_from_bytes(pixels, [112; 2], Device::Cpu);
        let seen = Teacher::untaught().embed(&images(&batch.clean));
        let error = |sees, expected: &[&Tensor]| {
            let got = target(sees).of(&batch, &images(&batch.pixels)).unwrap();
            (got - Tensor::stack(expected, 0)).abs().max().double_value(&[])
        };
        let row = Tensor::from_slice(&std::array::from_fn::<f32, 128, _>(|d| f32::from(d == 0)));
        let [one, other] = [0, 1].map(|n| seen.get(n));
        assert!(error(Sees::Rowless, &[&row, &other]) < 1e-5);
        assert!(error(Sees::Every, &[&one, &other]) < 1e-5);
    }

    /// Views of these pictures.
    fn batch(images: &[u32]) -> Batch {
        Batch {
            step: 0,
            pixels: Vec::new(),
            clean: Vec::new(),
            size: 0,
            labels: Vec::new(),
            images: images.to_vec(),
            mirrored: vec![false; images.len()],
            blended: vec![false; images.len()],
            waited: Duration::ZERO,
        }
    }
}
