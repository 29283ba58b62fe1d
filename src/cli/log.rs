use super::{
    failure::{Failure, code},
    household::ConfigArg,
    output::say,
};
use crate::{
    gallery::{Name, NameError, PersonId},
    service::{
        KINDS,
        audit::{self, Filter, Head, read, verify},
    },
};
use std::{
    io::{self, Write},
    str::FromStr,
};

/// Show what happened at the door, or check that nobody changed the record of it.
#[derive(clap::Args)]
pub struct Args {
    /// Check the whole chain of hashes
    #[arg(long)]
    verify: bool,
    /// With --verify: a `number:hash` noted elsewhere, that the log must still have
    #[arg(long, value_name = "NUMBER:HASH", requires = "verify")]
    anchor: Option<Head>,
    /// Only this kind
    #[arg(long, value_parser = KINDS)]
    kind: Option<String>,
    /// Only this person, by number or name
    #[arg(long)]
    person: Option<Person>,
    /// Print the records as they are, JSON lines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArg,
}

/// Whom to look for.
#[derive(Clone)]
enum Person {
    Number(PersonId),
    Name(Name),
}

impl FromStr for Person {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.parse() {
            Ok(number) => Ok(Self::Number(PersonId(number))),
            Err(_) => Name::new(text).map(Self::Name),
        }
    }
}

pub fn log(args: &Args) -> Result<(), Failure> {
    let folder = audit::folder(&args.config.state_folder()?);
    if !folder.exists() {
        let text = format!(
            "{}: nothing is recorded yet; the log begins with the first `facelatch run` (or name its \
             configuration with --config)",
            folder.display()
        );
        return Err(Failure::new(code::NO_INPUT, &text));
    }
    let broken = |e: crate::service::audit::VerifyError| Failure::new(code::DATA, &e.to_string());
    if args.verify {
        let found = verify(&folder, args.anchor).map_err(broken)?;
        say!("{} records in {} files, nothing changed", found.records, found.files)?;
        if args.anchor.is_none() {
            say!("a missing end shows only against a number:hash noted elsewhere: --anchor")?;
        }
        return Ok(());
    }
    let (person, name) = match args.person.clone() {
        None => (None, None),
        Some(Person::Number(number)) => (Some(number), None),
        Some(Person::Name(name)) => (None, Some(name)),
    };
    let filter = Filter { since: None, kind: args.kind.clone(), person, name };
    let mut out = io::stdout().lock();
    for record in read(&folder, filter).map_err(broken)? {
        let record = record.map_err(broken)?;
        let written = if args.json {
            serde_json::to_writer(&mut out, &record)
                .map_err(io::Error::from)
                .and_then(|()| writeln!(out))
        } else {
            let wall =
                record.wall.map_or("no clock            ".into(), |wall| format!("{wall:.0}"));
            let fields: Vec<_> = record.fields.iter().map(|(k, v)| format!("{k}={v}")).collect();
            writeln!(out, "{:>6}  {wall}  {:<10} {}", record.seq, record.kind, fields.join(" "))
        };
        written.map_err(|e| Failure::output(&e))?;
    }
    Ok(())
}
