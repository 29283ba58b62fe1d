//! The networks: a backbone is a [`Graph`] of plain data, which training runs on libtorch, export
//! writes as ONNX and quantization annotates, all from the same description.

mod backbone;
mod detector;
mod graph;
mod inception_resnet_v1;
mod mobilefacenet;
mod mobilenet;

pub use backbone::{Architecture, Backbone};
pub use detector::DetectorArchitecture;
pub use graph::{
    Activation, Builder, Conv, Graph, Node, NodeId, Norm, Op, Padding, ParamSpec, Role,
};
