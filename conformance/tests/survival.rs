//! The runner outlives every broker, network and moment: floods, limits, lost connections, death.

mod broker;
mod fakes;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use broker::{Broker, run};
use fakes::{mqttspec, server};

const CONNACK: &[u8] = &[0x20, 0x03, 0x00, 0x00, 0x00];

/// The reference broker with these settings.
fn with_settings(settings: &[&str]) -> Broker {
    let settings: Vec<_> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
    Broker::start(&[&["--listen", "mqtt://127.0.0.1:0"], &settings[..]].concat())
}

fn with_verdict<'a>(report: &'a Value, verdict: &str) -> Vec<&'a str> {
    let rows = report["scenarios"].as_array().unwrap().iter();
    rows.filter(|row| row["verdict"] == verdict).map(|row| row["id"].as_str().unwrap()).collect()
}

fn notes(report: &Value) -> String {
    report["notes"].as_array().unwrap().iter().map(|note| note.as_str().unwrap()).collect()
}

/// Copies bytes from one side to the other, as `change` lets them, until either ends.
fn pump(
    mut from: TcpStream,
    mut to: TcpStream,
    mut change: impl FnMut(&[u8]) -> bool + Send + 'static,
) {
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            if !change(&buffer[..read]) || to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    });
}

/// A link to a broker that closes every `nth` connection at once.
fn losing_link(broker: &Broker, nth: usize) -> SocketAddr {
    let (address, count) = (broker.address.clone(), AtomicUsize::new(0));
    server(move |client| {
        let count = count.fetch_add(1, Ordering::Relaxed);
        if count > 4 && count % nth == 0 {
            return;
        }
        let upstream = TcpStream::connect(&address).unwrap();
        let (back, answers) = (client.try_clone().unwrap(), upstream.try_clone().unwrap());
        pump(client, upstream, |_| true);
        pump(answers, back, |_| true);
    })
}

/// A link that lets in no more than so many connections a second, and counts those too that it closes.
fn hasty_link(broker: &Broker, most: usize) -> SocketAddr {
    let (address, seen) = (broker.address.clone(), Mutex::new(Vec::<Instant>::new()));
    server(move |client| {
        let mut seen = seen.lock().unwrap();
        seen.retain(|at| at.elapsed() < Duration::from_secs(1));
        seen.push(Instant::now());
        if seen.len() > most {
            return;
        }
        drop(seen);
        let upstream = TcpStream::connect(&address).unwrap();
        let (back, answers) = (client.try_clone().unwrap(), upstream.try_clone().unwrap());
        pump(client, upstream, |_| true);
        pump(answers, back, |_| true);
    })
}

/// Ends the last life of a broker: the threads that serve it never let go of it.
struct Mortal(Arc<Mutex<Broker>>);

impl Drop for Mortal {
    fn drop(&mut self) {
        let _ = self.0.lock().unwrap().process.kill();
    }
}

/// A broker that dies whenever a packet begins with these bytes, and begins anew at once, as under a
/// supervisor, with nothing in memory.
fn mortal(packet: &'static [u8]) -> (SocketAddr, Mortal) {
    let broker = Arc::new(Mutex::new(with_settings(&[])));
    let mortal = Mortal(Arc::clone(&broker));
    let streams: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
    let address = server(move |client| {
        let address = broker.lock().unwrap().address.clone();
        let Ok(upstream) = TcpStream::connect(address) else { return };
        let (back, answers) = (client.try_clone().unwrap(), upstream.try_clone().unwrap());
        streams.lock().unwrap().push(client.try_clone().unwrap());
        let (broker, streams) = (Arc::clone(&broker), Arc::clone(&streams));
        pump(client, upstream, move |bytes| {
            if !bytes.starts_with(packet) {
                return true;
            }
            let mut broker = broker.lock().unwrap();
            *broker = with_settings(&[]);
            let dead = std::mem::take(&mut *streams.lock().unwrap());
            dead.iter().for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
            false
        });
        pump(answers, back, |_| true);
    });
    (address, mortal)
}

/// A server that accepts a client and then does as it likes.
fn after_connack(then: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> SocketAddr {
    server(move |mut stream| {
        let then = then.clone();
        thread::spawn(move || {
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(CONNACK);
            then(stream);
        });
    })
}

#[test]
fn a_broker_that_lets_no_message_through_is_not_tested() {
    // Acknowledges everything, and passes nothing on.
    let address = after_connack(|mut stream| {
        // Packets of fewer than 128 bytes, one by one.
        let mut header = [0; 2];
        while stream.read_exact(&mut header).is_ok() {
            let mut body = vec![0; usize::from(header[1])];
            if stream.read_exact(&mut body).is_err() {
                return;
            }
            let answer = match (header[0] >> 4, header[0] >> 1 & 3) {
                (8, _) => vec![0x90, 0x04, body[0], body[1], 0x00, 0x01],
                (3, 0) => continue,
                (3, qos) => {
                    let topic = usize::from(body[1]);
                    let answer = if qos == 1 { 0x40 } else { 0x50 };
                    vec![answer, 2, body[2 + topic], body[3 + topic]]
                }
                (6, _) => vec![0x70, 2, body[0], body[1]],
                _ => continue,
            };
            let _ = stream.write_all(&answer);
        }
    });
    let arguments = ["--timeout-scale", "0.1", "--topic-prefix", "lab/mqtt"];
    let (code, report, text) = run(&format!("mqtt://{address}"), &arguments);
    assert_eq!(code, Some(3), "{text}");
    let trouble = report["trouble"].as_str().unwrap();
    assert!(trouble.contains("below 'lab/mqtt/"), "{trouble}");
    assert!(trouble.contains("QoS 2: accepted and not delivered"), "{trouble}");
    assert!(trouble.contains("--topic-prefix") && text.contains(trouble), "{text}");
}

#[test]
fn what_is_spoken_instead_is_told_in_words() {
    for (answer, words) in [
        (&b"\x15\x03\x01\x00\x02\x02\x46"[..], "speaks TLS"),
        (b"\x20\x02\x00\x01", "speaks MQTT 3.1.1"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "speaks WebSocket"),
    ] {
        let address = server(move |mut stream| {
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(answer);
        });
        let (code, report, text) = run(&format!("mqtt://{address}"), &["--timeout-scale", "0.2"]);
        assert_eq!(code, Some(3), "{text}");
        assert!(report["trouble"].as_str().unwrap().contains(words), "{report}");
    }
}

#[test]
fn topics_are_where_they_are_wanted() {
    let broker = with_settings(&[]);
    let (code, report, text) = run(&broker.url(), &["4.5", "3.12", "--topic-prefix", "lab/a"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(!report["scenarios"].as_array().unwrap().is_empty(), "{text}");
    assert!(!report.to_string().contains("mqttspec/"), "{report}");
    for (prefix, why) in [("a/#", "no topic may have"), ("$SYS", "the broker's own"), ("", "not a")]
    {
        let (code, _, stderr) = mqttspec(&["run", "3.12", "--topic-prefix", prefix]);
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains(why), "{stderr}");
    }
}

#[test]
fn a_flood_ends_with_its_scenarios() {
    let floods: [&[u8]; 2] = [&[0xD0, 0x00], b"\x30\x07\x00\x01x\x00yyy"];
    for flood in floods {
        let started = Instant::now();
        let address = after_connack(move |mut stream| {
            let load = flood.repeat(4096);
            while stream.write_all(&load).is_ok() {}
        });
        let arguments = ["3.12", "--timeout-scale", "0.2"];
        let (code, report, text) = run(&format!("mqtt://{address}"), &arguments);
        assert!(matches!(code, Some(1 | 3)), "{text}");
        assert!(!report["scenarios"].as_array().unwrap().is_empty(), "{text}");
        assert_eq!(with_verdict(&report, "pass"), [""; 0], "{text}");
        assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
    }
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_leaves_nothing() {
    for (signal, after) in [("-INT", 300), ("-TERM", 1500), ("-HUP", 700)] {
        if signal == "-HUP" && hangups_are_ignored() {
            eprintln!("SIGHUP is ignored here, as below nohup: a run goes on, as is wanted then");
            continue;
        }
        let broker = with_settings(&[]);
        let mut run = Command::new(env!("CARGO_BIN_EXE_mqttspec"))
            .args(["run", &broker.url(), "3.1", "3.3", "4.1"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(Duration::from_millis(after));
        Command::new("kill").args([signal, &run.id().to_string()]).status().unwrap();
        assert_eq!(run.wait().unwrap().code(), Some(3), "{signal}");
        assert_eq!(broker.holds(), (0, 0), "{signal}");
    }
}

/// Whether SIGHUP is ignored by what is started here.
#[cfg(unix)]
fn hangups_are_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|signals| u64::from_str_radix(signals.trim(), 16).ok());
    ignored.is_some_and(|signals| signals & 1 != 0)
}

#[test]
fn a_whole_run_leaves_nothing() {
    let broker = with_settings(&[]);
    let (code, _, text) = run(&broker.url(), &["3.1/*client*", "3.3/retain*", "4.1"]);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(broker.holds(), (0, 0), "{text}");
}

#[test]
fn a_limit_of_connections_fails_nothing() {
    let broker = with_settings(&["shell.maximum_connections=20"]);
    let (_, report, text) = run(&broker.url(), &["3.12", "3.9", "4.7", "4.3"]);
    assert_eq!(with_verdict(&report, "fail"), [""; 0], "{text}");
    assert!(with_verdict(&report, "pass").len() > 30, "{text}");
    let notes = notes(&report);
    assert!(notes.contains("closed before CONNACK") && notes.contains("--jobs"), "{notes}");
}

#[test]
fn a_link_that_loses_connections_fails_nothing() {
    let broker = with_settings(&[]);
    let address = losing_link(&broker, 15);
    let (_, report, text) = run(&format!("mqtt://{address}"), &["3.12", "3.9", "4.7", "4.3"]);
    for verdict in ["fail", "blocked"] {
        assert_eq!(with_verdict(&report, verdict), [""; 0], "{text}");
    }
    assert!(with_verdict(&report, "pass").len() > 40, "{text}");
}

#[test]
fn a_limit_of_connections_a_second_leaves_nearly_all_to_be_tested() {
    let broker = with_settings(&[]);
    let address = hasty_link(&broker, 25);
    let arguments = ["2.2", "3.12", "3.9", "4.7", "4.3"];
    let (_, report, text) = run(&format!("mqtt://{address}"), &arguments);
    for verdict in ["fail", "blocked"] {
        assert_eq!(with_verdict(&report, verdict), [""; 0], "{text}");
    }
    let (passed, lost) = (with_verdict(&report, "pass"), with_verdict(&report, "inconclusive"));
    assert!(lost.len() * 50 < passed.len(), "{text}");
    assert!(notes(&report).contains("were opened a second"), "{text}");
}

#[test]
fn what_is_refused_now_and_then_is_tried_again() {
    // DISCONNECT 0x98 in the place of every 25th packet.
    let broker = with_settings(&[]);
    let (upstream, count) = (broker.address.clone(), Arc::new(AtomicUsize::new(0)));
    let address = server(move |client| {
        let upstream = TcpStream::connect(&upstream).unwrap();
        let (back, answers) = (client.try_clone().unwrap(), upstream.try_clone().unwrap());
        let (mut last, count) = (client.try_clone().unwrap(), Arc::clone(&count));
        pump(client, upstream, move |bytes| {
            let counts = matches!(bytes[0] >> 4, 3 | 8 | 10 | 12);
            if !counts || !(count.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(25) {
                return true;
            }
            let _ = last.write_all(&[0xE0, 0x01, 0x98]);
            false
        });
        pump(answers, back, |_| true);
    });
    let arguments = ["2.1", "3.12", "3.9", "3.8"];
    let (_, report, text) = run(&format!("mqtt://{address}"), &arguments);
    for verdict in ["fail", "blocked"] {
        assert_eq!(with_verdict(&report, verdict), [""; 0], "{text}");
    }
    let (passed, all) = (with_verdict(&report, "pass").len(), report["scenarios"].as_array());
    assert!(passed * 10 > all.unwrap().len() * 9, "{text}");
}

#[test]
fn a_broker_that_dies_for_good_is_told_in_a_line() {
    let mut broker = with_settings(&[]);
    let url = broker.url();
    let running = thread::spawn(move || run(&url, &["4.1", "3.1", "--timeout-scale", "0.3"]));
    thread::sleep(Duration::from_millis(1500));
    broker.process.kill().unwrap();
    let (code, report, text) = running.join().unwrap();
    assert_eq!(code, Some(3), "{text}");
    let trouble = report["trouble"].as_str().unwrap();
    assert!(
        trouble.contains("the target died") && trouble.contains("did not come back"),
        "{trouble}"
    );
    assert!(trouble.contains("then ran "), "{trouble}");
    assert_eq!(with_verdict(&report, "fail"), [""; 0], "{text}");
    assert!(text.lines().count() < 200, "{text}");
}

#[test]
fn who_kills_the_broker_is_named_and_the_rest_goes_on() {
    // PINGREQ with a flag that is not 0.
    let (address, _mortal) = mortal(&[0xC1, 0x00]);
    let (code, report, text) = run(&format!("mqtt://{address}"), &["3.12", "3.9"]);
    assert_eq!(code, Some(1), "{text}");
    assert_eq!(with_verdict(&report, "fail"), ["3.12/malformed/header/pingreq-flags-1"], "{text}");
    let killer = report["scenarios"].as_array().unwrap().iter();
    let killer = killer.clone().find(|row| row["verdict"] == "fail").unwrap();
    assert_eq!(killer["findings"][0]["requirement"], "U-4.13.1-7");
    assert!(with_verdict(&report, "pass").len() > 5, "{text}");
    assert!(notes(&report).contains("it died again of 3.12/malformed/header/pingreq-flags-1"));
}
