//! Migrations: the files that bring a database's schema up to date, one after another.
//!
//! Owns what they are called, their order, and what may become of those that a database has already: they stay as they
//! are, and new ones come after them. All that a database doesn't have is applied in one transaction, so that a deploy
//! finds the schema that it was written for or the one from before. Pure: reads no folder and runs no SQL.

use everwarm_manifest::Digest;

use super::SqlError;
use crate::artifacts::digest_of;
use crate::catalog::UnixMillis;

/// Migrations of a database.
pub const MIGRATIONS_MAX: usize = 1_000;
/// Bytes of one.
pub const MIGRATION_BYTES_MAX: usize = 1 << 20;
/// Bytes of all.
pub const MIGRATIONS_BYTES_MAX: usize = 8 << 20;
/// Bytes of a file's name.
pub const NAME_BYTES_MAX: usize = 100;
/// Digits at the start of a name.
const DIGITS: usize = 4;

/// One migration, as its file says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// The file's name: four digits, `_`, a name of letters, digits, `_` and `-`, `.sql`.
    pub name: String,
    /// Its statements.
    pub text: String,
}

impl Migration {
    /// Names its content.
    pub fn digest(&self) -> Digest {
        digest_of(self.text.as_bytes())
    }
}

/// Migrations with valid names, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Migrations(Vec<Migration>);

/// A migration that a database has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The file's name.
    pub name: String,
    /// Its content.
    pub digest: Digest,
    /// When it was applied.
    pub at: UnixMillis,
}

/// Why files are no migrations.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MigrationsError {
    /// A name has another form.
    #[error(
        "`{name}` is no name of a migration: call it `0001_what_it_does.sql`, four digits first and \
         letters from a to z, digits, `_` and `-` after them, at most {NAME_BYTES_MAX} characters"
    )]
    BadName {
        /// The name, shortened.
        name: String,
    },
    /// Two have one number.
    #[error("`{first}` and `{second}` have one number: give the later one the next that is free")]
    SameNumber {
        /// One of them.
        first: String,
        /// The other.
        second: String,
    },
    /// There are too many, or they are too large.
    #[error(
        "{what}: there may be {MIGRATIONS_MAX} migrations of {MIGRATION_BYTES_MAX} bytes, \
         {MIGRATIONS_BYTES_MAX} in all"
    )]
    TooLarge {
        /// What is too large.
        what: String,
    },
}

/// Why a database's schema wasn't brought up to date. Nothing is changed then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MigrateError {
    /// One that the database has was changed.
    #[error(
        "the migration `{name}` was changed after it was applied (it was {was} and is {is}): \
         put it back as it was, and write the change into a new migration"
    )]
    Changed {
        /// Its name.
        name: String,
        /// What was applied.
        was: Digest,
        /// What is there now.
        is: Digest,
    },
    /// One that the database has is gone, or has another name.
    #[error(
        "the migration `{name}` was applied and isn't there any more: put it back as it was, \
         and undo what it did in a new migration"
    )]
    Removed {
        /// Its name.
        name: String,
    },
    /// A new one comes before one that the database has.
    #[error(
        "the migration `{name}` is new and comes before `{applied}`, which was applied: \
         give it a number after that one's"
    )]
    OutOfOrder {
        /// The new one.
        name: String,
        /// The one after it that the database has.
        applied: String,
    },
    /// A statement of one failed.
    #[error("the migration `{name}` failed, and none was applied: {source}")]
    Statement {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: SqlError,
    },
    /// The database can't be used.
    #[error(transparent)]
    Sql(#[from] SqlError),
}

impl Migrations {
    /// Checks the names, and puts the files in order of their numbers.
    ///
    /// # Errors
    ///
    /// [`MigrationsError`].
    pub fn new(mut files: Vec<Migration>) -> Result<Self, MigrationsError> {
        let too_large = |what: String| Err(MigrationsError::TooLarge { what });
        if files.len() > MIGRATIONS_MAX {
            return too_large(format!("there are {}", files.len()));
        }
        for file in &files {
            if !is_name(&file.name) {
                let name = file.name.chars().take(NAME_BYTES_MAX).collect::<String>();
                let name = name.escape_debug().to_string();
                return Err(MigrationsError::BadName { name });
            }
            if file.text.len() > MIGRATION_BYTES_MAX {
                return too_large(format!("`{}` has {} bytes", file.name, file.text.len()));
            }
        }
        let bytes: usize = files.iter().map(|file| file.text.len()).sum();
        if bytes > MIGRATIONS_BYTES_MAX {
            return too_large(format!("they have {bytes} bytes"));
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        for pair in files.windows(2) {
            if number(&pair[0].name) == number(&pair[1].name) {
                return Err(MigrationsError::SameNumber {
                    first: pair[0].name.clone(),
                    second: pair[1].name.clone(),
                });
            }
        }
        Ok(Self(files))
    }

    /// In order.
    pub fn list(&self) -> &[Migration] {
        &self.0
    }

    /// Those that a database doesn't have yet.
    ///
    /// # Errors
    ///
    /// [`MigrateError`] when those that it has aren't the first ones.
    pub fn after(&self, applied: &[Applied]) -> Result<&[Migration], MigrateError> {
        for (place, had) in applied.iter().enumerate() {
            let Some(now) = self.0.iter().find(|now| now.name == had.name) else {
                let name = had.name.clone();
                return Err(MigrateError::Removed { name });
            };
            let (was, is) = (had.digest, now.digest());
            if was != is {
                let name = had.name.clone();
                return Err(MigrateError::Changed { name, was, is });
            }
            // All before it are there, so another in its place is new.
            if self.0[place].name != had.name {
                return Err(MigrateError::OutOfOrder {
                    name: self.0[place].name.clone(),
                    applied: had.name.clone(),
                });
            }
        }
        Ok(&self.0[applied.len()..])
    }
}

fn number(name: &str) -> &str {
    &name[..DIGITS]
}

fn is_name(name: &str) -> bool {
    if name.len() > NAME_BYTES_MAX || !name.is_ascii() {
        return false;
    }
    let Some((digits, rest)) = name.split_at_checked(DIGITS) else {
        return false;
    };
    let word = rest.strip_prefix('_').and_then(|r| r.strip_suffix(".sql"));
    digits.bytes().all(|byte| byte.is_ascii_digit())
        && word.is_some_and(|word| {
            let is_part = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
            !word.is_empty() && word.bytes().all(is_part)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(names: &[&str]) -> Vec<Migration> {
        let file = |name: &&str| Migration {
            name: (*name).to_owned(),
            text: format!("-- {name}"),
        };
        names.iter().map(file).collect()
    }

    fn applied(names: &[&str]) -> Vec<Applied> {
        let had = |file: Migration| Applied {
            digest: file.digest(),
            name: file.name,
            at: UnixMillis(1),
        };
        files(names).into_iter().map(had).collect()
    }

    #[test]
    fn files_are_in_order_of_their_numbers() {
        let list = Migrations::new(files(&["0010_c.sql", "0002_b-2.sql", "0001_a.sql"])).unwrap();
        let names: Vec<_> = list.list().iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["0001_a.sql", "0002_b-2.sql", "0010_c.sql"]);
    }

    #[test]
    fn names_of_other_forms_are_refused() {
        let long = format!("0001_{}.sql", "a".repeat(NAME_BYTES_MAX));
        for name in [
            "",
            "1_a.sql",
            "00001_a.sql",
            "0001-a.sql",
            "0001_.sql",
            "0001_a.txt",
            "0001_a b.sql",
            "0001_A.sql",
            "0001_../x.sql",
            "0001_\u{e9}.sql",
            "\u{e9}001_a.sql",
            ".sql",
            "README.md",
            &long,
        ] {
            let error = Migrations::new(files(&[name])).unwrap_err();
            assert!(matches!(error, MigrationsError::BadName { .. }), "{name}");
        }
        let error = Migrations::new(files(&["0001_a.sql", "0001_b.sql"])).unwrap_err();
        assert!(error.to_string().contains("0001_b.sql"), "{error}");
    }

    #[test]
    fn what_is_too_large_is_refused() {
        let mut large = files(&["0001_a.sql"]);
        large[0].text = "-".repeat(MIGRATION_BYTES_MAX + 1);
        assert!(Migrations::new(large).is_err());
        let many: Vec<_> = (0..=MIGRATIONS_MAX)
            .map(|n| format!("{n:04}_a.sql"))
            .collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        assert!(Migrations::new(files(&many)).is_err());
        assert!(Migrations::new(files(&many[1..])).is_ok());
    }

    #[test]
    fn only_new_ones_after_those_that_there_are_are_applied() {
        let list = Migrations::new(files(&["0001_a.sql", "0003_c.sql", "0004_d.sql"])).unwrap();
        let new = |had: &[&str]| -> Result<Vec<String>, MigrateError> {
            let new = list.after(&applied(had))?;
            Ok(new.iter().map(|one| one.name.clone()).collect())
        };
        assert_eq!(new(&[]).unwrap().len(), 3);
        assert_eq!(new(&["0001_a.sql"]).unwrap(), ["0003_c.sql", "0004_d.sql"]);
        assert!(
            new(&["0001_a.sql", "0003_c.sql", "0004_d.sql"])
                .unwrap()
                .is_empty()
        );

        let wrong = |had: &[&str]| new(had).unwrap_err();
        assert_eq!(
            wrong(&["0001_a.sql", "0002_b.sql"]),
            MigrateError::Removed {
                name: "0002_b.sql".to_owned()
            }
        );
        assert_eq!(
            wrong(&["0001_a.sql", "0004_d.sql"]),
            MigrateError::OutOfOrder {
                name: "0003_c.sql".to_owned(),
                applied: "0004_d.sql".to_owned()
            }
        );
        let mut changed = applied(&["0001_a.sql"]);
        changed[0].digest = digest_of(b"other");
        let error = list.after(&changed).unwrap_err();
        assert!(matches!(&error, MigrateError::Changed { name, .. } if name == "0001_a.sql"));
        assert!(error.to_string().contains("0001_a.sql"));
    }
}
