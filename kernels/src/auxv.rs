//! What the kernel tells every process about its processor, where Rust has no stable way to ask.

/// Words of the processor's abilities.
#[cfg(any(target_arch = "arm", test))]
pub(crate) const HWCAP: usize = 16;
#[cfg(target_arch = "aarch64")]
pub(crate) const HWCAP2: usize = 26;

/// Whether the kernel says that all these bits of a word are set; not where it says nothing.
pub(crate) fn has(word: usize, bits: usize) -> bool {
    std::fs::read("/proc/self/auxv").is_ok_and(|auxv| among(&auxv, word, bits))
}

/// The same of pairs of words: which it is, and its value.
fn among(auxv: &[u8], word: usize, bits: usize) -> bool {
    const SIZE: usize = size_of::<usize>();
    let at =
        |pair: &[u8], i: usize| pair[i * SIZE..].first_chunk().map(|&b| usize::from_ne_bytes(b));
    auxv.chunks_exact(2 * SIZE).any(|pair| {
        at(pair, 0) == Some(word) && at(pair, 1).is_some_and(|value| value & bits == bits)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_and_all_bits_of_it_are_asked_for() {
        let auxv = |pairs: &[[usize; 2]]| -> Vec<u8> {
            pairs.iter().flatten().flat_map(|word| word.to_ne_bytes()).collect()
        };
        let neon = 1 << 12;
        assert!(among(&auxv(&[[6, 4096], [HWCAP, 0x1fb0d7], [0, 0]]), HWCAP, neon));
        assert!(!among(&auxv(&[[6, 4096], [HWCAP, 0x1f80d7 & !neon], [0, 0]]), HWCAP, neon));
        assert!(!among(&auxv(&[[26, neon]]), HWCAP, neon), "another word");
        assert!(!among(&auxv(&[[HWCAP, neon]]), HWCAP, neon | 1), "one of two bits");
        let half = auxv(&[[HWCAP, neon]]);
        assert!(!among(&half[..half.len() - 1], HWCAP, neon), "half a pair");
    }
}
