//! Trains, measures, exports and quantizes the network that facelatch runs at the door.
#![forbid(unsafe_code)]

mod cli;
mod data;
mod engine;
mod loss;
mod net;
mod onnx;
mod quantize;
mod run;

fn main() -> std::process::ExitCode {
    cli::main()
}
