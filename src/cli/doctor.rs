use super::{
    failure::{Failure, code},
    household::{self, ConfigArg},
};
use crate::{camera::Pace, config::Config, service::House};
use std::path::Path;

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
    println!("ok    {}", args.config.path().display());
    let mut failed = 0;
    let mut check = |what: &str, result: Result<String, Failure>| match result {
        Ok(found) => println!("ok    {what}: {found}"),
        Err(e) => {
            failed += 1;
            println!("FAIL  {what}: {}", e.message);
        }
    };
    let recogniser = household::recogniser(&config);
    let model = recogniser.as_ref().ok().map(|r| household::model_hash(r.network().contract()));
    check(
        "networks",
        recogniser.as_ref().map(|r| r.network().contract().backbone.clone()).map_err(copy),
    );
    if let Some(Ok(model)) = model {
        let gallery = household::gallery(&config, model, false);
        check(
            "gallery",
            gallery.and_then(|g| Ok(format!("{} people", House::of(&g)?.matcher().len()))),
        );
    }
    check("camera", camera(&config));
    check("strike", config.door.lock.open().map(|lock| lock.describe()).map_err(Failure::from));
    check("state folder", writable(&config.state.folder));
    let clock = crate::service::wall()
        .map_or("not synchronised: nobody with a timetable is let in", |_| "synchronised");
    println!("note  clock: {clock}");
    println!("note  liveness: there is no check yet; a good photograph may open the door");
    match failed {
        0 => Ok(()),
        n => Err(Failure::new(code::CONFIG, &format!("{n} of the checks failed"))),
    }
}

fn copy(failure: &Failure) -> Failure {
    Failure::new(failure.code, &failure.message)
}

fn camera(config: &Config) -> Result<String, Failure> {
    let mut source = config.camera.source.open(&household::wanted(config)?, Pace::Fast)?;
    let frame = source.next()?;
    Ok(format!("{}, {}x{}", source.describe(), frame.pixels.width(), frame.pixels.height()))
}

fn writable(folder: &Path) -> Result<String, Failure> {
    tempfile::tempfile_in(folder).map_err(|e| {
        let text = format!(
            "{}: {e}; make it, and give it to the user that runs facelatch",
            folder.display()
        );
        Failure::new(code::CANNOT_CREATE, &text)
    })?;
    Ok(folder.display().to_string())
}
