//! One file a command: it parses its arguments, calls the library and prints.

mod doctor;
mod train;

use clap::{CommandFactory, Parser, Subcommand};
use std::process::ExitCode;

/// What a command ends with: nothing, or one line that says what to do next.
type Outcome = Result<(), Failure>;

/// An error line and the exit code that goes with it (sysexits.h).
pub struct Failure {
    code: u8,
    line: String,
}

/// Exit codes from BSD's sysexits.h.
mod code {
    /// The data was incorrect: a broken picture set, a foreign checkpoint.
    pub const DATA: u8 = 65;
    /// Something that a later step found impossible: a loss that left the numbers.
    pub const SOFTWARE: u8 = 70;
    /// A configuration that cannot work.
    pub const CONFIG: u8 = 78;
}

impl Failure {
    fn new(code: u8, error: impl ToString) -> Self {
        Self { code, line: error.to_string() }
    }

    fn data(error: impl ToString) -> Self {
        Self::new(code::DATA, error)
    }

    fn config(error: impl ToString) -> Self {
        Self::new(code::CONFIG, error)
    }
}

/// Trains, measures, exports and quantizes the network that facelatch runs at the door.
#[derive(Parser)]
#[command(name = "facelatch-train", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a training run from a configuration.
    Train(train::Train),
    /// Go on with a run from its latest checkpoint.
    Resume(train::Resume),
    /// Say which device would be used and whether libtorch is whole.
    Doctor(doctor::Doctor),
    /// Print a completion script for a shell.
    Completions {
        /// bash, zsh, fish, elvish or powershell
        shell: clap_complete::Shell,
    },
}

/// Parses the command line, runs the command, and turns an error into one line and an exit code.
pub fn main() -> ExitCode {
    let env = env_logger::Env::default().default_filter_or("info");
    env_logger::Builder::from_env(env).format_target(false).init();
    let outcome = match Cli::parse().command {
        Command::Train(command) => command.run(),
        Command::Resume(command) => command.run(),
        Command::Doctor(command) => command.run(),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "facelatch-train", &mut std::io::stdout());
            Ok(())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("facelatch-train: {}", failure.line);
            ExitCode::from(failure.code)
        }
    }
}
