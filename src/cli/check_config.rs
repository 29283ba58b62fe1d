use super::{
    failure::{Failure, code},
    household::ConfigArg,
    output,
};
use crate::config::listed;
use std::io::{self, Write};

/// Check a configuration, and print what it says with every default filled in.
///
/// Exit code 78 if anything in it cannot work, or asks for what this build does not have. Files, folders and devices that
/// it names are not looked for: `doctor` tries them.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Only check
    #[arg(long)]
    quiet: bool,
    /// It is for another machine: do not ask whether this build has what it wants
    #[arg(long)]
    elsewhere: bool,
}

pub fn check_config(args: &Args) -> Result<(), Failure> {
    let config = args.config.load()?;
    let path = args.config.path().display();
    if !args.quiet {
        output::whole(config.to_toml().as_bytes())?;
    }
    let lacks = if args.elsewhere { Vec::new() } else { config.lacks() };
    if !lacks.is_empty() {
        return Err(Failure::new(code::CONFIG, &format!("{path}: {}", listed(&lacks))));
    }
    let _ = writeln!(io::stderr(), "{path}: in order");
    Ok(())
}
