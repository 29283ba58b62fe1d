//! The `facelatch-train` command.

fn main() -> std::process::ExitCode {
    facelatch_train::cli::main()
}
