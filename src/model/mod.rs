//! What all our network files share: metadata that says what is promised, a hash of the weights, and
//! how tract loads and feeds them.

mod load;
mod metadata;

pub use load::{NetworkError, bytes, one_line, plan, planes, read};
pub use metadata::{ContractError, PREFIX, Props, check_graph, prefixed, weights_sha256};
