use super::Outcome;
use crate::engine;

/// Say which device would be used and whether libtorch is whole.
#[derive(clap::Args)]
pub struct Doctor {
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub fn run(&self) -> Outcome {
        let device = engine::pick(None).map_err(super::config)?;
        let linked = linked_with_cuda();
        if self.json {
            let report = serde_json::json!({
                "device": engine::describe(device),
                "cuda": device.is_cuda(),
                "cuda_linked": linked,
                "threads": engine::threads(),
                "onednn": tch::utils::has_mkldnn(),
                "openmp": tch::utils::has_openmp(),
            });
            println!("{report}");
            return Ok(());
        }
        println!("device        {}", engine::describe(device));
        println!("oneDNN        {}", yes(tch::utils::has_mkldnn()));
        println!("OpenMP        {}", yes(tch::utils::has_openmp()));
        println!("libtorch_cuda {}", if linked { "linked" } else { "not linked" });
        if !device.is_cuda() {
            println!(
                "No GPU will be used. On a GPU host: `trainer/libtorch.sh gpu`, build again, and check \
                 that `ldd` shows libtorch_cuda.so."
            );
        }
        Ok(())
    }
}

/// Whether this process has libtorch's CUDA half in memory, whatever the machine has.
fn linked_with_cuda() -> bool {
    std::fs::read_to_string("/proc/self/maps").is_ok_and(|maps| maps.contains("libtorch_cuda"))
}

fn yes(there: bool) -> &'static str {
    if there { "yes" } else { "no: training will be slow" }
}
