use super::{
    House,
    audit::{Entry, RECOVERED, ROTATED},
};
use crate::decision::{
    AlarmKind, Cause, Command, Denial, Evidence, LivenessPolicy, Outcome, Policy, Quality, Record,
};
use serde_json::{Map, Value, json};

/// Every kind of record there is in an audit log, the log's own among them.
pub const KINDS: [&str; 12] = [
    "granted",
    "denied",
    "lockout",
    "locked",
    "lockdown",
    "command",
    "alarm",
    "alarm_over",
    "rules",
    "recording_again",
    ROTATED,
    RECOVERED,
];

/// What the audit log keeps of a decision.
pub fn of_record(record: &Record, house: &House) -> Entry {
    let mut fields = Map::new();
    let mut add = |key: &str, value: Value| _ = fields.insert(key.to_owned(), value);
    add("cause", json!(cause(record.cause)));
    let kind = match record.outcome {
        Outcome::Granted => "granted",
        Outcome::Denied(denial) => {
            add("reason", json!(snake(&format!("{denial:?}"))));
            "denied"
        }
        Outcome::LockoutStarted(length) => {
            add("seconds", json!(length.as_secs()));
            "lockout"
        }
        Outcome::Locked => "locked",
        Outcome::Lockdown(on) => {
            add("on", json!(on));
            "lockdown"
        }
    };
    if let Some(evidence) = &record.evidence {
        evidence_into(evidence, is_recognised(&record.outcome), house, &mut add);
    }
    Entry { kind, fields }
}

/// What the audit log keeps of a command: who gave it and why, before what came of it.
pub fn of_command(command: Command, uid: u32, reason: Option<&str>) -> Entry {
    let mut fields = Map::new();
    fields.insert("command".into(), json!(snake(&format!("{command:?}"))));
    if let Command::Lockdown(on) = command {
        fields.insert("on".into(), json!(on));
    }
    fields.insert("uid".into(), json!(uid));
    if let Some(reason) = reason {
        // The log takes short texts only.
        fields.insert("reason".into(), json!(reason.chars().take(200).collect::<String>()));
    }
    Entry { kind: "command", fields }
}

/// What the audit log keeps of its own return: for a while it could not be written.
pub fn of_return() -> Entry {
    Entry { kind: "recording_again", fields: Map::new() }
}

/// What the audit log keeps of rules that changed while the daemon ran.
pub fn of_rules(policy: &Policy) -> Entry {
    let votes = &policy.votes;
    let liveness = match votes.liveness {
        LivenessPolicy::UnknownAccepted => Value::Null,
        LivenessPolicy::Required(least) => rounded(least.0),
    };
    let facts = [
        ("threshold", rounded(votes.threshold.0)),
        ("margin", rounded(votes.margin.0)),
        ("votes_needed", json!(votes.needed)),
        ("votes_of", json!(votes.of)),
        ("least_liveness", liveness),
        ("misses", json!(policy.lockout.misses)),
        ("faces_need_audit", json!(policy.faces_need_audit)),
    ];
    let fields = facts.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    Entry { kind: "rules", fields }
}

/// What the audit log keeps of an alarm.
pub fn of_alarm(kind: AlarmKind, raised: bool) -> Entry {
    let mut fields = Map::new();
    fields.insert("alarm".into(), json!(snake(&format!("{kind:?}"))));
    Entry { kind: if raised { "alarm" } else { "alarm_over" }, fields }
}

/// Whether the face was taken for the person most like it. Of a stranger that person is only the nearest,
/// and must not be found when one looks for what they did.
fn is_recognised(outcome: &Outcome) -> bool {
    use Denial::{Ambiguous, NotLive, NotRecognised, PoorQuality, TooFewVotes};
    match outcome {
        Outcome::LockoutStarted(_) => false,
        Outcome::Denied(denial) => {
            !matches!(denial, NotRecognised | Ambiguous | NotLive | TooFewVotes | PoorQuality(_))
        }
        _ => true,
    }
}

fn evidence_into(
    evidence: &Evidence,
    recognised: bool,
    house: &House,
    add: &mut impl FnMut(&str, Value),
) {
    add("track", json!(evidence.track.0));
    if let Some(person) = evidence.person {
        let (number, name) =
            if recognised { ("person", "name") } else { ("nearest", "nearest_name") };
        add(number, json!(person.0));
        add(name, json!(house.name(person)));
    }
    if let Some(score) = evidence.score {
        add("score", rounded(score.0));
    }
    add("threshold", rounded(evidence.threshold.0));
    if let Some(margin) = evidence.margin {
        add("margin", rounded(margin.0));
    }
    if let Quality::Poor(flaw) = evidence.quality {
        add("quality", json!(snake(&format!("{flaw:?}"))));
    }
}

/// A log for people needs no more, and says less about templates.
fn rounded(v: f32) -> Value {
    json!((f64::from(v) * 1000.0).round() / 1000.0)
}

fn cause(cause: Cause) -> &'static str {
    match cause {
        Cause::Face => "face",
        Cause::RequestToExit => "request_to_exit",
        Cause::Command => "command",
    }
}

/// `NotRecognised` to `not_recognised`, up to where a variant's values begin.
pub fn snake(debug: &str) -> String {
    let mut text = String::new();
    for c in debug.chars().take_while(|c| c.is_alphanumeric()) {
        if c.is_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.extend(c.to_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::{Flaw, Millis};

    #[test]
    fn a_record_says_what_was_decided_in_plain_words() {
        let record =
            |outcome| Record { at: Millis(5), cause: Cause::Face, outcome, evidence: None };
        let denied = of_record(
            &record(Outcome::Denied(Denial::PoorQuality(Flaw::TooDark))),
            &House::default(),
        );
        assert_eq!((denied.kind, &denied.fields["reason"]), ("denied", &json!("poor_quality")));
        assert_eq!(of_record(&record(Outcome::Granted), &House::default()).kind, "granted");
        let alarm = of_alarm(AlarmKind::ForcedOpen, true);
        assert_eq!(alarm.fields["alarm"], json!("forced_open"));
        let outcomes = [
            Outcome::Granted,
            Outcome::Denied(Denial::Lockout),
            Outcome::LockoutStarted(std::time::Duration::from_secs(30)),
            Outcome::Locked,
            Outcome::Lockdown(true),
        ];
        let others = [
            alarm,
            of_alarm(AlarmKind::Tamper, false),
            of_return(),
            of_rules(&Policy::default()),
            of_command(Command::Lock, 0, None),
        ];
        let house = House::default();
        let decisions = outcomes.map(|outcome| of_record(&record(outcome), &house));
        for Entry { kind, .. } in decisions.into_iter().chain(others) {
            assert!(KINDS.contains(&kind), "{kind}");
        }
    }
}
