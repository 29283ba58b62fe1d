use std::{env, os::unix::process::CommandExt, process::Command};

/// What glibc and libgomp read from the environment, once, when a program starts.
///
/// `MALLOC_…`: blocks below 16 GiB come from the heap, and the heap is not given back. By default glibc
/// maps every large block afresh and unmaps it when it is freed, so that a training step spends its
/// time in page faults on memory that the step before has just returned: 1.1 to 1.3 times as fast at
/// 112 px, batch 32, on the machine where this was measured.
///
/// `GOMP_SPINCOUNT`: threads that wait for each other spin for about a tenth of a millisecond and then
/// sleep. Spinning for as long as libgomp does by default starves the loader's threads and everything
/// else where there are as many threads as cores (12 images/s instead of 117 at 64 px on two cores
/// that others used as well); not spinning at all costs a wake-up at every operation (76 images/s
/// instead of 91 at 112 px on two idle cores).
const TUNING: [(&str, &str); 4] = [
    ("MALLOC_MMAP_THRESHOLD_", "17179869184"),
    ("MALLOC_TRIM_THRESHOLD_", "17179869184"),
    ("MALLOC_TOP_PAD_", "67108864"),
    ("GOMP_SPINCOUNT", "30000"),
];

/// Starts this program over with the environment tuned. Does nothing where one of the variables is
/// set already, by a person or by the first start, or where starting over fails.
pub fn start_over_tuned() {
    if TUNING.iter().any(|(name, _)| env::var_os(name).is_some()) {
        return;
    }
    let Ok(program) = env::current_exe() else { return };
    let error = Command::new(program).args(env::args_os().skip(1)).envs(TUNING).exec();
    log::debug!("running with the environment as it is: {error}");
}
