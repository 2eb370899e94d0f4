//! Which versions of an app get its requests, and what a promotion or a rollback makes of that.
//!
//! Pure: owns the rules and the form in which engines keep the result. Knows nothing of rows, routes or of how a
//! request is assigned to a version.

use serde::{Deserialize, Serialize};

use crate::catalog::VersionId;

/// Versions that a rollback can go back through, of one app.
pub const PAST_MAX: usize = 32;

/// Which versions of an app get its requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traffic {
    /// Gets what the canary doesn't.
    pub main: VersionId,
    /// A second version that gets a part of the requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
    /// What was `main` before, the latest first: where a rollback goes. At most [`PAST_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub past: Vec<VersionId>,
}

/// A version that gets a part of the requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Canary {
    /// The version.
    pub version: VersionId,
    /// Its part of the requests.
    pub percent: Percent,
    /// Requests with the same value of this field go to the same version. Without it, each is drawn for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky_header: Option<String>,
}

/// More than nothing and less than all: 1 to 99.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Percent(u8);

/// Not 1 to 99.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} is no part of the requests: write 1 to 99; all of them is a promotion without a percentage"
)]
pub struct PercentError(u8);

impl Percent {
    /// Checks the bounds.
    ///
    /// # Errors
    /// When the number is 0, or 100 and more.
    pub fn new(percent: u8) -> Result<Self, PercentError> {
        if (1..=99).contains(&percent) {
            Ok(Self(percent))
        } else {
            Err(PercentError(percent))
        }
    }

    /// The number.
    pub fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for Percent {
    type Error = PercentError;

    fn try_from(percent: u8) -> Result<Self, PercentError> {
        Self::new(percent)
    }
}

impl From<Percent> for u8 {
    fn from(percent: Percent) -> Self {
        percent.0
    }
}

/// What somebody wants of an app's traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// All requests to one version.
    Promote(VersionId),
    /// A part of the requests to one version; the others stay where they are.
    Split(Canary),
    /// Back to what was: the canary ends, or, where there is none, the version before is `main` again.
    Back,
}

/// Why traffic can't change so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// The first version of an app can't share.
    #[error(
        "the app has no live version yet that could share its requests: promote one without a percentage"
    )]
    NothingLive,
    /// A version can't share with itself.
    #[error("this version gets all requests already: name another one for the canary")]
    SameVersion,
    /// Nothing to go back to.
    #[error("there is no version before this one to go back to")]
    NoPast,
}

impl Traffic {
    /// All requests to one version, with no past.
    pub fn all_to(main: VersionId) -> Self {
        Self {
            main,
            canary: None,
            past: Vec::new(),
        }
    }

    /// What a change makes of the traffic that is; `None` where there is none yet.
    ///
    /// # Errors
    /// When the change makes no sense for what is live.
    pub fn changed(before: Option<&Self>, change: Change) -> Result<Self, ChangeError> {
        let Some(before) = before else {
            return match change {
                Change::Promote(version) => Ok(Self::all_to(version)),
                Change::Split(_) => Err(ChangeError::NothingLive),
                Change::Back => Err(ChangeError::NoPast),
            };
        };
        match change {
            Change::Promote(version) => Ok(before.promoted(version)),
            Change::Split(canary) if canary.version == before.main => Err(ChangeError::SameVersion),
            Change::Split(canary) => Ok(Self {
                canary: Some(canary),
                ..before.clone()
            }),
            Change::Back if before.canary.is_some() => Ok(Self {
                canary: None,
                ..before.clone()
            }),
            Change::Back => {
                let (main, past) = before.past.split_first().ok_or(ChangeError::NoPast)?;
                Ok(Self {
                    main: *main,
                    canary: None,
                    past: past.to_vec(),
                })
            }
        }
    }

    fn promoted(&self, version: VersionId) -> Self {
        let mut past = self.past.clone();
        if version != self.main {
            // A version is in the past once: going back twice must not lead to where one is.
            past.retain(|earlier| *earlier != version && *earlier != self.main);
            past.insert(0, self.main);
            past.truncate(PAST_MAX);
        }
        Self {
            main: version,
            canary: None,
            past,
        }
    }

    /// A version's part of the requests, 0 to 100.
    pub fn percent_of(&self, version: VersionId) -> u8 {
        let canary = self.canary.as_ref();
        let canarys = canary.map_or(0, |canary| canary.percent.get());
        if version == self.main {
            100 - canarys
        } else if canary.is_some_and(|canary| canary.version == version) {
            canarys
        } else {
            0
        }
    }

    /// The versions that get requests, `main` first.
    pub fn serving(&self) -> impl Iterator<Item = VersionId> {
        std::iter::once(self.main).chain(self.canary.as_ref().map(|canary| canary.version))
    }

    /// The versions that have to be there: those that serve, and the one that a rollback goes to next.
    pub fn needed(&self) -> impl Iterator<Item = VersionId> {
        self.serving().chain(self.past.first().copied())
    }

    /// The same with a past that doesn't name these.
    #[must_use]
    pub fn without(mut self, gone: &[VersionId]) -> Self {
        self.past.retain(|version| !gone.contains(version));
        self
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn version(number: u8) -> VersionId {
        VersionId::from_bytes([number; 32])
    }

    fn canary(number: u8, percent: u8) -> Change {
        Change::Split(Canary {
            version: version(number),
            percent: Percent::new(percent).unwrap(),
            sticky_header: None,
        })
    }

    fn after(changes: impl IntoIterator<Item = Change>) -> Traffic {
        let mut traffic = None;
        for change in changes {
            traffic = Some(Traffic::changed(traffic.as_ref(), change).unwrap());
        }
        traffic.unwrap()
    }

    #[test]
    fn rollback_goes_back_step_by_step_and_not_to_and_fro() {
        let promotions = [1, 2, 3].map(|number| Change::Promote(version(number)));
        let three = after(promotions);
        let two = Traffic::changed(Some(&three), Change::Back).unwrap();
        let one = Traffic::changed(Some(&two), Change::Back).unwrap();
        assert_eq!((two.main, one.main), (version(2), version(1)));
        assert_eq!(
            Traffic::changed(Some(&one), Change::Back),
            Err(ChangeError::NoPast)
        );
    }

    #[test]
    fn rollback_of_a_canary_leaves_the_main_version_as_it_is() {
        let split = after([Change::Promote(version(1)), canary(2, 10)]);
        let back = Traffic::changed(Some(&split), Change::Back).unwrap();
        assert_eq!(back, Traffic::all_to(version(1)));
    }

    #[test]
    fn promoted_canary_gets_everything_and_the_old_main_is_the_past() {
        let promoted = after([
            Change::Promote(version(1)),
            canary(2, 10),
            Change::Promote(version(2)),
        ]);
        assert_eq!(promoted.main, version(2));
        assert_eq!(promoted.canary, None);
        assert_eq!(promoted.past, [version(1)]);
    }

    #[test]
    fn first_version_can_not_be_a_canary_and_none_can_share_with_itself() {
        let Change::Split(first) = canary(1, 50) else {
            unreachable!("`canary` makes splits")
        };
        assert_eq!(
            Traffic::changed(None, Change::Split(first.clone())),
            Err(ChangeError::NothingLive)
        );
        let live = Traffic::all_to(version(1));
        assert_eq!(
            Traffic::changed(Some(&live), Change::Split(first)),
            Err(ChangeError::SameVersion)
        );
    }

    fn changes() -> impl Strategy<Value = Vec<Change>> {
        let change = prop_oneof![
            (0_u8..6).prop_map(|number| Change::Promote(version(number))),
            (0_u8..6, 1_u8..100).prop_map(|(number, percent)| canary(number, percent)),
            Just(Change::Back),
        ];
        prop::collection::vec(change, 0..60)
    }

    proptest! {
        #[test]
        fn past_is_bounded_and_names_no_version_twice(changes in changes()) {
            let mut traffic: Option<Traffic> = None;
            for change in changes {
                if let Ok(next) = Traffic::changed(traffic.as_ref(), change) {
                    prop_assert!(next.past.len() <= PAST_MAX);
                    let mut seen = next.past.clone();
                    seen.push(next.main);
                    seen.sort_unstable();
                    seen.dedup();
                    prop_assert_eq!(seen.len(), next.past.len() + 1);
                    prop_assert!(next.canary.as_ref().is_none_or(|c| c.version != next.main));
                    let json = serde_json::to_string(&next).unwrap();
                    prop_assert_eq!(serde_json::from_str::<Traffic>(&json).unwrap(), next.clone());
                    traffic = Some(next);
                }
            }
        }
    }
}
