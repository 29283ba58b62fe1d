//! Charts of a run: the same picture as SVG for a page and as PNG for everything else.

mod axis;
mod chart;
mod roc;

pub use chart::{Chart, PlotError, Series};
pub use roc::roc_chart;
