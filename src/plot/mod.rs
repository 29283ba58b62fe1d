//! Charts of a run, as SVG for a page and as PNG for everything else, and contact sheets of frames.

mod axis;
mod chart;
mod roc;
mod sheet;

pub use chart::{Chart, PlotError, Series};
pub use roc::roc_chart;
pub use sheet::{Shot, Tone, contact_sheet};
