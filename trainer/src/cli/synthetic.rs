use super::{Outcome, data, unwritable};
use std::path::PathBuf;

/// Draw invented faces of invented people, to try the trainer on.
#[derive(clap::Args)]
pub struct Synthetic {
    /// Folder to fill with `train/PERSON/` and `val/PERSON/`; it must not exist, or be empty.
    out: PathBuf,
    /// People, a quarter of whom are held out.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    people: u32,
    /// Pictures of each.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    images: u32,
    /// Decides every pixel.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl Synthetic {
    pub fn run(&self) -> Outcome {
        if std::fs::read_dir(&self.out).is_ok_and(|mut entries| entries.next().is_some()) {
            let out = self.out.display();
            return Err(data(format!("{out} is not empty; name a new folder")));
        }
        let (people, images) = (self.people as usize, self.images as usize);
        crate::data::synthetic::write(&self.out, people, images, self.seed)
            .map_err(|e| unwritable(&self.out, e))?;
        println!("{} people in {}", self.people, self.out.display());
        Ok(())
    }
}
