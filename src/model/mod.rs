//! What all our network files share: metadata that says what is promised, a hash of the weights, and
//! how they are made
//! ready to run: convolutions on bytes by our own kernels, the rest by tract.

mod int8;
mod load;
mod metadata;

pub use facelatch_kernels::Pool;
pub use load::{NetworkError, Plan, bytes, one_line, read};
pub use metadata::{ContractError, PREFIX, Props, check_graph, prefixed, weights_sha256};
