use super::{Outcome, data};
use std::path::PathBuf;

/// Draw invented faces of invented people, to try the trainer on.
#[derive(clap::Args)]
pub struct Synthetic {
    /// Folder to fill with `train/PERSON/` and `val/PERSON/`; it must not exist, or be empty.
    out: PathBuf,
    /// People, a quarter of whom are held out.
    #[arg(long, default_value_t = 24)]
    people: usize,
    /// Pictures of each.
    #[arg(long, default_value_t = 12)]
    images: usize,
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
        crate::data::synthetic::write(&self.out, self.people, self.images, self.seed)
            .map_err(|e| data(format!("{}: {e}", self.out.display())))?;
        println!("{} people in {}", self.people, self.out.display());
        Ok(())
    }
}
