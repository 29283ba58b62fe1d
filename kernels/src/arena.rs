//! Where maps lie in memory.

/// The longest read or write past the end of a map: one vector.
pub(crate) const SLACK: usize = 64;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Bytes that begin on a cache line, all 0 at first.
pub(crate) struct Memory(Vec<Line>);

impl Memory {
    pub fn new(bytes: usize) -> Self {
        Self(vec![Line([0; 64]); bytes.div_ceil(64)])
    }

    pub fn start(&mut self) -> *mut u8 {
        self.0.as_mut_ptr().cast()
    }

    pub fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: lines are bytes, all of them set.
        unsafe { std::slice::from_raw_parts_mut(self.start(), self.0.len() * 64) }
    }

    pub fn read(&self) -> *const u8 {
        self.0.as_ptr().cast()
    }
}

/// A map's place and life.
pub(crate) struct Life {
    /// Bytes.
    pub size: usize,
    /// The stage that writes it; nothing for the input.
    pub born: Option<usize>,
    /// The last stage that reads it.
    pub dies: usize,
}

/// Gives every map a place, so that no two that live at once overlap and few bytes are used: each goes
/// to the first gap that is large enough. Returns the places and the bytes needed in all.
pub(crate) fn place(lives: &[Life]) -> (Vec<usize>, usize) {
    let padded = |life: &Life| (life.size + SLACK).next_multiple_of(64);
    let mut places: Vec<usize> = Vec::with_capacity(lives.len());
    for life in lives {
        let mut taken: Vec<(usize, usize)> = lives
            .iter()
            .zip(&places)
            .filter(|(other, _)| {
                let starts_late = life.born.is_some_and(|born| born > other.dies);
                let ended = other.born.is_some_and(|born| born > life.dies);
                !starts_late && !ended
            })
            .map(|(other, &at)| (at, at + padded(other)))
            .collect();
        taken.sort_unstable();
        let gap = taken.iter().fold(
            0,
            |at, &(from, to)| {
                if at + padded(life) <= from { at } else { at.max(to) }
            },
        );
        places.push(gap);
    }
    let end = lives.iter().zip(&places).map(|(life, at)| at + padded(life)).max().unwrap_or(0);
    (places, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_that_live_together_never_overlap_and_a_chain_needs_two_places() {
        let chain: Vec<Life> = (0..6)
            .map(|i| Life {
                size: 1000,
                born: i32::checked_sub(i, 1).filter(|b| *b >= 0).map(|b| b as usize),
                dies: i as usize,
            })
            .collect();
        let (places, end) = place(&chain);
        for (i, pair) in places.windows(2).enumerate() {
            assert!(pair[0].abs_diff(pair[1]) >= 1000 + SLACK, "{i}: {places:?}");
        }
        assert_eq!(end, 2 * 1088);
        let together: Vec<Life> = (0..3).map(|_| Life { size: 10, born: None, dies: 9 }).collect();
        assert_eq!(place(&together), (vec![0, 128, 256], 384));
    }
}
