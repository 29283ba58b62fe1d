use super::{
    failure::{Failure, code},
    household::{self, ConfigArg},
    output::{even_if_closed, say},
};
use crate::{
    camera::Pace,
    config::Config,
    embed::check_known,
    files::{file_itself, folder_itself, without_path},
    service::{House, audit},
};
use std::{
    fs,
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::Path,
};

/// Try everything that the daemon needs, one after another, and say what to do about what fails.
///
/// The strike is locked, never released.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArg,
}

pub fn doctor(args: &Args) -> Result<(), Failure> {
    let config = args.config.load()?;
    // The answer is the exit code, so all is tried even if nobody reads the words.
    even_if_closed(say!("ok    {}", args.config.path().display()))?;
    let mut failed = 0;
    for (what, result) in checks(&config) {
        even_if_closed(match result {
            Ok(found) => say!("ok    {what}: {found}"),
            Err(e) => {
                failed += 1;
                say!("FAIL  {what}: {}", e.message)
            }
        })?;
    }
    let clock = crate::service::wall()
        .map_or("not synchronised: nobody with a timetable is let in", |_| "synchronised");
    even_if_closed(say!("note  clock: {clock}"))?;
    even_if_closed(say!(
        "note  liveness: there is no check yet; a good photograph may open the door"
    ))?;
    match failed {
        0 => Ok(()),
        n => Err(Failure::new(code::CONFIG, &format!("{n} of the checks failed"))),
    }
}

/// Everything that the daemon needs, each with what was found.
fn checks(config: &Config) -> Vec<(&'static str, Result<String, Failure>)> {
    let recogniser = household::recogniser(config);
    let model = recogniser.as_ref().ok().map(|r| household::model_hash(r.network().contract()));
    let networks = recogniser.and_then(|recogniser| {
        let network = recogniser.network();
        let (side, contract) = (network.input_size(), network.contract());
        let weights = household::model_hash(contract)?;
        let name = format!("{} of {side} px, weights {weights}", contract.backbone);
        Ok(match check_known(network, &config.models.embedding)? {
            Some(score) => format!("{name}, its known answer to {:.4}", score.0),
            None => format!("{name}, without known answers to check it by"),
        })
    });
    let mut checks = vec![("networks", networks)];
    if let Some(Ok(model)) = model {
        let gallery = household::gallery(config, model, false);
        let people =
            gallery.and_then(|g| Ok(format!("people: {}", House::of(&g)?.matcher().len())));
        checks.push(("gallery", people));
    }
    let strike = config.door.lock.open().map(|lock| lock.describe()).map_err(Failure::from);
    checks.push(("camera", camera(config)));
    checks.push(("strike", strike));
    checks.push(("state folder", writable(&config.state.folder)));
    checks.push(("audit log", audit_log(&config.state.folder)));
    checks
}

fn camera(config: &Config) -> Result<String, Failure> {
    let mut source = config.camera.source.open(&household::wanted(config)?, Pace::Fast)?;
    let frame = source.next()?;
    Ok(format!("{}, {}x{}", source.describe(), frame.pixels.width(), frame.pixels.height()))
}

/// Whether the log goes on, which whoever owns the state folder writes.
fn audit_log(state: &Path) -> Result<String, Failure> {
    let folder = audit::folder(state);
    if fs::symlink_metadata(&folder).is_err() {
        return Ok("begins with the daemon's first start".to_owned());
    }
    let newest = audit::current(&folder);
    let failed = |path: &Path, e: io::Error| {
        let help = "keep what is there as evidence and move it away";
        let text = format!("{}: {}; {help}", path.display(), without_path(e));
        Failure::new(code::CANNOT_CREATE, &text)
    };
    folder_itself(&folder).map_err(|e| failed(&folder, e))?;
    let found = writable(&folder)?;
    if let Err(e) = file_itself(&newest, fs::OpenOptions::new().append(true))
        && e.kind() != io::ErrorKind::NotFound
    {
        return Err(failed(&newest, e));
    }
    let owner = |path: &Path| fs::metadata(path).map(|about| about.uid());
    let wanted = owner(state).map_err(|e| failed(state, e))?;
    for path in [&folder, &newest] {
        if owner(path).is_ok_and(|uid| uid != wanted) {
            let (path, state) = (path.display(), state.display());
            return Err(Failure::new(
                code::CANNOT_CREATE,
                &format!(
                    "{path} does not belong to whom {state} does: chown --reference={state} {path}"
                ),
            ));
        }
    }
    Ok(found)
}

fn writable(folder: &Path) -> Result<String, Failure> {
    let tried = tempfile::tempfile_in(folder).and_then(|mut file| {
        // As much as a day of decisions takes: an empty file fits on a full disk.
        file.write_all(&[0; 64 << 10])?;
        file.sync_all()
    });
    tried.map_err(|e| {
        let e = without_path(e);
        let help = match e.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space",
            io::ErrorKind::ReadOnlyFilesystem => "mount it so that it can be written",
            _ => "make it, and give it to the user that runs facelatch",
        };
        Failure::new(code::CANNOT_CREATE, &format!("{}: {e}; {help}", folder.display()))
    })?;
    Ok(folder.display().to_string())
}
