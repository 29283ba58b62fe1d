use super::timetable;
use crate::{
    decision::{Permission, Roster},
    gallery::{Gallery, GalleryError, Matcher, Name, PersonId},
};
use std::{collections::HashMap, sync::Arc};

/// The household as it is enrolled at one moment: names, templates, and who is let in when.
#[derive(Clone, Default)]
pub struct House {
    people: HashMap<PersonId, (Name, Permission)>,
    matcher: Arc<Matcher>,
}

impl House {
    /// Everybody in a gallery. Whoever has a timetable that cannot be read is let in at no time, and the
    /// log says so.
    ///
    /// # Errors
    /// [`GalleryError`].
    pub fn of(gallery: &Gallery) -> Result<Self, GalleryError> {
        let people = gallery.list()?.into_iter().map(|person| {
            let permission = match (&person.schedule, person.disabled) {
                (_, true) => Permission::Never,
                (None, _) => Permission::Always,
                (Some(text), _) => timetable(text).map_or_else(
                    |e| {
                        log::warn!("{} is let in at no time: {e}", person.name);
                        Permission::Never
                    },
                    Permission::Scheduled,
                ),
            };
            (person.id, (person.name, permission))
        });
        Ok(Self { people: people.collect(), matcher: Arc::new(gallery.matcher()?) })
    }

    /// Everybody's templates.
    pub fn matcher(&self) -> &Arc<Matcher> {
        &self.matcher
    }

    /// Somebody's name.
    pub fn name(&self, person: PersonId) -> Option<&str> {
        self.people.get(&person).map(|(name, _)| name.as_str())
    }
}

impl Roster for House {
    fn permission(&self, person: PersonId) -> Permission {
        self.people.get(&person).map_or(Permission::Never, |(_, permission)| permission.clone())
    }
}
