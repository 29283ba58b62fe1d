//! What a bad disk or a bad person does to a file.

use proptest::{collection::vec, prelude::*, sample::Index};

/// Bytes overwritten here and there, and one time in five the end cut off.
pub fn damaged(whole: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let edits = vec((any::<Index>(), any::<u8>()), 1..9);
    (edits, prop::option::weighted(0.2, any::<Index>())).prop_map(move |(edits, cut)| {
        let mut bytes = whole.clone();
        edits.iter().for_each(|(at, byte)| bytes[at.index(whole.len())] = *byte);
        bytes.truncate(cut.map_or(whole.len(), |cut| cut.index(whole.len())));
        bytes
    })
}
