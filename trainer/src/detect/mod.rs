//! Learning to find faces: whole pictures with boxes and landmarks become canvases, composed anew at
//! every step; cells of the network's grids are told which face is theirs; and a loss says how far off
//! they are. The training loop is the embedding network's ([`crate::run`]).

mod assign;
mod compose;
mod config;
mod loss;
mod measure;
mod pictures;
mod task;

pub use compose::Compose;
pub use config::DetectConfig;
pub use pictures::{Picture, Pictures};
pub use task::Detection;
