use crate::{
    Conv, ConvError, Output, Pool,
    arena::{self, Life, Memory},
    pool::{MOST_THREADS, Share},
    stage::{Ground, Place, Stage, Window, flipped},
    table::{self, Table},
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// A map of activations of a [`Builder`] or the [`Net`] it became.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Map(usize);

impl Map {
    /// A network's picture.
    pub const INPUT: Self = Self(0);
}

/// What is known of a map before it has a place.
#[derive(Clone, Copy)]
struct Size {
    height: usize,
    width: usize,
    channels: usize,
    floats: bool,
}

impl Size {
    fn bytes(&self) -> usize {
        self.height * self.width * self.channels * if self.floats { 4 } else { 1 }
    }
}

enum Step {
    Conv(Conv),
    Mean { zero: u8, scale: f32 },
}

/// Takes the convolutions of a network in the order in which they run.
pub struct Builder {
    sizes: Vec<Size>,
    /// What made map `i + 1`, and of which map.
    steps: Vec<(Step, Map)>,
}

/// Pixels of a map at most: far beyond any camera, far below where sizes overflow.
const MOST_PIXELS: usize = 1 << 24;

impl Builder {
    /// A network whose input is a picture of this height and width, in bytes. The input is [`Map`] 0.
    ///
    /// # Errors
    /// [`ConvError::Shape`] for a picture without pixels, or with far too many.
    pub fn new([height, width]: [usize; 2], channels: usize) -> Result<(Self, Map), ConvError> {
        let pixels = height.checked_mul(width).filter(|n| (1..=MOST_PIXELS).contains(n));
        let numbers = pixels.and_then(|pixels| pixels.checked_mul(channels));
        if !numbers.is_some_and(|numbers| (1..=16 * MOST_PIXELS).contains(&numbers)) {
            return Err(ConvError::Shape("a picture without pixels, or with too many"));
        }
        let size = Size { height, width, channels, floats: false };
        Ok((Self { sizes: vec![size], steps: vec![] }, Map(0)))
    }

    /// Height, width and channels of a map.
    ///
    /// # Panics
    /// For a map of another network.
    pub fn size(&self, map: Map) -> [usize; 3] {
        let size = &self.sizes[map.0];
        [size.height, size.width, size.channels]
    }

    /// Adds a convolution of a map of bytes and says which map it gives.
    ///
    /// # Errors
    /// [`ConvError`]; the network is as before then.
    pub fn conv(&mut self, from: Map, conv: Conv) -> Result<Map, ConvError> {
        conv.check()?;
        let size = self.bytes(from)?;
        if size.channels != conv.inputs {
            return Err(ConvError::Length(size.channels, "a map's channels", conv.inputs));
        }
        let [height, width] = conv
            .output_size([size.height, size.width])
            .ok_or(ConvError::Shape("a window larger than the map"))?;
        let numbers = (height as u64)
            .saturating_mul(width as u64)
            .saturating_mul(conv.outputs.max(conv.depth()) as u64);
        if numbers > 16 * MOST_PIXELS as u64 {
            return Err(ConvError::Shape("a map that is too large"));
        }
        let floats = conv.output == Output::Floats;
        self.sizes.push(Size { height, width, channels: conv.outputs, floats });
        self.steps.push((Step::Conv(conv), from));
        Ok(Map(self.steps.len()))
    }

    /// Adds the mean over all pixels of a map of bytes, `scale` for each step above `zero`: a map of
    /// one pixel, in floats.
    ///
    /// # Errors
    /// [`ConvError::Shape`] for a map of floats, or a very large one.
    pub fn mean(&mut self, from: Map, zero: u8, scale: f32) -> Result<Map, ConvError> {
        let Size { height, width, channels, .. } = self.bytes(from)?;
        // Sums are i32.
        if height * width > MOST_PIXELS / 4 {
            return Err(ConvError::Shape("a mean over too many pixels"));
        }
        self.sizes.push(Size { height: 1, width: 1, channels, floats: true });
        self.steps.push((Step::Mean { zero, scale }, from));
        Ok(Map(self.steps.len()))
    }

    fn bytes(&self, map: Map) -> Result<Size, ConvError> {
        let foreign = ConvError::Shape("a map of another network");
        let size = *self.sizes.get(map.0).ok_or(foreign)?;
        let floats = Err(ConvError::Shape("a convolution of floats"));
        if size.floats { floats } else { Ok(size) }
    }

    /// The network, made ready for this processor; `kept` are the maps that can be read after a run.
    pub fn finish(self, kept: &[Map], pool: Arc<Pool>) -> Net {
        self.finish_for(table::chosen(), kept, pool)
    }

    pub(crate) fn finish_for(self, table: &'static Table, kept: &[Map], pool: Arc<Pool>) -> Net {
        let readers = |map: usize| self.steps.iter().filter(|(_, from)| from.0 == map).count();
        // A depthwise convolution whose map only the next product reads is part of that product.
        let fused: Vec<bool> = (0..self.steps.len())
            .map(|i| {
                let depthwise = matches!(&self.steps[i].0, Step::Conv(c) if c.depthwise);
                let next = self.steps.get(i + 1);
                let product = next.is_some_and(|(step, from)| {
                    from.0 == i + 1
                        && matches!(step, Step::Conv(c) if !c.depthwise && c.kernel == [1, 1] && c.stride == [1, 1])
                });
                depthwise && product && readers(i + 1) == 1 && !kept.contains(&Map(i + 1))
            })
            .collect();
        let places = self.places(&fused, kept);
        let place = |map: usize| {
            let Size { height, width, channels, .. } = self.sizes[map];
            Place { at: places.0[map], height, width, channels }
        };
        let window = |conv: &Conv, from: usize, map: usize| {
            let Size { height, width, .. } = self.sizes[map];
            Box::new(Window::new(conv, table, self.sizes[from].width, [height, width]))
        };
        let mut stages = Vec::new();
        for (i, (step, from)) in self.steps.iter().enumerate().filter(|(i, _)| !fused[*i]) {
            let before = i.checked_sub(1).filter(|&before| fused[before]);
            let to = place(i + 1);
            stages.push(match (step, before) {
                (Step::Mean { zero, scale }, _) => {
                    Stage::Mean { from: place(from.0), to, zero: *zero, scale: *scale }
                }
                (Step::Conv(dense), Some(before)) => {
                    let (Step::Conv(conv), from) = &self.steps[before] else { unreachable!() };
                    Stage::Product {
                        from: place(from.0),
                        to,
                        depthwise: Some(window(conv, from.0, before + 1)),
                        dense: window(dense, i, i + 1),
                    }
                }
                (Step::Conv(conv), None) => {
                    let (from, window) = (place(from.0), window(conv, from.0, i + 1));
                    match conv.depthwise {
                        true => Stage::Depthwise { from, to, window },
                        false => Stage::Product { from, to, depthwise: None, dense: window },
                    }
                }
            });
        }
        let scratch = stages.iter().map(|s| s.scratch(table)).max().unwrap_or(0);
        Net {
            table,
            stages,
            places: (0..self.sizes.len()).map(place).collect(),
            floats: self.sizes.iter().map(|s| s.floats).collect(),
            kept: once(kept),
            maps: places.1,
            scratch: scratch.next_multiple_of(64),
            idle: Mutex::new(Vec::new()),
            pool,
        }
    }

    fn places(&self, fused: &[bool], kept: &[Map]) -> (Vec<usize>, usize) {
        let lives: Vec<Life> = (0..self.sizes.len())
            .map(|map| {
                let readers = self.steps.iter().enumerate().filter(|(_, (_, from))| from.0 == map);
                // A map read by a fused step is read by the product after it.
                let last = readers.map(|(i, _)| if fused[i] { i + 1 } else { i }).max();
                let inside = map.checked_sub(1).is_some_and(|step| fused[step]);
                Life {
                    size: if inside { 0 } else { self.sizes[map].bytes() },
                    born: map.checked_sub(1),
                    dies: if kept.contains(&Map(map)) { usize::MAX } else { last.unwrap_or(map) },
                }
            })
            .collect();
        arena::place(&lives)
    }
}

/// Each of some maps once.
fn once(maps: &[Map]) -> Vec<Map> {
    let mut once = maps.to_vec();
    once.sort_unstable_by_key(|map| map.0);
    once.dedup();
    once
}

/// A network of convolutions, ready to run. Any number of threads may run it at once.
pub struct Net {
    table: &'static Table,
    stages: Vec<Stage>,
    places: Vec<Place>,
    floats: Vec<bool>,
    kept: Vec<Map>,
    /// Bytes for all maps.
    maps: usize,
    /// Bytes for one thread.
    scratch: usize,
    /// Memory of runs that have ended.
    idle: Mutex<Vec<Memory>>,
    pool: Arc<Pool>,
}

/// The memory's addresses, for all threads of one run.
struct Shared(Ground);

// SAFETY: threads write to parts that do not overlap, and meet between stages.
unsafe impl Sync for Shared {}

impl Shared {
    /// With the scratch that begins `at` bytes into all scratch.
    fn of(&self, at: usize) -> Ground {
        Ground { scratch: self.0.scratch.wrapping_add(at), ..self.0 }
    }
}

impl Net {
    /// Multiplications of one run.
    pub fn macs(&self) -> u64 {
        self.stages.iter().map(Stage::macs).sum()
    }

    /// Height, width and channels of a map.
    pub fn size(&self, map: Map) -> [usize; 3] {
        let place = &self.places[map.0];
        [place.height, place.width, place.channels]
    }

    /// Runs the network on a picture of as many bytes as the input has, `table` saying which byte of the
    /// network's a byte of the picture is.
    ///
    /// # Errors
    /// [`ConvError::Length`] for a picture of another size.
    pub fn run(&self, picture: &[u8], table: Option<&[u8; 256]>) -> Result<Run<'_>, ConvError> {
        let input = &self.places[0];
        let needed = input.height * input.width * input.channels;
        if picture.len() != needed {
            return Err(ConvError::Length(picture.len(), "a picture's bytes", needed));
        }
        let mut memory = self.memory();
        let flip = flipped(0, self.table);
        let inputs = memory.bytes()[input.at..][..needed].iter_mut().zip(picture);
        match table {
            Some(table) => inputs.for_each(|(to, &from)| *to = table[usize::from(from)] ^ flip),
            None => inputs.for_each(|(to, &from)| *to = from ^ flip),
        }
        let shared = Shared(self.ground(&mut memory));
        self.pool.run(&|share| {
            for stage in &self.stages {
                // SAFETY: the memory is this run's own; threads take the stages one by one and meet
                // in between, each with its own scratch.
                unsafe { stage.run(self.table, shared.of(share.index * self.scratch), &share) };
                share.meet();
            }
        });
        self.unflip(&mut memory);
        Ok(Run { net: self, memory: Some(memory) })
    }

    /// Makes bytes again of what maps that were kept hold.
    fn unflip(&self, memory: &mut Memory) {
        let flip = flipped(0, self.table);
        let bytes = self.kept.iter().filter(|map| flip != 0 && !self.floats[map.0]);
        for place in bytes.map(|map| &self.places[map.0]) {
            let map =
                &mut memory.bytes()[place.at..][..place.height * place.width * place.channels];
            map.iter_mut().for_each(|byte| *byte ^= flip);
        }
    }

    /// Each stage's description, its multiplications, and the least time it took in `runs` runs of a dark
    /// picture on one thread; nothing for no run.
    pub fn profile(&self, runs: usize) -> Vec<(String, u64, Duration)> {
        let mut memory = self.memory();
        let ground = self.ground(&mut memory);
        let mut times = vec![Duration::MAX; self.stages.len()];
        for _ in 0..runs {
            for (stage, least) in self.stages.iter().zip(&mut times) {
                let start = Instant::now();
                // SAFETY: the memory is this run's own, and one thread does every share.
                unsafe { stage.run(self.table, ground, &Share::ALL) };
                *least = start.elapsed().min(*least);
            }
        }
        drop(Run { net: self, memory: Some(memory) });
        let stages = self.stages.iter().zip(times).filter(|_| runs > 0);
        stages.map(|(stage, least)| (stage.to_string(), stage.macs(), least)).collect()
    }

    /// Memory of a run that has ended, or new.
    fn memory(&self) -> Memory {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let bytes = self.maps + self.pool.threads() * self.scratch;
        idle.unwrap_or_else(|| Memory::new(bytes))
    }

    /// Every map, by `arena::place`, and behind them a scratch for each thread.
    fn ground(&self, memory: &mut Memory) -> Ground {
        let maps = memory.start();
        Ground { maps, scratch: maps.wrapping_add(self.maps) }
    }
}

/// A run that has ended; its maps can be read until it is dropped.
pub struct Run<'a> {
    net: &'a Net,
    memory: Option<Memory>,
}

impl Run<'_> {
    fn place(&self, map: Map) -> (&Place, usize, *const u8) {
        assert!(self.net.kept.contains(&map), "a map that was not kept");
        let place = &self.net.places[map.0];
        let start = self.memory.as_ref().map_or(std::ptr::null(), Memory::read);
        (place, place.height * place.width * place.channels, start.wrapping_add(place.at))
    }

    /// A map of floats that was kept, NHWC.
    ///
    /// # Panics
    /// If the map was not kept, or is one of bytes.
    pub fn floats(&self, map: Map) -> &[f32] {
        assert!(self.net.floats[map.0], "a map of bytes");
        let (_, len, start) = self.place(map);
        // SAFETY: a whole map in this memory, on a cache line, written by the run.
        unsafe { std::slice::from_raw_parts(start.cast(), len) }
    }

    /// A map of bytes that was kept, NHWC.
    ///
    /// # Panics
    /// If the map was not kept, or is one of floats.
    pub fn bytes(&self, map: Map) -> &[u8] {
        assert!(!self.net.floats[map.0], "a map of floats");
        let (_, len, start) = self.place(map);
        // SAFETY: a whole map in this memory, written by the run.
        unsafe { std::slice::from_raw_parts(start, len) }
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        if let Some(memory) = self.memory.take() {
            let mut idle = self.net.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < MOST_THREADS {
                idle.push(memory);
            }
        }
    }
}

/// Multiplications a second of one thread on a product that stays in the cache next to the core: what
/// these kernels could do at most, measured now.
pub fn ceiling() -> f64 {
    let (depth, outputs, side) = (256, 64, 8);
    let product = Conv {
        kernel: [1, 1],
        stride: [1, 1],
        pads: [0; 4],
        inputs: depth,
        outputs,
        depthwise: false,
        weights: vec![1; depth * outputs],
        bias: vec![0; outputs],
        scale: vec![1e-4; outputs],
        input_zero: 0,
        output: Output::Bytes { zero: 0, low: 0, high: 255 },
    };
    let build = || -> Result<Net, ConvError> {
        let (mut builder, input) = Builder::new([side, side], depth)?;
        let out = builder.conv(input, product)?;
        Ok(builder.finish(&[out], Arc::new(Pool::new(1))))
    };
    let profile = build().map(|net| net.profile(500)).unwrap_or_default();
    profile.first().map_or(0.0, |(_, macs, time)| *macs as f64 / time.as_secs_f64())
}
