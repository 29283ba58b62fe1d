use super::{Failure, Outcome, code, config as bad_config, data, train::configured};
use crate::{
    pack::{self, PackError, Settings},
    run::{RunConfig, progress},
};
use std::path::{Path, PathBuf};

/// Put everything that a run needs into one folder of limited size, for a machine that is lent
/// without a network: trainer/gpu/README.md.
#[derive(clap::Args)]
pub struct Pack {
    /// A configuration; again for each further stage on the same data.
    #[arg(long, value_name = "FILE", required = true)]
    config: Vec<PathBuf>,
    /// The folder to make.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Side of a packed crop with its border, px: 128 serves training at 112 px.
    #[arg(long, default_value_t = 128)]
    size: u32,
    /// Quality of the WebP that crops are encoded as, 0 to 100.
    #[arg(long, default_value_t = 60.0)]
    quality: f32,
    /// Most megabytes (of a million bytes) of the folder; what trainer/gpu/prepare.sh can deal out to two calls.
    #[arg(long, value_name = "N", default_value_t = 72.0)]
    max_mb: f64,
}

impl Pack {
    pub fn run(&self) -> Outcome {
        let configs = self.config.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
        let limit = (self.max_mb.max(0.0) * 1e6) as u64;
        let settings = Settings { size: self.size, quality: self.quality, limit };
        let bar = progress(0, "packing {bar:30} {pos}/{len} {eta}");
        let parts = pack::pack(&configs, &settings, &self.out, &mut |done, total| {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        });
        bar.finish_and_clear();
        let parts = parts.map_err(failure)?;
        for part in &parts {
            println!("{:7.2} MB  {}", pack::mb(part.bytes), part.name);
        }
        let total = parts.iter().map(|part| part.bytes).sum();
        println!(
            "{:7.2} MB  in all, of {:.1}: {}",
            pack::mb(total),
            self.max_mb,
            self.out.display()
        );
        Ok(())
    }
}

/// A configuration and the name of its file.
fn read(path: &Path) -> Result<(String, RunConfig), Failure> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok((name, configured(path, &[])?))
}

fn failure(error: PackError) -> Failure {
    match error {
        PackError::Setting(_) => bad_config(error),
        PackError::Input(_) | PackError::TooLarge { .. } => data(error),
        PackError::Write { .. } => Failure::new(code::CANNOT_CREATE, &error.to_string()),
    }
}
