//! The questions that the SmartModules ask about a record.

use crate::{
    params::{self, Names, ParamError},
    scan::{self, Members},
};

/// What `thin-map` lets through whole: some types, or everything but some types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    names: Names,
    listed_pass: bool,
}

impl Selection {
    /// Builds a selection from the parameters `types` and `except`, exactly one of which must be given.
    ///
    /// # Errors
    /// [`ParamError`], which names the parameter.
    pub fn from_params(types: Option<&str>, except: Option<&str>) -> Result<Self, ParamError> {
        match (types, except) {
            (Some(types), None) => Ok(Self { names: Names::parse("types", types)?, listed_pass: true }),
            (None, Some(except)) => Ok(Self { names: Names::parse("except", except)?, listed_pass: false }),
            (None, None) => Err(ParamError::Missing("`types` or `except`")),
            (Some(_), Some(_)) => Err(ParamError::Both),
        }
    }

    /// Says whether the record passes whole. One without a readable type passes under `except` only: the owner of a
    /// topic subscribes that way, so that exactly one subscriber sees (and dead-letters) what nobody can read.
    pub fn passes(&self, value: &[u8]) -> bool {
        self.passes_readable(value).unwrap_or(!self.listed_pass)
    }

    /// Says whether the record passes, or nothing if it cannot be read.
    pub(crate) fn passes_readable(&self, value: &[u8]) -> Option<bool> {
        let listed = scan::members(value)?.kind.is_some_and(|kind| self.names.contains(kind));
        Some(listed == self.listed_pass)
    }
}

/// What `event-filter` lets through: records that meet every condition given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    types: Option<Names>,
    except: Option<Names>,
    subject: Option<String>,
}

impl Filter {
    /// Builds a filter from the parameters `types`, `except` and `subject`, at least one of which must be given.
    ///
    /// # Errors
    /// [`ParamError`], which names the parameter.
    pub fn from_params(types: Option<&str>, except: Option<&str>, subject: Option<&str>) -> Result<Self, ParamError> {
        if types.is_none() && except.is_none() && subject.is_none() {
            return Err(ParamError::Missing("`types`, `except` or `subject`"));
        }
        Ok(Self {
            types: types.map(|list| Names::parse("types", list)).transpose()?,
            except: except.map(|list| Names::parse("except", list)).transpose()?,
            subject: subject.map(|value| params::name("subject", value)).transpose()?,
        })
    }

    /// Says whether the record meets every condition. One that cannot be read has neither type nor subject.
    pub fn passes(&self, value: &[u8]) -> bool {
        let Members { kind, subject, order_id } = scan::members(value).unwrap_or_default();
        let among = |names: &Names| kind.is_some_and(|kind| names.contains(kind));
        self.types.as_ref().is_none_or(among)
            && !self.except.as_ref().is_some_and(among)
            && self.subject.as_deref().is_none_or(|wanted| subject.or(order_id).is_some_and(|found| found.is(wanted)))
    }
}
