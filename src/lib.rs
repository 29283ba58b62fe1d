//! facelatch opens a door for the right face.
//!
//! Data flows one way, one folder a stage: camera → detect → align → embed → gallery → decision →
//! door. What the trainer and the daemon must agree on (the face template, the network's contract,
//! the evaluation protocol) lives here once.
#![forbid(unsafe_code)]

pub mod align;
pub mod camera;
pub mod cli;
pub mod config;
pub mod decision;
pub mod detect;
pub mod door;
pub mod embed;
pub mod evaluate;
pub mod files;
pub mod gallery;
pub mod model;
mod parallel;
pub mod pipeline;
pub mod plot;
pub mod service;
