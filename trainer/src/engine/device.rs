use tch::{Cuda, Device};

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
