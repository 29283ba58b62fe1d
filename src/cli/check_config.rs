use super::{failure::Failure, household::ConfigArg, output};
use std::io::{self, Write};

/// Check a configuration, and print what it says with every default filled in.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Only check
    #[arg(long)]
    quiet: bool,
}

pub fn check_config(args: &Args) -> Result<(), Failure> {
    let config = args.config.load()?;
    if !args.quiet {
        output::whole(config.to_toml().as_bytes())?;
    }
    let _ = writeln!(io::stderr(), "{}: in order", args.config.path().display());
    Ok(())
}
