//! Reproductions: what a scenario finds on a mutant that is served over TCP, as a program, which shows the fault on
//! the mutant and none on a sound broker.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::thread;

use conformance::mutant::{self, Mutant};
use conformance::scenario::{self, Timing};
use conformance::target::{Need, Variant};
use reference_broker::core::Config;
use serde_json::Value;

use super::{MQTTSPEC, mqttspec};

/// So many mutants are tried at once: most of the time is spent waiting.
const AT_ONCE: usize = 8;

/// So many scenarios are tried for a mutant, until one of them has a program that shows it.
const SCENARIOS: usize = 5;

/// What several clients do at the same time a program does one after the other.
const AT_THE_SAME_TIME: &str = "clients act at the same time";

/// What a mutant has counted by then depends on what else has come to it.
const COUNTS: &str = "it counts";

/// Mutants whose programs need not show the fault, by the beginnings of their ids.
const BY_CHANCE: [(&str, &str); 14] = [
    ("3.1/overlapping-takeover-", AT_THE_SAME_TIME),
    ("3.1/second-takeover-", COUNTS),
    ("3.1/takeover-gets-no-connack", AT_THE_SAME_TIME),
    ("4.3/every-twentieth-puback-lost", COUNTS),
    ("4.5/both-retained", AT_THE_SAME_TIME),
    ("4.5/fan-out-stops-at-lost-subscriber", AT_THE_SAME_TIME),
    ("4.5/many-on-their-way-lost", AT_THE_SAME_TIME),
    ("4.5/none-retained", AT_THE_SAME_TIME),
    ("4.5/subscription-late", AT_THE_SAME_TIME),
    ("4.5/third-copy-lost-between-publishers", AT_THE_SAME_TIME),
    ("4.6/order-lost-between-", AT_THE_SAME_TIME),
    ("4.6/large-late", AT_THE_SAME_TIME),
    ("4.6/waiting-after-live", AT_THE_SAME_TIME),
    ("4.6/with-properties-late", AT_THE_SAME_TIME),
];

/// The variables by which programs are told who their clients are.
const USERS: [(&str, &str); 4] = [
    ("MQTT_USER", "ann"),
    ("MQTT_PASSWORD", "apple"),
    ("MQTT_SECOND_USER", "bob"),
    ("MQTT_SECOND_PASSWORD", "banana"),
];

/// What the second user may not do.
const RULES: &str = r#"
[[rule]]
user = "bob"
action = "publish"
filter = "+/+/+/unwritable/#"
allow = false

[[rule]]
user = "bob"
action = "subscribe"
filter = "+/+/+/unreadable/#"
allow = false
"#;

/// A broker as a process of its own.
struct Broker {
    process: Child,
    address: String,
}

impl Broker {
    fn start(arguments: &[String]) -> Broker {
        let mut command = Command::new(MQTTSPEC);
        command.args(["broker", "--listen", "mqtt://127.0.0.1:0"]).args(arguments);
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        let line = lines.into_iter().find_map(|it| Some(it.split_once("at mqtt://")?.1.to_owned()));
        Broker { process, address: line.unwrap() }
    }

    /// The exit code of a program for this broker, and what it says.
    fn meets(&self, program: &Path) -> (Option<i32>, String) {
        let (host, port) = self.address.split_once(':').unwrap();
        let mut python = Command::new("python3");
        let Output { status, stdout, stderr } =
            python.arg(program).args([host, port]).envs(USERS).output().unwrap();
        let said = String::from_utf8_lossy(&stdout) + String::from_utf8_lossy(&stderr);
        (status.code(), said.into_owned())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// How a broker is set up for a scenario.
#[derive(Default)]
struct SetUp {
    has_users: bool,
    has_scram: bool,
    redirects: bool,
}

impl SetUp {
    fn of(needs: &[Need]) -> SetUp {
        SetUp {
            has_users: needs.contains(&Need::Users) || needs.contains(&Need::Rights),
            has_scram: needs.contains(&Need::Scram),
            redirects: needs.contains(&Need::Redirection),
        }
    }

    /// The arguments of a broker that is set up so.
    fn arguments(&self, folder: &Path) -> Vec<String> {
        let mut arguments = Vec::new();
        if self.has_users || self.has_scram {
            let who = if self.has_users { "nobody" } else { "local" };
            let text = format!("access.anonymous = \"{who}\"\n{}\n{RULES}", users());
            let file = folder.join("broker.toml");
            std::fs::write(&file, text).unwrap();
            arguments.extend(["--config".to_owned(), file.display().to_string()]);
        }
        if self.redirects {
            let to = "redirection.server_reference=\"elsewhere.example:1883\"";
            arguments.extend(["--set", "redirection.on=true", "--set", to].map(str::to_owned));
        }
        arguments
    }

    /// The arguments by which the suite is told of a broker that is set up so.
    fn target(&self, broker: &Broker, folder: &Path) -> Vec<String> {
        if !(self.has_users || self.has_scram || self.redirects) {
            return vec![format!("mqtt://{}", broker.address)];
        }
        let mut text = format!(
            "about = \"a test\"\nrights = {}\nredirects = {}\naddress.mqtt = \"mqtt://{}\"\n",
            self.has_users, self.redirects, broker.address
        );
        let mut user = |table: &str, name: &str, password: &str| {
            let _ = writeln!(text, "[{table}]\nusername = \"{name}\"\npassword = \"{password}\"");
        };
        if self.has_users {
            user("credentials", "ann", "apple");
            user("other_user", "bob", "banana");
        }
        if self.has_scram {
            user("scram", "ann", "apple");
        }
        let file = folder.join("target.toml");
        std::fs::write(&file, text).unwrap();
        vec!["--target".to_owned(), file.display().to_string()]
    }
}

/// Ann and Bob, as a broker's configuration has them.
fn users() -> &'static str {
    static USERS: OnceLock<String> = OnceLock::new();
    USERS.get_or_init(|| {
        let user = |(name, password): (&str, &str)| {
            let mut command = Command::new(MQTTSPEC);
            command.args(["broker", "--hash-password", name]);
            let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            writeln!(process.stdin.take().unwrap(), "{password}").unwrap();
            String::from_utf8(process.wait_with_output().unwrap().stdout).unwrap()
        };
        [("ann", "apple"), ("bob", "banana")].map(user).join("\n")
    })
}

/// What a sound broker has to be told to announce the same as a mutant does.
fn announcing_as(mutant: &'static Mutant) -> Vec<String> {
    let (mut config, plain) = (Config::default(), Config::default());
    Variant::broken(mutant).configure(&mut config);
    let (features, usual) = (config.features, plain.features);
    let number = |name: &str, is: u32, was: u32| (is != was).then(|| format!("{name}={is}"));
    let flag = |name: &str, is: bool, was: bool| (is != was).then(|| format!("{name}={is}"));
    let announced = [
        number("receive_maximum", config.receive_maximum.into(), plain.receive_maximum.into()),
        number("maximum_packet_size", config.maximum_packet_size, plain.maximum_packet_size),
        number(
            "topic_alias_maximum",
            config.topic_alias_maximum.into(),
            plain.topic_alias_maximum.into(),
        ),
        number("maximum_qos", config.maximum_qos.value().into(), plain.maximum_qos.value().into()),
        flag("retain_available", features.retain, usual.retain),
        flag("wildcard_subscription_available", features.wildcards, usual.wildcards),
        flag(
            "subscription_identifier_available",
            features.subscription_identifiers,
            usual.subscription_identifiers,
        ),
        flag(
            "shared_subscription_available",
            features.shared_subscriptions,
            usual.shared_subscriptions,
        ),
    ];
    let set = |it| ["--set".to_owned(), format!("announced.{it}")];
    announced.into_iter().flatten().flat_map(set).collect()
}

/// What became of the reproductions of a mutant.
enum Fate {
    /// This scenario's shows it.
    Shown(&'static str),
    /// There is none, for this reason.
    None(String),
    /// It need not show it, for this reason.
    ByChance(&'static str),
    /// It does not show it, or, what is worse, a sound broker has it too.
    Wrong { is_false: bool, said: String },
}

/// Tries the reproductions of a mutant, by scenarios that notice it.
fn reproduced(mutant: &'static Mutant, scenarios: &[&'static str]) -> Fate {
    if let Err(why) = Variant::broken(mutant).served() {
        return Fate::None(why.split(", so").next().unwrap_or_default().to_owned());
    }
    let by_chance = BY_CHANCE.iter().find(|(id, _)| mutant.id.starts_with(id));
    let mut fate = Fate::None("no scenario notices it".to_owned());
    for id in scenarios.iter().take(SCENARIOS) {
        fate = match (by_scenario(mutant, id), by_chance) {
            (shown @ Fate::Shown(_), _) => return shown,
            (Fate::Wrong { is_false: false, .. }, Some((_, why))) => Fate::ByChance(why),
            (wrong @ Fate::Wrong { .. }, _) => return wrong,
            // That one does not show it says more than that there is none.
            (_, _) if matches!(fate, Fate::ByChance(_)) => fate,
            (other, _) => other,
        };
    }
    fate
}

fn by_scenario(mutant: &'static Mutant, id: &'static str) -> Fate {
    let folder = tempfile::tempdir().unwrap();
    let set_up = SetUp::of(scenario::find(id).unwrap().needs);
    let mut arguments = set_up.arguments(folder.path());
    let sound = [&arguments[..], &announcing_as(mutant)].concat();
    arguments.extend(["--mutant", mutant.id].map(str::to_owned));
    let broker = Broker::start(&arguments);
    let target = set_up.target(&broker, folder.path());
    // What does not come is waited for twice, and by the program on both brokers.
    let words = ["repro", id, "--timeout-scale", "0.4"].into_iter();
    let words = words.chain(target.iter().map(String::as_str));
    let Output { status, stdout, stderr } = Command::new(MQTTSPEC).args(words).output().unwrap();
    if !status.success() {
        let why = String::from_utf8_lossy(&stderr);
        return Fate::None(format!("{id}: {}", why.lines().last().unwrap_or_default()));
    }
    let program = folder.path().join("program.py");
    std::fs::write(&program, stdout).unwrap();
    // What a mutant counts begins anew with it.
    drop(broker);
    let on_mutant = Broker::start(&arguments).meets(&program);
    let on_sound = Broker::start(&sound).meets(&program);
    match (on_mutant.0, on_sound.0) {
        (Some(1), Some(0)) => Fate::Shown(id),
        (mutants, sounds) => Fate::Wrong {
            is_false: sounds == Some(1),
            said: format!(
                "{id}: {mutants:?} on the mutant, {sounds:?} on a sound broker\n{}\n{}",
                on_mutant.1, on_sound.1
            ),
        },
    }
}

/// The scenarios that notice each of these mutants, those first that cite what it breaks and fail by it.
fn noticed_by(mutants: &[&'static Mutant]) -> BTreeMap<&'static str, Vec<&'static str>> {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("matrix.json");
    let ids = mutants.iter().map(|mutant| mutant.id);
    let options = ["--sample", "0", "--json", json.to_str().unwrap()];
    let words: Vec<_> = std::iter::once("mutants").chain(ids).chain(options).collect();
    let (_, text) = mqttspec(&words);
    let matrix = std::fs::read(&json).unwrap_or_else(|error| panic!("{error}: {text}"));
    let matrix: Value = serde_json::from_slice(&matrix).unwrap();
    let scenarios = |row: &Value| {
        let mut all: Vec<_> = row["scenarios"].as_array().unwrap().iter().collect();
        all.sort_by_key(|it| (it["cites"] != true, it["verdict"] != "fail"));
        all.iter().filter_map(|it| Some(scenario::find(it["scenario"].as_str()?)?.id)).collect()
    };
    let rows = matrix["mutants"].as_array().unwrap().iter();
    rows.map(|row| (mutant::find(row["id"].as_str().unwrap()).unwrap().id, scenarios(row)))
        .collect()
}

/// So many mutants, chosen by a number.
fn drawn_of(mut from: Vec<&'static Mutant>, count: usize, mut seed: u64) -> Vec<&'static Mutant> {
    let mut drawn = Vec::new();
    while drawn.len() < count && !from.is_empty() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        drawn.push(from.swap_remove((seed >> 33) as usize % from.len()));
    }
    drawn
}

/// What became of each.
fn fates(mutants: &[&'static Mutant]) -> Vec<(&'static str, Fate)> {
    let noticed = noticed_by(mutants);
    let one = |mutant: &&'static Mutant| (mutant.id, reproduced(mutant, &noticed[mutant.id]));
    thread::scope(|scope| {
        let one = &one;
        let chunks = (0..AT_ONCE).map(|at| {
            let of_thread = mutants.iter().skip(at).step_by(AT_ONCE);
            scope.spawn(move || of_thread.map(one).collect::<Vec<_>>())
        });
        let threads: Vec<_> = chunks.collect();
        threads.into_iter().flat_map(|it| it.join().unwrap()).collect()
    })
}

/// Whether there is Python; where there is none, only CI objects.
fn has_python() -> bool {
    match Command::new("python3").arg("--version").output() {
        Ok(_) => true,
        Err(error) if std::env::var_os("CI").is_none() => {
            eprintln!("python3 cannot be started ({error}): no program was tried");
            false
        }
        Err(error) => panic!("python3: {error}"),
    }
}

#[test]
fn some_mutants_are_shown_by_programs() {
    if !has_python() {
        return;
    }
    let is_quick = |mutant: &&'static Mutant| {
        let cites = |it: &&scenario::Scenario| {
            it.requirements.iter().any(|id| mutant.requirements.contains(id))
        };
        let mut all = scenario::all().iter().filter(cites);
        Variant::broken(mutant).served().is_ok() && all.all(|it| it.timing == Timing::Prompt)
    };
    let quick = mutant::all().iter().filter(is_quick).collect();
    let drawn = drawn_of(quick, 6, 7);
    let mut shown = 0;
    for (id, fate) in fates(&drawn) {
        match fate {
            Fate::Shown(_) => shown += 1,
            // Of a few there is none: what they do wrong is nothing that a program looks at.
            Fate::None(why) => eprintln!("{id}: {why}"),
            Fate::Wrong { said: why, .. } => panic!("{id}: {why}"),
            Fate::ByChance(why) => panic!("{id}: {why}"),
        }
    }
    assert!(shown >= 4, "{shown} of {} shown", drawn.len());
}

/// As many as MQTTSPEC_REPROS says, or `all`, chosen by MQTTSPEC_REPROS_SEED: see `ci/repros`.
#[test]
#[ignore = "takes minutes; run by ci/repros"]
fn drawn() {
    let variable = |name| std::env::var(name).unwrap_or_default();
    let count = variable("MQTTSPEC_REPROS").parse().unwrap_or(usize::MAX);
    let seed = variable("MQTTSPEC_REPROS_SEED").parse().unwrap_or(1);
    assert!(has_python());
    let mut fates = fates(&drawn_of(mutant::all().iter().collect(), count, seed));
    fates.sort_by_key(|(id, _)| *id);
    let mut counts = [0; 4];
    for (id, fate) in &fates {
        let (kind, said) = match fate {
            Fate::Shown(scenario) => (0, format!("shown       {id}  by {scenario}")),
            Fate::None(why) => (1, format!("no program  {id}  {why}")),
            Fate::ByChance(why) => (2, format!("by chance   {id}  {why}")),
            Fate::Wrong { said, .. } => (3, format!("WRONG       {id}  {said}")),
        };
        counts[kind] += 1;
        println!("{said}");
    }
    let [shown, none, by_chance, wrong] = counts;
    println!(
        "seed {seed}: {} mutants: {shown} shown by programs, which find no fault in a sound broker; {none} without a \
         program, {by_chance} by chance, {wrong} wrong",
        fates.len()
    );
    assert_eq!(wrong, 0);
}

#[test]
fn a_program_goes_the_way_that_the_suite_went() {
    if !has_python() {
        return;
    }
    let arguments =
        ["broker", "--listen", "ws://127.0.0.1:0/mqtt", "--mutant", "3.12/pingresp-twice"];
    let mut process =
        Command::new(MQTTSPEC).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
    let url = lines.into_iter().find_map(|it| Some(it.strip_prefix("listening at ")?.to_owned()));
    let broker = Broker { process, address: String::new() };
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program.py");
    let (code, text) = mqttspec(&["repro", "3.12/answers-each", &url.unwrap()]);
    assert_eq!(code, Some(0), "{text}");
    std::fs::write(&program, text).unwrap();
    let output = Command::new("python3").arg(&program).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    drop(broker);
}
