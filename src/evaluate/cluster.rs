use crate::embed::{EMBEDDING_LEN, Embedding, Score};

/// Sorts faces into groups, one a person as far as the network can tell: groups are joined while the mean
/// similarity between their faces is at least `limit` (average linkage). Groups hold indices of `faces`;
/// the largest comes first, and indices rise within each.
///
/// The mean, because one chance resemblance joins two people where the nearest pair decides, and one bad
/// picture splits a person where the farthest does. Time grows with the square of the number of faces.
pub fn cluster(faces: &[Embedding], limit: Score) -> Vec<Vec<usize>> {
    let mut groups: Vec<Group> = faces.iter().enumerate().map(Group::of).collect();
    // Nearest-neighbour chains (Murtagh 1983): from any group to its nearest, on to that one's nearest,
    // until two are each other's. Those are joined whatever comes elsewhere, as average linkage never
    // brings a third group nearer by joining two.
    let mut chain: Vec<usize> = Vec::new();
    let mut is_done = vec![false; groups.len()];
    loop {
        let Some(&top) = chain.last() else {
            match is_done.iter().position(|done| !done) {
                Some(start) => chain.push(start),
                None => break,
            }
            continue;
        };
        let before = chain.len().checked_sub(2).map(|i| chain[i]);
        match nearest(top, before, &groups, &is_done) {
            Some((near, score)) if score >= limit && Some(near) == before => {
                chain.truncate(chain.len() - 2);
                let joined = std::mem::take(&mut groups[top]);
                is_done[top] = true;
                groups[near].join(joined);
            }
            Some((near, score)) if score >= limit => chain.push(near),
            // Nothing is near enough, and nothing ever will be.
            _ => {
                is_done[top] = true;
                chain.pop();
            }
        }
    }
    let mut members: Vec<Vec<usize>> =
        groups.into_iter().map(|group| group.members).filter(|m| !m.is_empty()).collect();
    members.iter_mut().for_each(|group| group.sort_unstable());
    members.sort_by_key(|group| (usize::MAX - group.len(), group[0]));
    members
}

/// Faces that are taken for one person's.
#[derive(Default)]
struct Group {
    members: Vec<usize>,
    /// Of their embeddings: the mean of all cosines between two groups is the cosine of two such sums, but
    /// for their lengths.
    sum: Vec<f64>,
}

impl Group {
    fn of((index, face): (usize, &Embedding)) -> Self {
        Self { members: vec![index], sum: face.values().iter().copied().map(f64::from).collect() }
    }

    fn similarity(&self, other: &Self) -> Score {
        let dot: f64 = (0..EMBEDDING_LEN).map(|i| self.sum[i] * other.sum[i]).sum();
        Score((dot / (self.members.len() * other.members.len()) as f64) as f32)
    }

    fn join(&mut self, other: Self) {
        self.members.extend(other.members);
        self.sum.iter_mut().zip(other.sum).for_each(|(a, b)| *a += b);
    }
}

/// The group most like `to`; of equals the one before it in the chain, or a chain would go in circles.
fn nearest(
    to: usize,
    before: Option<usize>,
    groups: &[Group],
    is_done: &[bool],
) -> Option<(usize, Score)> {
    let others = (0..groups.len()).filter(|&i| i != to && !is_done[i]);
    let scored = others.map(|i| (i, groups[to].similarity(&groups[i])));
    scored.max_by(|(a, x), (b, y)| {
        x.0.total_cmp(&y.0).then_with(|| (Some(*a) == before).cmp(&(Some(*b) == before)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Directions in a plane by their angles in degrees.
    fn faces(angles: &[f32]) -> Vec<Embedding> {
        let face = |degrees: &f32| {
            let (y, x) = degrees.to_radians().sin_cos();
            let values: [f32; EMBEDDING_LEN] =
                std::array::from_fn(|i| [x, y].get(i).copied().unwrap_or(0.0));
            Embedding::new(values).unwrap()
        };
        angles.iter().map(face).collect()
    }

    fn cos(degrees: f32) -> Score {
        Score(degrees.to_radians().cos())
    }

    #[test]
    fn faces_that_are_alike_come_together_and_others_do_not() {
        let angles = [0.0, 90.0, 5.0, 180.0, 95.0, 350.0];
        assert_eq!(cluster(&faces(&angles), cos(30.0)), [vec![0, 2, 5], vec![1, 4], vec![3]]);
        assert_eq!(cluster(&[], cos(30.0)), [] as [Vec<usize>; 0]);
        let same = faces(&[7.0; 5]);
        assert_eq!(cluster(&same, Score(0.999)), [vec![0, 1, 2, 3, 4]]);
        // A chain of small steps is no person: its ends are strangers.
        let chain: Vec<f32> = (0..10).map(|i| i as f32 * 20.0).collect();
        assert!(cluster(&faces(&chain), cos(30.0)).len() > 2);
    }

    /// The same by its definition: join the two nearest groups of all, again and again.
    fn plain(faces: &[Embedding], limit: Score) -> Vec<Vec<usize>> {
        let mut groups: Vec<Vec<usize>> = (0..faces.len()).map(|i| vec![i]).collect();
        loop {
            let mean = |a: &[usize], b: &[usize]| {
                let cosines =
                    a.iter().flat_map(|&i| b.iter().map(move |&j| faces[i].cosine(&faces[j]).0));
                cosines.sum::<f32>() / (a.len() * b.len()) as f32
            };
            let pairs = (0..groups.len()).flat_map(|a| (0..a).map(move |b| (a, b)));
            let best = pairs
                .map(|(a, b)| (a, b, mean(&groups[a], &groups[b])))
                .max_by(|x, y| x.2.total_cmp(&y.2));
            match best {
                Some((a, b, score)) if score >= limit.0 => {
                    let gone = groups.swap_remove(a);
                    groups[b].extend(gone);
                }
                _ => break,
            }
        }
        groups.iter_mut().for_each(|group| group.sort_unstable());
        groups.sort_by_key(|group| (usize::MAX - group.len(), group[0]));
        groups
    }

    fn embedding() -> impl Strategy<Value = Embedding> {
        prop::array::uniform8(-1f32..1.0)
            .prop_filter("no direction", |v| v.iter().any(|x| x.abs() > 0.1))
            .prop_map(|v| {
                let values: [f32; EMBEDDING_LEN] = std::array::from_fn(|i| v[i / 16]);
                Embedding::new(values).unwrap()
            })
    }

    proptest! {
        #[test]
        fn chains_find_what_the_plain_way_finds(
            faces in prop::collection::vec(embedding(), 0..14), limit in -0.5f32..0.9,
        ) {
            prop_assert_eq!(cluster(&faces, Score(limit)), plain(&faces, Score(limit)));
        }
    }
}
