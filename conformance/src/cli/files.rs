//! How many files, connections among them, the system lets this process have open.

/// What the process has open besides connections of scenarios.
const OWN: u64 = 24;

/// What one scenario has open on average, with some to spare.
const EACH: u64 = 4;

/// Raises the limit as far as it goes; gives what it is then, if there is any.
#[cfg(unix)]
pub(super) fn raised_limit() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        // Some systems have a lower one that they do not tell.
        Err(_) => current,
    }
}

/// There is no such limit here.
#[cfg(not(unix))]
pub(super) fn raised_limit() -> Option<u64> {
    None
}

/// How many scenarios may run at once under such a limit, where each connection takes so many files.
///
/// # Errors
///
/// In a sentence, when not even one may.
pub(super) fn scenarios_within(limit: Option<u64>, each: u64) -> Result<Option<usize>, String> {
    let Some(limit) = limit else { return Ok(None) };
    match usize::try_from(limit.saturating_sub(OWN) / (EACH * each)).unwrap_or(usize::MAX) {
        0 => Err(format!(
            "the system lets this process open no more than {limit} files, and {} are needed: \
             raise that with `ulimit -n`",
            OWN + EACH * each
        )),
        scenarios => Ok(Some(scenarios)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_low_limit_means_fewer_at_once_and_a_lower_one_none() {
        assert_eq!(scenarios_within(None, 1), Ok(None));
        assert_eq!(scenarios_within(Some(64), 1), Ok(Some(10)));
        assert_eq!(scenarios_within(Some(64), 2), Ok(Some(5)));
        let error = scenarios_within(Some(27), 1).unwrap_err();
        assert!(error.contains("no more than 27 files, and 28 are needed"), "{error}");
    }
}
