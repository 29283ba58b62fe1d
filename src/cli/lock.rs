use super::{failure::Failure, household::ConfigArg, output::say};
use crate::config::Config;

/// Drive the strike's line inactive, whatever left it active: what the service runs after every end of
/// the daemon.
///
/// Of the configuration only the strike's line counts: whatever else is wrong in it, the door is locked.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArg,
}

pub fn lock(args: &Args) -> Result<(), Failure> {
    let mut lock = Config::lock_line(args.config.path())?.open()?;
    lock.lock()?;
    say!("{} is locked", lock.describe())
}
