//! Batches made ahead of the training loop by threads of their own.

use super::{
    augment::Augment,
    dataset::Dataset,
    sampler::{Sampler, Slot},
};
use facelatch::align::expose;
use std::{
    any::Any,
    collections::BTreeMap,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// The pictures of one step.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Which step.
    pub step: u64,
    /// RGB, \[N, size, size, 3\], each picture's rows from the top.
    pub pixels: Vec<u8>,
    /// The same views before light, covers, lens and sensor changed them, for a teacher to look at; empty
    /// where none does.
    pub clean: Vec<u8>,
    /// Side of a picture, px.
    pub size: usize,
    /// The person in each picture, −1 where unknown or blended with another.
    pub labels: Vec<i64>,
    /// Each picture's index in the dataset.
    pub images: Vec<u32>,
    /// Which views are mirrored.
    pub mirrored: Vec<bool>,
    /// Which views are two faces blended: that picture's and another's of the batch.
    pub blended: Vec<bool>,
    /// How long the training loop waited for this batch; near zero where workers keep up.
    pub waited: Duration,
}

/// Why no more batches come.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoaderError {
    /// No thread could be started.
    #[error("no thread to load data with: {0}")]
    Start(String),
    /// A worker panicked.
    #[error("the worker that made the batch of step {step} failed: {why}")]
    Worker {
        /// Of which step.
        step: u64,
        /// What the panic said.
        why: String,
    },
}

/// Makes batches on worker threads and hands them out in step order. Dropping it ends the threads.
///
/// A batch depends on the sampler's seed and the step alone: neither the number of workers nor
/// where the run was resumed changes a byte of it.
#[derive(Debug)]
pub struct Loader<B = Batch> {
    shared: Arc<Shared<B>>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared<B> {
    queue: Mutex<Queue<B>>,
    /// A batch is ready, or room is, or it is over.
    changed: Condvar,
    prefetch: u64,
}

#[derive(Debug)]
struct Queue<B> {
    claimed: u64,
    delivered: u64,
    ready: BTreeMap<u64, Result<B, LoaderError>>,
    over: bool,
}

/// What [`Loader::start`] makes batches of.
pub struct Work {
    /// The pictures.
    pub dataset: Arc<Dataset>,
    /// Which of them a batch is of.
    pub sampler: Sampler,
    /// How a view of one differs from it.
    pub augment: Augment,
    /// Side of a view, px.
    pub out_size: usize,
    /// Whether [`Batch::clean`] is wanted.
    pub clean: bool,
}

impl<B: Send + 'static> Loader<B> {
    /// Starts `workers` threads that `make` the batches from `start_step` on, at most `prefetch`
    /// ahead of the one asked for next (either at least 1). Memory held is `prefetch` batches; with
    /// fewer than there are workers, some of them idle.
    ///
    /// # Errors
    /// [`LoaderError::Start`] when the system gives no thread.
    pub fn ahead(
        make: impl Fn(u64) -> B + Send + Sync + 'static,
        start_step: u64,
        workers: usize,
        prefetch: usize,
    ) -> Result<Self, LoaderError> {
        let queue = Queue {
            claimed: start_step,
            delivered: start_step,
            ready: BTreeMap::new(),
            over: false,
        };
        let shared = Arc::new(Shared {
            queue: Mutex::new(queue),
            changed: Condvar::new(),
            prefetch: prefetch.max(1) as u64,
        });
        let make = Arc::new(make);
        let mut loader = Self { shared, threads: Vec::new() };
        for index in 0..workers.max(1) {
            let (shared, make) = (Arc::clone(&loader.shared), Arc::clone(&make));
            let thread = thread::Builder::new()
                .name(format!("loader-{index}"))
                .spawn(move || {
                    give_way();
                    shared.run(|step| make(step));
                })
                .map_err(|e: io::Error| LoaderError::Start(e.to_string()))?;
            loader.threads.push(thread);
        }
        Ok(loader)
    }

    /// Waits for the next step's batch, and says how long. There is no last one.
    ///
    /// # Errors
    /// [`LoaderError::Worker`] when a worker panicked, now and at every call after.
    pub fn wait(&mut self) -> Result<(B, Duration), LoaderError> {
        let start = Instant::now();
        let mut queue = self.shared.lock();
        loop {
            let step = queue.delivered;
            match queue.ready.remove(&step) {
                None => queue = wait(&self.shared.changed, queue),
                Some(Ok(batch)) => {
                    queue.delivered += 1;
                    self.shared.changed.notify_all();
                    return Ok((batch, start.elapsed()));
                }
                Some(Err(error)) => {
                    queue.ready.insert(step, Err(error.clone()));
                    return Err(error);
                }
            }
        }
    }
}

impl Loader {
    /// [`Loader::ahead`] for faces: batches as the sampler draws them, augmented.
    ///
    /// # Errors
    /// [`LoaderError::Start`] when the system gives no thread.
    pub fn start(
        work: Work,
        start_step: u64,
        workers: usize,
        prefetch: usize,
    ) -> Result<Self, LoaderError> {
        Self::ahead(move |step| work.make(step), start_step, workers, prefetch)
    }

    /// [`Loader::wait`], with the wait noted in the batch.
    ///
    /// # Errors
    /// [`LoaderError::Worker`].
    pub fn next_batch(&mut self) -> Result<Batch, LoaderError> {
        let (batch, waited) = self.wait()?;
        Ok(Batch { waited, ..batch })
    }
}

impl<B> Drop for Loader<B> {
    fn drop(&mut self) {
        self.shared.lock().over = true;
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            // A worker's panic was caught and told already.
            let _ = thread.join();
        }
    }
}

impl<B> Shared<B> {
    fn lock(&self) -> MutexGuard<'_, Queue<B>> {
        // Nothing that can panic runs under the lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker's life: claim a step, make its batch, put it in line.
    fn run(&self, make: impl Fn(u64) -> B) {
        while let Some(step) = self.claim() {
            let made = catch_unwind(AssertUnwindSafe(|| make(step)));
            let failed = made.is_err();
            let made = made.map_err(|panic| LoaderError::Worker { step, why: message(&*panic) });
            let mut queue = self.lock();
            queue.over |= failed;
            queue.ready.insert(step, made);
            drop(queue);
            self.changed.notify_all();
        }
    }

    fn claim(&self) -> Option<u64> {
        let mut queue = self.lock();
        while !queue.over && queue.claimed >= queue.delivered + self.prefetch {
            queue = wait(&self.changed, queue);
        }
        if queue.over {
            return None;
        }
        queue.claimed += 1;
        Some(queue.claimed - 1)
    }
}

impl Work {
    fn make(&self, step: u64) -> Batch {
        let Self { dataset, sampler, augment, out_size: size, clean } = self;
        let slots = sampler.batch(step);
        let stride = size * size * 3;
        let mut pixels = vec![0; slots.len() * stride];
        let mut rngs: Vec<_> = (0..slots.len()).map(|slot| sampler.slot_rng(step, slot)).collect();
        let places = slots.iter().zip(&mut rngs).zip(pixels.chunks_exact_mut(stride));
        let placed: Vec<_> = places
            .map(|((slot, rng), out)| {
                let src = dataset.pixels(slot.image as usize);
                augment.place(src, dataset.size(), rng, *size, out)
            })
            .collect();
        let free = sampler.free_from();
        let mut blended = vec![false; free];
        let views = &mut pixels[free * stride..];
        blended.extend(augment.blend(&mut sampler.mix_rng(step), views, *size));
        let clean = if *clean { pixels.clone() } else { Vec::new() };
        for ((placed, rng), out) in
            placed.iter().zip(&mut rngs).zip(pixels.chunks_exact_mut(stride))
        {
            augment.spoil(placed, rng, out, *size);
            // As the door does before it looks.
            expose(out, *size);
        }
        let label = |(slot, blended): (&Slot, &bool)| match slot.label {
            Some(label) if !blended => i64::from(label),
            _ => -1,
        };
        Batch {
            step,
            pixels,
            clean,
            size: *size,
            labels: slots.iter().zip(&blended).map(label).collect(),
            images: slots.iter().map(|slot| slot.image).collect(),
            mirrored: placed.iter().map(|placed| placed.mirrored).collect(),
            blended,
            waited: Duration::ZERO,
        }
    }
}

fn wait<'a, T>(changed: &Condvar, queue: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    changed.wait(queue).unwrap_or_else(PoisonError::into_inner)
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".to_owned())
}

/// Puts the calling thread behind those that compute: where every core has one of libtorch's threads, a
/// batch is then prepared while those wait for each other, and they never wait for it to be through. A
/// loader that falls behind stops the training, which frees a core.
fn give_way() {
    // For Linux 0 is the calling thread, not its process.
    if let Err(error) = rustix::process::setpriority_process(None, 19) {
        log::debug!("a loader's thread stays at the usual priority: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{
        dataset::tests::{Scratch, load},
        sampler::BatchPlan,
    };

    const SIZE: usize = 24;

    fn dataset() -> Arc<Dataset> {
        let person = |p: usize| (0..4).map(move |i| format!("train/{p}/{i}"));
        let mut paths: Vec<String> = (0..3).flat_map(person).collect();
        paths.push("unlabelled/1".to_owned());
        let scratch = Scratch::new(&paths);
        Arc::new(load(&[scratch.source("s")]))
    }

    fn start(data: &Arc<Dataset>, out_size: usize, step: u64, workers: usize) -> Loader {
        let plan = BatchPlan { people: 2, per_person: 2, free: 3 };
        let sampler = Sampler::new(data, plan, 5).unwrap();
        let work = Work {
            dataset: Arc::clone(data),
            sampler,
            augment: Augment::default(),
            out_size,
            clean: false,
        };
        Loader::start(work, step, workers, 3).unwrap()
    }

    fn batches(loader: &mut Loader, count: usize) -> Vec<Batch> {
        let next = |_| Batch { waited: Duration::ZERO, ..loader.next_batch().unwrap() };
        (0..count).map(next).collect()
    }

    #[test]
    fn batches_come_in_order_and_neither_workers_nor_resuming_change_them() {
        let data = dataset();
        let run = batches(&mut start(&data, SIZE, 0, 1), 12);
        assert!(run.iter().enumerate().all(|(i, batch)| batch.step == i as u64));
        for workers in [2, 5] {
            assert!(batches(&mut start(&data, SIZE, 0, workers), 12) == run, "{workers} workers");
        }
        assert!(batches(&mut start(&data, SIZE, 7, 3), 5) == run[7..]);
    }

    #[test]
    fn a_batch_says_what_is_in_it() {
        let data = dataset();
        let mut plain = start(&data, SIZE, 0, 1);
        let batch = plain.next_batch().unwrap();
        assert_eq!(batch.pixels.len(), 7 * SIZE * SIZE * 3);
        assert_eq!((batch.size, batch.labels.len(), batch.mirrored.len()), (SIZE, 7, 7));
        for (label, image) in batch.labels.iter().zip(&batch.images) {
            assert_eq!(*label, data.label(*image as usize).map_or(-1, i64::from));
        }
    }

    #[test]
    fn a_blended_face_is_nobodys_and_the_labelled_block_is_left_alone() {
        let data = dataset();
        let plan = BatchPlan { people: 2, per_person: 2, free: 9 };
        let batch = |mix| {
            let sampler = Sampler::new(&data, plan, 5).unwrap();
            let mut augment = Augment { mix, ..Augment::none() };
            augment.grayscale = 1.0;
            let dataset = Arc::clone(&data);
            let work = Work { dataset, sampler, augment, out_size: SIZE, clean: true };
            Loader::start(work, 3, 1, 1).unwrap().next_batch().unwrap()
        };
        let (plain, mixed) = (batch(0.0), batch(1.0));
        // The teacher sees the same views, blended, but in colour.
        let is_grey = |pixels: &[u8]| pixels.as_chunks::<3>().0.iter().all(|p| p[0] == p[1]);
        assert!(is_grey(&mixed.pixels) && !is_grey(&mixed.clean));
        assert_ne!(plain.clean[4 * SIZE * SIZE * 3..], mixed.clean[4 * SIZE * SIZE * 3..]);
        let labelled = 4 * SIZE * SIZE * 3;
        assert_eq!(plain.pixels[..labelled], mixed.pixels[..labelled]);
        assert_ne!(plain.pixels[labelled..], mixed.pixels[labelled..]);
        assert_eq!(plain.labels[..4], mixed.labels[..4]);
        assert!(plain.labels[4..].iter().any(|label| *label >= 0));
        assert_eq!(mixed.labels[4..], [-1; 9]);
    }

    #[test]
    fn workers_run_no_further_ahead_than_asked() {
        let data = dataset();
        let mut loader = start(&data, SIZE, 0, 4);
        loader.next_batch().unwrap();
        thread::sleep(Duration::from_millis(100));
        let queue = loader.shared.lock();
        assert!(queue.claimed <= queue.delivered + 3, "{} {}", queue.claimed, queue.delivered);
    }

    #[test]
    fn a_panic_in_a_worker_is_an_error_and_stays_one() {
        let shared: Shared<Batch> = Shared {
            queue: Mutex::new(Queue {
                claimed: 0,
                delivered: 0,
                ready: BTreeMap::new(),
                over: false,
            }),
            changed: Condvar::new(),
            prefetch: 2,
        };
        shared.run(|step| panic!("no picture at step {step}"));
        let mut loader = Loader { shared: Arc::new(shared), threads: Vec::new() };
        for _ in 0..2 {
            let error = loader.next_batch().unwrap_err();
            assert!(error.to_string().contains("step 0 failed: no picture at step 0"), "{error}");
        }
    }

    #[test]
    fn dropping_the_loader_ends_its_threads() {
        let data = dataset();
        for taken in [0, 1] {
            let mut loader = start(&data, SIZE, 0, 3);
            batches(&mut loader, taken);
            drop(loader);
            assert_eq!(Arc::strong_count(&data), 1, "a thread still holds the dataset");
        }
    }
}
