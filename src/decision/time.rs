use std::time::Duration;

/// A moment: milliseconds since the machine started, on a clock that never goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Millis(pub u64);

impl Millis {
    /// The moment `span` later. What a span has below a whole millisecond is dropped; the end of
    /// the clock (584 million years) is not passed.
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long ago `earlier` was; zero where it has not been yet.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_spans_stop_at_the_ends_of_the_clock() {
        assert_eq!(Millis(5).after(Duration::from_millis(7)), Millis(12));
        assert_eq!(Millis(5).after(Duration::MAX), Millis(u64::MAX));
        assert_eq!(Millis(12).since(Millis(5)), Duration::from_millis(7));
        assert_eq!(Millis(5).since(Millis(12)), Duration::ZERO);
    }
}
