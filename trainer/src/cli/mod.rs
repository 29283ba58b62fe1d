//! One file a command: it parses its arguments, calls the library and prints.

mod bench;
mod conditions;
mod demo;
mod detect;
mod doctor;
mod evaluate;
mod export;
mod invent;
mod pack;
mod quantize;
mod reproduce;
mod synthetic;
mod train;

use crate::{
    data::DataError,
    run::{Embedding, Fault, is_network},
};
use clap::{CommandFactory, Parser, Subcommand};
use facelatch::{
    cli::{Failure, code, parsed},
    files::{TreeError, write_atomically},
};
use std::{
    error::Error,
    io,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// What a command ends with: nothing, or one line that says what to do next.
type Outcome = Result<(), Failure>;

/// A file or folder that holds something else than it should, or is not there.
fn data(error: impl Into<Fault>) -> Failure {
    let error = error.into();
    let code = if is_absent(&*error) { code::NO_INPUT } else { code::DATA };
    Failure::new(code, &error.to_string())
}

/// Whether it comes down to a file or folder that is not there.
fn is_absent(error: &(dyn Error + 'static)) -> bool {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return error.kind() == io::ErrorKind::NotFound;
    }
    let tree = match error.downcast_ref() {
        Some(DataError::Tree(tree)) => Some(tree),
        _ => error.downcast_ref(),
    };
    matches!(tree, Some(TreeError::Missing(_))) || error.source().is_some_and(is_absent)
}

/// The file of a network that is to be written: its name, so that no checkpoint and no picture is written over
/// by a slip of the hand.
fn onnx_path(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    match is_network(&path) {
        true => Ok(path),
        false => Err("the name of a network ends in .onnx".to_owned()),
    }
}

/// Writes a finished network whole or not at all; a second one under the same name replaces the first, and
/// the line that is printed says so.
fn write_network(path: &Path, bytes: &[u8]) -> Result<&'static str, Failure> {
    let was_there = path.exists();
    write_atomically(path, bytes).map_err(|e| unwritable(path, e))?;
    Ok(if was_there { ", in place of the one before" } else { "" })
}

/// A configuration or option that cannot work.
fn config(error: impl ToString) -> Failure {
    Failure::new(code::CONFIG, &error.to_string())
}

/// A result that cannot be written.
fn unwritable(path: &Path, error: io::Error) -> Failure {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let help = match folder {
        Some(folder) if !folder.exists() => format!("; make {} first", folder.display()),
        _ => String::new(),
    };
    Failure::new(code::CANNOT_CREATE, &format!("{}: {error}{help}", path.display()))
}

#[derive(Parser)]
#[command(name = "facelatch-train", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Do everything once, small, without any data.
    Demo(demo::Demo),
    /// Start a training run from a configuration.
    Train(train::Train),
    /// Go on with a run from its latest checkpoint.
    Resume(train::Resume),
    /// Repeat how a network was made, from pictures to int8 file.
    Reproduce(reproduce::Reproduce),
    /// The face detector: train, resume, evaluate, export, quantize.
    Detect(detect::Detect),
    /// Measure how well a network tells people apart, by LFW's protocol.
    Evaluate(evaluate::Evaluate),
    /// Measure what distance, blur, darkness, sunglasses and the like cost.
    Conditions(conditions::Conditions),
    /// Write a trained network as an f32 ONNX file.
    Export(export::Export),
    /// Write a trained network as an int8 ONNX file.
    Quantize(quantize::Quantize),
    /// Measure the speed of the training step.
    Bench(bench::Bench),
    /// Put everything that a run needs into one folder of limited size.
    Pack(pack::Pack),
    /// Invent the people of the demo of `facelatch`.
    Invent(invent::Invent),
    /// Draw invented faces of invented people, to try the trainer on.
    Synthetic(synthetic::Synthetic),
    /// Say which device would be used and whether libtorch is whole.
    Doctor(doctor::Doctor),
    /// Print the manual page.
    Man,
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
    let cli: Cli = match parsed() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    crate::engine::start_over_tuned();
    let outcome = match cli.command {
        Command::Demo(command) => command.run(),
        Command::Train(command) => command.run(Embedding::load),
        Command::Resume(command) => command.run(Embedding::load),
        Command::Reproduce(command) => command.run(),
        Command::Detect(command) => command.run(),
        Command::Evaluate(command) => command.run(),
        Command::Conditions(command) => command.run(),
        Command::Export(command) => command.run(),
        Command::Quantize(command) => command.run(),
        Command::Bench(command) => command.run(),
        Command::Pack(command) => command.run(),
        Command::Invent(command) => command.run(),
        Command::Synthetic(command) => command.run(),
        Command::Doctor(command) => command.run(),
        Command::Man => clap_mangen::Man::new(Cli::command())
            .render(&mut std::io::stdout())
            .map_err(|e| Failure::new(code::IO, &e.to_string())),
        Command::Completions { shell } => {
            clap_complete::generate(
                shell,
                &mut Cli::command(),
                "facelatch-train",
                &mut std::io::stdout(),
            );
            Ok(())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.is_closed_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("facelatch-train: {}", failure.message);
            ExitCode::from(failure.code)
        }
    }
}
