use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A length of time as people write it: `"3s"`, `"250ms"`, `"1m 30s"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(pub Duration);

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no length of time; write it as \"3s\" or \"1m 30s\"");
        let span: SignedDuration = text.parse().map_err(|_| wrong())?;
        Duration::try_from(span).map(Self).map_err(|_| wrong())
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        let parts = [(3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms")];
        let mut left = span.0.as_millis();
        let mut text = String::new();
        for (size, unit) in parts {
            if left >= size {
                if !text.is_empty() {
                    text.push(' ');
                }
                text += &format!("{}{unit}", left / size);
                left %= size;
            }
        }
        if text.is_empty() { "0s".into() } else { text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn people_write_lengths_of_time_in_many_ways_and_none_below_zero() {
        for (text, ms) in
            [("3s", 3000), ("250ms", 250), ("1m 30s", 90_000), ("2h", 7_200_000), ("0s", 0)]
        {
            assert_eq!(
                Span::try_from(text.to_owned()),
                Ok(Span(Duration::from_millis(ms))),
                "{text}"
            );
        }
        for text in ["", "3", "three seconds", "-3s", "3 fortnights", "99999999999999999999s"] {
            let error = Span::try_from(text.to_owned()).unwrap_err();
            assert!(error.contains("write it as"), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(ms in 0u64..1_000_000_000) {
            let span = Span(Duration::from_millis(ms));
            prop_assert_eq!(Span::try_from(String::from(span)), Ok(span));
        }
    }
}
