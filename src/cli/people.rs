use super::{
    failure::{Failure, code},
    household::{self, ConfigArg, gallery_path, model_hash},
    output::say,
};
use crate::{
    config::Config,
    embed::Contract,
    gallery::{Gallery, GalleryError, Key, ModelHash, Name, Person, PersonId},
    service::timetable,
};
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

/// List the enrolled people, or change who is let in when.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
    /// Print JSON instead of a table
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    config: ConfigArg,
}

#[derive(clap::Subcommand)]
enum What {
    /// Everybody
    List,
    /// Keep somebody known, but not let in
    Disable { person: String },
    /// Let somebody in again
    Enable { person: String },
    /// Take somebody out, templates and all
    Remove { person: String },
    /// Give somebody another name
    Rename { person: String, name: String },
    /// Say when somebody is let in: `Mon-Fri 08:00-18:00; Sat 10:00-12:00`, or `always`
    Schedule { person: String, times: String },
    /// Write a backup of everybody, encrypted under a key of its own
    ///
    /// The key is made on first use, in FILE.key unless --key says otherwise. Keep the two apart: who has
    /// both has everybody's templates, and without the key the backup is lost.
    Export {
        /// The backup; an older one there is replaced
        file: PathBuf,
        /// The file of the backup's key
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
    },
    /// Bring everybody back from a backup, where there is no gallery; numbers and timetables included
    Import {
        /// The backup
        file: PathBuf,
        /// The file of the backup's key [default: FILE.key]
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
    },
}

pub fn people(args: &Args) -> Result<(), Failure> {
    let config = args.config.load()?;
    let model = model_hash(&Contract::load(&config.models.embedding)?)?;
    let mut gallery = match &args.what {
        Some(What::Import { file, key }) => import(&config, model, file, key.as_deref())?,
        _ => household::gallery(&config, model, false)?,
    };
    let what = args.what.as_ref().unwrap_or(&What::List);
    if let What::Export { file, key } = what {
        return export(&gallery, file, key.as_deref());
    }
    let left = change(&mut gallery, what)?;
    let people = gallery.list();
    // The daemon cannot read a gallery that is open here.
    drop(gallery);
    // Before anything is printed, which nobody may be there to read: who is shut out is so at the door first.
    let told = match what {
        What::List => Ok(()),
        _ => super::control::taken_over(&config.state.folder),
    };
    match (told, left) {
        (Ok(()), None) => list(&people?, args.json),
        (Err(failure), None) | (Ok(()), Some(failure)) => Err(failure),
        (Err(told), Some(left)) => {
            Err(Failure::new(told.code, &format!("{}; also, {}", told.message, left.message)))
        }
    }
}

/// Makes the change. If there is a failure to tell of although it was made, that is what is left.
fn change(gallery: &mut Gallery, what: &What) -> Result<Option<Failure>, Failure> {
    match what {
        What::List | What::Import { .. } | What::Export { .. } => {}
        What::Disable { person } => {
            let id = find(gallery, person)?;
            gallery.set_disabled(id, true)?;
        }
        What::Enable { person } => {
            let id = find(gallery, person)?;
            gallery.set_disabled(id, false)?;
        }
        What::Remove { person } => {
            let id = find(gallery, person)?;
            match gallery.remove(id) {
                Err(left @ GalleryError::NotScrubbed { .. }) => return Ok(Some(left.into())),
                removed => removed?,
            }
        }
        What::Rename { person, name } => {
            let id = find(gallery, person)?;
            let name = Name::new(name).map_err(|e| Failure::new(code::USAGE, &e.to_string()))?;
            gallery.rename(id, &name)?;
        }
        What::Schedule { person, times } => {
            let id = find(gallery, person)?;
            let times = Some(times.as_str()).filter(|times| *times != "always");
            if let Some(times) = times {
                timetable(times).map_err(|e| Failure::new(code::USAGE, &e.to_string()))?;
            }
            gallery.set_schedule(id, times)?;
        }
    }
    Ok(None)
}

fn export(gallery: &Gallery, file: &Path, key: Option<&Path>) -> Result<(), Failure> {
    let key_file = key.map_or_else(|| beside(file), Path::to_owned);
    if file.exists() && !key_file.exists() {
        let text = format!(
            "{} is there, and its key {} is not: the new backup would have another one than you keep; name \
             that one with --key, or another file",
            file.display(),
            key_file.display()
        );
        return Err(Failure::new(code::USAGE, &text));
    }
    gallery.export(file, &Key::load_or_create(&key_file)?)?;
    let (people, file, key) = (gallery.list()?.len(), file.display(), key_file.display());
    say!("{file}: encrypted under {key}; people: {people}")?;
    say!("keep the two apart: both together are everybody's templates, one alone is nothing")
}

fn import(
    config: &Config,
    model: ModelHash,
    file: &Path,
    key: Option<&Path>,
) -> Result<Gallery, Failure> {
    let backup_key = Key::of_backup(&key.map_or_else(|| beside(file), Path::to_owned))?;
    let path = gallery_path(config);
    // Before a key is made for a gallery that then is none.
    if path.exists() {
        return Err(GalleryError::Exists { path }.into());
    }
    Ok(Gallery::import(file, &backup_key, &path, household::key(config)?, model)?)
}

/// Where the key of a backup is unless somebody says otherwise.
fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".key");
    name.into()
}

/// By number or by name.
fn find(gallery: &Gallery, person: &str) -> Result<PersonId, Failure> {
    let people = gallery.list()?;
    let number = person.parse().ok().map(PersonId);
    let name = Name::new(person).ok();
    let found = people.iter().find(|p| {
        Some(p.id) == number || name.as_ref().is_some_and(|name| p.name.reads_like(name))
    });
    found.map(|p| p.id).ok_or_else(|| {
        let text =
            format!("{person}: nobody of that name or number; `facelatch people` lists them");
        Failure::new(code::USAGE, &text)
    })
}

fn list(people: &[Person], json: bool) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let written = if json {
        serde_json::to_writer_pretty(&mut out, people)
            .map_err(io::Error::from)
            .and_then(|()| writeln!(out))
    } else {
        people.iter().try_for_each(|p| {
            let state =
                if p.disabled { "disabled" } else { p.schedule.as_deref().unwrap_or("always") };
            writeln!(out, "{:>4}  {:<24} {} pictures  {state}", p.id, p.name.as_str(), p.templates)
        })
    };
    written.map_err(|e| Failure::output(&e))
}
