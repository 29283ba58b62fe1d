//! The one way to standard output. `println!` panics where the reader has gone or the disk is full.

use super::failure::{Failure, code};
use serde::Serialize;
use std::{
    fmt,
    io::{self, Write},
};

/// Prints a line of a result, as `println!` does: `say!("people: {}", count)?`.
///
/// A full disk is a [`Failure`]. So is a pipe whose reader has seen enough, but one that says nothing
/// and exits with 0, as other tools end there.
macro_rules! say {
    ($($words:tt)*) => { $crate::cli::output::line(format_args!($($words)*)) };
}
pub(super) use say;

/// What [`say`] becomes.
pub fn line(words: fmt::Arguments<'_>) -> Result<(), Failure> {
    done(writeln!(io::stdout().lock(), "{words}"))
}

/// Prints text or bytes as they are.
pub fn whole(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    done(out.write_all(bytes).and_then(|()| out.flush()))
}

/// Prints JSON, indented.
pub fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value);
    line(format_args!("{}", text.map_err(|e| Failure::new(code::SOFTWARE, &e.to_string()))?))
}

/// For commands whose exit code is their answer: it is given even if nobody reads the words.
pub fn even_if_closed(said: Result<(), Failure>) -> Result<(), Failure> {
    said.or_else(|failure| if failure.is_closed_pipe() { Ok(()) } else { Err(failure) })
}

/// Pictures that a command passes over: the first few are named, the others counted at the end.
#[derive(Default)]
pub struct LeftOut(usize);

impl LeftOut {
    const NAMED: usize = 5;

    /// One more, and why.
    pub fn note(&mut self, why: &str) {
        self.0 += 1;
        match self.0 <= Self::NAMED {
            true => log::warn!("{why}; the picture is left out"),
            false => log::debug!("{why}; the picture is left out"),
        }
    }

    /// There are no more.
    pub fn end(&self) {
        if let Some(more @ 1..) = self.0.checked_sub(Self::NAMED) {
            log::warn!("{more} more pictures are left out; RUST_LOG=debug names them");
        }
    }
}

fn done(written: io::Result<()>) -> Result<(), Failure> {
    written.map_err(|e| Failure::output(&e))
}
