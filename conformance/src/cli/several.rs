//! The suite on several targets, one after another.

use std::io::{self, Write};

use conformance::exit::Exit;
use conformance::report::Report;

use super::reports::of_target;
use super::run::{RunArguments, run_one};
use super::{Failure, print};

/// Runs it on each of these target files. Where one cannot be tested, that is told, and the next has its turn.
pub(super) fn run(
    arguments: &RunArguments,
    files: &[String],
) -> Result<(Exit, Vec<Report>), Failure> {
    let each = files.iter().map(|file| for_one(arguments, file));
    let each = each.collect::<Result<Vec<_>, _>>()?;
    let (mut exits, mut reports) = (Vec::new(), Vec::new());
    for (file, arguments) in files.iter().zip(each) {
        print(&format!("== {file}\n"))?;
        match run_one(&arguments) {
            Ok((exit, report)) => {
                exits.push(exit);
                let is_last = report.interrupted;
                reports.push(report);
                if is_last {
                    break;
                }
            }
            Err((exit, message)) => {
                // When even standard error is gone, the exit code still tells.
                let _ = writeln!(io::stderr(), "mqttspec: {message}");
                exits.push(exit);
            }
        }
    }
    Ok((worst(&exits), reports))
}

/// What is asked of one of the targets.
fn for_one(arguments: &RunArguments, file: &str) -> Result<RunArguments, Failure> {
    let mut one = arguments.clone();
    one.target = arguments.target.only(file);
    for report in &mut one.reports {
        *report = report.of_target(file)?;
    }
    for list in [&mut one.known_deviations, &mut one.write_known_deviations].into_iter().flatten() {
        *list = of_target(list, file)?;
    }
    Ok(one)
}

/// What was seen outweighs trouble, as with one target.
fn worst(exits: &[Exit]) -> Exit {
    let order = [Exit::Unexpected, Exit::Trouble, Exit::Usage, Exit::NothingSelected];
    order.into_iter().find(|exit| exits.contains(exit)).unwrap_or(Exit::AsExpected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_all_targets_is_told() {
        assert_eq!(worst(&[Exit::AsExpected, Exit::AsExpected]), Exit::AsExpected);
        assert_eq!(worst(&[Exit::AsExpected, Exit::Trouble]), Exit::Trouble);
        assert_eq!(worst(&[Exit::Trouble, Exit::Unexpected, Exit::AsExpected]), Exit::Unexpected);
    }
}
