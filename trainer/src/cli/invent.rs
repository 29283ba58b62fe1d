use super::{Outcome, data};
use crate::{
    detect::{DetectConfig, Pictures},
    invent::{Evening, invent, write_evening},
    run::{load_teacher, progress},
};
use std::path::PathBuf;

/// Invent the people of `facelatch demo`: blends of five training faces each, and an evening in which
/// they come to the door.
#[derive(clap::Args)]
pub struct Invent {
    /// A folder or zip with an annotations.jsonl, as detectors are trained on.
    #[arg(long, value_name = "DIR|ZIP")]
    pictures: PathBuf,
    /// The teacher's weights: it says who looks like whom.
    #[arg(long, value_name = "FILE")]
    teacher: PathBuf,
    /// Folder for the frames.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

/// The residents of the demo's house; the third person is nobody there.
const RESIDENTS: [&str; 2] = ["Alex", "Ben"];

impl Invent {
    pub fn run(&self) -> Outcome {
        let teacher = load_teacher(&self.teacher, tch::Device::Cpu).map_err(data)?;
        let mut config = DetectConfig::default();
        config.data.pictures = vec![self.pictures.clone()];
        config.data.limit = 6000;
        let bar = progress(0, "reading pictures {bar:30} {pos}/{len} {eta}");
        let pictures = Pictures::load(&config.data, 1, &|done, total| {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        })
        .map_err(data)?;
        bar.finish_and_clear();
        let people = invent(&pictures.faces, &teacher, 3, 240).map_err(data)?;
        write_evening(&self.out, &RESIDENTS, &people, &Evening::default()).map_err(data)?;
        println!("{}: enrol/ and evening/", self.out.display());
        Ok(())
    }
}
