//! The ranges that calibration gives to activations, and the ways to choose them.

use super::{ActivationQuant, Error, IMAGE, WeightScale};
use crate::net::{Activation, Graph, Node, NodeId, Op};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// The values that a node is expected to take; what lies outside is clipped.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Range {
    /// Smallest, usually at most 0.
    pub min: f32,
    /// Largest, at least `min`.
    pub max: f32,
}

/// How a range is chosen from a [`Histogram`](super::Histogram); as text `minmax`, `mse` or
/// `percentile:99.99`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Method {
    /// Every value seen.
    MinMax,
    /// The central share of the values in percent, (50, 100]; the lowest share where none is negative.
    Percentile(f64),
    /// The range of least mean squared quantization error, clipping included.
    Mse,
}

impl FromStr for Method {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let percent = text.strip_prefix("percentile:").and_then(|p| p.parse::<f64>().ok());
        match (text, percent) {
            ("minmax", _) => Ok(Self::MinMax),
            ("mse", _) => Ok(Self::Mse),
            (_, Some(p)) if p > 50.0 && p <= 100.0 => Ok(Self::Percentile(p)),
            _ => Err(Error::Method(text.into())),
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::MinMax => f.write_str("minmax"),
            Self::Percentile(p) => write!(f, "percentile:{p}"),
            Self::Mse => f.write_str("mse"),
        }
    }
}

impl TryFrom<String> for Method {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Method> for String {
    fn from(method: Method) -> Self {
        method.to_string()
    }
}

/// Everything about a quantization that is measured or chosen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Of each node's value, after its activation, by the node's index in the graph. Needed for
    /// every node whose value is held in u8 with a scale of its own: see [`needs_range`].
    pub ranges: Vec<Option<Range>>,
    /// How the weights' scales are chosen.
    #[serde(default)]
    pub weight_scale: WeightScale,
}

/// Whether a node's range must be observed. The image has a fixed scale, max pooling and dropout keep
/// their input's, and what comes after global pooling stays in f32, as do the
/// outputs.
pub fn needs_range(graph: &Graph, id: NodeId) -> bool {
    let op = &graph.nodes[id].op;
    !graph.is_output(id)
        && matches!(op, Op::Normalise { .. } | Op::Conv(_) | Op::Add { .. } | Op::Concat)
}

/// How each node's value is held in u8; `None` for the nodes that stay in f32: global pooling, dense
/// layers, dropout between them, and outputs.
///
/// The value after a ReLU has zero point 0 and after a ReLU6 a largest value of at most 6, whatever its
/// range says: quantization then does the activation's clipping.
///
/// # Errors
/// [`Error::Range`] for a range that is missing, not finite or upside down, and [`Error::Unsupported`]
/// for a convolution, sum or concatenation that reads an f32 value.
pub fn activation_quants(
    graph: &Graph,
    calibration: &Calibration,
) -> Result<Vec<Option<ActivationQuant>>, Error> {
    let mut quants: Vec<Option<ActivationQuant>> = Vec::with_capacity(graph.nodes.len());
    for (id, node) in graph.nodes.iter().enumerate() {
        quants.push(match node.op {
            Op::Image => Some(IMAGE),
            Op::GlobalAveragePool | Op::Dense { .. } => None,

            Op::MaxPool { .. } | Op::Dropout { .. } => quants[node.inputs[0]],
            _ if node.inputs.iter().any(|&i| quants[i].is_none()) => {
                let problem = "it stands after global pooling, a dense layer or an output, where \
                               values are f32";
                return Err(Error::Unsupported { node: node.name.clone(), problem });
            }
            _ if graph.is_output(id) => None,
            _ => {
                let range = calibration.ranges.get(id).copied().flatten();
                Some(ActivationQuant::of(activated(node, checked(node, range)?)))
            }
        });
    }
    Ok(quants)
}

fn checked(node: &Node, range: Option<Range>) -> Result<Range, Error> {
    let problem = match range {
        None => "it has no range".into(),
        Some(Range { min, max }) if min.is_finite() && max.is_finite() && min <= max => {
            return Ok(Range { min, max });
        }
        Some(Range { min, max }) => format!("its range is {min} to {max}"),
    };
    Err(Error::Range { node: node.name.clone(), problem })
}

/// The part of a range that an activation lets through.
fn activated(node: &Node, Range { min, max }: Range) -> Range {
    let activation = match &node.op {
        Op::Conv(conv) => conv.activation,
        Op::Add { activation, .. } => *activation,
        _ => Activation::None,
    };
    match activation {
        Activation::None => Range { min, max },
        Activation::Relu => Range { min: 0.0, max: max.max(0.0) },
        Activation::Relu6 => Range { min: 0.0, max: max.clamp(0.0, 6.0) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Architecture;

    #[test]
    fn methods_read_back_as_they_are_written() {
        for method in
            [Method::MinMax, Method::Mse, Method::Percentile(99.99), Method::Percentile(100.0)]
        {
            assert_eq!(method.to_string().parse(), Ok(method));
            let json = serde_json::to_string(&method).unwrap();
            assert_eq!(serde_json::from_str::<Method>(&json).unwrap(), method);
        }
        for text in [
            "",
            "max",
            "percentile",
            "percentile:",
            "percentile:50",
            "percentile:101",
            "percentile:NaN",
        ] {
            assert_eq!(text.parse::<Method>(), Err(Error::Method(text.into())));
        }
    }

    #[test]
    fn only_sensible_ranges_are_accepted() {
        let architecture = Architecture { input_size: 64, alpha: 0.25, ..Architecture::default() };
        let graph = architecture.graph().unwrap();
        let good = vec![Some(Range { min: -1.0, max: 9.0 }); graph.nodes.len()];
        let calibrated =
            |ranges| activation_quants(&graph, &Calibration { ranges, ..Calibration::default() });
        let quants = calibrated(good.clone()).unwrap();
        for (node, quant) in graph.nodes.iter().zip(&quants) {
            match node.op {
                Op::Image => assert_eq!(*quant, Some(IMAGE)),
                Op::Conv(_) => {
                    assert_eq!(*quant, Some(ActivationQuant { scale: 6.0 / 255.0, zero_point: 0 }))
                }
                _ => assert_eq!(*quant, None, "{}", node.name),
            }
        }
        for bad in [
            None,
            Some(Range { min: f32::NAN, max: 1.0 }),
            Some(Range { min: 0.0, max: f32::INFINITY }),
            Some(Range { min: 1.0, max: 0.0 }),
        ] {
            let mut ranges = good.clone();
            ranges[5] = bad;
            let text = calibrated(ranges).unwrap_err().to_string();
            assert!(text.contains(&graph.nodes[5].name), "{text}");
        }
        assert!(calibrated(Vec::new()).is_err());
    }
}
