//! Brokers in real containers, and that none is ever left.
//!
//! Without an engine or an image these tests say so and show nothing, unless `CI` is set: then they
//! fail. `ci/mosquitto-image` sees to both.

use std::env;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::Once;
use std::time::{Duration, Instant};

use containers::{Container, Error, LABEL, Request, State};
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// Runs `docker` and gives what it printed, or what it complained of.
fn docker(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("docker").args(arguments).output().map_err(|e| e.to_string())?;
    let text = |bytes| String::from_utf8_lossy(bytes).trim().to_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(text(&output.stderr)),
    }
}

/// An image of Mosquitto under a name of the test's own, so that its containers are told apart.
struct Image(String);

impl Image {
    /// The image as it is, or with another command.
    fn new(case: &str, command: Option<&str>) -> Option<Image> {
        let local = || docker(&["images", "-q", "localhost/mqttspec-mosquitto:2.0.11"]);
        let image = env::var("MQTTSPEC_MOSQUITTO_IMAGE").or_else(|_| match local()?.as_str() {
            "" => Ok("eclipse-mosquitto:2".to_owned()),
            _ => Ok("localhost/mqttspec-mosquitto:2.0.11".to_owned()),
        });
        let image = image.and_then(|image: String| {
            docker(&["image", "inspect", "--format", "{{.Id}}", &image]).map(|_| image)
        });
        let image = match image {
            Ok(image) => image,
            Err(why) if env::var_os("CI").is_some() => panic!("no image to test with: {why}"),
            Err(why) => {
                skipped(&why);
                return None;
            }
        };
        let name = format!("localhost/mqttspec-test:{case}-{}", std::process::id());
        match command {
            None => docker(&["tag", &image, &name]).unwrap(),
            Some(command) => {
                let container = docker(&["create", &image]).unwrap();
                let change = format!("CMD {command}");
                docker(&["commit", "--change", &change, &container, &name]).unwrap();
                docker(&["rm", &container]).unwrap()
            }
        };
        Some(Image(name))
    }

    /// The containers of this image that are there, running or not.
    fn containers(&self) -> Vec<String> {
        let filter = format!("label={LABEL}={}", self.0);
        let listed = docker(&["ps", "--all", "--quiet", "--filter", &filter]).unwrap();
        listed.lines().map(str::to_owned).collect()
    }
}

/// Says once why tests are skipped. The print macros would say it to nobody.
fn skipped(why: &str) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _ = writeln!(
            io::stderr(),
            "skipped: no Docker engine with an image of Mosquitto (see ci/mosquitto-image): {why}"
        );
    });
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = docker(&["image", "rm", &self.0]);
    }
}

fn request(image: &Image) -> Request {
    let free = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    Request { image: image.0.clone(), ports: vec![(free, 1883)], ..Request::default() }
}

fn start(image: &Image) -> Result<Container, Error> {
    Runtime::new().unwrap().block_on(Container::start(request(image)))
}

/// Connects as a client would, until it gets a CONNACK.
fn serves(host: &str, port: u16) {
    let visit = || {
        let mut client = TcpStream::connect((host, port))?;
        client.write_all(b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x0a\x00\x00\x01a")?;
        let mut answer = [0; 4];
        client.read_exact(&mut answer)?;
        Ok::<_, io::Error>(answer)
    };
    let begun = Instant::now();
    loop {
        match visit() {
            Ok(answer) => {
                assert_eq!((answer[0], answer[3]), (0x20, 0x00), "accepted: {answer:?}");
                return;
            }
            Err(error) => assert!(begun.elapsed() < Duration::from_secs(20), "{error}"),
        }
    }
}

#[test]
fn it_serves_until_it_is_removed_and_again_after_a_restart() {
    let Some(image) = Image::new("serves", None) else { return };
    // The runtime it was started on is gone by now; that is nothing to it.
    let request = request(&image);
    let port = request.ports[0].0;
    let runtime = Runtime::new().unwrap();
    let container = runtime.block_on(Container::start(request)).unwrap();
    assert_eq!(image.containers().len(), 1);
    serves(container.host(), port);
    runtime.block_on(async {
        assert!(matches!(container.state().await, Ok(State::Running(_))));
        container.stop(Duration::from_secs(5)).await.unwrap();
        assert_eq!(container.state().await, Ok(State::Ended("exit code 0".to_owned())));
        container.begin_again().await.unwrap();
    });
    serves(container.host(), port);
    runtime.block_on(async {
        container.kill().await.unwrap();
        assert_eq!(container.state().await, Ok(State::Ended("exit code 137".to_owned())));
        let last = container.last_lines(1).await.unwrap();
        assert_eq!(last.len(), 1, "{last:?}");
    });
    container.remove().unwrap();
    assert_eq!(image.containers(), [""; 0]);
}

#[test]
fn it_is_gone_after_a_panic() {
    let Some(image) = Image::new("panic", None) else { return };
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        Runtime::new().unwrap().block_on(async {
            let _container = Container::start(request(&image)).await.unwrap();
            assert_eq!(image.containers().len(), 1);
            panic!("with a broker in hand");
        })
    }));
    let panic = panicked.unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"with a broker in hand"));
    assert_eq!(image.containers(), [""; 0]);
}

#[test]
fn it_is_gone_after_a_start_that_was_given_up() {
    let Some(image) = Image::new("given-up", None) else { return };
    let runtime = Runtime::new().unwrap();
    let mut given_up = 0;
    for patience in [0, 5, 20, 80, 160, 320, 640] {
        let starting = Container::start(request(&image));
        let patience = Duration::from_millis(patience);
        given_up +=
            usize::from(runtime.block_on(async { timeout(patience, starting).await }).is_err());
        assert_eq!(image.containers(), [""; 0], "after {patience:?}");
    }
    assert!(given_up > 3, "{given_up}");
}

#[test]
fn one_that_ends_at_once_is_told_with_its_last_words() {
    let command = r#"["/usr/sbin/mosquitto", "-c", "/nowhere"]"#;
    let Some(image) = Image::new("ends", Some(command)) else { return };
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let container = Container::start(request(&image)).await.unwrap();
        while let State::Running(_) = container.state().await.unwrap() {}
        let last = container.last_lines(1).await.unwrap();
        assert!(last[0].contains("/nowhere"), "{last:?}");
    });
    assert_eq!(image.containers(), [""; 0]);
}

#[test]
fn one_that_cannot_start_is_told_with_what_the_engine_says() {
    let Some(image) = Image::new("no-command", Some(r#"["/nowhere"]"#)) else { return };
    match start(&image) {
        Err(Error::NotStarted { why, .. }) => assert!(why.contains("/nowhere"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(image.containers(), [""; 0]);
}

#[test]
fn an_image_that_is_nowhere_is_named() {
    let Some(image) = Image::new("missing", None) else { return };
    docker(&["image", "rm", &image.0]).unwrap();
    let error = start(&image).unwrap_err();
    assert!(matches!(error, Error::NoImage { .. }), "{error:?}");
    let error = error.to_string();
    assert!(error.contains(&image.0) && error.contains("ci/mosquitto-image"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}

/// Not a test: the process in which the next one has no engine.
#[test]
#[ignore = "run by no_engine_is_told_at_once"]
fn start_without_an_engine() {
    let begun = Instant::now();
    let error = start(&Image("localhost/any".to_owned())).unwrap_err();
    println!("told: {error}");
    assert!(matches!(error, Error::NoEngine { .. }), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[test]
fn no_engine_is_told_at_once() {
    for host in ["unix:///nonexistent", "tcp://127.0.0.1:1", "nonsense"] {
        let output = Command::new(env::current_exe().unwrap())
            .args(["--exact", "start_without_an_engine", "--ignored", "--nocapture"])
            .env("DOCKER_HOST", host)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let told = format!("told: no Docker engine can be reached at {host} (");
        assert!(output.status.success() && text.contains(&told), "{text}");
    }
}
