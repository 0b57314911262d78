//! What of the register the suite covers, computed from what cites it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use crate::mutant::{self, Fate, Matrix, Reach, Tries};
use crate::requirement::{self, Requirement};
use crate::runner::{Options, RunError, matches};
use crate::scenario;
use crate::{chameleon, oracle};

/// A requirement and all that cites it.
#[derive(Clone, Debug)]
pub struct Row {
    /// The requirement.
    pub requirement: &'static Requirement,
    /// Scenarios, by id.
    pub scenarios: Vec<&'static str>,
    /// Oracles, by name.
    pub oracles: Vec<&'static str>,
    /// Mutants that break it, by id.
    pub mutants: Vec<&'static str>,
    /// Those of them that were caught.
    pub caught: Vec<&'static str>,
    /// Switches of the chameleon that it allows, by name.
    pub switches: Vec<&'static str>,
    /// Why it is not to be covered.
    pub exception: Option<&'static str>,
}

impl Row {
    /// All that cites a requirement; nothing is known yet of which mutants are caught.
    pub fn new(requirement: &'static Requirement) -> Row {
        let id = requirement.id;
        let scenarios = scenario::all().iter().filter(|it| it.requirements.contains(&id));
        let oracles = oracle::all().iter().filter(|it| it.requirements.contains(&id));
        let mutants = mutant::all().iter().filter(|it| it.requirements.contains(&id));
        let switches = chameleon::all().iter().filter(|it| it.allowed_by.contains(&id));
        Row {
            requirement,
            scenarios: scenarios.map(|scenario| scenario.id).collect(),
            oracles: oracles.map(|oracle| oracle.name).collect(),
            mutants: mutants.map(|mutant| mutant.id).collect(),
            caught: Vec::new(),
            switches: switches.map(|switch| switch.name).collect(),
            exception: exception(requirement),
        }
    }

    /// Whether a scenario, an oracle or a switch is about it.
    pub fn is_covered(&self) -> bool {
        !(self.scenarios.is_empty() && self.oracles.is_empty() && self.switches.is_empty())
    }

    /// Whether it is neither covered nor excepted.
    pub fn is_open(&self) -> bool {
        !self.is_covered() && self.exception.is_none()
    }
}

/// Why a requirement need not be covered: nobody who plays the clients can see it, or what the list
/// of exceptions says.
fn exception(requirement: &Requirement) -> Option<&'static str> {
    match requirement.observable {
        "no" => Some("cannot be seen from outside"),
        "client-test" => Some("binds clients: only a server can see it"),
        _ => exceptions().get(requirement.id).copied(),
    }
}

fn exceptions() -> &'static BTreeMap<&'static str, &'static str> {
    static ALL: OnceLock<BTreeMap<&str, &str>> = OnceLock::new();
    ALL.get_or_init(|| {
        fixtures::EXCEPTIONS.lines().skip(1).filter_map(|line| line.split_once('\t')).collect()
    })
}

/// Every requirement, in the order of the register; nothing is known yet of which mutants are
/// caught.
pub fn rows() -> Vec<Row> {
    requirement::all().iter().map(Row::new).collect()
}

/// Those rows that these arguments name: sections, requirements, or globs of such; all where there is none.
///
/// # Errors
///
/// The first argument that names nothing.
pub fn selected(rows: Vec<Row>, arguments: &[String]) -> Result<Vec<Row>, String> {
    let is_named = |row: &Row, argument: &String| {
        matches(argument, row.requirement.section, &[row.requirement.id])
    };
    let names_nothing = |argument: &&String| !rows.iter().any(|row| is_named(row, argument));
    if let Some(argument) = arguments.iter().find(names_nothing) {
        return Err(argument.clone());
    }
    let is_selected =
        |row: &Row| arguments.is_empty() || arguments.iter().any(|it| is_named(row, it));
    Ok(rows.into_iter().filter(is_selected).collect())
}

/// Tries every mutant of these rows against the scenarios that cite what it breaks, and notes who was
/// caught. `on_trial` is called when one of so many was tried.
///
/// # Errors
///
/// When no scenario could be run.
pub async fn with_mutants(
    mut rows: Vec<Row>,
    options: &Options,
    on_trial: impl FnMut(usize),
) -> Result<Vec<Row>, RunError> {
    let matrix = trials(&rows, options, on_trial).await?;
    let is_caught = |id: &&&str| {
        let trial = matrix.trials.iter().find(|trial| trial.mutant.id == **id);
        trial.is_some_and(|trial| trial.fate() == Fate::Caught)
    };
    for row in &mut rows {
        row.caught = row.mutants.iter().filter(is_caught).copied().collect();
    }
    Ok(rows)
}

async fn trials(
    rows: &[Row],
    options: &Options,
    mut on_trial: impl FnMut(usize),
) -> Result<Matrix, RunError> {
    let named: BTreeSet<_> = rows.iter().flat_map(|row| &row.mutants).collect();
    let mutants: Vec<_> = mutant::all().iter().filter(|it| named.contains(&it.id)).collect();
    let scenarios: Vec<_> = scenario::all().iter().collect();
    let reach = Reach::Citing { sample: 0, seed: 0 };
    let mut tries = Tries::begin(&mutants, &scenarios, reach, options).await?;
    let mut matrix = Matrix::default();
    while let Some(trial) = tries.next().await? {
        matrix.trials.push(trial);
        on_trial(mutants.len());
    }
    Ok(matrix)
}

/// How many requirements of a part of the register are covered, and by what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All of them.
    pub requirements: usize,
    /// With a scenario.
    pub scenario: usize,
    /// With an oracle.
    pub oracle: usize,
    /// With a switch of the chameleon.
    pub switch: usize,
    /// With a mutant that is caught.
    pub mutant: usize,
    /// Not covered, with a reason.
    pub excepted: usize,
    /// Not covered.
    pub open: usize,
}

impl Counts {
    /// Counts rows.
    pub fn of<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Counts {
        let mut counts = Counts::default();
        for row in rows {
            counts.requirements += 1;
            counts.scenario += usize::from(!row.scenarios.is_empty());
            counts.oracle += usize::from(!row.oracles.is_empty());
            counts.switch += usize::from(!row.switches.is_empty());
            counts.mutant += usize::from(!row.caught.is_empty());
            counts.excepted += usize::from(!row.is_covered() && row.exception.is_some());
            counts.open += usize::from(row.is_open());
        }
        counts
    }

    /// The numbers in the order of [`Counts::COLUMNS`].
    pub fn numbers(&self) -> [usize; 7] {
        let Counts { requirements, scenario, oracle, switch, mutant, excepted, open } = *self;
        [requirements, scenario, oracle, switch, mutant, excepted, open]
    }

    /// What the numbers count.
    pub const COLUMNS: [&'static str; 7] =
        ["rows", "scenario", "oracle", "switch", "mutant", "excepted", "open"];
}

/// Rows by the first two numbers of their sections, in the order of the standard.
pub fn by_section(rows: &[Row]) -> Vec<(&'static str, Vec<&Row>)> {
    grouped(rows, |row| scenario::short_section(row.requirement.section))
}

/// Rows by level, the strictest first.
pub fn by_level(rows: &[Row]) -> Vec<(&'static str, Vec<&Row>)> {
    let mut groups = grouped(rows, |row| row.requirement.level);
    let rank = |level: &str| {
        ["MUST", "MUST NOT", "SHOULD", "SHOULD NOT"].iter().position(|it| *it == level)
    };
    groups.sort_by_key(|(level, _)| rank(level).unwrap_or(usize::MAX));
    groups
}

fn grouped(rows: &[Row], key: impl Fn(&Row) -> &'static str) -> Vec<(&'static str, Vec<&Row>)> {
    let mut groups: Vec<(&str, Vec<&Row>)> = Vec::new();
    for row in rows {
        let key = key(row);
        match groups.iter_mut().find(|(name, _)| *name == key) {
            Some((_, group)) => group.push(row),
            None => groups.push((key, vec![row])),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_are_requirements_that_nothing_covers() {
        let mut seen = BTreeSet::new();
        for (index, line) in fixtures::EXCEPTIONS.lines().enumerate() {
            let (id, reason) = line.split_once('\t').unwrap_or_else(|| panic!("no tab: {line}"));
            if index == 0 {
                assert_eq!((id, reason), ("id", "reason"));
                continue;
            }
            assert!(seen.insert(id) && !reason.trim().is_empty(), "{line}");
            let requirement = requirement::find(id).unwrap_or_else(|| panic!("no row {id}"));
            assert!(!Row::new(requirement).is_covered(), "{id} is covered and excepted");
            let seen = ["broker-test", "both"].contains(&requirement.observable);
            assert!(seen, "{id} is excepted by the register");
        }
    }

    #[test]
    fn rows_know_who_cites_them() {
        let row = |id: &str| Row::new(requirement::find(id).unwrap());
        let ping = row("MQTT-3.12.4-1");
        assert!(ping.scenarios.contains(&"3.12/answers-each"), "{:?}", ping.scenarios);
        assert!(ping.mutants.contains(&"3.12/pingresp-lost") && ping.is_covered());
        assert!(row("MQTT-3.14.0-1").oracles.contains(&"after-disconnect"));
    }

    #[test]
    fn counts_add_up() {
        let rows = rows();
        let all = Counts::of(&rows);
        assert_eq!(all.requirements, requirement::all().len());
        let covered = rows.iter().filter(|row| row.is_covered()).count();
        assert_eq!(covered + all.excepted + all.open, all.requirements);
        for groups in [by_section(&rows), by_level(&rows)] {
            let sum: usize = groups.iter().map(|(_, group)| group.len()).sum();
            assert_eq!(sum, all.requirements);
        }
    }

    #[test]
    fn who_is_caught_is_found_by_trying() {
        let options = Options {
            jobs: 2,
            timeout_scale: 1.0,
            token: "memory".to_owned(),
            ..Options::default()
        };
        let requirement = requirement::find("MQTT-3.12.4-1").unwrap();
        let mut row = Row::new(requirement);
        row.mutants = vec!["3.12/pingresp-lost"];
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let Ok(rows) = runtime.block_on(with_mutants(vec![row], &options, |_| ())) else {
            panic!()
        };
        assert_eq!(rows[0].caught, ["3.12/pingresp-lost"]);
    }
}
