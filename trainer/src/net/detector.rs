//! The face detector: a narrow MobileNet whose three last resolutions each look for faces of their
//! size. No feature pyramid: at the finest grid a cell already sees 87 px around it, seven times the
//! smallest face, so what a second, upward path adds is not worth its memory traffic on a small board.

use super::graph::{
    Activation::{None, Relu6},
    Builder, Conv, Graph, NodeId, Norm, Op,
    Padding::Even,
};
use facelatch::detect::{CHANNELS, OUTPUTS, STRIDES};
use serde::{Deserialize, Serialize};

/// Width of the first convolution, then for each resolution the width and the number of its blocks.
const FIRST: usize = 16;
const STAGES: [(usize, usize); 4] = [(24, 2), (48, 4), (96, 3), (128, 2)];

/// As the embedding network's, so that a short run evaluates what it has learned.
const NORM: Norm = Norm { momentum: 0.99, epsilon: 1e-3, scale: true };

/// Everything that fixes a detector's shape.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DetectorArchitecture {
    /// Width of the picture it looks at in pixels, 64 to 640.
    pub width: usize,
    /// Its height, 64 to 640.
    pub height: usize,
    /// Factor of every channel count, (0, 2].
    pub alpha: f64,
}

impl Default for DetectorArchitecture {
    /// Half of a 640×480 frame: a face of 24 px there is 12 px here.
    fn default() -> Self {
        Self { width: 320, height: 240, alpha: 1.0 }
    }
}

impl DetectorArchitecture {
    /// Builds the graph.
    ///
    /// # Errors
    /// A sentence that says which value is out of range.
    pub fn graph(&self) -> Result<Graph, String> {
        for (name, side) in [("width", self.width), ("height", self.height)] {
            if !(64..=640).contains(&side) {
                return Err(format!("network.{name} is {side}; it goes from 64 to 640"));
            }
        }
        if !(self.alpha > 0.0 && self.alpha <= 2.0) {
            return Err(format!("network.alpha is {}; above 0 and at most 2", self.alpha));
        }
        Ok(self.build())
    }

    fn build(&self) -> Graph {
        let mut net = Net(Builder::new([self.height, self.width]));
        let channels = |n: usize| (((n as f64 * self.alpha) / 8.0).round() as usize).max(1) * 8;
        let mut x = net.conv("conv1", channels(FIRST), 3, 2, 1, &[0]);
        let (mut heads, mut block) = (Vec::new(), 0);
        for (stage, (width, count)) in STAGES.into_iter().enumerate() {
            for i in 0..count {
                block += 1;
                let stride = if i == 0 { 2 } else { 1 };
                x = net.separable(&format!("block{block}"), channels(width), stride, x);
            }
            // The first stage ends at a stride of 4, where no faces are looked for.
            if let Some(grid) = stage.checked_sub(1) {
                let name = OUTPUTS[grid];
                let features = net.separable(&format!("{name}.head"), channels(width), 1, x);
                heads.push(net.head(name, features));
            }
        }
        debug_assert_eq!(heads.len(), STRIDES.len());
        net.0.finish_with(heads)
    }
}

struct Net(Builder);

impl Net {
    fn conv(
        &mut self,
        name: &str,
        out: usize,
        kernel: usize,
        stride: usize,
        groups: usize,
        inputs: &[NodeId],
    ) -> NodeId {
        // Padded evenly: cell i of every grid then stands on pixel stride · i, whatever the sides.
        let op = Op::Conv(Conv {
            out,
            kernel: [kernel; 2],
            stride,
            padding: Even(kernel / 2),
            groups,
            bias: false,
            norm: Some(NORM),
            activation: Relu6,
        });
        self.0.add(name, op, inputs)
    }

    fn separable(&mut self, name: &str, out: usize, stride: usize, x: NodeId) -> NodeId {
        let channels = self.0.channels(x);
        let x = self.conv(&format!("{name}.dw"), channels, 3, stride, channels, &[x]);
        self.conv(&format!("{name}.pw"), out, 1, 1, 1, &[x])
    }

    fn head(&mut self, name: &str, x: NodeId) -> NodeId {
        let op = Op::Conv(Conv {
            out: CHANNELS,
            kernel: [1; 2],
            stride: 1,
            padding: Even(0),
            groups: 1,
            bias: true,
            norm: Option::None,
            activation: None,
        });
        self.0.add(name, op, &[x])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grids_cover_the_picture_and_the_network_is_small() {
        let graph = DetectorArchitecture::default().graph().unwrap();
        let shapes: Vec<_> = graph.outputs.iter().map(|&id| graph.nodes[id].shape).collect();
        assert_eq!(shapes, [[15, 30, 40], [15, 15, 20], [15, 8, 10]]);
        let names: Vec<_> = graph.outputs.iter().map(|&id| &graph.nodes[id].name[..]).collect();
        assert_eq!(names, OUTPUTS);
        let parameters: usize = graph.params().iter().map(|p| p.count()).sum();
        assert!(parameters < 120_000, "{parameters}");
        assert!(graph.macs() < 50_000_000, "{}", graph.macs());
    }

    #[test]
    fn values_out_of_range_are_refused_in_a_sentence() {
        let base = DetectorArchitecture::default();
        for (a, word) in [
            (DetectorArchitecture { width: 32, ..base }, "width"),
            (DetectorArchitecture { height: 9999, ..base }, "height"),
            (DetectorArchitecture { alpha: f64::NAN, ..base }, "alpha"),
        ] {
            assert!(a.graph().unwrap_err().contains(word), "{a:?}");
        }
    }
}
