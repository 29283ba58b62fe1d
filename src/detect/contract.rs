use super::{CHANNELS, STRIDES};
use crate::model::{ContractError, Props, check_graph, prefixed};
use tract_onnx::pb::ModelProto;

/// What every detector of this version agrees on, key and value.
const FIXED: [(&str, &str); 6] = [
    ("contract", "1"),
    ("kind", "detector"),
    ("strides", "8 16 32"),
    ("color", "RGB"),
    ("range", "0..1"),
    ("layout", "NCHW"),
];

/// The network's outputs, finest grid first.
pub const OUTPUTS: [&str; 3] = ["faces8", "faces16", "faces32"];

/// What a detector's ONNX file says about itself in `metadata_props`, under keys that begin with
/// `facelatch.`.
///
/// Contract 1: the input `image` is f32 [N, 3, H, W], RGB, a pixel's byte over 255; the outputs
/// [`OUTPUTS`] are f32 [N, 15, ⌈H/s⌉, ⌈W/s⌉] for strides s of 8, 16 and 32, to be read as
/// [`super::Grid`] says.
#[derive(Debug, Clone, PartialEq)]
pub struct DetectorContract {
    /// W and H, px.
    pub input: [u32; 2],
    /// What it was trained on and under which terms, for a person to read.
    pub training_data: String,
    /// How well it did, as JSON text.
    pub metrics: String,
    /// [`crate::model::weights_sha256`] of the graph.
    pub weights_sha256: String,
    /// When it was written, RFC 3339.
    pub created: String,
}

impl DetectorContract {
    /// Every key and value for `metadata_props`, in a fixed order.
    pub fn to_props(&self) -> Vec<(String, String)> {
        let [width, height] = self.input;
        let own = [
            ("input_width", width.to_string()),
            ("input_height", height.to_string()),
            ("training_data", self.training_data.clone()),
            ("metrics", self.metrics.clone()),
            ("weights_sha256", self.weights_sha256.clone()),
            ("created", self.created.clone()),
        ];
        prefixed(&FIXED, own)
    }

    /// Reads the keys and values back; other keys are left alone.
    ///
    /// # Errors
    /// [`ContractError::Missing`] or [`ContractError::Differs`], by the first key that is off.
    pub fn from_props<K: AsRef<str>, V: AsRef<str>>(
        props: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, ContractError> {
        let props = Props::of(props);
        props.require(&FIXED)?;
        let side = |key| {
            props.parse(key, "a side from 32 to 2048 pixels", |v| {
                v.parse().ok().filter(|side| (32..=2048).contains(side))
            })
        };
        Ok(Self {
            input: [side("input_width")?, side("input_height")?],
            training_data: props.text("training_data")?.to_owned(),
            metrics: props.json("metrics")?,
            weights_sha256: props.text("weights_sha256")?.to_owned(),
            created: props.text("created")?.to_owned(),
        })
    }

    /// The contract of a whole model file: [`DetectorContract::from_props`], then [`check_graph`].
    ///
    /// # Errors
    /// [`ContractError`], by the first thing that is off.
    pub fn of(model: &ModelProto) -> Result<Self, ContractError> {
        let contract = Self::from_props(model.metadata_props.iter().map(|p| (&p.key, &p.value)))?;
        let graph = model.graph.as_ref().ok_or(ContractError::Graph("is missing".into()))?;
        check_graph(graph, "image", &OUTPUTS, &contract.weights_sha256)?;
        Ok(contract)
    }

    /// Shapes of the outputs for one picture.
    pub fn shapes(&self) -> [[usize; 4]; 3] {
        let [width, height] = self.input.map(|side| side as usize);
        STRIDES.map(|stride| [1, CHANNELS, height.div_ceil(stride), width.div_ceil(stride)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::PREFIX;

    fn contract() -> DetectorContract {
        DetectorContract {
            input: [320, 240],
            training_data: "nothing, for a test".into(),
            metrics: "{}".into(),
            weights_sha256: String::new(),
            created: "2026-01-01T00:00:00Z".into(),
        }
    }

    #[test]
    fn what_is_written_reads_back_and_anything_else_is_refused_by_name() {
        assert_eq!(DetectorContract::from_props(contract().to_props()), Ok(contract()));
        for (key, value) in
            [("strides", "8 16"), ("input_width", "8"), ("input_height", "x"), ("metrics", "{")]
        {
            let mut props = contract().to_props();
            let full = format!("{PREFIX}{key}");
            props.iter_mut().filter(|(k, _)| *k == full).for_each(|(_, v)| *v = value.into());
            let error = DetectorContract::from_props(props).unwrap_err();
            assert!(
                matches!(&error, ContractError::Differs { key: k, .. } if *k == key),
                "{error}"
            );
        }
    }

    #[test]
    fn a_grid_covers_the_whole_picture() {
        assert_eq!(contract().shapes(), [[1, 15, 30, 40], [1, 15, 15, 20], [1, 15, 8, 10]]);
    }
}
