use super::{
    Failure, Outcome, data,
    export::Export,
    quantize::Quantize,
    train::{Machine, Stint},
    unwritable,
};
use crate::{
    data::{Dataset, Source, Split, resample::canonical, synthetic},
    run::{Config, Embedding, RunConfig, RunFolder, load_dataset},
};
use facelatch::{
    embed::{Embedder, Network},
    files::write_atomically,
};
use image::{ImageFormat, Rgb, RgbImage, imageops::replace};
use std::{
    io::Cursor,
    path::{Path, PathBuf},
};

/// Do everything once, small, without any data: draw invented people, train on them, export, quantize,
/// and let the int8 network compare people it has never seen.
#[derive(clap::Args)]
pub struct Demo {
    /// New folder for the pictures, the run, both ONNX files and the contact sheet.
    #[arg(default_value = "runs/demo")]
    out: PathBuf,
    #[command(flatten)]
    machine: Machine,
}

/// Pairs on the contact sheet: this many of one person above as many of two people.
const COLUMNS: usize = 6;
/// Side of a face on the contact sheet and width of the frame around a pair, px.
const FACE: usize = 112;
const FRAME: u32 = 4;

impl Demo {
    pub fn run(self) -> Outcome {
        let (faces, run) = (self.out.join("faces"), self.out.join("run"));
        if faces.exists() || run.exists() {
            let out = self.out.display();
            return Err(data(format!(
                "{out} holds a demo already; remove it or name another folder"
            )));
        }
        println!("1/5 drawing 60 invented people, and 15 more to be tested on");
        synthetic::write(&faces, 60, 8, 1).map_err(|e| unwritable(&faces, e))?;
        println!("2/5 training");
        let mut config: RunConfig =
            toml::from_str(include_str!("../../recipes/demo.toml")).map_err(super::config)?;
        config.data.sources = vec![Source::new("drawn", &faces)];
        config.check().map_err(super::config)?;
        let folder = RunFolder::new(&run).map_err(data)?;
        let stint = Stint::default();
        super::train::go(folder, &run, config.clone(), &self.machine, &stint, Embedding::load)?;
        println!("3/5 exporting");
        let [f32, int8] = ["f32.onnx", "int8.onnx"].map(|name| self.out.join(name));
        Export::new(&run, &f32).run()?;
        println!("4/5 quantizing");
        Quantize::new(&run, &int8, self.machine).run()?;
        println!("5/5 comparing people that the network has never seen");
        let sheet = self.out.join("pairs.png");
        compare(&config, &int8, &sheet)?;
        println!("look at {} and {}", sheet.display(), run.join("accuracy.png").display());
        Ok(())
    }
}

/// Held-out pictures and who is in each.
fn held_out(dataset: &Dataset) -> Vec<(usize, u32)> {
    let held_out = |i: &usize| dataset.split(*i) == Split::Val;
    let images = (0..dataset.len()).filter(held_out);
    images.filter_map(|i| Some((i, dataset.val_label(i)?))).collect()
}

/// Scores every pair of held-out pictures with the network as the door runs it, prints how well one
/// threshold separates them, and draws some of them: a green frame for accepted, a red one for refused.
fn compare(config: &RunConfig, model: &Path, sheet: &Path) -> Result<(), Failure> {
    let dataset = load_dataset(config).map_err(data)?;
    let mut network = Network::load(model)?;
    let picture = |i: usize, size: usize| {
        let mut picture = RgbImage::new(size as u32, size as u32);
        canonical(dataset.pixels(i), dataset.size(), size, &mut picture);
        picture
    };
    let images = held_out(&dataset);
    let crops: Vec<_> =
        images.iter().map(|&(i, _)| picture(i, network.input_size() as usize)).collect();
    let embeddings = network.embed_all(&crops).map_err(data)?;
    let mut scores = [Vec::new(), Vec::new()];
    for a in 0..images.len() {
        for b in a + 1..images.len() {
            let same = usize::from(images[a].1 == images[b].1);
            scores[same].push((embeddings[a].cosine(&embeddings[b]).0, images[a].0, images[b].0));
        }
    }
    let [impostor, genuine] = &scores;
    let only = |scores: &[(f32, usize, usize)]| scores.iter().map(|s| s.0).collect::<Vec<_>>();
    let at = facelatch::evaluate::tar_at_far(&only(genuine), &only(impostor), 0.1)
        .map_err(|e| data(e.to_string()))?;
    println!(
        "{} pairs of one person, {} of two: at threshold {:.2} the int8 network accepts {:.0} % of the \
         former and {:.0} % of the latter",
        genuine.len(),
        impostor.len(),
        at.threshold,
        at.tar * 100.0,
        at.measured_far * 100.0
    );
    let mut canvas = RgbImage::from_pixel(
        (FACE as u32 * 2 + FRAME * 3) * COLUMNS as u32,
        (FACE as u32 + FRAME * 2) * 2,
        Rgb([255; 3]),
    );
    for (row, pairs) in [genuine, impostor].into_iter().enumerate() {
        for column in 0..COLUMNS.min(pairs.len()) {
            let (score, a, b) = pairs[column * pairs.len() / COLUMNS];
            let colour = if score >= at.threshold { Rgb([0, 158, 115]) } else { Rgb([213, 94, 0]) };
            let mut pair =
                RgbImage::from_pixel(FACE as u32 * 2 + FRAME * 2, FACE as u32 + FRAME * 2, colour);
            replace(&mut pair, &picture(a, FACE), i64::from(FRAME), i64::from(FRAME));
            replace(&mut pair, &picture(b, FACE), FACE as i64 + i64::from(FRAME), i64::from(FRAME));
            let x = column as i64 * (FACE as i64 * 2 + i64::from(FRAME) * 3);
            replace(&mut canvas, &pair, x, row as i64 * i64::from(pair.height()));
        }
    }
    let mut png = Cursor::new(Vec::new());
    canvas.write_to(&mut png, ImageFormat::Png).map_err(|e| data(e.to_string()))?;
    write_atomically(sheet, png.get_ref()).map_err(|e| unwritable(sheet, e))
}
