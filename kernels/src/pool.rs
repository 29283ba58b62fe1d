//! A few threads that wait for the next picture.

use std::{
    hint,
    sync::{
        Arc, Condvar, Mutex, PoisonError, TryLockError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

/// Threads at most: a Raspberry Pi has four cores.
pub const MOST_THREADS: usize = 4;

/// A fixed number of threads that work on one picture together, the caller being one of them. They
/// sleep between pictures. Every network of a process may share one.
pub struct Pool {
    shared: Arc<Shared>,
    threads: usize,
    /// Who holds it may call the others.
    turn: Mutex<()>,
}

struct Shared {
    call: Mutex<Call>,
    wake: Condvar,
    barrier: Barrier,
}

#[derive(Clone, Copy)]
struct Call {
    /// Goes up with every call.
    number: usize,
    work: Option<Work>,
    quit: bool,
}

/// The caller's closure, its lifetime taken away: [`Pool::run`] does not return before every thread
/// has left it.
#[derive(Clone, Copy)]
struct Work(*const (dyn Fn(Share) + Sync));

// SAFETY: what it points to is `Sync`, and lives as long as anyone uses it (see `Work`).
unsafe impl Send for Work {}

/// One thread's part of a piece of work.
pub(crate) struct Share<'a> {
    /// Which of them, from 0.
    pub index: usize,
    /// How many there are.
    pub of: usize,
    barrier: Option<&'a Barrier>,
}

impl Share<'_> {
    /// The whole work, for one thread.
    pub const ALL: Self = Self { index: 0, of: 1, barrier: None };

    /// Waits until all have come here; what they wrote before is seen by all after.
    pub fn meet(&self) {
        if let Some(barrier) = self.barrier {
            barrier.wait();
        }
    }

    /// This one's part of `0..units`: even parts, in order.
    pub fn part(&self, units: usize) -> std::ops::Range<usize> {
        units * self.index / self.of..units * (self.index + 1) / self.of
    }
}

/// Stages take some 10 to 100 µs, so waiting is by looking; a core that has other work to do is left to
/// it after a while.
struct Barrier {
    parties: usize,
    arrived: AtomicUsize,
    round: AtomicUsize,
}

/// Looks before the core is offered to others: some 20 µs.
const LOOKS: usize = 2000;

impl Barrier {
    fn wait(&self) {
        let round = self.round.load(SeqCst);
        if self.arrived.fetch_add(1, SeqCst) + 1 == self.parties {
            self.arrived.store(0, SeqCst);
            self.round.store(round.wrapping_add(1), SeqCst);
            return;
        }
        let mut looks = 0;
        while self.round.load(SeqCst) == round {
            looks += 1;
            if looks < LOOKS { hint::spin_loop() } else { thread::yield_now() }
        }
    }
}

/// A thread that panics would leave the others waiting for ever.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            std::process::abort();
        }
    }
}

impl Pool {
    /// A pool of 1 to [`MOST_THREADS`] threads, and no more than there are cores: threads that take turns on
    /// one would wait for each other most of the time.
    pub fn new(threads: usize) -> Self {
        let cores = thread::available_parallelism().map_or(1, |cores| cores.get());
        Self::of(threads.clamp(1, MOST_THREADS).min(cores))
    }

    /// A pool of exactly so many.
    pub(crate) fn of(threads: usize) -> Self {
        let shared = Arc::new(Shared {
            call: Mutex::new(Call { number: 0, work: None, quit: false }),
            wake: Condvar::new(),
            barrier: Barrier {
                parties: threads,
                arrived: AtomicUsize::new(0),
                round: AtomicUsize::new(0),
            },
        });
        for index in 1..threads {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.serve(index));
        }
        Self { shared, threads, turn: Mutex::new(()) }
    }

    /// How many threads work together.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Has every thread do its share. Whoever calls while the threads are taken does the whole work
    /// alone.
    pub(crate) fn run(&self, work: &(dyn Fn(Share) + Sync)) {
        let turn = match self.turn.try_lock() {
            Ok(turn) => Some(turn),
            Err(TryLockError::Poisoned(turn)) => Some(turn.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        let Some(_turn) = turn.filter(|_| self.threads > 1) else {
            return work(Share::ALL);
        };
        let guard = AbortOnPanic;
        // SAFETY: only the lifetime changes. Every thread meets at the barrier below after it has left
        // the closure, and takes none it has seen before.
        let work: *const (dyn Fn(Share) + Sync + 'static) =
            unsafe { std::mem::transmute::<*const (dyn Fn(Share) + Sync + '_), _>(work) };
        {
            let mut call = self.shared.call.lock().unwrap_or_else(PoisonError::into_inner);
            call.number = call.number.wrapping_add(1);
            call.work = Some(Work(work));
        }
        self.shared.wake.notify_all();
        self.shared.share(Work(work), 0);
        drop(guard);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.call.lock().unwrap_or_else(PoisonError::into_inner).quit = true;
        self.shared.wake.notify_all();
    }
}

impl Shared {
    fn serve(&self, index: usize) {
        let mut seen = 0;
        loop {
            let call = {
                let mut call = self.call.lock().unwrap_or_else(PoisonError::into_inner);
                while call.number == seen && !call.quit {
                    call = self.wake.wait(call).unwrap_or_else(PoisonError::into_inner);
                }
                *call
            };
            match call.work {
                _ if call.quit => return,
                Some(work) => self.share(work, index),
                None => {}
            }
            seen = call.number;
        }
    }

    fn share(&self, work: Work, index: usize) {
        let _guard = AbortOnPanic;
        let share = Share { index, of: self.barrier.parties, barrier: Some(&self.barrier) };
        // SAFETY: see `Work`: whoever lent it waits at the barrier below.
        unsafe { (*work.0)(share) };
        self.barrier.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_done_once_and_nobody_passes_a_meeting_early() {
        for threads in 1..=MOST_THREADS {
            let pool = Pool::of(threads);
            for _ in 0..50 {
                let counts: Vec<AtomicUsize> = (0..97).map(|_| AtomicUsize::new(0)).collect();
                let early = AtomicUsize::new(0);
                pool.run(&|share: Share| {
                    share.part(97).for_each(|i| {
                        counts[i].fetch_add(1, SeqCst);
                    });
                    share.meet();
                    early.fetch_add(counts.iter().filter(|c| c.load(SeqCst) != 1).count(), SeqCst);
                });
                assert_eq!(early.into_inner(), 0);
            }
        }
    }

    #[test]
    fn two_callers_at_once_both_get_their_work_done() {
        let pool = Pool::of(2);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let done = AtomicUsize::new(0);
                        pool.run(&|share: Share| {
                            done.fetch_add(share.part(10).len(), SeqCst);
                        });
                        assert_eq!(done.into_inner(), 10);
                    }
                });
            }
        });
    }
}
