//! The host-side companion of facelatch: trains the network that the door runs, measures it, exports
//! it and quantizes it.
//!
//! Data flows one way: pictures ([`data`]) become batches, a [`net`] described as plain data is run on
//! libtorch ([`engine`]), the [`loss`] moves it, a [`run`] keeps it in a folder, [`quantize`] finds
//! its int8 form and [`onnx`] writes the file. The face template, the file's contract and the
//! evaluation protocol are the `facelatch` library's.
#![forbid(unsafe_code)]

pub mod cli;
pub mod conditions;
pub mod data;
pub mod detect;
pub mod engine;
pub mod invent;
pub mod loss;
pub mod net;
pub mod onnx;
pub mod pack;
pub mod quantize;
pub mod run;
