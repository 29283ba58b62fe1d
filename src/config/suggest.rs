//! Errors of the TOML reader in one line, with the known name nearest to an unknown one.

use serde::de::DeserializeOwned;
use std::ops::Range;
use strsim::levenshtein as distance;

/// More than this nobody mends at once.
const MOST: usize = 10;

/// Everything that is wrong with a text that `T` was to be read from, up to [`MOST`]: what is explained is
/// left out, and the rest read again. Of a text that is no TOML, the first thing only.
pub fn explain_all<T: DeserializeOwned>(first: toml::de::Error, text: &str) -> Vec<String> {
    let is_toml = |text: &str| toml::from_str::<toml::Table>(text).is_ok();
    if !is_toml(text) {
        return vec![explain(&first, text)];
    }
    let (mut reasons, mut text, mut next) = (Vec::new(), text.to_owned(), Some(first));
    while let Some(error) = next {
        let at = error.span().map(|span| span.start);
        reasons.push((at, explain(&error, &text)));
        let lines = at.and_then(|at| lines_of(&text, at)).filter(|_| reasons.len() < MOST);
        let Some(lines) = lines else { break };
        // Blanks and as many lines, so that the others keep their places.
        let ends = text[lines.clone()].matches('\n').count();
        let blank = " ".repeat(lines.len() - ends) + &"\n".repeat(ends);
        text.replace_range(lines, &blank);
        next = toml::from_str::<T>(&text).err().filter(|_| is_toml(&text));
    }
    reasons.sort();
    reasons.into_iter().map(|(_, reason)| reason).collect()
}

/// The line that holds the byte `at`, or the whole section that begins there; `None` for a blank one.
fn lines_of(text: &str, at: usize) -> Option<Range<usize>> {
    let start = text.get(..at)?.rfind('\n').map_or(0, |end| end + 1);
    let mut lines = text[start..].split_inclusive('\n');
    let first = lines.next().filter(|line| !line.trim().is_empty())?;
    let is_section = |line: &str| line.trim_start().starts_with('[');
    let more = lines.take_while(|line| is_section(first) && !is_section(line));
    Some(start..start + first.len() + more.map(str::len).sum::<usize>())
}

/// What is wrong, where, and what was probably meant.
pub fn explain(error: &toml::de::Error, text: &str) -> String {
    let line = error.span().map(|span| {
        let before = text.get(..span.start).unwrap_or_default();
        format!("line {}: ", before.matches('\n').count() + 1)
    });
    let message = error.message().lines().map(str::trim).collect::<Vec<_>>().join(" ");
    let meant = nearest_known(&message).map(|name| format!("; did you mean `{name}`?"));
    format!("{}{message}{}", line.unwrap_or_default(), meant.unwrap_or_default())
}

/// serde says ``unknown field `a`, expected one of `b`, `c` ``: the one of the expected that is nearest.
fn nearest_known(message: &str) -> Option<&str> {
    let mut names = message.split('`').skip(1).step_by(2);
    let unknown = message.starts_with("unknown").then(|| names.next())??;
    let near = |name: &&str| distance(unknown, name) <= 1 + unknown.chars().count() / 3;
    names.filter(near).min_by_key(|name| distance(unknown, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_and_a_far_one_is_not() {
        for (unknown, expected) in
            [("pulze", Some("pulse")), ("locks", Some("lock")), ("colour", None)]
        {
            let message = format!("unknown field `{unknown}`, expected one of `lock`, `pulse`");
            assert_eq!(nearest_known(&message), expected, "{unknown}");
        }
        assert_eq!(nearest_known("invalid type: integer `3`, expected a string"), None);
        assert_eq!((distance("", "abc"), distance("kitten", "sitting")), (3, 3));
    }
}
