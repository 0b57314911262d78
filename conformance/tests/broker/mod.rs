//! The reference broker as a process of its own, and the suite run against it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::fakes::mqttspec;

/// The reference broker as a process of its own.
pub(crate) struct Broker {
    pub(crate) process: Child,
    /// Host and port of the first of its listeners.
    pub(crate) address: String,
    status: String,
}

impl Broker {
    /// With these arguments, `--listen` among them.
    pub(crate) fn start(arguments: &[&str]) -> Broker {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mqttspec"));
        command.args(["broker", "--http", "0"]).args(arguments);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut value = |start: &str| {
            let line = lines.find(|line| line.starts_with(start)).unwrap();
            let (_, address) = line.split_once("://").unwrap();
            address.split('/').next().unwrap().to_owned()
        };
        let (address, status) = (value("listening at "), value("status at"));
        Broker { process, address, status }
    }

    pub(crate) fn url(&self) -> String {
        format!("mqtt://{}", self.address)
    }

    /// How many sessions and retained messages it holds.
    pub(crate) fn holds(&self) -> (usize, usize) {
        let mut stream = TcpStream::connect(&self.status).unwrap();
        write!(stream, "GET /state?limit=1000 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, state) = answer.split_once("\r\n\r\n").unwrap();
        let state: Value = serde_json::from_str(state).unwrap();
        let count = |key: &str| state[key].as_array().unwrap().len();
        (count("sessions"), count("retained"))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs the suite with a JSON report; gives the exit code, that report, and both streams.
pub(crate) fn run(url: &str, arguments: &[&str]) -> (Option<i32>, Value, String) {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("report.json");
    let report = format!("json={}", json.display());
    let (code, stdout, stderr) =
        mqttspec(&[&["run", url, "--report", &report], arguments].concat());
    let report = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    (code, report, stdout + &stderr)
}
