//! Brokers at addresses of every kind: over TLS and WebSocket, with passwords and certificates; and what
//! is told where they cannot be reached.

mod broker;
mod fakes;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use reference_broker::transport::tls::Authority;

use broker::{Broker, run};
use fakes::{mqttspec, server};

/// What nobody is to see.
const SECRET: &str = "swordfish-7Q";

/// The files of an authority, a broker it vouches for, and a client.
struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Files {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("tests").unwrap();
        let names = ["localhost", "127.0.0.1"];
        authority.server(&names).unwrap().write(folder.path(), "broker").unwrap();
        authority.expired_server(&names).unwrap().write(folder.path(), "expired").unwrap();
        authority.client("suite").unwrap().write(folder.path(), "suite").unwrap();
        authority
            .server(&["elsewhere.example"])
            .unwrap()
            .write(folder.path(), "elsewhere")
            .unwrap();
        std::fs::write(folder.path().join("ca.pem"), authority.certificate()).unwrap();
        let stranger = Authority::new("stranger").unwrap();
        std::fs::write(folder.path().join("stranger.pem"), stranger.certificate()).unwrap();
        stranger.client("stranger").unwrap().write(folder.path(), "impostor").unwrap();
        std::fs::write(folder.path().join("password"), format!("{SECRET}\r\n")).unwrap();
        Files { folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// A broker with a user `ann`, at an address of this scheme.
    fn broker(&self, scheme: &str, certificate: &str, more: &[&str]) -> Broker {
        let listen = format!("{scheme}://127.0.0.1:0");
        let config = self.path("broker.toml");
        std::fs::write(&config, self.user()).unwrap();
        let tls = [
            format!("tls.certificate={}", self.path(&format!("{certificate}.pem"))),
            format!("tls.key={}", self.path(&format!("{certificate}.key"))),
        ];
        let mut arguments = vec!["--listen", &listen, "--config", &config];
        for setting in tls.iter().map(String::as_str).chain(more.iter().copied()) {
            arguments.extend(["--set", setting]);
        }
        Broker::start(&arguments)
    }

    /// What the configuration of a broker says of the user.
    fn user(&self) -> String {
        let mut child = Command::new(env!("CARGO_BIN_EXE_mqttspec"))
            .args(["broker", "--hash-password", "ann"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        writeln!(child.stdin.take().unwrap(), "{SECRET}").unwrap();
        let output = child.wait_with_output().unwrap();
        let user = String::from_utf8(output.stdout).unwrap();
        format!("[access]\nanonymous = \"nobody\"\n{user}")
    }
}

#[test]
fn the_suite_goes_over_every_transport() {
    let files = Files::new();
    let client = format!("tls.client_authority={}", files.path("ca.pem"));
    for scheme in ["mqtt", "mqtts", "ws", "wss"] {
        let is_tls = ["mqtts", "wss"].contains(&scheme);
        let more = [client.as_str(), "tls.client_certificate_required=true"];
        let broker = files.broker(scheme, "broker", if is_tls { &more } else { &[] });
        let url = format!("{}://{}", scheme.to_uppercase(), broker.address);
        let password = files.path("password");
        let (ca, cert, key) =
            (files.path("ca.pem"), files.path("suite.pem"), files.path("suite.key"));
        let mut arguments = vec!["--username", "ann", "--password-file", &password];
        if is_tls {
            arguments.extend(["--ca", &ca, "--cert", &cert, "--key", &key]);
        }
        arguments.extend(["3.12", "3.1/*client*", "3.3/retain*", "4.8", "3.14"]);
        let (code, report, text) = run(&url, &arguments);
        assert_eq!(code, Some(0), "{scheme}: {text}");
        let rows = report["scenarios"].as_array().unwrap();
        assert!(rows.len() > 30, "{scheme}");
        assert!(
            report["target"]["url"].as_str().unwrap().starts_with(&format!("{scheme}://")),
            "{text}"
        );
        assert_eq!(broker.holds(), (0, 0), "{text}");
    }
}

/// Runs the suite where it cannot get far; gives the exit code and its one line.
fn refused(url: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let begun = Instant::now();
    let (code, stdout, stderr) = mqttspec(&[&["run", url], arguments].concat());
    assert_eq!(stdout, "", "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{stderr}");
    (code, stderr)
}

/// Serves a fixed answer to whatever comes first, and closes.
fn answering(answer: &'static str) -> String {
    let address = server(move |mut client| {
        let mut buffer = [0; 4096];
        let _ = client.read(&mut buffer);
        let _ = client.write_all(answer.as_bytes());
    });
    address.to_string()
}

#[test]
fn what_cannot_be_reached_is_told_with_what_to_do() {
    let files = Files::new();
    let client = format!("tls.client_authority={}", files.path("ca.pem"));
    let demanding = [client.as_str(), "tls.client_certificate_required=true"];
    let tls = files.broker("mqtts", "broker", &[]);
    let other = files.broker("mqtts", "elsewhere", &[]);
    let expired = files.broker("mqtts", "expired", &[]);
    let wants = files.broker("mqtts", "broker", &demanding);
    let plain = files.broker("mqtt", "broker", &[]);
    let ws = files.broker("ws", "broker", &[]);
    let ca = files.path("ca.pem");
    let stranger = files.path("stranger.pem");
    let impostor = (files.path("impostor.pem"), files.path("impostor.key"));
    let unused = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let not_found = answering("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    let other_protocol = answering("+OK pop3 ready\r\n");
    let own = ["--ca", &ca, "--cert", &impostor.0, "--key", &impostor.1];
    for (url, arguments, told) in [
        (format!("mqtts://{}", tls.address), vec!["--ca", &stranger], "not in "),
        (format!("mqtts://{}", other.address), vec!["--ca", &ca], "--server-name"),
        (format!("mqtts://{}", expired.address), vec!["--ca", &ca], "has expired"),
        (format!("mqtts://{}", wants.address), vec!["--ca", &ca], "--cert FILE"),
        (format!("mqtts://{}", wants.address), own.to_vec(), "may not trust"),
        (format!("mqtts://{}", plain.address), vec!["--ca", &ca], "name it as mqtt://"),
        (format!("mqtt://{}", tls.address), vec![], "name it as mqtts://"),
        (format!("mqtt://{}", ws.address), vec![], "name it as ws://"),
        (format!("ws://{}", plain.address), vec![], "name it as mqtt://"),
        (format!("ws://{}/nowhere", ws.address), vec![], "path /nowhere (404 Not Found)"),
        (format!("ws://{not_found}"), vec![], "path /mqtt (404 Not Found)"),
        (format!("ws://{other_protocol}"), vec![], "does not speak WebSocket"),
        (format!("mqtt://{}", plain.address), vec![], "--username"),
        (
            format!("mqtt://ann:wrong@{}", plain.address),
            vec![],
            "are its user name and password right",
        ),
        (format!("mqtt://{unused}"), vec![], "cannot be reached"),
        ("mqtts://localhost:1".to_owned(), vec!["--ca", "/nowhere.pem"], "/nowhere.pem"),
    ] {
        let (code, line) = refused(&url, &arguments);
        assert_eq!(code, Some(3), "{url} {arguments:?}: {line}");
        assert!(line.contains(told), "{url} {arguments:?}: {line}");
        assert!(!line.contains("wrong@"), "{line}");
    }
}

#[test]
fn what_is_asked_for_in_vain_is_told() {
    for (url, arguments, told) in [
        ("mqtt://h", vec!["--ca", "x"], "name it as mqtts://"),
        ("ws://h", vec!["--insecure"], "name it as wss://"),
        ("embedded:", vec!["--username", "a"], "--username is of no use with embedded:"),
        ("mqtt://a:b@h", vec!["--username", "a"], "leave one out"),
        ("mqtt://h", vec!["--password-env", "NO_SUCH_VARIABLE"], "no environment variable"),
        ("mqtt://h", vec!["--password-file", "/no/such/file"], "/no/such/file: No such file"),
        ("mqtt://u:top/secret@h", vec![], "as %2F"),
    ] {
        let (code, line) = refused(url, &arguments);
        assert_eq!(code, Some(2), "{line}");
        assert!(line.contains(told) && !line.contains("secret"), "{line}");
    }
}

#[test]
fn a_password_is_nowhere_to_be_seen() {
    let files = Files::new();
    // It answers no PINGREQ: something is to be told, with traces.
    let listen = "mqtt://127.0.0.1:0";
    let config = files.path("broken.toml");
    std::fs::write(&config, files.user()).unwrap();
    let broken = ["--listen", listen, "--config", &config, "--mutant", "3.12/pingresp-lost"];
    let broker = Broker::start(&broken);
    let folder = tempfile::tempdir().unwrap();
    let written = |name: &str| folder.path().join(name);
    let url = format!("mqtt://ann:{SECRET}@{}", broker.address);
    let mut child = Command::new(env!("CARGO_BIN_EXE_mqttspec"))
        .args(["run", &url, "3.12", "3.1/*client*", "3.1/*connect*", "-v", "--bytes"])
        .arg("--report")
        .arg(format!("json={}", written("a.json").display()))
        .arg("--report")
        .arg(format!("junit={}", written("a.xml").display()))
        .arg("--write-known-deviations")
        .arg(written("a.toml"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = child.stdout.take().unwrap();
    let (mut seen, mut buffer) = (Vec::new(), [0; 1]);
    // It has begun long ago when it first says something, and is still there.
    assert_eq!(output.read(&mut buffer).unwrap(), 1);
    if let Ok(arguments) = std::fs::read(format!("/proc/{}/cmdline", child.id())) {
        seen.extend(arguments);
    }
    seen.push(buffer[0]);
    output.read_to_end(&mut seen).unwrap();
    child.stderr.take().unwrap().read_to_end(&mut seen).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{}", String::from_utf8_lossy(&seen));
    for name in ["a.json", "a.xml", "a.toml"] {
        seen.extend(std::fs::read(written(name)).unwrap());
    }
    let seen = String::from_utf8_lossy(&seen);
    assert!(seen.contains("CONNECT") && seen.contains("(hidden)"), "{seen}");
    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>();
    for secret in [SECRET.to_owned(), hex(SECRET).concat(), hex(SECRET).join(" ")] {
        assert!(!seen.contains(&secret), "{secret}");
    }
    assert!(
        seen.contains(&format!("mqttspec run mqtt://USER:PASSWORD@{}", broker.address)),
        "{seen}"
    );
}

#[test]
fn a_broker_is_waited_for() {
    let address = {
        let free = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        free.local_addr().unwrap().to_string()
    };
    let url = format!("mqtt://{address}");
    let (code, _, line) = mqttspec(&["wait", &url, "--timeout", "300ms"]);
    assert_eq!(code, Some(3), "{line}");
    assert!(line.contains("not ready within 300ms") && line.contains("refused"), "{line}");
    let waiting = Command::new(env!("CARGO_BIN_EXE_mqttspec"))
        .args(["wait", &url])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let _broker = Broker::start(&["--listen", &url]);
    let output = waiting.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains(&format!("{url} answers")), "{text}");
}

#[test]
fn what_will_not_change_is_not_waited_for() {
    let files = Files::new();
    let broker = files.broker("mqtt", "broker", &[]);
    let begun = Instant::now();
    let (code, _, line) = mqttspec(&["wait", &broker.url(), "--timeout", "60s"]);
    assert_eq!(code, Some(3), "{line}");
    assert!(line.contains("--username") && begun.elapsed() < Duration::from_secs(30), "{line}");
    let (code, _, line) = mqttspec(&["wait", "mqtt://a:topsecret@h:x"]);
    assert!(code == Some(2) && !line.contains("topsecret"), "{line}");
}
