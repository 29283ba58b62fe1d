//! The teacher's tables, with the rows of the pictures that are packed.

use crate::data::{Dataset, teacher::DIM};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::{collections::HashMap, fs, path::Path};

/// Bytes of one picture's row: as is and mirrored, f16.
const ROW: usize = 2 * DIM * 2;

/// The table of one source of `dataset` and its names, cut down; none where the source has none.
pub(super) fn of(
    folder: &Path,
    dataset: &Dataset,
    source: usize,
) -> Result<Option<(Vec<u8>, String)>, String> {
    let name = &dataset.sources()[source].name;
    let [tensors, names] = ["safetensors", "txt"].map(|kind| folder.join(format!("{name}.{kind}")));
    if !tensors.exists() {
        return Ok(None);
    }
    let failed = |path: &Path, why: String| format!("{}: {why}", path.display());
    let bytes = fs::read(&tensors).map_err(|e| failed(&tensors, e.to_string()))?;
    let text = fs::read_to_string(&names).map_err(|e| failed(&names, e.to_string()))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| failed(&tensors, e.to_string()))?;
    let table = file.tensor("embedding").map_err(|e| failed(&tensors, e.to_string()))?;
    let rows: HashMap<&str, &[u8]> = text.lines().zip(table.data().chunks(ROW)).collect();
    if table.dtype() != Dtype::F16 || table.data().len() != rows.len() * ROW {
        return Err(failed(&tensors, "not a teacher's table; compute it again".into()));
    }
    let (mut kept, mut kept_names) = (Vec::new(), String::new());
    let images = (0..dataset.len())
        .filter(|&i| usize::from(dataset.images()[i].source) == source)
        .map(|i| dataset.name(i));
    for image in images {
        if let Some(row) = rows.get(image) {
            kept.extend_from_slice(row);
            kept_names += &format!("{image}\n");
        }
    }
    let shape = vec![kept.len() / ROW, 2, DIM];
    let view = TensorView::new(Dtype::F16, shape, &kept).map_err(|e| e.to_string())?;
    let bytes = safetensors::serialize([("embedding", view)], None).map_err(|e| e.to_string())?;
    Ok(Some((bytes, kept_names)))
}
