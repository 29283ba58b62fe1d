//! Everything that a run needs in one folder, small enough to be sent to a machine that is lent for a
//! while: pictures encoded again, the teacher, the start and the pairs to measure on, and the
//! configuration with its paths changed to match.

mod lfw;
mod pictures;
mod tables;

use crate::{
    data::{Dataset, Limits},
    run::{Config, RunConfig, Start},
};
use facelatch::files::write_atomically;
use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

/// How small pictures are made, and how large the whole may be.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Side of a packed crop with its border, px, 16 to 176.
    pub size: u32,
    /// Quality of the lossy WebP that crops are encoded as, 0 to 100.
    pub quality: f32,
    /// Most bytes of the whole folder.
    pub limit: u64,
}

/// A part of a pack and its size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What it is, in words.
    pub name: String,
    /// Its size.
    pub bytes: u64,
}

/// Why there is no pack.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The configurations do not go together, or a setting is out of range.
    #[error("{0}")]
    Setting(String),
    /// Something that a configuration names cannot be read.
    #[error("{0}")]
    Input(String),
    /// It is too large.
    #[error(
        "the pack is {:.1} MB and may have {:.1}: {}; lower --quality or --size, set \
         data.limits.per_person or data.limits.unlabelled, or leave a source, `start` or \
         evaluate.lfw out",
        mb(*.total), mb(*.limit), Listed(.parts)
    )]
    TooLarge {
        /// Bytes of all parts.
        total: u64,
        /// Bytes allowed.
        limit: u64,
        /// What it is made of.
        parts: Vec<Part>,
    },
    /// It cannot be written.
    #[error("{path}: {source}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

struct Listed<'a>(&'a [Part]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, part) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{} {:.1}", part.name, mb(part.bytes))?;
        }
        Ok(())
    }
}

/// Megabytes of a million bytes.
pub fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// Packs what `configs` name into the new folder `out`, whole or not at all: each configuration comes
/// back as `NAME.toml`, with paths relative to the folder. The same input gives the same bytes.
///
/// All configurations must name the same pictures, teacher and pairs; they may differ in the rest, so
/// that the stages of one training share a pack.
///
/// # Errors
/// [`PackError`]; `out` is not there then.
pub fn pack(
    configs: &[(String, RunConfig)],
    settings: &Settings,
    out: &Path,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Vec<Part>, PackError> {
    check(configs, settings)?;
    if out.exists() {
        let text = format!("{} is there already; remove it or name a new folder", out.display());
        return Err(PackError::Setting(text));
    }
    let parent = match out.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let failed = |source| PackError::Write { path: out.to_path_buf(), source };
    let staging = tempfile::Builder::new()
        .prefix(".pack")
        .suffix(".part")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir_in(parent)
        .map_err(failed)?;
    let mut packer = Packer { folder: staging.path(), parts: Vec::new() };
    packer.fill(configs, settings, progress)?;
    let parts = packer.parts;
    let total = parts.iter().map(|part| part.bytes).sum();
    if total > settings.limit {
        return Err(PackError::TooLarge { total, limit: settings.limit, parts });
    }
    fs::rename(staging.keep(), out).map_err(failed)?;
    Ok(parts)
}

fn check(configs: &[(String, RunConfig)], settings: &Settings) -> Result<(), PackError> {
    let setting = |text: String| Err(PackError::Setting(text));
    let Some(((_, first), rest)) = configs.split_first() else {
        return setting("no configuration is named".into());
    };
    if !(16..=crate::data::dataset::CANONICAL).contains(&settings.size) {
        return setting(format!("--size is {}; it goes from 16 to 176", settings.size));
    }
    if !(0.0..=100.0).contains(&settings.quality) {
        return setting(format!("--quality is {}; it goes from 0 to 100", settings.quality));
    }
    for (i, (name, config)) in rest.iter().enumerate() {
        if configs[..=i].iter().any(|(other, _)| other == name) {
            return setting(format!("two configurations are named {name}"));
        }
        let (a, b) = (&first.data, &config.data);
        if (&a.sources, &a.limits, &a.teacher, &a.teacher_tables, &first.evaluate.lfw)
            != (&b.sources, &b.limits, &b.teacher, &b.teacher_tables, &config.evaluate.lfw)
        {
            return setting(format!(
                "{name} names other data than {}; pack it by itself",
                configs[0].0
            ));
        }
    }
    match first.data.sources.iter().find(|s| s.name.contains('/') || s.name.starts_with('.')) {
        Some(s) => setting(format!("a source is named `{}`, which is no file's name", s.name)),
        None => Ok(()),
    }
}

/// Fills a folder and counts.
struct Packer<'a> {
    folder: &'a Path,
    parts: Vec<Part>,
}

impl Packer<'_> {
    fn fill(
        &mut self,
        configs: &[(String, RunConfig)],
        settings: &Settings,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<(), PackError> {
        let data = &configs[0].1.data;
        let limits = Limits { store_size: settings.size, ..data.limits.clone() };
        let dataset =
            Dataset::load(&data.sources, &limits, progress).map_err(|e| input(e.to_string()))?;
        for (index, source) in data.sources.iter().enumerate() {
            let images = pictures::of(&dataset, index, settings).map_err(input)?;
            self.add(&format!("faces of {}", source.name), &faces(&source.name), &images)?;
        }
        if let Some(path) = &data.teacher {
            let bytes = fs::read(path).map_err(|e| input(format!("{}: {e}", path.display())))?;
            self.add("teacher", TEACHER, &bytes)?;
        }
        if let Some(folder) = &data.teacher_tables {
            for (index, source) in data.sources.iter().enumerate() {
                let found = tables::of(folder, &dataset, index).map_err(input)?;
                let Some((tensors, names)) = found else { continue };
                let part = format!("table of {}", source.name);
                self.add(&part, &format!("{TABLES}/{}.safetensors", source.name), &tensors)?;
                self.add("", &format!("{TABLES}/{}.txt", source.name), names.as_bytes())?;
            }
        }
        if let Some(path) = &configs[0].1.evaluate.lfw {
            self.add("LFW", LFW, &lfw::reduced(path, settings.quality).map_err(input)?)?;
        }
        for (name, config) in configs {
            let config = self.rewritten(name, config, settings.size)?;
            self.add("", &format!("{name}.toml"), config.to_toml().as_bytes())?;
        }
        Ok(())
    }

    /// The configuration as it holds inside the pack, with its start packed beside it.
    fn rewritten(
        &mut self,
        name: &str,
        config: &RunConfig,
        size: u32,
    ) -> Result<RunConfig, PackError> {
        let mut config = config.clone();
        for source in &mut config.data.sources {
            source.path = faces(&source.name).into();
        }
        let limits = &mut config.data.limits;
        limits.store_size = limits.store_size.min(size);
        config.data.teacher = config.data.teacher.map(|_| TEACHER.into());
        config.data.teacher_tables = config.data.teacher_tables.map(|_| TABLES.into());
        config.evaluate.lfw = config.evaluate.lfw.map(|_| LFW.into());
        if let Some(start) = config.start.take() {
            let file = format!("{name}.start.safetensors");
            let start = start.read().map_err(|e| input(e.to_string()))?;
            let bytes = start.to_bytes().map_err(input)?;
            self.add(&format!("start of {name}"), &file, &bytes)?;
            config.start = Some(Start::One(file.into()));
        }
        Ok(config)
    }

    /// Writes a file; without a name of its own it counts towards the part before.
    fn add(&mut self, part: &str, file: &str, bytes: &[u8]) -> Result<(), PackError> {
        let path = self.folder.join(file);
        let failed = |source| PackError::Write { path: path.clone(), source };
        fs::create_dir_all(path.parent().expect("a file lies in a folder")).map_err(failed)?;
        write_atomically(&path, bytes).map_err(failed)?;
        let bytes = bytes.len() as u64;
        match self.parts.last_mut().filter(|_| part.is_empty()) {
            Some(last) => last.bytes += bytes,
            None => self.parts.push(Part { name: part.to_owned(), bytes }),
        }
        Ok(())
    }
}

const TEACHER: &str = "teacher.safetensors";
const TABLES: &str = "teacher";
const LFW: &str = "lfw.zip";

fn faces(source: &str) -> String {
    format!("faces/{source}.zip")
}

fn input(why: String) -> PackError {
    PackError::Input(why)
}

#[cfg(test)]
mod tests;
