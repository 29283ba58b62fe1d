use strsim::levenshtein as distance;

/// The one of `known` that was most likely meant by `text`: one that it is a part of, or else the one
/// that it becomes by the fewest insertions, deletions and replacements; the earlier one of equals.
/// `known` is not empty. Only the first 32 characters of `text` count, which is longer than any known
/// word.
pub(super) fn nearest(text: &str, known: &[&'static str]) -> &'static str {
    let end = text.char_indices().nth(32).map_or(text.len(), |(at, _)| at);
    let start = &text[..end];
    let is_part = |word: &str| !text.is_empty() && word.contains(text);
    let near = known.iter().min_by_key(|word| (!is_part(word), distance(start, word)));
    near.expect("known words")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_worked_out_by_hand() {
        for (a, b, expected) in
            [("", "", 0), ("", "sim", 3), ("sin", "sim", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn a_slip_of_the_finger_finds_the_word_that_was_meant() {
        let known = ["gpiocdev", "rppal", "sim"];
        for (text, expected) in [
            ("gpiodev", "gpiocdev"),
            ("rpal", "rppal"),
            ("simm", "sim"),
            ("gpio", "gpiocdev"),
            ("", "sim"),
        ] {
            assert_eq!(nearest(text, &known), expected, "{text}");
        }
    }
}
