use super::{failure::Failure, household::ConfigArg, output::say};

/// Drive the strike's line inactive, whatever left it active: what the service runs after every end of
/// the daemon.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArg,
}

pub fn lock(args: &Args) -> Result<(), Failure> {
    let mut lock = args.config.load()?.door.lock.open()?;
    lock.lock()?;
    say!("{} is locked", lock.describe())
}
