//! Where the reports of a run go: to files, which are written beside and renamed, so that one of an
//! earlier run is whole until that of this run is, or to standard output.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write, stdout};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use conformance::exit::Exit;
use conformance::report::html::write_side_by_side;
use conformance::report::read::Reread;
use conformance::report::{Report, badge, causes, html, json, junit, markdown, pcapng};
use conformance::repro::Failure as Shown;
use conformance::runner::Repeat;
use conformance::verdict::Verdict;
use reference_broker::transport::url::Endpoint;

use super::{Failure, saved};

/// The name that stands for standard output.
const STANDARD_OUTPUT: &str = "-";

/// A report that is asked for.
#[derive(Clone, Debug)]
pub(super) struct Destination {
    kind: Kind,
    path: PathBuf,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// The JSON that a badge is made from.
    Badge,
    /// A badge as an image.
    BadgeImage,
    Html,
    Json,
    JUnit,
    Markdown,
    /// A page with several targets side by side.
    Matrix,
    Pcapng,
    /// A folder with a program for each cause of a failure.
    Repro,
    /// A folder with the text of an issue for each.
    Issue,
}

impl FromStr for Destination {
    type Err = String;

    fn from_str(text: &str) -> Result<Destination, String> {
        let (kind, path) = text.split_once('=').unwrap_or((text, ""));
        let kind = match kind {
            "badge" if path.ends_with(".svg") => Kind::BadgeImage,
            "badge" => Kind::Badge,
            "html" => Kind::Html,
            "json" => Kind::Json,
            "junit" => Kind::JUnit,
            "markdown" => Kind::Markdown,
            "matrix" => Kind::Matrix,
            "pcapng" => Kind::Pcapng,
            "repro" => Kind::Repro,
            "issue" => Kind::Issue,
            other => {
                return Err(format!(
                    "no report '{other}': use badge=FILE.json, badge=FILE.svg, html=FILE, json=FILE, junit=FILE, \
                     markdown=FILE, matrix=FILE or pcapng=FILE, or - for standard output; or repro=FOLDER or \
                     issue=FOLDER"
                ));
            }
        };
        match path {
            "" => Err("no file after '='".to_owned()),
            STANDARD_OUTPUT if kind.is_of_many() => {
                Err("a folder is needed: `mqttspec repro` prints a single one".to_owned())
            }
            path => Ok(Destination { kind, path: path.into() }),
        }
    }
}

/// What stands in a file's name for that of a target.
const TARGET: &str = "{target}";

/// A file's name with that of a target in its place. Several targets need one each.
pub(super) fn of_target(path: &Path, target: &str) -> Result<PathBuf, Failure> {
    let name = path.to_string_lossy();
    let target = Path::new(target).file_stem().unwrap_or_default().to_string_lossy();
    match name.contains(TARGET) {
        true => Ok(name.replace(TARGET, &target).into()),
        false => Err((
            Exit::Usage,
            format!("{name}: several targets need a file each: put {TARGET} into its name"),
        )),
    }
}

impl Destination {
    /// Whether it is about all targets at once.
    pub(super) fn is_matrix(&self) -> bool {
        matches!(self.kind, Kind::Matrix)
    }

    /// The one for this target of several.
    pub(super) fn of_target(&self, target: &str) -> Result<Destination, Failure> {
        Ok(Destination { path: of_target(&self.path, target)?, ..*self })
    }
}

/// The pages with all targets side by side.
#[derive(Debug)]
pub(super) struct Matrices(Reports);

impl Matrices {
    /// Looks at their places before the run.
    pub(super) fn prepare(destinations: &[Destination]) -> Result<Matrices, Failure> {
        Reports::prepare(destinations, &[]).map(Matrices)
    }

    /// Writes them, with the reports of all targets.
    pub(super) fn write(&self, reports: &[Report]) -> Result<(), Failure> {
        for (_, place) in &self.0.0 {
            let told = |error: io::Error| (Exit::Trouble, format!("{place}: {error}"));
            let reports = reread(reports).map_err(told)?;
            place.write(|out| write_side_by_side(&reports, out)).map_err(told)?;
        }
        Ok(())
    }
}

/// Reports as those are who read them later.
fn reread(reports: &[Report]) -> io::Result<Vec<Reread>> {
    let again = reports.iter().map(|report| {
        let mut text = Vec::new();
        json::write(report, &mut text)?;
        Reread::parse(&String::from_utf8_lossy(&text)).map_err(io::Error::other)
    });
    again.collect()
}

impl Kind {
    /// Whether it is a folder of files.
    fn is_of_many(self) -> bool {
        matches!(self, Kind::Repro | Kind::Issue)
    }
}

/// The file in which GitHub Actions takes the summary of a step, as Markdown.
const STEP_SUMMARY: &str = "GITHUB_STEP_SUMMARY";

/// Adds a summary to that of the step of a workflow, if this is one.
pub(super) fn summarise(report: &Report) -> Result<(), Failure> {
    let Some(path) = std::env::var_os(STEP_SUMMARY).filter(|path| !path.is_empty()) else {
        return Ok(());
    };
    let file = OpenOptions::new().create(true).append(true).open(&path);
    let written = file.and_then(|file| {
        let mut out = BufWriter::new(file);
        markdown::write(report, &mut out)?;
        out.flush()
    });
    written.map_err(|error| (Exit::Trouble, format!("{STEP_SUMMARY} {}: {error}", path.display())))
}

/// The reports of a run, whose places have been looked at.
#[derive(Debug)]
pub(super) struct Reports(Vec<(Kind, Place)>);

/// Where something is written that is to be whole.
#[derive(Debug)]
pub(super) enum Place {
    StandardOutput,
    /// A file that is replaced when the report is whole.
    Replaced(PathBuf),
    /// What cannot be replaced, such as a pipe, or a file in a folder that takes no other.
    Overwritten(PathBuf),
    /// A folder of files that are written by their own names.
    Folder(PathBuf),
}

impl Reports {
    /// Looks at the places before the run, so that a wrong path does not cost one, and leaves what is
    /// there as it is. `lists` are files of other uses.
    pub(super) fn prepare(
        destinations: &[Destination],
        lists: &[&Path],
    ) -> Result<Reports, Failure> {
        let mut taken: Vec<_> = lists.iter().filter_map(|path| whole(path).ok()).collect();
        let mut reports = Vec::new();
        for Destination { kind, path } in destinations {
            let fail = |error: String| (Exit::Usage, format!("{}: {error}", path.display()));
            let (name, place) = match path.as_os_str() == STANDARD_OUTPUT {
                true => (path.clone(), Place::StandardOutput),
                false if kind.is_of_many() => {
                    fs::create_dir_all(path).map_err(|error| fail(error.to_string()))?;
                    let whole = whole(path).map_err(|error| fail(error.to_string()))?;
                    // The programs of the issues may stand beside them.
                    (whole.join(format!("{kind:?}")), Place::Folder(path.clone()))
                }
                false => {
                    let whole = whole(path).map_err(|error| fail(error.to_string()))?;
                    let place = Place::of(&whole).map_err(|error| fail(error.to_string()))?;
                    (whole, place)
                }
            };
            if taken.contains(&name) {
                return Err(fail("one file for two purposes: give each report its own".to_owned()));
            }
            taken.push(name);
            reports.push((*kind, place));
        }
        Ok(Reports(reports))
    }

    /// Whether one goes to standard output, which then has nothing else.
    pub(super) fn take_standard_output(&self) -> bool {
        self.0.iter().any(|(_, place)| matches!(place, Place::StandardOutput))
    }

    /// Writes all of them; the first error is told when all have been tried.
    pub(super) fn write(
        &self,
        report: &Report,
        repeat: Option<&Repeat>,
        endpoint: &Endpoint,
    ) -> Result<(), Failure> {
        let mut done = Ok(());
        for (kind, place) in &self.0 {
            if let Place::Folder(folder) = place {
                done = done.and(write_all(*kind, folder, report, endpoint));
                continue;
            }
            let written = place.write(|out| match kind {
                Kind::Json => match repeat {
                    Some(repeat) => {
                        json::write_repeat(report, repeat.runs(), &repeat.changed(), out)
                    }
                    None => json::write(report, out),
                },
                Kind::Badge => badge::write_json(report, out),
                Kind::BadgeImage => badge::write_svg(report, out),
                Kind::Html => html::write(report, out),
                Kind::JUnit => junit::write(report, out),
                Kind::Markdown => markdown::write(report, out),
                Kind::Matrix => write_side_by_side(&reread(std::slice::from_ref(report))?, out),
                Kind::Pcapng => pcapng::write(report, out),
                Kind::Repro | Kind::Issue => Ok(()),
            });
            let told = written.map_err(|error| (Exit::Trouble, format!("{place}: {error}")));
            done = done.and(told);
        }
        done
    }
}

/// Writes a file for each cause of a failure; says of which there is none.
fn write_all(
    kind: Kind,
    folder: &Path,
    report: &Report,
    endpoint: &Endpoint,
) -> Result<(), Failure> {
    let causes = causes(report);
    for cause in causes.iter().filter(|cause| cause.verdict == Verdict::Fail) {
        let shown = Shown { report, cause, endpoint };
        let file = |extension: &str| folder.join(format!("{}.{extension}", shown.file_name()));
        if matches!(kind, Kind::Issue) {
            saved::write(&file("md"), &shown.issue())?;
        }
        match shown.program() {
            Ok(program) => saved::write(&file("py"), &program.text)?,
            Err(why) => {
                let id = cause.cause.id();
                // Whoever does not see it sees that there is no file.
                let _ = writeln!(io::stderr(), "mqttspec: no program for {id}: {why}");
            }
        }
    }
    Ok(())
}

impl Place {
    /// That of a file, as it is named.
    pub(super) fn at(path: &Path) -> io::Result<Place> {
        whole(path).and_then(|path| Place::of(&path))
    }

    fn of(path: &Path) -> io::Result<Place> {
        match fs::metadata(path) {
            Ok(is) if is.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
            Ok(is) if !is.is_file() => return Ok(Place::Overwritten(path.to_owned())),
            _ => {}
        }
        let beside = beside(path);
        match File::create(&beside) {
            Ok(_) => {
                fs::remove_file(&beside)?;
                Ok(Place::Replaced(path.to_owned()))
            }
            // A file that is there may be open to us though its folder is not.
            Err(error) => match OpenOptions::new().append(true).open(path) {
                Ok(_) => Ok(Place::Overwritten(path.to_owned())),
                Err(_) => Err(error),
            },
        }
    }

    pub(super) fn write(
        &self,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        let whole = |file: &mut dyn Write| {
            let mut out = BufWriter::new(file);
            write(&mut out)?;
            out.flush()
        };
        match self {
            Place::Folder(_) => Err(io::ErrorKind::IsADirectory.into()),
            Place::StandardOutput => match whole(&mut stdout().lock()) {
                // A reader that has seen enough, such as `head`, is no error.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                written => written,
            },
            Place::Overwritten(path) => {
                whole(&mut OpenOptions::new().write(true).truncate(true).open(path)?)
            }
            Place::Replaced(path) => {
                let beside = beside(path);
                let replaced = File::create(&beside)
                    .and_then(|mut file| whole(&mut file))
                    .and_then(|()| keep_permissions(path, &beside))
                    .and_then(|()| fs::rename(&beside, path));
                if replaced.is_err() {
                    // That it is in the way is the smaller trouble, and told with the other.
                    let _ = fs::remove_file(&beside);
                }
                replaced
            }
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::StandardOutput => f.write_str("standard output"),
            Place::Replaced(path) | Place::Overwritten(path) | Place::Folder(path) => {
                path.display().fmt(f)
            }
        }
    }
}

/// The one name of a file that may have many, whether it is there or not.
fn whole(path: &Path) -> io::Result<PathBuf> {
    match (fs::canonicalize(path), path.file_name()) {
        (Err(error), Some(name)) if error.kind() == io::ErrorKind::NotFound => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            Ok(fs::canonicalize(folder.unwrap_or(Path::new(".")))?.join(name))
        }
        (found, _) => found,
    }
}

/// Where a file is written until it is whole: in its own folder, from where it can be renamed.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.part", std::process::id()))
}

fn keep_permissions(old: &Path, new: &Path) -> io::Result<()> {
    match fs::metadata(old) {
        Ok(is) => fs::set_permissions(new, is.permissions()),
        Err(_) => Ok(()),
    }
}
