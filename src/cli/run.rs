use super::{
    failure::{Failure, code},
    household::{self, ConfigArg},
};
use crate::{
    camera::Pace,
    config::{Config, listed},
    decision::{Millis, Record},
    door::{BoundedLock, InputWiring},
    embed::check_known,
    files::{folder_itself, give_to_owner_of},
    service::{
        Clock, Daemon, Eyes, GUARD, House, Keeper, News, Rules, Sight, Status,
        audit::{self, AuditLog},
        audit_limits, hang_up_on_signal, socket_path, stop_on_signals,
    },
};
use std::{fs, io::ErrorKind, path::PathBuf};

/// Watch the door: the daemon, in the foreground, as systemd runs it.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArg,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let config = args.config.load()?;
    // The strike first: whatever fails later, it is locked.
    let most = config.door.longest.0 + config.door.pulse.0 + GUARD;
    let lock = BoundedLock::new(config.door.lock.open()?, most)?;
    // Before anything takes time: until then a hangup ends the program.
    let hangup = hang_up_on_signal()
        .map_err(|e| Failure::new(code::SOFTWARE, &format!("no signal handlers: {e}")))?;
    let _alone = alone(&config)?;
    let clock = Clock::new();
    log_what_holds(&config);
    let mut open_log = opening(config.clone(), clock.clone());
    let saved = config.state.folder.join("lockout.json");
    let keeper = Keeper::new(
        config.policy(),
        Box::new(lock),
        House::default(),
        open_log(),
        clock.clone(),
        saved,
        clock.now(),
    )
    .map_err(|e| Failure::new(code::CONFIG, &e.to_string()))?
    .reopening(open_log);
    let door = &config.door;
    let any = door.contact.is_some() || door.exit_button.is_some() || door.tamper.is_some();
    let wiring = InputWiring {
        door_contact: door.contact.clone(),
        request_to_exit: door.exit_button.clone(),
        tamper: door.tamper.clone(),
    };
    let inputs = any.then(|| wiring.open()).transpose()?;
    let stop = stop_on_signals()
        .map_err(|e| Failure::new(code::SOFTWARE, &format!("no signal handlers: {e}")))?;
    let mut rules = Reread { path: args.config.path().to_owned(), config: config.clone() };
    let mut sight = sights(args.config.path().to_owned(), config.clone());
    let (source, wanted) = (config.camera.source.clone(), household::wanted(&config)?);
    let mut systemd = Systemd::default();
    let daemon = Daemon::new(keeper, clock, stop)
        .controlled(socket_path(&config.state.folder))
        .reconfigured(hangup, move || rules.read());
    daemon.run(
        move || source.open(&wanted, Pace::Real),
        move || sight().map_err(|e| e.message),
        inputs,
        &mut |now, news, house| news.iter().for_each(|news| tell(now, news, house)),
        &mut |eyes, status| systemd.alive(eyes, status),
    )?;
    log::info!("stopped, and locked");
    Ok(())
}

/// Networks and household, as often as they are asked for. A path that was wrong is mended in the configuration,
/// so that is read again; and where a household was to be had once, an empty one never takes its place.
fn sights(path: PathBuf, mut config: Config) -> impl FnMut() -> Result<Sight, Failure> {
    let mut is_first = true;
    move || {
        let create = std::mem::take(&mut is_first);
        if let Some(read) = Config::load(&path).ok().filter(|_| !create) {
            config.models = read.models;
        }
        sight(&config, create)
    }
}

/// Networks and household, which take seconds on a board; the exit button works meanwhile. Where there is no
/// household, an empty one is made if `create` says so.
fn sight(config: &Config, create: bool) -> Result<Sight, Failure> {
    let recogniser = household::recogniser(config)?;
    let path = &config.models.embedding;
    // Nothing is ready before the network gives the answer that it gave when it was measured.
    let known = check_known(recogniser.network(), path)?;
    let model = household::model_hash(recogniser.network().contract())?;
    // Open no longer than it takes to read: nobody else can change a gallery that is open.
    let house = House::of(&household::gallery(config, model, create)?)?;
    // Said once all is there: what is not is asked for again and again.
    match known {
        Some(score) => log::info!("the network gives its known answer (cosine {:.4})", score.0),
        None => log::warn!("{}: no known answers beside it to check it by", path.display()),
    }
    log::info!("people enrolled: {}", house.matcher().len());
    let config = config.clone();
    let reload = move || {
        let gallery = household::gallery(&config, model, false).map_err(|e| e.message)?;
        House::of(&gallery).map_err(|e| e.to_string())
    };
    Ok(Sight { recogniser, house, reload: Box::new(reload) })
}

/// Held while this daemon runs: a second one would take the first one's socket, and open unrecorded. It is the
/// folder itself that is locked, which a full and a read-only disk let it.
fn alone(config: &Config) -> Result<fs::File, Failure> {
    let path = &config.state.folder;
    let held = fs::File::open(path)
        .and_then(|folder| folder.try_lock().map(|()| folder).map_err(std::io::Error::from));
    held.map_err(|e| match e.kind() {
        ErrorKind::WouldBlock => Failure::new(
            code::UNAVAILABLE,
            &format!(
                "{}: another `facelatch run` watches with this state; stop it first",
                path.display()
            ),
        ),
        _ => Failure::new(
            code::NO_INPUT,
            &format!(
                "{}: {e}; make the folder, and give it to the user that runs facelatch",
                path.display()
            ),
        ),
    })
}

/// The configuration that holds, to be read again.
struct Reread {
    path: PathBuf,
    config: Config,
}

impl Reread {
    /// What the file says now, as far as it can be taken over; why it cannot, and then all stays.
    fn read(&mut self) -> Result<Rules, String> {
        let read = Config::load(&self.path).map_err(|e| e.to_string())?;
        let (next, waiting) = self.config.taking_over(read);
        // What is new must also go together with what waits for a restart.
        let faults = next.faults();
        if !faults.is_empty() {
            return Err(format!("{}: {}", self.path.display(), listed(&faults)));
        }
        if !waiting.is_empty() {
            log::warn!(
                "changed in the file, and taken over by a restart only: {}",
                waiting.join(", ")
            );
        }
        log_rules(&next);
        let rules = Rules {
            policy: next.policy(),
            decoder: household::decoder(&next),
            limits: next.quality,
        };
        self.config = next;
        Ok(rules)
    }
}

/// Opens the audit log as often as it is asked to; why that cannot be is logged once for each reason.
fn opening(config: Config, clock: Clock) -> impl FnMut() -> Option<AuditLog> {
    let mut told = None;
    move || {
        let opened = audit(&config, &clock);
        if let Err(why) = &opened
            && told.as_ref() != Some(why)
        {
            log::error!("{why}; no face opens the door until that is mended");
            told = Some(why.clone());
        }
        opened.ok()
    }
}

/// The audit log; why it cannot be written otherwise.
fn audit(config: &Config, clock: &Clock) -> Result<AuditLog, String> {
    let folder = audit::folder(&config.state.folder);
    fs::create_dir_all(&folder)
        .and_then(|()| give_to_owner_of(&config.state.folder, &folder_itself(&folder)?))
        .map_err(|e| {
            format!(
                "{}: {e}; it must be a folder of the user that runs facelatch",
                folder.display()
            )
        })?;
    let log = AuditLog::open(&folder, audit_limits(&config.audit), &clock.moment(clock.now()))
        .map_err(|e| e.to_string())?;
    log::info!("audit log at {}", log.head());
    Ok(log)
}

fn log_what_holds(config: &Config) {
    log_rules(config);
    config.lacks().iter().for_each(|lack| log::error!("{lack}"));
    log::warn!(
        "there is no liveness check yet: a good photograph of a resident may open this door; use a second factor"
    );
}

fn log_rules(config: &Config) {
    let r = &config.recognition;
    log::info!(
        "threshold {}, margin {}, {} of {} frames within {:?}",
        r.threshold,
        r.margin,
        r.votes_needed,
        r.votes_of,
        r.votes_within.0
    );
}

fn tell(now: Millis, news: &News, house: &House) {
    let who = |record: &Record| house.name(record.evidence.and_then(|e| e.person)?);
    match news {
        News::Decision(record) => log::info!(
            "{} by {}{}",
            record.outcome,
            record.cause,
            who(record).map_or(String::new(), |name| format!(" (most like {name})"))
        ),
        News::Unrecorded(record) => log::error!(
            "{} was recognised and not let in: it could not be recorded",
            who(record).unwrap_or("somebody")
        ),
        News::Unlocked => log::info!("strike released"),
        News::Locked => log::info!("strike locked"),
        News::Hint(hint) => log::debug!("{}: {hint:?}", now.0),
        News::Alarm(kind, true) => log::error!("ALARM: {kind}"),
        News::Alarm(kind, false) => log::info!("alarm over: {kind}"),
    }
}

/// Tells systemd that the door is looked after, and how it stands: ready after the first look, alive with
/// each.
#[derive(Default)]
struct Systemd {
    /// What it was told last.
    status: Option<String>,
}

impl Systemd {
    fn alive(&mut self, eyes: Eyes, status: &Status) {
        use sd_notify::NotifyState::{Ready, Status, Watchdog};
        let mut told = vec![Watchdog];
        if self.status.is_none() {
            told.push(Ready);
        }
        let now = standing(eyes, status);
        if self.status.as_ref() != Some(&now) {
            log::info!("{now}");
            told.push(Status(&now));
        }
        // Without systemd there is nobody to tell, which is no error.
        let _ = sd_notify::notify(&told);
        self.status = Some(now);
    }
}

/// How things stand, in a line.
fn standing(eyes: Eyes, status: &Status) -> String {
    let missing = status.waiting.as_deref().unwrap_or("no camera");
    let mut parts = vec![match eyes {
        Eyes::Open => "watching the door".to_owned(),
        Eyes::Blind => format!("{missing}: no face opens the door"),
    }];
    for (holds, words) in [
        (status.unlocked, "strike released"),
        (status.lockdown, "LOCKDOWN"),
        (!status.audit_writable, "the audit log cannot be written: no face opens the door"),
    ] {
        parts.extend(holds.then(|| words.to_owned()));
    }
    let alarms = status.alarms.join(", ");
    let alarm = (!alarms.is_empty()).then(|| format!("ALARM: {alarms}"));
    parts.into_iter().chain(alarm).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_is_told_all_that_an_owner_should_know() {
        let calm = Status {
            unlocked: false,
            lockdown: false,
            alarms: vec![],
            audit_writable: true,
            people: 2,
            waiting: None,
        };
        assert_eq!(standing(Eyes::Open, &calm), "watching the door");
        let trouble = Status {
            unlocked: true,
            lockdown: true,
            alarms: vec!["held_open".into(), "tamper".into()],
            audit_writable: false,
            ..calm
        };
        assert_eq!(
            standing(Eyes::Blind, &trouble),
            "no camera: no face opens the door; strike released; LOCKDOWN; the audit log cannot be \
             written: no face opens the door; ALARM: held_open, tamper"
        );
    }
}
