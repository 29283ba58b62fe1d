//! The command line: each subcommand parses its arguments, calls the library and prints.
//!
//! Results go to standard output; errors, warnings and progress to standard error. Exit codes are
//! those of `sysexits.h`.

mod bench;
mod check_config;
mod cluster;
mod compare;
mod control;
mod demo;
mod doctor;
mod enroll;
mod evaluate;
mod evaluate_detector;
mod failure;
mod household;
mod lock;
mod log;
mod output;
mod people;
mod run;
mod tune;

pub use evaluate::Measure;
pub use failure::{Failure, code};

use clap::{CommandFactory, Parser, Subcommand};
use std::{
    io::{self, Write},
    process::ExitCode,
};

/// Opens a door for the right face.
#[derive(Parser)]
#[command(name = "facelatch", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(run::Args),
    Demo(demo::Args),
    Enroll(enroll::Args),
    People(people::Args),
    Verify(compare::Verify),
    Identify(compare::Identify),
    Cluster(cluster::Args),
    Tune(tune::Args),
    Status(control::Status),
    Unlock(control::Unlock),
    Lockdown(control::Lockdown),
    Log(log::Args),
    Lock(lock::Args),
    CheckConfig(check_config::Args),
    Doctor(doctor::Args),
    Bench(bench::Args),
    Evaluate(evaluate::Args),
    EvaluateDetector(evaluate_detector::Args),
    /// Print the manual page
    Man,
    /// Print a completion script for a shell
    Completions {
        /// bash, zsh, fish, elvish or powershell
        shell: clap_complete::Shell,
    },
}

/// The command line, for this program and for one beside it.
///
/// # Errors
/// The exit code, once help, version or what is wrong with it is printed: [`code::USAGE`] for the last.
pub fn parsed<T: Parser>() -> Result<T, ExitCode> {
    T::try_parse().map_err(|e| {
        // Help and the version come this way too, as errors that are none.
        let code = if e.use_stderr() { code::USAGE } else { 0 };
        match e.print().map_err(|e| Failure::output(&e)) {
            Err(failure) if !e.use_stderr() => failure.code.into(),
            _ => code.into(),
        }
    })
}

/// Runs the command that the process was started with and returns its exit code: 0 done, 64 wrong
/// usage (and for `verify` and `identify` 1 no match), 65 bad data, 66 missing input, 70 a fault in
/// the software, 73 or 74 cannot write, 78 a configuration that cannot work.
///
/// What `RUST_LOG` lets through is logged to standard error; warnings are unless it says otherwise,
/// and what `run` does.
pub fn main() -> ExitCode {
    let cli: Cli = match parsed() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let level = match cli.command {
        Command::Run(_) => "info",
        _ => "warn",
    };
    let level = env_logger::Env::default().default_filter_or(level);
    env_logger::Builder::from_env(level).format_timestamp(None).format_target(false).init();
    match perform(cli.command) {
        Ok(code) => code.into(),
        Err(failure) => {
            if !failure.is_closed_pipe() {
                // Where this cannot be written either, the exit code is all that is left.
                let _ = writeln!(io::stderr(), "facelatch: {}", failure.message);
            }
            failure.code.into()
        }
    }
}

/// The exit code of a command that did what it was asked to.
fn perform(command: Command) -> Result<u8, Failure> {
    match command {
        Command::Verify(args) => return compare::verify(&args),
        Command::Identify(args) => return compare::identify(&args),
        Command::Run(args) => run::run(&args)?,
        Command::Demo(args) => demo::demo(&args)?,
        Command::Enroll(args) => enroll::enroll(&args)?,
        Command::People(args) => people::people(&args)?,
        Command::Cluster(args) => cluster::cluster(&args)?,
        Command::Tune(args) => tune::tune(&args)?,
        Command::Status(args) => control::status(&args)?,
        Command::Unlock(args) => control::unlock(&args)?,
        Command::Lockdown(args) => control::lockdown(&args)?,
        Command::Log(args) => log::log(&args)?,
        Command::Lock(args) => lock::lock(&args)?,
        Command::CheckConfig(args) => check_config::check_config(&args)?,
        Command::Doctor(args) => doctor::doctor(&args)?,
        Command::Bench(args) => bench::bench(&args)?,
        Command::Evaluate(args) => evaluate::evaluate(&args)?,
        Command::EvaluateDetector(args) => evaluate_detector::evaluate_detector(&args)?,
        Command::Man => {
            let mut page = Vec::new();
            let rendered = clap_mangen::Man::new(Cli::command()).render(&mut page);
            rendered.map_err(|e| Failure::output(&e))?;
            output::whole(&page)?;
        }
        Command::Completions { shell } => {
            // Into memory first: the generator panics where it cannot write.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "facelatch", &mut script);
            output::whole(&script)?;
        }
    }
    Ok(0)
}
