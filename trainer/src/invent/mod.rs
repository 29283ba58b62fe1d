//! Invented people for the demo of `facelatch`: each a blend of five different people, so that nobody
//! in the pictures exists, and a short evening in which they come to a door.

mod evening;
mod portrait;

pub use evening::{Evening, write_evening};
pub use portrait::{Portrait, invent};
