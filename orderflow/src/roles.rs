//! Which part of the whole a process runs: its roles, its systems, and which of their processors.
//!
//! Every process has its own health and metrics, whatever it runs. Topics belong to the systems, not to who runs them: each process sees to it that they are all there.

use std::collections::BTreeSet;

use anyhow::{bail, ensure};
use clap::{Args, ValueEnum};
use fluvio_streams::system::System;
use serde::Deserialize;

/// What a process may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Role {
    /// Is the embedded broker.
    Broker,
    /// Runs the processors.
    Processors,
    /// Keeps the views up to date.
    Views,
    /// Takes commands and serves the views over HTTP.
    Api,
}

/// Which processors an instance runs, as it is set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Selection {
    /// Systems, for example `food-delivery,movie-booking` [default: all]
    #[arg(long, env = "ORDERFLOW_SYSTEMS", value_name = "NAMES", value_delimiter = ',')]
    pub(crate) systems: Option<Vec<String>>,
    /// Run only these processors, for example `store,payments`; `<system>/<processor>` means that of one system [default: all]
    #[arg(long, env = "ORDERFLOW_ONLY", value_name = "NAMES", value_delimiter = ',')]
    pub(crate) only: Option<Vec<String>>,
    /// Run all processors but these
    #[arg(long, env = "ORDERFLOW_WITHOUT", value_name = "NAMES", value_delimiter = ',')]
    pub(crate) without: Option<Vec<String>>,
}

/// What a process runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Roles(BTreeSet<Role>);

impl Role {
    const ALL: [Self; 4] = [Self::Broker, Self::Processors, Self::Views, Self::Api];

    fn name(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            Self::Processors => "processors",
            Self::Views => "views",
            Self::Api => "api",
        }
    }
}

impl Roles {
    /// Returns what a process does that was given these roles, and that has a cluster or a MongoDB of others, or not.
    ///
    /// # Errors
    /// If that cannot work; the text names the flag and says what to do.
    pub(crate) fn resolve(given: Option<&[Role]>, has_cluster: bool, has_mongodb: bool) -> anyhow::Result<Self> {
        // Who has a cluster needs no broker.
        let default = || Role::ALL.into_iter().filter(|role| *role != Role::Broker || !has_cluster).collect();
        let roles = Self(given.map_or_else(default, |given| given.iter().copied().collect()));
        let flag = format!("--roles {}", roles.0.iter().map(|role| role.name()).collect::<Vec<_>>().join(","));
        ensure!(!roles.0.is_empty(), "--roles: give at least one of broker, processors, views, api");
        ensure!(!(roles.has(Role::Broker) && has_cluster), "{flag}: a process that uses a cluster has no broker of its own; leave out `broker` or --fluvio");
        ensure!(
            roles.has(Role::Broker) || has_cluster,
            "{flag}: without `broker` it needs a cluster; give --fluvio with the address of its SC, which may be the --sc-addr of the process that has the broker"
        );
        ensure!(
            has_mongodb || roles.has(Role::Api) == roles.has(Role::Views),
            "{flag}: embedded views are kept and served by one process; give it both `views` and `api`, or keep the views in a MongoDB with --mongodb"
        );
        Ok(roles)
    }

    pub(crate) fn has(&self, role: Role) -> bool {
        self.0.contains(&role)
    }

    /// Returns the names of the roles.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|role| role.name())
    }
}

impl Default for Roles {
    fn default() -> Self {
        Self(Role::ALL.into())
    }
}

impl Selection {
    /// Returns this selection, filled up from another one. Which processors run is said by one of them alone.
    pub(crate) fn or(self, other: Self) -> Self {
        let systems = self.systems.or(other.systems);
        let (only, without) = if self.only.is_some() || self.without.is_some() { (self.only, self.without) } else { (other.only, other.without) };
        Self { systems, only, without }
    }

    /// Checks what can be checked without knowing the systems.
    ///
    /// # Errors
    /// If the settings contradict each other or the roles; the text names the flags.
    pub(crate) fn check(&self, roles: &Roles) -> anyhow::Result<()> {
        let flag = match (&self.only, &self.without) {
            (Some(_), Some(_)) => bail!("--only and --without: give one of them"),
            (Some(_), None) => "--only",
            (None, Some(_)) => "--without",
            (None, None) => return Ok(()),
        };
        ensure!(roles.has(Role::Processors), "{flag}: this process runs no processors; leave the flag out, or add `processors` to --roles");
        Ok(())
    }

    /// Returns the systems that are wanted, whole.
    ///
    /// # Errors
    /// If one is unknown; the text lists those there are.
    pub(crate) fn systems(&self, all: Vec<System>) -> anyhow::Result<Vec<System>> {
        let Some(wanted) = &self.systems else { return Ok(all) };
        let known: Vec<&str> = all.iter().map(|system| system.name).collect();
        for name in wanted {
            ensure!(known.contains(&name.as_str()), "--systems: there is no `{name}`; there are {}", known.join(", "));
        }
        ensure!(!wanted.is_empty(), "--systems: give at least one of {}", known.join(", "));
        Ok(all.into_iter().filter(|system| wanted.iter().any(|name| name == system.name)).collect())
    }

    /// Returns the systems with those of their processors that are to run; those of which none does are left out.
    ///
    /// # Errors
    /// If a processor is unknown, or none is left; the text lists those there are.
    pub(crate) fn running(&self, systems: &[System]) -> anyhow::Result<Vec<System>> {
        let (flag, names) = match (&self.only, &self.without) {
            (Some(names), _) => ("--only", names.as_slice()),
            (None, Some(names)) => ("--without", names.as_slice()),
            (None, None) => ("--without", [].as_slice()),
        };
        let is_named = |name: &str, system: &System, processor: &str| match name.split_once('/') {
            Some((of, name)) => of == system.name && name == processor,
            None => name == processor,
        };
        for name in names {
            let is_known = systems.iter().any(|system| processors(system).any(|processor| is_named(name, system, processor)));
            ensure!(is_known, "{flag}: there is no processor `{name}`; there are {}", list(systems));
        }
        let runs = |system: &System, processor: &str| names.iter().any(|name| is_named(name, system, processor)) == self.only.is_some();
        let mut running = systems.to_vec();
        for system in &mut running {
            let whole = system.clone();
            system.topology.processors.retain(|spec| runs(&whole, &spec.name));
        }
        running.retain(|system| !system.topology.processors.is_empty());
        if running.is_empty() {
            bail!("{flag}: no processor is left; there are {}", list(systems));
        }
        Ok(running)
    }
}

fn processors(system: &System) -> impl Iterator<Item = &str> {
    system.topology.processors.iter().map(|spec| spec.name.as_str())
}

/// Returns the full names of all processors of these systems.
pub(crate) fn full_names(systems: &[System]) -> Vec<String> {
    systems.iter().flat_map(|system| processors(system).map(|processor| format!("{}/{processor}", system.name))).collect()
}

fn list(systems: &[System]) -> String {
    full_names(systems).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Option<Vec<String>> {
        Some(text.split(',').map(str::to_owned).collect())
    }

    fn running(selection: &Selection) -> anyhow::Result<Vec<String>> {
        let systems = selection.systems(crate::systems::all().expect("the settings work"))?;
        selection.running(&systems).map(|running| full_names(&running))
    }

    #[test]
    fn roles_that_cannot_work_are_refused_with_what_to_do() {
        use Role::{Api, Broker, Processors, Views};
        for (roles, has_cluster, has_mongodb, says) in [
            (vec![Broker, Processors], true, false, "leave out `broker` or --fluvio"),
            (vec![Processors], false, false, "give --fluvio"),
            (vec![Api], true, false, "give it both `views` and `api`"),
            (vec![Broker, Views], false, false, "give it both `views` and `api`"),
            (vec![], true, false, "give at least one"),
        ] {
            let error = Roles::resolve(Some(&roles), has_cluster, has_mongodb).expect_err("it cannot work").to_string();
            assert!(error.contains("--roles") && error.contains(says), "{error}");
        }
        for (roles, has_cluster, has_mongodb) in
            [(vec![Broker], false, false), (vec![Api], true, true), (vec![Views], true, true), (vec![Views, Api], true, false), (vec![Processors], true, false)]
        {
            Roles::resolve(Some(&roles), has_cluster, has_mongodb).expect("it can work");
        }
        assert_eq!(Roles::resolve(None, false, false).expect("the default works"), Roles::default());
        assert!(!Roles::resolve(None, true, false).expect("the default works").has(Broker));
    }

    #[test]
    fn processors_are_chosen_by_their_names_in_all_systems_or_in_one() {
        let all = running(&Selection::default()).expect("the default works");
        let payments = running(&Selection { only: names("payments"), ..Selection::default() }).expect("they are known");
        assert!(payments.contains(&"food-delivery/payments".to_owned()) && payments.iter().all(|name| name.ends_with("/payments")), "{payments:?}");
        let one = running(&Selection { only: names("food-delivery/payments,store"), ..Selection::default() }).expect("they are known");
        assert_eq!(one, ["food-delivery/payments", "food-delivery/store"]);
        let others = running(&Selection { without: names("food-delivery/payments,store"), ..Selection::default() }).expect("they are known");
        assert_eq!(others.len() + one.len(), all.len());
        assert!(others.iter().all(|name| !one.contains(name)), "{others:?}");
    }

    #[test]
    fn a_name_that_there_is_not_is_answered_with_those_that_there_are() {
        for (selection, flag) in [
            (Selection { systems: names("pizza"), ..Selection::default() }, "--systems"),
            (Selection { only: names("store,oven"), ..Selection::default() }, "--only"),
            (Selection { without: names("oven"), ..Selection::default() }, "--without"),
            (Selection { without: names("pizza/store"), ..Selection::default() }, "--without"),
        ] {
            let error = running(&selection).expect_err(flag).to_string();
            assert!(error.starts_with(flag) && error.contains("food-delivery"), "{error}");
        }
        let every = running(&Selection::default()).expect("the default works");
        let error = running(&Selection { without: Some(every), ..Selection::default() }).expect_err("nothing is left").to_string();
        assert!(error.contains("no processor is left"), "{error}");
    }

    #[test]
    fn only_and_without_exclude_each_other_and_the_nearer_one_wins() {
        let both = Selection { only: names("store"), without: names("payments"), ..Selection::default() };
        assert!(both.check(&Roles::default()).expect_err("they exclude each other").to_string().contains("--without"));
        let only = Selection { only: names("store"), ..Selection::default() };
        assert!(only.check(&Roles([Role::Broker].into())).expect_err("it runs no processors").to_string().contains("--only"));
        let near = Selection { without: names("store"), ..Selection::default() };
        let far = Selection { only: names("payments"), systems: names("food-delivery"), ..Selection::default() };
        let joined = near.clone().or(far);
        assert_eq!((joined.only, joined.without, joined.systems), (None, near.without, names("food-delivery")));
    }
}
