//! Which pictures a batch holds: a pure function of (seed, step).

use super::dataset::{Dataset, Split};
use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

/// Shuffled orders kept: two streams, each with the epoch that ends and the one that begins.
const CACHED: usize = 4;

/// What a generator is for; keeps the streams of one seed apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    People = 1,
    Images = 2,
    Free = 3,
    Triplets = 4,
    Slot = 5,
    Mix = 6,
}

/// People × images of known people, and beside them images of anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchPlan {
    /// People in the labelled block, all different.
    pub people: usize,
    /// Images of each of them; a person with fewer repeats.
    pub per_person: usize,
    /// Images in the free block, drawn from all training images, labelled and unlabelled.
    pub free: usize,
}

/// Random triplets, as in the article code for FaceNet: first all anchors, then all positives,
/// then all negatives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Triplets {
    /// Triplets in a batch.
    pub count: usize,
}

/// How batches are composed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Plan {
    /// A labelled block and a free block.
    Blocks(BatchPlan),
    /// Anchors, positives, negatives.
    Triplets(Triplets),
}

impl From<BatchPlan> for Plan {
    fn from(plan: BatchPlan) -> Self {
        Self::Blocks(plan)
    }
}

impl From<Triplets> for Plan {
    fn from(plan: Triplets) -> Self {
        Self::Triplets(plan)
    }
}

/// One place in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// The picture, an index into the dataset.
    pub image: u32,
    /// The person in it, where known.
    pub label: Option<u32>,
}

/// Why batches of this plan cannot be drawn from this dataset.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SamplerError {
    /// The plan holds no image.
    #[error("a batch of this plan is empty; raise people and per_person, free, or count")]
    Empty,
    /// The labelled block wants more people than there are.
    #[error("a batch wants {wanted} people and the data has {found}; lower `people` or add data")]
    TooFewPeople {
        /// People in a batch.
        wanted: usize,
        /// People to learn from.
        found: usize,
    },
    /// The free block wants images and there are none.
    #[error("a batch wants free images and the data has none to learn from")]
    NoImages,
    /// Triplets want a person with two images and another person.
    #[error("triplets want two people, one of them with two images; add data")]
    NoTriplets,
}

/// Draws the pictures of any step without the steps before it.
///
/// Labelled block: an epoch shows each person once, in a new order, the last batch filled up with
/// the first people of the same order; a person's images come in turn, reshuffled when all were
/// shown, so each person weighs the same and every image comes up. Free block: all training images
/// without replacement, reshuffled each epoch, and a batch may reach over the end of one.
#[derive(Debug)]
pub struct Sampler {
    plan: Plan,
    seed: u64,
    people: Vec<Vec<u32>>,
    pairs: Vec<u32>,
    training: Vec<u32>,
    labels: Vec<Option<u32>>,
    orders: Mutex<VecDeque<Order>>,
}

/// The shuffled order of one epoch of a stream.
#[derive(Debug)]
struct Order {
    stream: Stream,
    epoch: u64,
    places: Arc<[u32]>,
}

impl Sampler {
    /// Prepares batches of `plan`.
    ///
    /// # Errors
    /// [`SamplerError`] when the data cannot fill such a batch.
    pub fn new(dataset: &Dataset, plan: impl Into<Plan>, seed: u64) -> Result<Self, SamplerError> {
        let plan = plan.into();
        let people = dataset.by_person();
        let pairs: Vec<u32> = people
            .iter()
            .enumerate()
            .filter(|(_, images)| images.len() >= 2)
            .map(|(p, _)| p as u32)
            .collect();
        let images = 0..dataset.len();
        let training: Vec<u32> =
            images.clone().filter(|i| dataset.split(*i) != Split::Val).map(|i| i as u32).collect();
        match plan {
            Plan::Blocks(BatchPlan { people, per_person, free })
                if people * per_person + free == 0 =>
            {
                return Err(SamplerError::Empty);
            }
            Plan::Blocks(b) if b.per_person > 0 && b.people > people.len() => {
                let found = people.len();
                return Err(SamplerError::TooFewPeople { wanted: b.people, found });
            }
            Plan::Blocks(b) if b.free > 0 && training.is_empty() => {
                return Err(SamplerError::NoImages);
            }
            Plan::Triplets(Triplets { count: 0 }) => return Err(SamplerError::Empty),
            Plan::Triplets(_) if pairs.is_empty() || people.len() < 2 => {
                return Err(SamplerError::NoTriplets);
            }
            _ => {}
        }
        let labels = images.map(|i| dataset.label(i)).collect();
        let orders = Mutex::new(VecDeque::with_capacity(CACHED));
        Ok(Self { plan, seed, people, pairs, training, labels, orders })
    }

    /// The seed of the batches and of their augmentation.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Images in a batch.
    pub fn batch_size(&self) -> usize {
        match self.plan {
            Plan::Blocks(b) => b.people * b.per_person + b.free,
            Plan::Triplets(t) => t.count * 3,
        }
    }

    /// Steps in which the labelled block shows every person once; 0 where a plan has no such block.
    pub fn steps_per_epoch(&self) -> u64 {
        match self.plan {
            Plan::Blocks(b) if b.people * b.per_person > 0 => {
                self.people.len().div_ceil(b.people) as u64
            }
            _ => 0,
        }
    }

    /// The pictures of step `step`: labelled block (all images of a person together) and free
    /// block, or anchors, positives and negatives.
    pub fn batch(&self, step: u64) -> Vec<Slot> {
        let mut images = Vec::with_capacity(self.batch_size());
        match self.plan {
            Plan::Blocks(plan) => {
                self.labelled(plan, step, &mut images);
                self.free(plan.free as u64, step, &mut images);
            }
            Plan::Triplets(plan) => self.triplets(plan.count, step, &mut images),
        }
        let slot = |image: u32| Slot { image, label: self.labels[image as usize] };
        images.into_iter().map(slot).collect()
    }

    /// The generator that augments slot `slot` of step `step`.
    pub fn slot_rng(&self, step: u64, slot: usize) -> ChaCha8Rng {
        generator(self.seed, Stream::Slot, step, slot as u64)
    }

    /// The generator that blends pictures of step `step`.
    pub fn mix_rng(&self, step: u64) -> ChaCha8Rng {
        generator(self.seed, Stream::Mix, step, 0)
    }

    /// Where the free block of a batch begins; its end where there is none.
    pub fn free_from(&self) -> usize {
        match self.plan {
            Plan::Blocks(b) => b.people * b.per_person,
            Plan::Triplets(_) => self.batch_size(),
        }
    }

    fn labelled(&self, plan: BatchPlan, step: u64, images: &mut Vec<u32>) {
        let steps = self.steps_per_epoch();
        if steps == 0 {
            return;
        }
        let (epoch, first) = (step / steps, (step % steps) as usize * plan.people);
        let order = self.order(Stream::People, epoch, self.people.len());
        for place in first..first + plan.people {
            let person = order[place % order.len()];
            self.images_of(person, epoch, plan.per_person, images);
        }
    }

    /// The `visit`-th handful of a person's images. Within one round over the images a handful is
    /// cut from one shuffled order, the last filled up from its start, so that none repeats.
    fn images_of(&self, person: u32, visit: u64, count: usize, images: &mut Vec<u32>) {
        let own = &self.people[person as usize];
        let visits = own.len().div_ceil(count) as u64;
        let (round, handful) = (visit / visits, (visit % visits) as usize);
        // The person keeps the low half of the key, the round the high half.
        let key = u64::from(person) | round << 32;
        let order = shuffled(own.len(), generator(self.seed, Stream::Images, key, 0));
        let places = handful * count..(handful + 1) * count;
        images.extend(places.map(|place| own[order[place % own.len()] as usize]));
    }

    fn free(&self, count: u64, step: u64, images: &mut Vec<u32>) {
        let total = self.training.len() as u64;
        for place in step * count..(step + 1) * count {
            // `order` looks an epoch up in a handful of entries: cheap beside one augmentation.
            let order = self.order(Stream::Free, place / total, self.training.len());
            images.push(self.training[order[(place % total) as usize] as usize]);
        }
    }

    fn triplets(&self, count: usize, step: u64, images: &mut Vec<u32>) {
        let mut rng = generator(self.seed, Stream::Triplets, step, 0);
        let (mut positives, mut negatives) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let person = self.pairs[rng.random_range(0..self.pairs.len())] as usize;
            let own = &self.people[person];
            let anchor = rng.random_range(0..own.len());
            let positive = (anchor + rng.random_range(1..own.len())) % own.len();
            let other = (person + rng.random_range(1..self.people.len())) % self.people.len();
            let others = &self.people[other];
            images.push(own[anchor]);
            positives.push(own[positive]);
            negatives.push(others[rng.random_range(0..others.len())]);
        }
        images.append(&mut positives);
        images.append(&mut negatives);
    }

    /// The shuffled order of an epoch, from the cache or made anew.
    fn order(&self, stream: Stream, epoch: u64, len: usize) -> Arc<[u32]> {
        // A panic elsewhere cannot leave the cache half written: entries are pushed whole.
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = orders.iter().find(|o| (o.stream, o.epoch) == (stream, epoch)) {
            return Arc::clone(&known.places);
        }
        let places: Arc<[u32]> = shuffled(len, generator(self.seed, stream, epoch, 0)).into();
        if orders.len() == CACHED {
            orders.pop_front();
        }
        orders.push_back(Order { stream, epoch, places: Arc::clone(&places) });
        places
    }
}

fn shuffled(len: usize, mut rng: ChaCha8Rng) -> Vec<u32> {
    let mut order: Vec<u32> = (0..len as u32).collect();
    order.shuffle(&mut rng);
    order
}

/// The key of a ChaCha generator is its four numbers side by side, so no two share a stream.
fn generator(seed: u64, stream: Stream, a: u64, b: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    for (part, number) in key.chunks_exact_mut(8).zip([seed, stream as u64, a, b]) {
        part.copy_from_slice(&number.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::dataset::tests::{Scratch, load};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// People with 1, 2, 3 … images, some unlabelled ones, and somebody held out.
    fn dataset(people: usize, unlabelled: usize) -> Dataset {
        let person = |p: usize| (0..=p).map(move |i| format!("train/person{p}/{i}"));
        let mut paths: Vec<String> = (0..people).flat_map(person).collect();
        paths.extend((0..unlabelled).map(|i| format!("unlabelled/{i}")));
        paths.extend((0..2).map(|i| format!("val/held/{i}")));
        let scratch = Scratch::new(&paths);
        load(&[scratch.source("s")])
    }

    fn images(slots: &[Slot]) -> Vec<u32> {
        slots.iter().map(|slot| slot.image).collect()
    }

    #[test]
    fn a_batch_holds_the_people_and_images_asked_for() {
        let data = dataset(7, 5);
        let sampler =
            Sampler::new(&data, BatchPlan { people: 3, per_person: 2, free: 4 }, 1).unwrap();
        for step in 0..50 {
            let batch = sampler.batch(step);
            assert_eq!(batch.len(), sampler.batch_size());
            let mut people = Vec::new();
            for pair in batch[..6].chunks(2) {
                assert_eq!(pair[0].label, pair[1].label);
                let person = pair[0].label.unwrap();
                assert!(pair[0].image != pair[1].image || person == 0, "only person0 repeats");
                people.push(person);
            }
            people.sort_unstable();
            people.dedup();
            assert_eq!(people.len(), 3, "people of a batch differ");
            for slot in &batch {
                assert_ne!(data.split(slot.image as usize), Split::Val);
                assert_eq!(slot.label, data.label(slot.image as usize));
            }
        }
    }

    #[test]
    fn every_person_and_every_image_comes_up() {
        let data = dataset(7, 5);
        let sampler =
            Sampler::new(&data, BatchPlan { people: 3, per_person: 2, free: 0 }, 1).unwrap();
        assert_eq!(sampler.steps_per_epoch(), 3);
        let epoch = |e: u64| (e * 3..e * 3 + 3).flat_map(|s| sampler.batch(s)).collect::<Vec<_>>();
        let people: std::collections::BTreeSet<_> = epoch(0).iter().map(|s| s.label).collect();
        assert_eq!(people.len(), 7);
        // The largest person has 7 images: two at a time, all were shown after four epochs.
        let seen: std::collections::BTreeSet<u32> =
            (0..4).flat_map(|e| images(&epoch(e))).collect();
        assert_eq!(seen.len(), 28);
        assert_ne!(images(&epoch(0)), images(&epoch(4)));
    }

    #[test]
    fn free_images_come_without_replacement() {
        let data = dataset(4, 6);
        let sampler =
            Sampler::new(&data, BatchPlan { people: 0, per_person: 0, free: 7 }, 9).unwrap();
        let stream: Vec<u32> = (0..16).flat_map(|step| images(&sampler.batch(step))).collect();
        for epoch in stream.chunks(16) {
            let mut epoch = epoch.to_vec();
            epoch.sort_unstable();
            assert_eq!(epoch, (0..16).collect::<Vec<u32>>());
        }
    }

    #[test]
    fn triplets_are_a_pair_and_a_stranger() {
        let data = dataset(5, 3);
        let sampler = Sampler::new(&data, Triplets { count: 8 }, 3).unwrap();
        let mut anchors = BTreeMap::<u32, usize>::new();
        for step in 0..200 {
            let batch = sampler.batch(step);
            let (a, rest) = batch.split_at(8);
            let (p, n) = rest.split_at(8);
            for i in 0..8 {
                assert_eq!(a[i].label, p[i].label);
                assert_ne!(a[i].image, p[i].image);
                assert!(n[i].label.is_some() && n[i].label != a[i].label);
                *anchors.entry(a[i].label.unwrap()).or_default() += 1;
            }
        }
        assert_eq!(anchors.len(), 4, "all but the one with a single image");
        assert!(anchors.values().all(|n| (300..500).contains(n)), "{anchors:?}");
    }

    #[test]
    fn a_plan_the_data_cannot_fill_is_refused() {
        let (data, lone) = (dataset(2, 0), dataset(1, 0));
        let blocks = |people, per_person, free| Plan::from(BatchPlan { people, per_person, free });
        for (data, plan, expected) in [
            (&data, blocks(0, 4, 0), SamplerError::Empty),
            (&data, blocks(3, 1, 1), SamplerError::TooFewPeople { wanted: 3, found: 2 }),
            (&data, Triplets { count: 0 }.into(), SamplerError::Empty),
            (&lone, Triplets { count: 1 }.into(), SamplerError::NoTriplets),
        ] {
            assert_eq!(Sampler::new(data, plan, 0).unwrap_err(), expected);
        }
    }

    #[test]
    fn slots_have_generators_of_their_own() {
        let data = dataset(2, 0);
        let sampler = |seed| Sampler::new(&data, Triplets { count: 1 }, seed).unwrap();
        let first = |seed, step, slot| sampler(seed).slot_rng(step, slot).random::<u64>();
        let draws = [first(1, 2, 3), first(2, 2, 3), first(1, 3, 3), first(1, 2, 4)];
        assert_eq!(draws[0], first(1, 2, 3));
        for (i, draw) in draws.iter().enumerate() {
            assert!(!draws[i + 1..].contains(draw));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn any_step_gives_the_same_batch_as_a_run_from_the_start(
            seed: u64, people in 1usize..5, per_person in 1usize..5, free in 0usize..20,
            steps in proptest::collection::vec(0u64..40, 6)
        ) {
            let data = dataset(5, 4);
            let plan = BatchPlan { people, per_person, free };
            let whole = Sampler::new(&data, plan, seed).unwrap();
            let run: Vec<_> = (0..40).map(|step| whole.batch(step)).collect();
            for step in steps {
                let fresh = Sampler::new(&data, plan, seed).unwrap();
                prop_assert_eq!(&fresh.batch(step), &run[step as usize]);
                prop_assert_eq!(&whole.batch(step), &run[step as usize]);
            }
        }
    }
}
