use super::{failure::Failure, household::ConfigArg};

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
        print!("{}", config.to_toml());
    }
    eprintln!("{}: in order", args.config.path().display());
    Ok(())
}
