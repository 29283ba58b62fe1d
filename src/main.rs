//! The `facelatch` command.

fn main() -> std::process::ExitCode {
    facelatch::cli::main()
}
