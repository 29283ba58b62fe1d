use super::{CANONICAL, DataError};
use facelatch::files::Tree;
use serde::{Deserialize, Serialize};

/// What a source says of its own pictures, in `source.toml` at its top. Without one, the defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct About {
    /// Side of the pictures that are canonical crops with their border, px, 16 to 176: a pack holds
    /// them scaled down. Default 176.
    pub canonical_side: u32,
}

impl Default for About {
    fn default() -> Self {
        Self { canonical_side: CANONICAL }
    }
}

impl About {
    /// The file's name.
    pub const FILE: &str = "source.toml";

    pub(super) fn read(tree: &Tree) -> Result<Self, DataError> {
        if !tree.paths().iter().any(|path| path == Self::FILE) {
            return Ok(Self::default());
        }
        let bad = |why: String| DataError::About { root: tree.root().to_path_buf(), why };
        let text = String::from_utf8(tree.read(Self::FILE)?).map_err(|e| bad(e.to_string()))?;
        let about: Self = toml::from_str(&text).map_err(|e| bad(e.message().to_owned()))?;
        match about.canonical_side {
            16..=CANONICAL => Ok(about),
            side => Err(bad(format!("canonical_side is {side} and must be 16 to {CANONICAL}"))),
        }
    }
}
