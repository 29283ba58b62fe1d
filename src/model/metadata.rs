use sha2::{Digest, Sha256};
use std::{collections::HashMap, fmt::Write};
use tract_onnx::pb::{GraphProto, TensorProto};

/// What the keys of our metadata begin with.
pub const PREFIX: &str = "facelatch.";

/// Why a file is not a network that this version can use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContractError {
    /// A key is not there.
    #[error("no `{PREFIX}{0}` in its metadata: not exported for facelatch; export it again")]
    Missing(&'static str),
    /// A network of another kind.
    #[error(
        "it is a network of kind `{found}` where one of kind `{needed}` belongs; is each in the other's place?"
    )]
    Kind {
        /// Its kind in the file.
        found: String,
        /// What would do.
        needed: &'static str,
    },
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
    Graph(String),
}

/// Whether a graph is the one that was promised: names of input and outputs, hash of the weights.
///
/// # Errors
/// [`ContractError::Graph`], [`ContractError::Weights`] or [`ContractError::External`].
pub fn check_graph(
    graph: &GraphProto,
    input: &'static str,
    outputs: &[&'static str],
    weights: &str,
) -> Result<(), ContractError> {
    let is_weight = |name: &str| graph.initializer.iter().any(|t| t.name == name);
    let inputs = graph.input.iter().map(|v| v.name.as_str()).filter(|n| !is_weight(n));
    if !inputs.eq([input]) {
        return Err(ContractError::Graph(format!("does not have `{input}` as its only input")));
    }
    if !graph.output.iter().map(|v| v.name.as_str()).eq(outputs.iter().copied()) {
        let names = outputs.join("`, `");
        return Err(ContractError::Graph(format!("does not have `{names}` as its only output")));
    }
    let found = weights_sha256(graph)?;
    if found != weights {
        return Err(ContractError::Weights { promised: weights.to_owned(), found });
    }
    Ok(())
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

/// Whether a tensor's numbers are in another file.
pub(super) fn is_outside(tensor: &TensorProto) -> bool {
    !tensor.external_data.is_empty() || tensor.data_location.unwrap_or(0) != 0
}

/// `raw_data` is what this project writes; the typed fields are ONNX's other way to say the same.
fn hash_tensor(tensor: &TensorProto, hash: &mut Sha256) -> Option<()> {
    if is_outside(tensor) || !tensor.string_data.is_empty() {
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

/// Keys and values as they stand in `metadata_props`: the fixed ones, then a file's own.
pub fn prefixed<const N: usize>(
    fixed: &[(&str, &str)],
    own: [(&str, String); N],
) -> Vec<(String, String)> {
    let fixed = fixed.iter().map(|&(key, value)| (key, value.to_owned()));
    fixed.chain(own).map(|(key, value)| (format!("{PREFIX}{key}"), value)).collect()
}

/// A file's metadata, looked up without [`PREFIX`].
pub struct Props(HashMap<String, String>);

impl Props {
    /// The keys and values of `metadata_props`; those of others are left alone.
    pub fn of<K: AsRef<str>, V: AsRef<str>>(props: impl IntoIterator<Item = (K, V)>) -> Self {
        Self(
            props
                .into_iter()
                .map(|(k, v)| (k.as_ref().to_owned(), v.as_ref().to_owned()))
                .collect(),
        )
    }

    /// Holds fixed keys to their values.
    ///
    /// # Errors
    /// [`ContractError::Missing`], [`ContractError::Kind`] or [`ContractError::Differs`], by the first key
    /// that is off.
    pub fn require(&self, fixed: &[(&'static str, &'static str)]) -> Result<(), ContractError> {
        for &(key, needed) in fixed {
            let found = self.text(key)?.to_owned();
            if found != needed {
                return Err(match key {
                    "kind" => ContractError::Kind { found, needed },
                    _ => ContractError::Differs { key, found, needed: format!("`{needed}`") },
                });
            }
        }
        Ok(())
    }

    /// The text under a key, which must be JSON.
    ///
    /// # Errors
    /// [`ContractError::Missing`] or [`ContractError::Differs`].
    pub fn json(&self, key: &'static str) -> Result<String, ContractError> {
        self.parse(key, "JSON", |v| {
            serde_json::from_str::<serde::de::IgnoredAny>(v).ok().map(|_| v.to_owned())
        })
    }

    /// The text under a key.
    ///
    /// # Errors
    /// [`ContractError::Missing`].
    pub fn text(&self, key: &'static str) -> Result<&str, ContractError> {
        let value = self.0.get(&format!("{PREFIX}{key}"));
        value.map(String::as_str).ok_or(ContractError::Missing(key))
    }

    /// What `read` makes of the text under a key; `needed` says what would do.
    ///
    /// # Errors
    /// [`ContractError::Missing`], or [`ContractError::Differs`] where `read` gives nothing.
    pub fn parse<T>(
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

    #[test]
    fn a_network_of_another_kind_is_called_what_it_is() {
        let props = Props::of([(format!("{PREFIX}kind"), "detector".to_owned())]);
        let error = props.require(&[("kind", "embedding")]).unwrap_err();
        assert_eq!(error, ContractError::Kind { found: "detector".into(), needed: "embedding" });
        assert_eq!(props.require(&[("kind", "detector")]), Ok(()));
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
