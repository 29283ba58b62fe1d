//! Runs any ONNX network on a picture of noise, for races against other runtimes (`benches/int8.py`).
//!
//! `plan FILE WIDTH HEIGHT [THREADS]` loads FILE as the door does; with `stock` in place of THREADS, tract
//! alone runs it. Prints how long it took to load and to run once and the most memory it held, then for
//! every line with a number N on standard input: the least and the median time of N runs, ms. With
//! `outputs` in place of THREADS, pictures come on standard input, RGB bytes one after another, and the
//! network's first output goes to standard output, a line of numbers for each.

use facelatch::model::{Plan, Pool, bytes, read};
use std::{
    error::Error,
    fs,
    io::{Read, stdin},
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};
use tract_onnx::prelude::*;

type Done<T> = Result<T, Box<dyn Error>>;

fn main() -> Done<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, width, height, how @ ..] = &arguments[..] else {
        return Err("usage: plan FILE WIDTH HEIGHT [THREADS|stock|outputs]".into());
    };
    let (file, size) = (PathBuf::from(file), [width.parse()?, height.parse()?]);
    if how.first().is_some_and(|how| how == "outputs") {
        return outputs(&file, size);
    }
    let noise = |i: usize| (i.wrapping_mul(2_654_435_761) >> 13) as u8;
    let picture: Vec<u8> = (0..size[0] * size[1] * 3).map(noise).collect();
    let start = Instant::now();
    let mut run: Box<dyn FnMut() -> Done<()>> = if how.first().is_some_and(|how| how == "stock") {
        stock(&file, size, &picture)?
    } else {
        let plan = plan(&file, size, how.first().map_or(Ok(1), |threads| threads.parse())?)?;
        Box::new(move || Ok(plan.run(&picture).map(drop)?))
    };
    let loaded = start.elapsed();
    run()?;
    let memory = fs::read_to_string("/proc/self/status")?;
    let memory = memory.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or("VmHWM: ?");
    println!("{:.3} {:.3} {}", ms(loaded), ms(start.elapsed()), memory[6..].trim());
    for line in stdin().lines() {
        let mut times = Vec::new();
        for _ in 0..line?.trim().parse::<usize>()?.max(1) {
            let start = Instant::now();
            run()?;
            times.push(ms(start.elapsed()));
        }
        times.sort_by(f64::total_cmp);
        println!("{:.4} {:.4}", times[0], times[times.len() / 2]);
    }
    Ok(())
}

fn ms(time: std::time::Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn plan(file: &Path, size: [usize; 2], threads: usize) -> Done<Plan> {
    let model = read(file, bytes(file)?)?;
    Ok(Plan::new(file, model, size, &[], &Arc::new(Pool::new(threads)))?)
}

fn outputs(file: &Path, [width, height]: [usize; 2]) -> Done<()> {
    let plan = plan(file, [width, height], 1)?;
    let mut pictures = Vec::new();
    stdin().read_to_end(&mut pictures)?;
    for picture in pictures.chunks_exact(width * height * 3) {
        let output = plan.run(picture)?.remove(0);
        let numbers = output.to_plain_array_view::<f32>()?;
        let numbers: Vec<String> = numbers.iter().map(f32::to_string).collect();
        println!("{}", numbers.join(" "));
    }
    Ok(())
}

/// The network on tract as it comes.
fn stock(
    file: &Path,
    [width, height]: [usize; 2],
    picture: &[u8],
) -> Done<Box<dyn FnMut() -> Done<()>>> {
    let plan = tract_onnx::onnx()
        .model_for_path(file)?
        .with_input_fact(0, f32::fact([1, 3, height, width]).into())?
        .into_optimized()?
        .into_runnable()?;
    let planes: Vec<f32> = (0..3)
        .flat_map(|c| picture.iter().skip(c).step_by(3).map(|&byte| f32::from(byte) / 255.0))
        .collect();
    let input: TValue = Tensor::from_shape(&[1, 3, height, width], &planes)?.into();
    Ok(Box::new(move || Ok(plan.run(tvec!(input.clone())).map(drop)?)))
}
