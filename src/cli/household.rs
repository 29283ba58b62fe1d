use super::failure::Failure;
use crate::{
    camera::{Fps, Wanted},
    config::{Config, DEFAULT_PATH},
    detect::Decoder,
    embed::Contract,
    files::decode,
    gallery::{Gallery, Key, ModelHash},
    model::Pool,
    pipeline::Recogniser,
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// Which configuration a command goes by.
#[derive(clap::Args)]
pub struct ConfigArg {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH, global = true)]
    config: PathBuf,
}

impl ConfigArg {
    /// Reads and checks it.
    pub fn load(&self) -> Result<Config, Failure> {
        Ok(Config::load(&self.config)?)
    }

    /// Its state folder, whatever else is wrong in it.
    pub fn state_folder(&self) -> Result<PathBuf, Failure> {
        Ok(Config::state_folder(&self.config)?)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.config
    }
}

/// Where a file of ours is: under the working folder while developing, else where packages put it.
pub fn shipped(name: &str) -> PathBuf {
    let here = PathBuf::from(name);
    if here.exists() { here } else { Path::new("/usr/share/facelatch").join(name) }
}

/// What a configuration wants of its camera.
pub fn wanted(config: &Config) -> Result<Wanted, Failure> {
    let camera = &config.camera;
    let fps = Fps::new(f64::from(camera.fps))
        .map_err(|e| Failure::new(super::code::CONFIG, &e.to_string()))?;
    Ok(Wanted { width: camera.width, height: camera.height, fps, format: camera.format })
}

/// Both networks of a configuration.
pub fn recogniser(config: &Config) -> Result<Recogniser, Failure> {
    let models = &config.models;
    let (decoder, limits) = (decoder(config), config.quality);
    let pool = Arc::new(Pool::new(models.threads));
    Ok(Recogniser::load(&models.detector, &models.embedding, decoder, limits, &pool)?)
}

/// What counts as a face.
pub fn decoder(config: &Config) -> Decoder {
    Decoder { threshold: config.models.least_detection, ..Decoder::default() }
}

/// The hash that ties a gallery to the embedding network.
pub fn model_hash(contract: &Contract) -> Result<ModelHash, Failure> {
    ModelHash::from_hex(&contract.weights_sha256).ok_or_else(|| {
        Failure::new(
            super::code::DATA,
            "the embedding network's weights_sha256 is no SHA-256; export it again",
        )
    })
}

/// Where a configuration has its gallery.
pub fn gallery_path(config: &Config) -> PathBuf {
    config.state.folder.join("gallery.redb")
}

/// The gallery of a configuration; an empty one is made where there is none and `create` says so.
pub fn gallery(config: &Config, model: ModelHash, create: bool) -> Result<Gallery, Failure> {
    let path = gallery_path(config);
    if !create && !path.exists() {
        let text = format!(
            "{}: nobody is enrolled yet; begin with `facelatch enroll NAME --camera`, or \
             `--from DIR` with pictures",
            path.display()
        );
        return Err(Failure::new(super::code::NO_INPUT, &text));
    }
    let key = key(config)?;
    if create && !path.exists() {
        return Ok(Gallery::create(&path, key, model)?);
    }
    Ok(Gallery::open(&path, key, model)?)
}

/// The gallery's key; a new one is made where there is no gallery yet.
pub fn key(config: &Config) -> Result<Key, Failure> {
    let file = config.state.folder.join("gallery.key");
    match std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from) {
        Some(folder) if folder.join(crate::gallery::CREDENTIAL_NAME).exists() => {
            Ok(Key::from_credential(&folder)?)
        }
        // A new key would not open an old gallery, and hide that the old one is lost.
        _ if gallery_path(config).exists() && !file.exists() => {
            let text = format!(
                "{}: the gallery's key is not there; bring it back (if systemd gives it to the daemon as a \
                 credential, give it to this command as well), or move gallery.redb away and restore a backup \
                 (`facelatch people import`) or enrol everybody again",
                file.display()
            );
            Err(Failure::new(super::code::NO_INPUT, &text))
        }
        _ => Ok(Key::load_or_create(&file)?),
    }
}

/// The files of a folder, by name.
pub fn files_in(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let unreadable = |e| Failure::input(folder, &e);
    let entries = std::fs::read_dir(folder).map_err(unreadable)?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>();
    let mut paths = paths.map_err(unreadable)?;
    paths.retain(|path| path.is_file());
    paths.sort();
    Ok(paths)
}

/// A picture file.
pub fn picture(path: &Path) -> Result<image::RgbImage, Failure> {
    let bytes = std::fs::read(path).map_err(|e| Failure::input(path, &e))?;
    decode(&bytes, image::Limits::default()).map_err(|e| {
        Failure::new(
            super::code::DATA,
            &format!("{}: {e}; name a JPEG, PNG or WebP picture", path.display()),
        )
    })
}
