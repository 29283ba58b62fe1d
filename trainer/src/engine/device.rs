use tch::{Cuda, Device, Tensor};

/// The GPU if libtorch sees one, else the CPU.
pub fn pick(wanted: Option<&str>) -> Result<Device, String> {
    match wanted {
        None | Some("auto") => Ok(Device::cuda_if_available()),
        Some("cpu") => Ok(Device::Cpu),
        Some("cuda") if Cuda::is_available() => Ok(Device::Cuda(0)),
        Some("cuda") => {
            Err("--device cuda: libtorch sees no GPU; `facelatch-train doctor` says why".into())
        }
        Some(other) => Err(format!("--device {other}: it is one of auto, cpu, cuda")),
    }
}

/// Number of CPU threads that libtorch computes with.
pub fn threads() -> usize {
    tch::get_num_threads().max(1) as usize
}

/// Threads that prepare batches: as many as asked for; for 0 the cores that libtorch leaves free, at
/// least one.
pub fn workers(asked: usize) -> usize {
    if asked > 0 {
        return asked;
    }
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    cores.saturating_sub(threads()).max(1)
}

/// Sets libtorch up for training on `device`, with `threads` CPU threads where that is given. With a
/// GPU two are enough, which leaves the other cores to augmentation, and cuDNN picks its algorithms
/// by trial, since every batch has one shape.
pub fn prepare(device: Device, threads: Option<i32>) {
    if let Some(threads) = threads.or(device.is_cuda().then_some(2)) {
        tch::set_num_threads(threads.max(1));
    }
    if device.is_cuda() {
        Cuda::cudnn_set_benchmark(true);
    }
}

/// A tensor of the CPU's on `device`. A plain copy to a GPU waits until the GPU has done all it was
/// told before; one from page-locked memory takes its place in the queue.
pub fn send(tensor: &Tensor, device: Device) -> Tensor {
    match device.is_cuda() {
        // `pin_memory` itself warns, at every call, that its argument will go.
        true => tensor.internal_pin_memory(device).to_device_(device, tensor.kind(), true, false),
        false => tensor.to_device(device),
    }
}

/// The device in words.
pub fn describe(device: Device) -> String {
    match device {
        Device::Cpu => format!("CPU, {} threads", threads()),
        Device::Cuda(i) => format!(
            "CUDA GPU {i} of {}, cuDNN {}",
            Cuda::device_count(),
            Cuda::cudnn_is_available()
        ),
        other => format!("{other:?}"),
    }
}
