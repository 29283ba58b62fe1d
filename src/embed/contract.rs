use crate::{
    align::{TEMPLATE_112, template},
    model::{self, ContractError, NetworkError, Props, check_graph, prefixed},
};
use std::path::Path;
use tract_onnx::pb::ModelProto;

/// The numbers in an embedding.
pub const EMBEDDING_LEN: usize = 128;

/// What every embedding network of this version agrees on, key and value; `template` comes on top.
const FIXED: [(&str, &str); 6] = [
    ("contract", "1"),
    ("kind", "embedding"),
    ("embedding_len", "128"),
    ("color", "RGB"),
    ("range", "0..1"),
    ("layout", "NCHW"),
];

/// What an embedding network's ONNX file says about itself in `metadata_props`, under keys that begin
/// with `facelatch.`.
///
/// Contract 1: the input `image` is f32 [N, 3, S, S], RGB, a pixel's byte over 255, of a face aligned
/// to [`template`]`(S)`; the output `embedding` is f32 [N, 128] of unit length. What is fixed by the
/// contract is written and checked but not kept here.
#[derive(Debug, Clone, PartialEq)]
pub struct Contract {
    /// S, the side of the input in pixels.
    pub input_size: u32,
    /// The network's architecture, e.g. `mobilefacenet`.
    pub backbone: String,
    /// Its width multiplier, above 0; 1 is the published width.
    pub alpha: f32,
    /// What it was trained on and under which terms, for a person to read.
    pub training_data: String,
    /// How well it did, as JSON text.
    pub metrics: String,
    /// [`crate::model::weights_sha256`] of the graph: against a torn or mixed-up file, not against an attacker.
    pub weights_sha256: String,
    /// When it was written, RFC 3339.
    pub created: String,
}

impl Contract {
    /// Every key and value for `metadata_props`, in a fixed order.
    pub fn to_props(&self) -> Vec<(String, String)> {
        let own = [
            ("input_size", self.input_size.to_string()),
            ("template", template_text()),
            ("backbone", self.backbone.clone()),
            ("alpha", self.alpha.to_string()),
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
        props.parse("template", &format!("`{}`", template_text()), is_the_template)?;
        Ok(Self {
            input_size: props.parse("input_size", "a size from 16 to 1024 pixels", |v| {
                v.parse().ok().filter(|size| (16..=1024).contains(size))
            })?,
            backbone: props.text("backbone")?.to_owned(),
            alpha: props.parse("alpha", "a number above 0", |v| {
                v.parse().ok().filter(|alpha: &f32| alpha.is_finite() && *alpha > 0.0)
            })?,
            training_data: props.text("training_data")?.to_owned(),
            metrics: props.json("metrics")?,
            weights_sha256: props.text("weights_sha256")?.to_owned(),
            created: props.text("created")?.to_owned(),
        })
    }

    /// What a file says about itself, without making the network ready to run.
    ///
    /// # Errors
    /// [`NetworkError::Read`], [`NetworkError::Unusable`], [`NetworkError::Contract`].
    pub fn load(path: &Path) -> Result<Self, NetworkError> {
        let model = model::read(path, model::bytes(path)?)?;
        Self::of(&model).map_err(|source| NetworkError::Contract { path: path.into(), source })
    }

    /// The contract of a whole model file: [`Contract::from_props`], then [`check_graph`].
    ///
    /// # Errors
    /// [`ContractError`], by the first thing that is off.
    pub fn of(model: &ModelProto) -> Result<Self, ContractError> {
        let contract = Self::from_props(model.metadata_props.iter().map(|p| (&p.key, &p.value)))?;
        let graph = model.graph.as_ref().ok_or(ContractError::Graph("is missing".into()))?;
        check_graph(graph, "image", &["embedding"], &contract.weights_sha256)?;
        Ok(contract)
    }
}

/// Ten numbers with spaces between, in the space of a 112×112 crop.
fn template_text() -> String {
    TEMPLATE_112.as_flattened().iter().map(f32::to_string).collect::<Vec<_>>().join(" ")
}

fn is_the_template(text: &str) -> Option<()> {
    let numbers: Option<Vec<f32>> = text.split_whitespace().map(|v| v.parse().ok()).collect();
    (numbers? == template(112).0.as_flattened()).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::PREFIX;

    fn contract() -> Contract {
        Contract {
            input_size: 112,
            backbone: "tiny".into(),
            alpha: 0.75,
            training_data: "nothing, for a test".into(),
            metrics: r#"{"lfw": null}"#.into(),
            weights_sha256: String::new(),
            created: "2025-01-01T00:00:00Z".into(),
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        assert_eq!(Contract::from_props(contract().to_props()), Ok(contract()));
    }

    #[test]
    fn a_missing_key_is_named_whichever_it_is() {
        let props = contract().to_props();
        for left_out in 0..props.len() {
            let rest = props.iter().enumerate().filter(|(i, _)| *i != left_out);
            let error = Contract::from_props(rest.map(|(_, (k, v))| (k, v))).unwrap_err();
            assert!(matches!(error, ContractError::Missing(_)), "{error}");
            assert!(error.to_string().contains(&props[left_out].0), "{error}");
        }
    }

    #[test]
    fn anything_but_the_contract_is_refused_by_name() {
        let shifted = template_text().replacen("38.2946", "38.5", 1);
        for (key, value) in [
            ("contract", "2"),
            ("embedding_len", "512"),
            ("color", "BGR"),
            ("range", "-1..1"),
            ("layout", "NHWC"),
            ("template", shifted.as_str()),
            ("template", "1 2 3"),
            ("input_size", "0"),
            ("input_size", "x"),
            ("alpha", "NaN"),
            ("metrics", "{"),
        ] {
            let mut props = contract().to_props();
            let full = format!("{PREFIX}{key}");
            props.iter_mut().filter(|(k, _)| *k == full).for_each(|(_, v)| *v = value.into());
            let error = Contract::from_props(props).unwrap_err();
            assert!(
                matches!(&error, ContractError::Differs { key: k, .. } if *k == key),
                "{error}"
            );
        }
    }
}
