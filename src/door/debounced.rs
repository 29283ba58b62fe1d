use super::{DoorError, InputEvent, InputRole, Inputs, clock::monotonic, debounce::Debouncer};
use std::{collections::VecDeque, time::Duration};

/// So many edges in a row are taken before the levels are read anew: a line that chatters without end
/// must not keep the others from being believed. The kernel buffers 16 for each line.
const MOST_EDGES: usize = 64;
/// No single wait is longer, as clocks of 32 bits and milliseconds lie below; the loop waits again.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A line became active or inactive.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edge {
    /// Which input's line, counted from 0.
    pub input: usize,
    pub active: bool,
    /// By [`Source::now`].
    pub at: Duration,
}

/// Where edges come from: lines, or a test.
pub(super) trait Source: Send {
    /// The clock of the edges.
    fn now(&self) -> Duration {
        monotonic()
    }

    /// The next edge, or `None` when none came within `timeout`, or for no reason at all.
    fn wait(&mut self, timeout: Duration) -> Result<Option<Edge>, DoorError>;

    /// Whether an input's line is active now.
    fn is_active(&mut self, input: usize) -> Result<bool, DoorError>;
}

/// Inputs from a source of edges that may bounce.
pub(super) struct Debounced<S> {
    source: S,
    inputs: Vec<(InputRole, Debouncer)>,
    ready: VecDeque<InputEvent>,
}

impl<S: Source> Debounced<S> {
    /// Input i of the source is what `inputs[i]` says.
    pub fn new(source: S, inputs: Vec<(InputRole, Debouncer)>) -> Result<Self, DoorError> {
        let mut new = Self { source, inputs, ready: VecDeque::new() };
        new.refresh()?;
        Ok(new)
    }

    fn sample(&mut self, edge: Edge) {
        let (role, debouncer) = &mut self.inputs[edge.input];
        let settled = debouncer.sample(edge.active, edge.at);
        self.ready.extend(settled.map(|s| InputEvent { kind: role.kind(s.level), at: s.since }));
    }

    /// Reads the levels, which heals what a lost edge broke: the kernel drops the oldest ones when its
    /// buffer is full.
    fn refresh(&mut self) -> Result<(), DoorError> {
        for input in 0..self.inputs.len() {
            let active = self.source.is_active(input)?;
            self.sample(Edge { input, active, at: self.source.now() });
        }
        Ok(())
    }

    fn deadline(&self) -> Option<Duration> {
        self.inputs.iter().filter_map(|(_, debouncer)| debouncer.deadline()).min()
    }
}

impl<S: Source> Inputs for Debounced<S> {
    fn poll(&mut self, timeout: Duration) -> Result<Option<InputEvent>, DoorError> {
        let end = self.source.now().saturating_add(timeout);
        let mut edges = 0;
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            let until = self.deadline().map_or(end, |deadline| deadline.min(end));
            let wait = until.saturating_sub(self.source.now()).min(LONGEST_WAIT);
            match self.source.wait(wait)? {
                Some(edge) if edges < MOST_EDGES => {
                    edges += 1;
                    self.sample(edge);
                    continue;
                }
                Some(edge) => self.sample(edge),
                None => {}
            }
            edges = 0;
            self.refresh()?;
            if self.ready.is_empty() && self.source.now() >= end {
                return Ok(None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::InputKind::{self, DoorContact, RequestToExit};

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Lines of which the edges are known beforehand, on a clock that only waiting moves.
    struct Scripted {
        now: Duration,
        levels: [bool; 2],
        edges: VecDeque<(u64, usize, bool)>,
        /// Edges that change the level but are never reported, as if the buffer had been full.
        lost: VecDeque<(u64, usize, bool)>,
    }

    impl Scripted {
        fn apply_lost(&mut self) {
            while let Some(&(_, input, active)) = self.lost.front().filter(|e| ms(e.0) <= self.now)
            {
                self.levels[input] = active;
                self.lost.pop_front();
            }
        }
    }

    impl Source for Scripted {
        fn now(&self) -> Duration {
            self.now
        }

        fn wait(&mut self, timeout: Duration) -> Result<Option<Edge>, DoorError> {
            let until = self.now + timeout;
            let due = self.edges.front().filter(|e| ms(e.0) <= until).copied();
            self.now = due.map_or(until, |e| self.now.max(ms(e.0)));
            self.apply_lost();
            Ok(due.map(|(at, input, active)| {
                self.edges.pop_front();
                self.levels[input] = active;
                Edge { input, active, at: ms(at) }
            }))
        }

        fn is_active(&mut self, input: usize) -> Result<bool, DoorError> {
            Ok(self.levels[input])
        }
    }

    /// A door contact and an exit button, both inactive at 0 ms, both debounced by 30 ms.
    fn inputs(edges: &[(u64, usize, bool)], lost: &[(u64, usize, bool)]) -> Debounced<Scripted> {
        let (edges, lost) = (edges.iter().copied().collect(), lost.iter().copied().collect());
        let source = Scripted { now: Duration::ZERO, levels: [false; 2], edges, lost };
        let roles = [InputRole::DoorContact, InputRole::RequestToExit];
        Debounced::new(source, roles.map(|role| (role, Debouncer::new(ms(30)))).into()).unwrap()
    }

    /// Everything up to `end` ms: (kind, at, when it was reported).
    fn events(inputs: &mut Debounced<Scripted>, end: u64) -> Vec<(InputKind, u64, u64)> {
        let mut events = Vec::new();
        while let Some(event) = inputs.poll(ms(end).saturating_sub(inputs.source.now)).unwrap() {
            let millis = |d: Duration| d.as_millis() as u64;
            events.push((event.kind, millis(event.at), millis(inputs.source.now)));
        }
        events
    }

    const CLOSED: InputKind = DoorContact { open: false };
    const RELEASED: InputKind = RequestToExit { pressed: false };

    #[test]
    fn every_input_is_reported_once_at_the_start_and_then_nothing() {
        assert_eq!(events(&mut inputs(&[], &[]), 10_000), [(CLOSED, 0, 30), (RELEASED, 0, 30)]);
    }

    #[test]
    fn a_bouncing_door_is_one_opening_reported_when_it_has_settled() {
        let bounce = [(100, 0, true), (103, 0, false), (104, 0, true)];
        let found = events(&mut inputs(&bounce, &[]), 1000);
        assert_eq!(found[2..], [(DoorContact { open: true }, 104, 134)]);
    }

    #[test]
    fn a_press_and_its_release_are_both_seen_however_late_they_are_read() {
        let mut inputs = inputs(&[(100, 1, true), (250, 1, false)], &[]);
        events(&mut inputs, 50);
        inputs.source.now = ms(2000);
        let found: Vec<_> = events(&mut inputs, 2000).iter().map(|e| (e.0, e.1)).collect();
        assert_eq!(found, [(RequestToExit { pressed: true }, 100), (RELEASED, 250)]);
    }

    #[test]
    fn polling_without_a_timeout_takes_what_is_there_and_returns() {
        let mut inputs = inputs(&[], &[]);
        assert!(inputs.poll(Duration::ZERO).unwrap().is_none());
        inputs.source.now = ms(30);
        assert!(inputs.poll(Duration::ZERO).unwrap().is_some());
    }

    #[test]
    fn a_line_that_chatters_without_end_does_not_silence_the_other() {
        let mut edges: Vec<_> = (100..5000).map(|at| (at, 0, at % 2 == 0)).collect();
        edges.insert(50, (150, 1, true));
        let found = events(&mut inputs(&edges, &[]), 5000);
        let (kind, at, reported) = found[2];
        assert_eq!((kind, at), (RequestToExit { pressed: true }, 150));
        assert!(reported < 150 + 30 + 2 * MOST_EDGES as u64, "{reported}");
    }

    #[test]
    fn a_lost_edge_is_made_up_for_by_the_level() {
        let mut inputs = inputs(&[], &[(100, 0, true)]);
        events(&mut inputs, 90);
        events(&mut inputs, 120);
        let found = events(&mut inputs, 200);
        assert_eq!(found.iter().map(|e| e.0).collect::<Vec<_>>(), [DoorContact { open: true }]);
    }
}
