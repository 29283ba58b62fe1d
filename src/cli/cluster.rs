use super::{
    evaluate::show_progress,
    failure::{Failure, code},
    household::{ConfigArg, recogniser},
    output::{self, LeftOut, say},
};
use crate::{
    embed::{Embedding, Score},
    evaluate::cluster as group,
    files::{Tree, decode, is_picture},
    parallel,
    pipeline::Recogniser,
};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Sort pictures by who is in them, without knowing anybody: one group a person, the largest first.
///
/// Of a picture with several faces the largest counts. A picture that cannot be read or shows no face is
/// named and left out.
#[derive(clap::Args)]
pub struct Args {
    /// A folder or zip of pictures
    #[arg(value_name = "DIR|ZIP")]
    pictures: PathBuf,
    /// The least mean similarity within a group [default: the threshold of the configuration]
    #[arg(long)]
    threshold: Option<f32>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArg,
}

/// A person, as far as the network can tell.
#[derive(Serialize)]
struct Group<'a> {
    pictures: Vec<&'a str>,
}

pub fn cluster(args: &Args) -> Result<(), Failure> {
    let config = args.config.load()?;
    let threshold = args.threshold.unwrap_or(config.recognition.threshold);
    if !(-1.0..=1.0).contains(&threshold) {
        let text = format!("--threshold is {threshold}; choose a number from -1 to 1");
        return Err(Failure::new(code::USAGE, &text));
    }
    let tree = Tree::open(&args.pictures)?;
    let faces = faces_in(&tree, &recogniser(&config)?)?;
    let embeddings: Vec<Embedding> = faces.iter().map(|(_, face)| *face).collect();
    let groups: Vec<Group> = group(&embeddings, Score(threshold))
        .iter()
        .map(|group| Group { pictures: group.iter().map(|&i| faces[i].0).collect() })
        .collect();
    if args.json {
        return output::json(&groups);
    }
    for (number, group) in (1..).zip(&groups) {
        group.pictures.iter().try_for_each(|picture| say!("{number:>4}  {picture}"))?;
    }
    say!("pictures: {}; people at a threshold of {threshold}: {}", faces.len(), groups.len())
}

/// The largest face of every picture, with the picture's path.
pub fn faces_in<'a>(
    tree: &'a Tree,
    recogniser: &Recogniser,
) -> Result<Vec<(&'a str, Embedding)>, Failure> {
    let paths = tree.paths().iter().map(String::as_str);
    let paths: Vec<&str> = paths.filter(|path| is_picture(Path::new(path))).collect();
    let (mut faces, mut left_out) = (Vec::new(), LeftOut::default());
    for batch in paths.chunks(64) {
        let found = parallel::map(batch, |path| {
            let bytes = tree.read(path).map_err(|e| e.to_string())?;
            let picture = decode(&bytes, image::Limits::default());
            let probe = recogniser.probe(&picture.map_err(|e| format!("{path}: {e}"))?, false);
            probe.map(|probe| probe.embedding).map_err(|e| format!("{path}: {e}"))
        });
        for (path, face) in batch.iter().zip(found) {
            match face {
                Ok(face) => faces.push((*path, face)),
                Err(why) => left_out.note(&why),
            }
        }
        show_progress("pictures", faces.len(), paths.len());
    }
    left_out.end();
    match faces.is_empty() {
        false => Ok(faces),
        true => {
            let text = format!("{}: no picture with a face in it", tree.root().display());
            Err(Failure::new(code::DATA, &text))
        }
    }
}
