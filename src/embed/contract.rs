use crate::align::{TEMPLATE_112, template};
use sha2::{Digest, Sha256};
use std::{collections::HashMap, fmt::Write};
use tract_onnx::pb::{GraphProto, ModelProto, TensorProto};

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

const PREFIX: &str = "facelatch.";

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
    /// [`weights_sha256`] of the graph: against a torn or mixed-up file, not against an attacker.
    pub weights_sha256: String,
    /// When it was written, RFC 3339.
    pub created: String,
}

/// Why a file is not an embedding network this version can use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContractError {
    /// A key is not there.
    #[error("no `{PREFIX}{0}` in its metadata: not exported for facelatch; export it again")]
    Missing(&'static str),
    /// A key says something else than the contract.
    #[error("`{PREFIX}{key}` is `{found}` where this version needs {needed}; export it again")]
    Differs {
        /// The key, without its prefix.
        key: &'static str,
        /// Its value in the file.
        found: String,
        /// What would do.
        needed: String,
    },
    /// The weights are not those that were exported.
    #[error("its weights hash to {found}, not to {promised} as promised; copy the file again")]
    Weights {
        /// The hash in the metadata.
        promised: String,
        /// The hash of the weights.
        found: String,
    },
    /// The file keeps a tensor somewhere else.
    #[error("the tensor `{0}` is kept outside the file or in no plain form; export it again whole")]
    External(String),
    /// No graph, or its input or output is not the contract's.
    #[error("its graph {0}; export it again")]
    Graph(&'static str),
}

impl Contract {
    /// Every key and value for `metadata_props`, in a fixed order.
    pub fn to_props(&self) -> Vec<(String, String)> {
        let fixed = FIXED.iter().map(|&(key, value)| (key, value.to_owned()));
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
        fixed.chain(own).map(|(key, value)| (format!("{PREFIX}{key}"), value)).collect()
    }

    /// Reads the keys and values back; other keys are left alone.
    ///
    /// # Errors
    /// [`ContractError::Missing`] or [`ContractError::Differs`], by the first key that is off.
    pub fn from_props<K: AsRef<str>, V: AsRef<str>>(
        props: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, ContractError> {
        let props = Props::of(props);
        for (key, needed) in FIXED {
            props.parse(key, &format!("`{needed}`"), |v| (v == needed).then_some(()))?;
        }
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
            metrics: props.parse("metrics", "JSON", |v| {
                serde_json::from_str::<serde::de::IgnoredAny>(v).ok().map(|_| v.to_owned())
            })?,
            weights_sha256: props.text("weights_sha256")?.to_owned(),
            created: props.text("created")?.to_owned(),
        })
    }

    /// The contract of a whole model file: [`Contract::from_props`], then [`Contract::check`].
    ///
    /// # Errors
    /// [`ContractError`], by the first thing that is off.
    pub fn of(model: &ModelProto) -> Result<Self, ContractError> {
        let contract = Self::from_props(model.metadata_props.iter().map(|p| (&p.key, &p.value)))?;
        contract.check(model.graph.as_ref().ok_or(ContractError::Graph("is missing"))?)?;
        Ok(contract)
    }

    /// Whether the graph is the one that was promised: names of input and output, hash of the weights.
    ///
    /// # Errors
    /// [`ContractError::Graph`], [`ContractError::Weights`] or [`ContractError::External`].
    pub fn check(&self, graph: &GraphProto) -> Result<(), ContractError> {
        let is_weight = |name: &str| graph.initializer.iter().any(|t| t.name == name);
        let mut inputs = graph.input.iter().map(|v| v.name.as_str()).filter(|n| !is_weight(n));
        if (inputs.next(), inputs.next()) != (Some("image"), None) {
            return Err(ContractError::Graph("does not have `image` as its only input"));
        }
        let mut outputs = graph.output.iter().map(|v| v.name.as_str());
        if (outputs.next(), outputs.next()) != (Some("embedding"), None) {
            return Err(ContractError::Graph("does not have `embedding` as its only output"));
        }
        let found = weights_sha256(graph)?;
        if found != self.weights_sha256 {
            return Err(ContractError::Weights { promised: self.weights_sha256.clone(), found });
        }
        Ok(())
    }
}

/// The SHA-256 over the raw little-endian bytes of all initializers in file order, as 64 hex digits.
///
/// # Errors
/// [`ContractError::External`] for a tensor whose bytes are in another file, or are strings.
pub fn weights_sha256(graph: &GraphProto) -> Result<String, ContractError> {
    let mut hash = Sha256::new();
    for tensor in &graph.initializer {
        hash_tensor(tensor, &mut hash)
            .ok_or_else(|| ContractError::External(tensor.name.clone()))?;
    }
    Ok(hash.finalize().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    }))
}

/// `raw_data` is what this project writes; the typed fields are ONNX's other way to say the same.
fn hash_tensor(tensor: &TensorProto, hash: &mut Sha256) -> Option<()> {
    let outside = !tensor.external_data.is_empty() || tensor.data_location.unwrap_or(0) != 0;
    if outside || !tensor.string_data.is_empty() {
        return None;
    }
    hash.update(&tensor.raw_data);
    tensor.float_data.iter().for_each(|v| hash.update(v.to_le_bytes()));
    tensor.int32_data.iter().for_each(|v| hash.update(v.to_le_bytes()));
    tensor.int64_data.iter().for_each(|v| hash.update(v.to_le_bytes()));
    tensor.double_data.iter().for_each(|v| hash.update(v.to_le_bytes()));
    tensor.uint64_data.iter().for_each(|v| hash.update(v.to_le_bytes()));
    Some(())
}

/// Ten numbers with spaces between, in the space of a 112×112 crop.
fn template_text() -> String {
    TEMPLATE_112.as_flattened().iter().map(f32::to_string).collect::<Vec<_>>().join(" ")
}

fn is_the_template(text: &str) -> Option<()> {
    let numbers: Option<Vec<f32>> = text.split_whitespace().map(|v| v.parse().ok()).collect();
    (numbers? == template(112).0.as_flattened()).then_some(())
}

struct Props(HashMap<String, String>);

impl Props {
    fn of<K: AsRef<str>, V: AsRef<str>>(props: impl IntoIterator<Item = (K, V)>) -> Self {
        Self(
            props
                .into_iter()
                .map(|(k, v)| (k.as_ref().to_owned(), v.as_ref().to_owned()))
                .collect(),
        )
    }

    fn text(&self, key: &'static str) -> Result<&str, ContractError> {
        let value = self.0.get(&format!("{PREFIX}{key}"));
        value.map(String::as_str).ok_or(ContractError::Missing(key))
    }

    fn parse<T>(
        &self,
        key: &'static str,
        needed: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, ContractError> {
        let found = self.text(key)?;
        read(found).ok_or_else(|| ContractError::Differs {
            key,
            found: found.to_owned(),
            needed: needed.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            ("kind", "detector"),
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

    #[test]
    fn the_hash_covers_every_byte_in_file_order() {
        let tensor = |bytes: &[u8]| TensorProto { raw_data: bytes.to_vec(), ..Default::default() };
        let graph = |tensors| GraphProto { initializer: tensors, ..Default::default() };
        // FIPS 180-2, the one-block test message.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(weights_sha256(&graph(vec![tensor(b"a"), tensor(b"bc")])).unwrap(), abc);
        assert_ne!(weights_sha256(&graph(vec![tensor(b"bc"), tensor(b"a")])).unwrap(), abc);
        let floats = TensorProto { float_data: vec![1.5], ..Default::default() };
        let raw = tensor(&1.5f32.to_le_bytes());
        assert_eq!(weights_sha256(&graph(vec![floats])), weights_sha256(&graph(vec![raw])));
        let outside = TensorProto { data_location: Some(1), ..Default::default() };
        assert!(matches!(weights_sha256(&graph(vec![outside])), Err(ContractError::External(_))));
    }
}
