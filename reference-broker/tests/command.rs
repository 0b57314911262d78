//! The broker as a command: what it says, what it refuses, how it ends.

#![cfg(all(feature = "server", unix))]

#[allow(dead_code)] // Only the client is needed.
mod support {
    pub(crate) mod net;
}

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use reference_broker::codec::{Connect, Packet, Publish, QoS, ReasonCode, Subscribe};
use reference_broker::transport::connector::connect;
use reference_broker::transport::tls::{Authority, ClientTls, Trust};
use support::net::Client;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const DEADLINE: Duration = Duration::from_secs(20);

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reference-broker"));
    command.args(arguments).stdin(Stdio::null()).env_remove("MQTTSPEC_LOG");
    command
}

fn run(arguments: &[&str]) -> (Output, String) {
    let output = command(arguments).output().unwrap();
    let errors = String::from_utf8(output.stderr.clone()).unwrap();
    (output, errors)
}

/// A broker that runs, and what it prints.
struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Running {
    fn start(arguments: &[&str]) -> Running {
        Running::of(&mut command(arguments))
    }

    fn of(command: &mut Command) -> Running {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Running { child, out }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Where it says it is.
    fn url(&mut self) -> String {
        let line = self.line();
        let url = line.rsplit(' ').next().unwrap();
        assert!(url.contains("://"), "{line}");
        url.to_owned()
    }

    fn terminate(&self) {
        signal(self.child.id(), "-TERM");
    }

    /// The exit code, and the rest of what it prints.
    fn end(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code(), rest)
    }
}

fn signal(process: u32, signal: &str) {
    assert!(Command::new("kill").args([signal, &process.to_string()]).status().unwrap().success());
}

impl Drop for Running {
    fn drop(&mut self) {
        // Only a test that has failed leaves it running.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_cannot_be_used_is_told_and_exits_with_2() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("broker.toml");
    std::fs::write(&file, "[announced]\nmaximum_qso = 1\n").unwrap();
    let file = file.to_str().unwrap();
    for (arguments, expected) in [
        (&["--config", file][..], ":2: there is no key 'announced.maximum_qso'; did you mean"),
        (&["--config", "/no/such/file"], "/no/such/file: "),
        (&["--set", "queue_limit=1"], "did you mean 'message.queue_limit'?"),
        (&["--listen", "mqqt://127.0.0.1:0"], "did you mean `mqtt://`?"),
        (&["--listen", "mqtts://127.0.0.1:0"], "needs the PEM files"),
        (&["--listen", "mqtt://127.0.0.1:0", "--tap", "a/{b"], "--tap a/{b: "),
        (&["--set", "tls.certificate=/no/such/file"], "tls.key is missing"),
        (&["--hash-password", "alice"], "standard input has no password"),
    ] {
        let (output, errors) = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
        assert!(errors.contains(expected), "{arguments:?}: {errors}");
        assert!(errors.starts_with("reference-broker: "), "{arguments:?}: {errors}");
    }
}

#[test]
fn the_configuration_it_prints_is_one_it_takes() {
    let (output, _) = run(&["--print-config", "--set", "message.queue_limit=77"]);
    assert_eq!(output.status.code(), Some(0));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("broker.toml");
    std::fs::write(&file, &output.stdout).unwrap();
    let (again, errors) = run(&["--print-config", "--config", file.to_str().unwrap()]);
    assert_eq!((again.status.code(), errors.as_str()), (Some(0), ""));
    assert_eq!(again.stdout, output.stdout);
    assert!(String::from_utf8(output.stdout).unwrap().contains("\nqueue_limit = 77\n"));
}

#[test]
fn a_place_that_is_taken_is_trouble() {
    let mut first = Running::start(&["--listen", "mqtt://127.0.0.1:0"]);
    let url = first.url();
    let (output, errors) = run(&["--listen", &url]);
    assert_eq!(output.status.code(), Some(3), "{errors}");
    assert!(errors.contains(url.trim_start_matches("mqtt://")), "{errors}");
    first.terminate();
    assert_eq!(first.end().0, Some(0));
}

#[tokio::test]
async fn it_serves_every_transport_and_takes_leave() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new("test").unwrap();
    let (certificate, key) = authority
        .server(&["localhost", "127.0.0.1"])
        .unwrap()
        .write(directory.path(), "b")
        .unwrap();
    let root = directory.path().join("ca.pem");
    std::fs::write(&root, authority.certificate()).unwrap();
    let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
    let tls = [format!("tls.certificate={certificate}"), format!("tls.key={key}")];
    let mut arguments = vec!["--set", &tls[0], "--set", &tls[1], "--tap", "from/{whom}"];
    let places = ["mqtt", "mqtts", "ws", "wss"].map(|scheme| format!("{scheme}://127.0.0.1:0"));
    places.iter().for_each(|place| arguments.extend(["--listen", place]));
    let mut broker = Running::start(&arguments);
    let client_tls = ClientTls::new(&Trust::File(root), None).unwrap();
    let mut clients = Vec::new();
    for place in &places {
        let url = broker.url();
        assert_eq!(url.split_once("://").unwrap().0, place.split_once("://").unwrap().0);
        let endpoint = url.parse().unwrap();
        let stream = connect(&endpoint, Some(&client_tls), DEADLINE).await.unwrap();
        let mut client = Client::over(stream);
        client.connect(&url).await;
        clients.push(client);
    }
    let [first, .., last] = &mut clients[..] else { panic!("four clients") };
    first.send(Subscribe::new(1, "from/+", QoS::AtMostOnce)).await;
    assert!(matches!(first.expect().await, Packet::SubAck(_)));
    last.send(Publish::new("from/me", "hello \u{7}")).await;
    assert!(matches!(first.expect().await, Packet::Publish(_)));
    assert_eq!(broker.line(), r#""from/me" whom="me" qos=0 "hello \u{7}""#);

    broker.terminate();
    for client in &mut clients {
        match client.expect().await {
            Packet::Disconnect(it) => assert_eq!(it.reason, ReasonCode::ServerShuttingDown),
            other => panic!("expected DISCONNECT, not {other:?}"),
        }
        client.expect_end().await;
    }
    assert_eq!(broker.end(), (Some(0), "stopping; once more ends it at once\n".into()));
}

/// The broker in a process that was started with SIGHUP as it is by default, or ignored.
fn hangup(ignored: bool) -> Command {
    let trap = if ignored { "trap '' HUP; exec \"$0\" \"$@\"" } else { "exec \"$0\" \"$@\"" };
    // Whoever runs the tests may ignore it, which a shell cannot undo.
    let default = cfg!(target_os = "linux") && !ignored;
    let mut command = match default {
        true => Command::new("env"),
        false => Command::new("sh"),
    };
    match default {
        true => command.arg("--default-signal=HUP"),
        false => command.args(["-c", trap]),
    };
    command.args([env!("CARGO_BIN_EXE_reference-broker"), "--listen", "mqtt://127.0.0.1:0"]);
    command.stdin(Stdio::null()).env_remove("MQTTSPEC_LOG");
    command
}

#[tokio::test]
async fn it_takes_leave_at_every_signal_that_is_to_end_it() {
    for name in ["-INT", "-TERM", "-HUP"] {
        let mut broker = Running::of(&mut hangup(false));
        let endpoint = broker.url().parse().unwrap();
        let mut client = Client::over(connect(&endpoint, None, DEADLINE).await.unwrap());
        client.connect("c").await;
        signal(broker.child.id(), name);
        match client.expect().await {
            Packet::Disconnect(it) => assert_eq!(it.reason, ReasonCode::ServerShuttingDown),
            other => panic!("{name}: expected DISCONNECT, not {other:?}"),
        }
        client.expect_end().await;
        let told = "stopping; once more ends it at once\n";
        assert_eq!(broker.end(), (Some(0), told.into()), "{name}");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn it_outlives_its_terminal_if_it_was_started_so() {
    let mut broker = Running::of(&mut hangup(true));
    let endpoint = broker.url().parse().unwrap();
    let mut client = Client::over(connect(&endpoint, None, DEADLINE).await.unwrap());
    client.connect("c").await;
    signal(broker.child.id(), "-HUP");
    client.expect_alive().await;
    broker.terminate();
    assert!(matches!(client.expect().await, Packet::Disconnect(_)));
    assert_eq!(broker.end().0, Some(0));
}

/// How bytes may look in a log.
fn looks(secret: &str) -> [String; 3] {
    let numbers = format!("{:?}", secret.as_bytes());
    let hex = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    [secret.to_owned(), numbers.trim_matches(['[', ']']).to_owned(), hex]
}

#[tokio::test]
async fn its_log_has_no_payload_and_no_secret_however_much_it_tells() {
    let (password, payload) = ("correct horse battery", "nobody's business");
    let mut hashing = command(&["--hash-password", "alice"]);
    let mut hashing = hashing.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = hashing.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, format!("{password}\n").as_bytes()).unwrap();
    drop(input);
    let user = String::from_utf8(hashing.wait_with_output().unwrap().stdout).unwrap();
    // The hashes as they are written, and each part of them.
    let hashes = user.split('"').filter(|it| it.contains('$'));
    let parts = hashes.clone().flat_map(|it| it.split(['$', ':']).filter(|part| part.len() > 20));
    let hashes: Vec<_> = hashes.chain(parts).collect();
    assert!(hashes.len() >= 6, "{user}");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("broker.toml");
    std::fs::write(&file, &user).unwrap();
    let listen =
        ["--listen", "mqtt://127.0.0.1:0", "--tap", "#", "--config", file.to_str().unwrap()];
    let mut command = command(&listen);
    let mut broker = Running::of(command.env("MQTTSPEC_LOG", "trace").stderr(Stdio::piped()));
    let mut errors = broker.child.stderr.take().unwrap();
    let log = std::thread::spawn(move || {
        let mut log = String::new();
        errors.read_to_string(&mut log).unwrap();
        log
    });
    let endpoint = broker.url().parse().unwrap();
    for (name, password) in [("refused", "something else"), ("let-in", password)] {
        let mut client = Client::over(connect(&endpoint, None, DEADLINE).await.unwrap());
        let mut packet = Connect::new(name);
        packet.user_name = Some("alice".into());
        packet.password = Some(password.as_bytes().into());
        client.send(packet).await;
        assert!(matches!(client.expect().await, Packet::ConnAck(_)));
        if name == "let-in" {
            client.subscribe("#").await;
            client.send(Publish::new("t", payload)).await;
            assert!(matches!(client.expect().await, Packet::Publish(_)));
        }
    }
    broker.terminate();
    assert_eq!(broker.end().0, Some(0));
    let log = log.join().unwrap();
    for told in ["refused", "let-in", "Publish"] {
        assert!(log.contains(told), "{told} is not in\n{log}");
    }
    let mut secrets = vec![password, "something else", payload];
    secrets.extend(hashes);
    for look in secrets.into_iter().flat_map(looks) {
        assert!(!log.contains(&look), "{look} is in\n{log}");
    }
}

#[tokio::test]
async fn a_second_signal_ends_it_whoever_is_waited_for() {
    let patience = ["--set", "shell.stop_patience=3600", "--tap", "#"];
    let mut broker = Running::start(&[&["--listen", "mqtt://127.0.0.1:0"][..], &patience].concat());
    let endpoint = broker.url().parse().unwrap();
    let mut client = Client::over(connect(&endpoint, None, DEADLINE).await.unwrap());
    client.connect("c").await;
    // More than a pipe holds, which nobody reads: the tap cannot end.
    client.send(Publish::new("a", vec![b'x'; 1 << 20]).qos(QoS::AtLeastOnce, 1)).await;
    assert!(matches!(client.expect().await, Packet::PubAck(_)));
    broker.terminate();
    assert!(matches!(client.expect().await, Packet::Disconnect(_)));
    broker.terminate();
    let process = broker.child.id();
    let mut ended = tokio::task::spawn_blocking(move || broker.child.wait().unwrap().code());
    let in_time = tokio::time::timeout(DEADLINE, &mut ended).await;
    if in_time.is_err() {
        signal(process, "-KILL"); // Else the test would wait for it as well.
    }
    assert_eq!(in_time.expect("it ends").unwrap(), Some(0));
}

#[tokio::test]
async fn users_of_the_file_enter_and_others_do_not() {
    let mut hashing = command(&["--hash-password", "alice"]);
    let mut hashing = hashing.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut hashing.stdin.take().unwrap(), b"a secret\n").unwrap();
    let user = String::from_utf8(hashing.wait_with_output().unwrap().stdout).unwrap();
    assert!(!user.contains("a secret"), "{user}");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("broker.toml");
    std::fs::write(&file, format!("{user}\n[access]\nanonymous = 'nobody'\n")).unwrap();
    let listen = ["--listen", "mqtt://127.0.0.1:0", "--config", file.to_str().unwrap()];
    let mut broker = Running::start(&listen);
    let endpoint = broker.url().parse().unwrap();
    for (name, password, expected) in [
        (Some("alice"), Some("a secret"), ReasonCode::Success),
        (Some("alice"), Some("another"), ReasonCode::BadUserNameOrPassword),
        (Some("bob"), Some("a secret"), ReasonCode::BadUserNameOrPassword),
        (None, None, ReasonCode::NotAuthorized),
    ] {
        let mut client = Client::over(connect(&endpoint, None, DEADLINE).await.unwrap());
        let mut packet = Connect::new("c");
        packet.user_name = name.map(Into::into);
        packet.password = password.map(Into::into);
        client.send(packet).await;
        match client.expect().await {
            Packet::ConnAck(connack) => assert_eq!(connack.reason, expected, "{name:?}"),
            other => panic!("expected CONNACK, not {other:?}"),
        }
    }
    broker.terminate();
    assert_eq!(broker.end().0, Some(0));
}

#[tokio::test]
async fn its_health_can_be_asked_for() {
    let mut broker = Running::start(&["--listen", "mqtt://127.0.0.1:0", "--http", "0"]);
    broker.url();
    let url = broker.url();
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("ok\n"), "{answer}");
    broker.terminate();
    assert_eq!(broker.end().0, Some(0));
}

#[tokio::test]
async fn who_does_not_read_what_it_prints_holds_nothing_up() {
    let listen = ["--listen", "mqtt://127.0.0.1:0", "--tap", "#"];
    let mut broker = Running::start(&listen);
    let endpoint = broker.url().parse().unwrap();
    let mut client = Client::over(connect(&endpoint, None, DEADLINE).await.unwrap());
    client.connect("c").await;
    // Much more than a pipe and the tap's queue hold.
    for _ in 0..4_000 {
        client.send(Publish::new("t", vec![b'x'; 1_000])).await;
    }
    client.expect_alive().await;
    broker.terminate();
    assert!(matches!(client.expect().await, Packet::Disconnect(_)));
    client.expect_end().await;
    let ended = tokio::task::spawn_blocking(move || broker.child.wait().unwrap().code());
    let ended = tokio::time::timeout(DEADLINE, ended).await;
    assert_eq!(ended.expect("it ends in time").unwrap(), Some(0));
}

#[tokio::test]
async fn whoever_is_silent_gives_way_where_there_are_no_files_left() {
    let mut shell = Command::new("sh");
    let broker = env!("CARGO_BIN_EXE_reference-broker");
    let limited = format!("ulimit -n 64; exec {broker} --listen mqtt://127.0.0.1:0");
    let mut broker = Running::of(shell.args(["-c", &limited]).stderr(Stdio::null()));
    let url = broker.url();
    let mut silent = Vec::new();
    for number in 0..80 {
        let stream = TcpStream::connect(url.trim_start_matches("mqtt://")).await.unwrap();
        let mut client = Client::over(stream);
        client.send(Connect::new(format!("silent-{number}"))).await;
        let connack = tokio::time::timeout(DEADLINE, client.expect()).await.unwrap();
        assert!(matches!(connack, Packet::ConnAck(ack) if ack.reason == ReasonCode::Success));
        silent.push(client);
    }
    broker.terminate();
    assert_eq!(broker.end().0, Some(0));
}
