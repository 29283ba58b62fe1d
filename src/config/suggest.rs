//! Errors of the TOML reader in one line, with the known name nearest to an unknown one.

use strsim::levenshtein as distance;

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
