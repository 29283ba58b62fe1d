use super::{Keeper, News};
use crate::{
    camera::{CameraError, Frame, FrameSource},
    decision::{Event, Millis},
    model::NetworkError,
    pipeline::{Recogniser, Seen, events},
};
use std::time::Duration;

/// Why a replay ended before its frames did.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The frames.
    #[error(transparent)]
    Camera(#[from] CameraError),
    /// A network.
    #[error(transparent)]
    Network(#[from] NetworkError),
}

/// How long after the last frame the door is still watched: longer than any pulse.
const AFTERWARDS: Duration = Duration::from_secs(30);

/// Who watches a replay: the moment, the frame with what was made of it, and what was decided.
pub type Each<'a> = dyn FnMut(Millis, Option<(&Frame, &[Seen])>, &[News]) + 'a;

/// Runs recorded frames through the door as if they came now, by the recording's own clock, which is as
/// fast as the machine computes and always gives the same. `inputs` are what happens beside the
/// camera, in the order of their time; `each` sees every frame with what was made of it, and once
/// more what came after the last one.
///
/// # Errors
/// [`ReplayError`]; the door is locked by the keeper's owner then.
pub fn replay(
    source: &mut dyn FrameSource,
    recogniser: &mut Recogniser,
    keeper: &mut Keeper,
    inputs: &[(Duration, Event)],
    each: &mut Each,
) -> Result<(), ReplayError> {
    let mut inputs = inputs.iter().peekable();
    let mut last = Millis::default();
    loop {
        let frame = match source.next() {
            Ok(frame) => frame,
            Err(CameraError::Ended) => break,
            Err(e) => return Err(e.into()),
        };
        let now = Millis::default().after(frame.at);
        pass(keeper, &mut inputs, now);
        let seen = recogniser.look(&frame.pixels, now, keeper.house().matcher())?;
        events(&seen).for_each(|event| keeper.tell(event, now));
        each(now, Some((&frame, &seen)), &keeper.news());
        last = now;
    }
    let end = last.after(AFTERWARDS);
    pass(keeper, &mut inputs, end);
    each(end, None, &keeper.news());
    Ok(())
}

/// Lets everything happen that is due up to `now`.
fn pass<'a>(
    keeper: &mut Keeper,
    inputs: &mut std::iter::Peekable<impl Iterator<Item = &'a (Duration, Event)>>,
    now: Millis,
) {
    loop {
        let input = inputs.peek().map(|(at, _)| Millis::default().after(*at));
        let deadline = keeper.deadline();
        match (input, deadline) {
            (Some(at), due) if at <= now && due.is_none_or(|due| at < due) => {
                if let Some((_, event)) = inputs.next() {
                    keeper.tell(*event, at);
                }
            }
            (_, Some(due)) if due <= now => keeper.tell(Event::Tick, due),
            _ => return,
        }
    }
}
