use super::{
    failure::{Failure, code},
    household::ConfigArg,
    output::{self, say},
};
use crate::service::{Answer, Request, ask, socket_path};
use std::{
    fs::{File, TryLockError},
    io::ErrorKind,
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// Say how things stand at the door: asks the running daemon.
#[derive(clap::Args)]
pub struct Status {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArg,
}

/// Open the door once, for one pulse; the reason goes into the audit log.
#[derive(clap::Args)]
pub struct Unlock {
    /// Why
    #[arg(long, value_parser = reason)]
    reason: String,
    #[command(flatten)]
    config: ConfigArg,
}

/// Open for nobody until released; the exit button goes on working unless the configuration says not.
#[derive(clap::Args)]
pub struct Lockdown {
    /// Begin or end it
    #[arg(value_parser = ["on", "off"])]
    state: String,
    #[command(flatten)]
    config: ConfigArg,
}

pub fn status(args: &Status) -> Result<(), Failure> {
    let answer = send(&args.config, &Request::Status)?;
    let Some(status) = answer.status else { return Ok(()) };
    if args.json {
        return output::json(&status);
    }
    let yes = |v| if v { "yes" } else { "no" };
    let alarms = if status.alarms.is_empty() { "none".into() } else { status.alarms.join(", ") };
    say!("unlocked   {}", yes(status.unlocked))?;
    say!("lockdown   {}", yes(status.lockdown))?;
    say!("alarms     {alarms}")?;
    say!("recorded   {}", yes(status.audit_writable))?;
    if let Some(why) = &status.waiting {
        return say!("people     unknown yet: {why}");
    }
    say!("people     {}", status.people)
}

/// A reason that says something, and fits in a request.
fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    match text.chars().count() {
        1..=500 => Ok(text.to_owned()),
        0 => Err("say why, for the audit log".into()),
        _ => Err("say it in 500 characters".into()),
    }
}

pub fn unlock(args: &Unlock) -> Result<(), Failure> {
    say!("{}", send(&args.config, &Request::Unlock { reason: args.reason.clone() })?.text)
}

pub fn lockdown(args: &Lockdown) -> Result<(), Failure> {
    say!("{}", send(&args.config, &Request::Lockdown { on: args.state == "on" })?.text)
}

/// Asks; an answer that says no is a failure.
fn send(config: &ConfigArg, request: &Request) -> Result<Answer, Failure> {
    let path = socket_path(&config.state_folder()?);
    let answer = ask(&path, request).map_err(|e| {
        let text =
            format!("{}: {e}; is `facelatch run` running, and are you root?", path.display());
        Failure::new(code::NO_INPUT, &text)
    })?;
    match answer.done {
        true => Ok(answer),
        false => Err(Failure::new(code::SOFTWARE, &answer.text)),
    }
}

/// Tells a daemon, if one runs, that the gallery has changed, and hears that it goes by the change. What passes
/// is waited for: it starts, it is busy, another command has the gallery open.
///
/// # Errors
/// A daemon runs, and goes on with the household that it knew.
pub fn taken_over(state: &Path) -> Result<(), Failure> {
    let patience = Instant::now() + Duration::from_secs(2);
    loop {
        let Err(why) = tell(state) else { return Ok(()) };
        if Instant::now() >= patience {
            let text = format!(
                "the change is made, but the daemon that runs goes on as before: {why}; restart it \
                 (`systemctl restart facelatch`)"
            );
            return Err(Failure::new(code::UNAVAILABLE, &text));
        }
        thread::sleep(Duration::from_millis(200));
    }
}

/// Tells it once; why a daemon that runs has not taken the change over otherwise.
fn tell(state: &Path) -> Result<(), String> {
    match ask(&socket_path(state), &Request::Reload) {
        Ok(Answer { done: true, .. }) => Ok(()),
        Ok(answer) => Err(answer.text),
        // None listens. A daemon may run all the same, whose socket could not be made or was taken away.
        Err(e) if [ErrorKind::NotFound, ErrorKind::ConnectionRefused].contains(&e.kind()) => {
            match is_watched(state) {
                true => Err("it does not listen for commands".to_owned()),
                false => Ok(()),
            }
        }
        Err(e) => Err(format!("it could not be told: {e}")),
    }
}

/// Whether a daemon holds the state folder, as each does while it runs.
fn is_watched(state: &Path) -> bool {
    // Shared, and for no longer than this takes: commands are in nobody's way.
    let tried = File::open(state).map(|folder| folder.try_lock_shared());
    matches!(tried, Ok(Err(TryLockError::WouldBlock)))
}
