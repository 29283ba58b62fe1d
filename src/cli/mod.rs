//! The command line: each subcommand parses its arguments, calls the library and prints.
//!
//! Results go to standard output; errors, warnings and progress to standard error. Exit codes are
//! those of `sysexits.h`.

mod evaluate;
mod evaluate_detector;
mod failure;

pub use evaluate::Measure;
pub use failure::{Failure, code};

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Opens a door for the right face.
#[derive(Parser)]
#[command(name = "facelatch", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Evaluate(evaluate::Args),
    EvaluateDetector(evaluate_detector::Args),
}

/// Runs the command that the process was started with and returns its exit code: 0 done, 64 wrong
/// usage, 65 bad data, 66 missing input, 70 a fault in the software, 73 or 74 cannot write.
///
/// What `RUST_LOG` lets through is logged to standard error; warnings are unless it says otherwise.
pub fn main() -> ExitCode {
    let level = env_logger::Env::default().default_filter_or("warn");
    env_logger::Builder::from_env(level).format_timestamp(None).format_target(false).init();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // Help and the version come this way too, as errors that are none.
            let code = if e.use_stderr() { code::USAGE } else { 0 };
            let _ = e.print();
            return code.into();
        }
    };
    let done = match cli.command {
        Command::Evaluate(args) => evaluate::evaluate(&args),
        Command::EvaluateDetector(args) => evaluate_detector::evaluate_detector(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("facelatch: {}", failure.message);
            failure.code.into()
        }
    }
}
