use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::*;
use crate::authentication::{Cost, hash_password};
use crate::codec::QoS;
use crate::core::{Action, DollarTopics, Handling, Sharing, Users};

/// For every key something that it can be and is not by default.
const CANDIDATES: [&str; 9] =
    ["true", "false", "1", "77", "'x'", "['x']", "'the-same'", "'dropped'", "'nobody'"];

fn read(text: &str) -> Result<Settings, String> {
    let mut settings = Settings::default();
    settings.read("broker.toml", text).map_err(|error| error.to_string())?;
    Ok(settings)
}

#[test]
fn a_file_sets_what_it_names_and_nothing_else() {
    let settings = read(
        "listen = ['mqtt://[::1]:0', 'ws://127.0.0.1:0']\n\
         announced.maximum_qos = 1\n\
         [message]\n\
         dollar_topics = \"handed-on\"\n\
         queue_limit = 1_000\n\
         [session]\n\
         connect_timeout = 0.5\n\
         [redirection]\n\
         on = true\n\
         server_reference = 'other:1883'\n",
    )
    .unwrap();
    let expected = Config {
        maximum_qos: QoS::AtLeastOnce,
        handling: Handling { dollar_topics: DollarTopics::HandedOn, ..Handling::default() },
        queue_limit: 1000,
        connect_timeout: Duration::from_millis(500),
        redirection: Some(Redirection {
            is_permanent: false,
            reference: Some("other:1883".into()),
        }),
        ..Config::default()
    };
    assert_eq!(settings.config(), expected);
    assert_eq!(settings.listen, ["mqtt://[::1]:0", "ws://127.0.0.1:0"]);
}

#[test]
fn what_is_wrong_is_told_with_its_line_and_what_to_do() {
    for (text, expected) in [
        (
            "\n[announced]\nmaximum_qso = 1\n",
            "broker.toml:3: there is no key 'announced.maximum_qso'; did you mean \
             'announced.maximum_qos'?",
        ),
        (
            "[bounds]\nqueue_limit = 1\n",
            "broker.toml:2: there is no key 'bounds.queue_limit'; did you mean \
             'message.queue_limit'?",
        ),
        (
            "frobnication = { of = 'gears' }",
            "broker.toml:1: there is no key 'frobnication'; the nearest is \
             'listen'",
        ),
        (
            "listen = 1883",
            "broker.toml:1: 'listen' is to be a list in brackets, each text in quotes",
        ),
        (
            "announced = { receive_maximum = 65536 }",
            "broker.toml:1: 'announced.receive_maximum' is to be a whole number up to 65535",
        ),
        (
            "[subscription]\nsharing = 'random'\n",
            "broker.toml:2: 'subscription.sharing' is to be \"in-turn\" or \"in-turn-absent-too\" or \
             \"the-same\"",
        ),
        (
            "[session]\nconnect_timeout = -1.5\n",
            "broker.toml:2: 'session.connect_timeout' is to be a number of seconds, such as 30 or 0.5",
        ),
        ("\nlisten =\n", "broker.toml:2: string values must be quoted, expected literal string"),
        (
            "message = 3",
            "broker.toml:1: 'message' is a table; a key in it is 'message.send_window'",
        ),
    ] {
        assert_eq!(read(text).unwrap_err(), expected, "{text}");
    }
}

#[test]
fn an_assignment_is_as_good_as_a_line() {
    let mut settings = Settings::default();
    settings.set("message.queue_limit = 7").unwrap();
    settings.set("subscription.sharing=the-same").unwrap();
    settings.set("listen=['ws://127.0.0.1:0']").unwrap();
    assert_eq!(settings.config().queue_limit, 7);
    assert_eq!(settings.config().handling.sharing, Sharing::TheSame);
    assert_eq!(settings.listen, ["ws://127.0.0.1:0"]);
    let error = |assignment| settings.clone().set(assignment).unwrap_err().to_string();
    assert_eq!(
        error("message.queue_limits=7"),
        "there is no key 'message.queue_limits'; did you mean 'message.queue_limit'?"
    );
    assert_eq!(
        error("zzz=7"),
        "there is no key 'zzz'; the nearest is 'http'" // All four letters would have to go.
    );
    assert_eq!(
        error("announced.retain_available=yes"),
        "'announced.retain_available' is to be true or false, not yes"
    );
    assert_eq!(
        error("maximum_qos"),
        "'maximum_qos' is no KEY=VALUE, such as message.queue_limit=100"
    );
}

#[test]
fn what_is_printed_can_be_read_again() {
    let mut settings = Settings::default();
    for assignment in [
        "announced.server_keep_alive=60",
        "answer.response_information=\"a \\\"quoted\\\" \\\\ one\"",
        "session.timer_grain=0.25",
        "tls.certificate=/etc/broker.pem",
        "taps=['sensors/{room}/#']",
    ] {
        settings.set(assignment).unwrap();
    }
    assert_eq!(read(&settings.to_toml()).unwrap(), settings);
    assert_eq!(read(&Settings::default().to_toml()).unwrap(), Settings::default());
}

#[test]
fn any_time_that_is_printed_can_be_read_again() {
    for time in ["0", "0.5", "1e-9", "4294967295", "4294967296.0", "1e10", "1e19", "30"] {
        let settings = read(&format!("shell.packet_timeout = {time}")).unwrap();
        assert_eq!(read(&settings.to_toml()), Ok(settings), "{time}");
    }
}

#[test]
fn every_key_has_an_effect_of_its_own() {
    let printed = Settings::default().to_toml();
    for key in KEYS {
        let changes = |value: &&str| {
            let mut settings = Settings::default();
            settings.set(&format!("{}={value}", key.name)).is_ok()
                && settings.to_toml() != printed
                && settings != Settings::default()
        };
        assert!(CANDIDATES.iter().any(changes), "{}", key.name);
        for text in [key.what, key.why] {
            assert!(text.len() > 1 && text.ends_with('.'), "{}", key.name);
        }
        assert_eq!(KEYS.iter().filter(|other| other.name == key.name).count(), 1, "{}", key.name);
    }
}

/// The values of a configuration by the names of their fields.
fn leaves(config: &Config) -> BTreeMap<String, String> {
    let mut leaves = BTreeMap::new();
    let mut path: Vec<String> = Vec::new();
    for (number, line) in format!("{config:#?}").lines().enumerate() {
        let line = line.trim().trim_end_matches(',');
        let (name, value) = line.split_once(": ").unwrap_or(("", line));
        match value.chars().last() {
            Some('{' | '(' | '[') => path.push(name.to_owned()),
            Some('}' | ')' | ']') if value.len() == 1 => drop(path.pop()),
            _ if name.is_empty() => drop(leaves.insert(format!("{path:?} {number}"), value.into())),
            _ => drop(leaves.insert(format!("{path:?} {name}"), value.into())),
        }
    }
    leaves
}

#[test]
fn every_field_of_the_core_has_a_key() {
    let before = leaves(&Config::default());
    let mut without: BTreeSet<_> = before.keys().cloned().collect();
    for key in KEYS {
        for value in CANDIDATES {
            let mut settings = Settings { redirection_on: true, ..Settings::default() };
            if settings.set(&format!("{}={value}", key.name)).is_ok() {
                let after = leaves(&settings.config());
                without.retain(|name| before.get(name) == after.get(name));
            }
        }
    }
    for of_users_and_rules in ["asks", "methods", "rules"] {
        assert!(without.remove(&format!("[\"\", \"access\"] {of_users_and_rules}")));
    }
    assert!(before.len() > 50, "{before:#?}");
    assert_eq!(without, BTreeSet::new());
}

#[test]
fn users_and_rules_are_lists() {
    let random: crate::authentication::Random = std::sync::Arc::new(|bytes| {
        bytes.fill(7);
        Ok(())
    });
    let hashed = hash_password("secret", Cost::least(), &random).unwrap();
    let text = format!(
        "[[user]]\nname = 'alice'\npassword = '{}'\nscram = '{}'\n\
         [[rule]]\nuser = 'alice'\nfilter = 'home/{{user}}/#'\n\
         [[rule]]\nanonymous = true\naction = 'publish'\nfilter = '#'\nallow = false\n",
        hashed.password, hashed.scram
    );
    let settings = read(&text).unwrap();
    let access = settings.authenticator(true).unwrap().unwrap().access();
    assert!(access.asks);
    assert_eq!(access.methods, ["SCRAM-SHA-256".into()]);
    let rules = settings.rules().unwrap();
    assert_eq!(rules.len(), 2);
    assert_eq!((&rules[0].users, rules[0].allow), (&Users::Named("alice".into()), true));
    assert_eq!((rules[1].action, &rules[1].users), (Action::Publish, &Users::Anonymous));
    for (text, expected) in [
        (
            "[[user]]\nnam = 'alice'",
            "broker.toml:2: there is no key 'user.nam'; did you mean 'user.name'? (all that a [[user]] \
             has: name, password, scram)",
        ),
        (
            "[[rule]]\nfrobnicates = 'a/#'",
            "broker.toml:2: there is no key 'rule.frobnicates'; did you mean 'rule.filter'? \
             (all that a [[rule]] has: user, anonymous, action, filter, allow)",
        ),
        ("[user]\nname = 'alice'", "broker.toml:1: 'user' is written as [[user]]"),
        ("rule = [1]", "broker.toml:1: 'rule' is written as [[rule]]"),
    ] {
        assert_eq!(read(text).unwrap_err(), expected, "{text}");
    }
    let wrong = read("[[user]]\nname = 'alice'\npassword = 'secret'").unwrap();
    let error = wrong.authenticator(true).unwrap_err();
    assert!(error.starts_with("user 'alice': "), "{error}");
    assert!(!error.contains("secret"), "{error}");
    let wrong = read("[[rule]]\nfilter = 'a/#/b'").unwrap();
    assert!(wrong.rules().unwrap_err().starts_with("rule.filter 'a/#/b': "));
}

#[test]
fn strangers_enter_only_where_this_machine_can_come_unless_said() {
    let with = |anonymous: &str| {
        let mut settings = Settings::default();
        settings.set(&format!("access.anonymous={anonymous}")).unwrap();
        settings
    };
    assert!(Settings::default().authenticator(true).unwrap().is_none());
    assert!(Settings::default().authenticator(false).unwrap().is_some());
    assert!(with("everybody").authenticator(false).unwrap().is_none());
    assert!(with("nobody").authenticator(true).unwrap().is_some());
}

#[test]
fn users_and_rules_are_whole_or_refused() {
    let refused = |text: &str| {
        let settings = read(text).unwrap();
        let users = settings.authenticator(true).map(|_| ());
        users.and_then(|()| settings.rules().map(|_| ())).expect_err(text)
    };
    for (text, told) in [
        ("[[user]]\npassword = 'x'", "a [[user]] has no name"),
        ("[[user]]\nname = 'bob'", "user 'bob': password is not an argon2id hash; --hash-password"),
        ("[[rule]]\nfilter = '#'\nuser = 'bob'", "rule.user 'bob' is the name of no [[user]]"),
        ("[[rule]]\nallow = false", "a [[rule]] has no filter"),
        ("[[rule]]\nfilter = 'a/#/b'", "rule.filter 'a/#/b': "),
    ] {
        let error = refused(text);
        assert!(error.starts_with(told), "{error}");
    }
    for name in ["user", "user.name", "rule", "rule.filter"] {
        let error = Settings::default().set(&format!("{name}=x")).unwrap_err().to_string();
        assert!(error.contains("[[user]] and [[rule]]"), "{error}");
    }
}

#[test]
fn who_may_enter_where_is_known_beforehand() {
    let may = |text: &str| {
        let settings = read(text).unwrap();
        [true, false].map(|is_local| settings.may_somebody_enter(is_local))
    };
    assert_eq!(may(""), [true, false]);
    assert_eq!(may("access.anonymous = 'nobody'"), [false, false]);
    assert_eq!(may("access.anonymous = 'everybody'"), [true, true]);
    assert_eq!(may("access.anonymous = 'nobody'\n[[user]]\nname = 'bob'"), [true, true]);
}
