use crate::{
    detect::Picture,
    engine::{Teacher, images_from_bytes, to_vec},
    run::Fault,
};
use facelatch::{
    align::{Landmarks, Similarity, crop, template, warp_into},
    embed::{EMBEDDING_LEN, Embedding},
};
use image::RgbImage;
use tch::Device;

/// Sides of a portrait, px.
pub(super) const SIDES: [usize; 2] = [300, 340];

/// Size of the face in it: the template's at 150 px has 47 px from eye to eye, a little more than the
/// pictures have.
const FACE: u32 = 150;

/// Where the template's upper left corner stands in it.
const CORNER: [f32; 2] = [75.0, 90.0];

/// People in a blend, an equal share of each.
const BLENDED: usize = 5;

/// Largest similarity of any two in a blend, by the teacher: above, they may be one person twice, and the
/// blend somebody who exists.
const MOST_ALIKE: f32 = 0.15;

/// Largest similarity of a blend to any picture that there is, by the teacher: above, it may be taken for
/// that person.
const MOST_LIKE_ANYBODY: f32 = 0.45;

/// Largest mean distance of landmarks to the template's, in shares of the inter-eye distance: heads
/// that are turned differently blend into a ghost.
const MOST_OFF: f32 = 0.06;

/// A picture of somebody who does not exist.
pub struct Portrait {
    /// Head and shoulders.
    pub pixels: RgbImage,
    embedding: Embedding,
}

/// `count` invented people, as different from each other as can be found among `tries` blends of the
/// pictures that nobody in any picture looks like; the same for the same pictures. The teacher says who
/// looks like whom.
///
/// # Errors
/// Too few pictures of one face from the front.
pub fn invent(
    pictures: &[Picture],
    teacher: &Teacher,
    count: usize,
    tries: usize,
) -> Result<Vec<Portrait>, Fault> {
    let fit: Vec<&Picture> = pictures.iter().filter(|p| is_fit(p)).collect();
    let faces: Vec<_> = fit.iter().map(|p| (&p.pixels, p.truth.faces[0].landmarks)).collect();
    let embeddings = embed(teacher, &faces)?;
    let bases = (0..fit.len()).step_by((fit.len() / tries.max(1)).max(1));
    let blended: Vec<RgbImage> = bases
        .filter_map(|base| partners(base, &embeddings))
        .map(|chosen| blend(chosen.map(|i| fit[i])))
        .collect::<Result<_, _>>()?;
    let faces: Vec<_> = blended.iter().map(|pixels| (pixels, target())).collect();
    let found = embed(teacher, &faces)?;
    let tried = blended.len();
    let nobody: Vec<Portrait> = (blended.into_iter().zip(found))
        .map(|(pixels, embedding)| Portrait { pixels, embedding })
        .filter(|p| nearest(&p.embedding, &embeddings) < MOST_LIKE_ANYBODY)
        .collect();
    log::info!(
        "{} pictures of one face from the front, {tried} blends, {} of them like nobody",
        fit.len(),
        nobody.len()
    );
    if nobody.len() < count {
        return Err(format!("{} such blends where {count} are wanted", nobody.len()).into());
    }
    let chosen = most_different(nobody, count);
    for portrait in &chosen {
        log::info!("most like anybody: {:.2}", nearest(&portrait.embedding, &embeddings));
    }
    Ok(chosen)
}

/// The teacher's embeddings of faces, each a picture and its landmarks.
fn embed(teacher: &Teacher, faces: &[(&RgbImage, Landmarks)]) -> Result<Vec<Embedding>, Fault> {
    let side = teacher.input_size();
    let mut embeddings = Vec::new();
    for batch in faces.chunks(64) {
        let mut pixels = Vec::with_capacity(batch.len() * side * side * 3);
        for (picture, landmarks) in batch {
            pixels.extend_from_slice(&crop(picture, landmarks, side as u32)?);
        }
        let rows = to_vec(&teacher.embed(&images_from_bytes(&pixels, [side; 2], Device::Cpu)));
        for row in rows.chunks(EMBEDDING_LEN) {
            embeddings.push(Embedding::from_slice(row)?);
        }
    }
    Ok(embeddings)
}

/// The highest similarity to any of these.
fn nearest(embedding: &Embedding, others: &[Embedding]) -> f32 {
    others.iter().map(|other| other.cosine(embedding).0).fold(f32::NEG_INFINITY, f32::max)
}

/// Where the landmarks of a portrait stand.
fn target() -> Landmarks {
    Landmarks(template(FACE).0.map(|[x, y]| [x + CORNER[0], y + CORNER[1]]))
}

/// One large face from the front, with room around it.
fn is_fit(picture: &Picture) -> bool {
    let [face] = &picture.truth.faces[..] else { return false };
    let [eye, other, nose, ..] = face.landmarks.0;
    let apart = (other[0] - eye[0]).hypot(other[1] - eye[1]);
    let turned = (nose[0] - (eye[0] + other[0]) / 2.0).abs() / apart;
    let [x, y] = face.bounds.centre();
    let (width, height) = (picture.pixels.width() as f32, picture.pixels.height() as f32);
    let room = [x, width - x].iter().all(|side| *side > 1.7 * apart)
        && y > 2.0 * apart
        && height - y > 2.2 * apart;
    let upright = Similarity::fit(&face.landmarks, &template(112)).is_ok_and(|fit| {
        let goal = template(112).0;
        let off = |(p, q): ([f32; 2], [f32; 2])| {
            let [x, y] = fit.apply(p);
            (x - q[0]).hypot(y - q[1])
        };
        let sum: f32 = face.landmarks.0.into_iter().zip(goal).map(off).sum();
        sum / 5.0 < MOST_OFF * (goal[1][0] - goal[0][0])
    });
    let sure = picture.truth.ignore.is_empty() && face.score.0 > 0.85;
    sure && upright && apart > 28.0 && turned < 0.08 && room
}

/// A picture and those most like it that are surely of other people, and of different ones.
fn partners(base: usize, embeddings: &[Embedding]) -> Option<[usize; BLENDED]> {
    let alike = |a: usize, b: usize| embeddings[a].cosine(&embeddings[b]).0;
    let mut near: Vec<usize> =
        (0..embeddings.len()).filter(|&i| i != base && alike(base, i) < MOST_ALIKE).collect();
    near.sort_by(|&a, &b| alike(base, b).total_cmp(&alike(base, a)));
    let mut chosen = vec![base];
    for candidate in near {
        if chosen.iter().all(|&one| alike(one, candidate) < MOST_ALIKE) {
            chosen.push(candidate);
        }
        if let Ok(chosen) = chosen.clone().try_into() {
            return Some(chosen);
        }
    }
    None
}

fn blend(pictures: [&Picture; BLENDED]) -> Result<RgbImage, Fault> {
    let [width, height] = SIDES;
    let mut sums = vec![0u32; width * height * 3];
    let mut one = vec![0; sums.len()];
    for picture in pictures {
        let to_target = Similarity::fit(&picture.truth.faces[0].landmarks, &target())?;
        let sides = [picture.pixels.width() as usize, picture.pixels.height() as usize];
        warp_into(&picture.pixels, sides, &to_target.inverse().into(), &mut one, SIDES);
        sums.iter_mut().zip(&one).for_each(|(sum, v)| *sum += u32::from(*v));
    }
    let count = BLENDED as u32;
    let bytes = sums.into_iter().map(|sum| ((sum + count / 2) / count) as u8).collect();
    Ok(RgbImage::from_raw(width as u32, height as u32, bytes).expect("three bytes a pixel"))
}

/// Those that are least like each other: begins with the pair farthest apart and adds who is farthest
/// from all chosen.
fn most_different(mut blends: Vec<Portrait>, count: usize) -> Vec<Portrait> {
    let mut chosen: Vec<Portrait> = Vec::new();
    while chosen.len() < count && !blends.is_empty() {
        let nearest = |candidate: &Portrait| {
            let others = match chosen.is_empty() {
                true => &blends,
                false => &chosen,
            };
            let scores = others.iter().map(|o| o.embedding.cosine(&candidate.embedding).0);
            match chosen.is_empty() {
                true => scores.fold(f32::INFINITY, f32::min),
                false => scores.fold(f32::NEG_INFINITY, f32::max),
            }
        };
        let scores: Vec<f32> = blends.iter().map(nearest).collect();
        let best = (0..blends.len()).min_by(|&a, &b| scores[a].total_cmp(&scores[b]));
        chosen.push(blends.swap_remove(best.expect("there is one left")));
    }
    chosen
}
