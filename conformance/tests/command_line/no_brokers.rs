//! Targets that are no brokers.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use super::fakes::{mqttspec, server};

/// Runs the suite against an address and expects trouble, told in a line with `message`, in time.
fn trouble(address: SocketAddr, message: &str) {
    let started = Instant::now();
    let url = format!("mqtt://{address}");
    let folder = tempfile::tempdir().unwrap();
    let [json, junit] = ["json", "junit"].map(|kind| folder.path().join(kind));
    let reports = [&json, &junit]
        .map(|file| format!("{}={}", file.file_name().unwrap().display(), file.display()));
    let [json_report, junit_report] = &reports;
    let (code, _, stderr) = mqttspec(&[
        "run",
        &url,
        "--timeout-scale",
        "0.2",
        "--report",
        json_report,
        "--report",
        junit_report,
    ]);
    assert_eq!(code, Some(3), "{stderr}");
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    assert!(report["trouble"].as_str().is_some_and(|why| why.contains(message)), "{report}");
    let junit = std::fs::read_to_string(&junit).unwrap();
    assert!(junit.contains("<error") && junit.contains("</testsuites>"), "{junit}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing else is left");
    assert!(stderr.contains(message) && stderr.contains(&url), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[test]
fn a_port_where_nothing_listens() {
    let free = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    trouble(free, "cannot be reached: Connection refused");
}

#[test]
fn a_server_that_says_nothing() {
    let address = server(std::mem::forget);
    trouble(address, "did not answer a CONNECT within 1s");
}

#[test]
fn a_server_that_closes_at_once() {
    let address = server(drop);
    trouble(address, "closed the connection instead of answering");
}

#[test]
fn a_server_that_speaks_http() {
    let address = server(|mut stream| {
        let _ = stream.read(&mut [0; 64]);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    });
    trouble(address, "speaks HTTP, not MQTT");
}

#[test]
fn a_server_that_sends_garbage_for_ever() {
    for garbage in
        [&[0x00; 1024][..], &[0xFF; 1024], &[0x30; 1024], b"garbage ".repeat(128).as_slice()]
    {
        let garbage = garbage.to_vec();
        let address = server(move |mut stream| {
            let garbage = garbage.clone();
            thread::spawn(move || while stream.write_all(&garbage).is_ok() {});
        });
        trouble(address, "does not speak MQTT 5");
    }
}

#[test]
fn a_server_that_sends_good_packets_for_ever() {
    let address = server(|mut stream| {
        thread::spawn(move || while stream.write_all(&[0xD0, 0x00].repeat(512)).is_ok() {});
    });
    trouble(address, "PINGRESP in answer to a CONNECT");
}
