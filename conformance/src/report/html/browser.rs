//! The page in a real browser: what its scripts do, and that anyone can read it.
//!
//! `ci/browser` has what it takes: Chromium, and axe-core, whose path is in `MQTTSPEC_AXE`.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

use super::super::fixture::{report, written};
use super::write;

const READER: &str = include_str!("browser.js");

/// A page around the one that is tested: windows of a browser are no narrower than 500 pixels.
const AROUND: &str = r#"<!DOCTYPE html><title>around</title><pre id="told"></pre>
<script>addEventListener("message", (told) => document.getElementById("told").textContent = told.data);</script>
"#;

const FLAGS: &str = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
                     --disable-background-networking --disable-component-update --disable-sync \
                     --enable-logging=stderr --virtual-time-budget=60000 --dump-dom";

/// The browser, if there is one. In CI there has to be.
fn browser() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let folders: Vec<_> = env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect();
    let found = names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    let found = found.into_iter().find(|path| path.is_file());
    if found.is_none() {
        assert!(env::var_os("CI").is_none(), "no Chromium to test with: see ci/browser");
        eprintln!("skipped: no Chromium here");
    }
    found
}

/// What a reader finds wrong with the page, so many pixels wide, with more flags.
fn found_wrong(browser: &PathBuf, width: usize, flags: &[&str], reader: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let page = written(|out| write(&report(), out));
    let axe = env::var_os("MQTTSPEC_AXE").map(|path| fs::read_to_string(path).unwrap());
    assert!(
        axe.is_some() || env::var_os("CI").is_none(),
        "no axe-core to test with: see ci/browser"
    );
    let scripts = [axe.unwrap_or_default(), reader.to_owned()].map(|script| {
        format!("<script data-reader>{}</script>", script.replace("</script", "<\\/script"))
    });
    let scripts = scripts.concat() + "</body>";
    fs::write(folder.path().join("report.html"), page.replace("</body>", &scripts)).unwrap();
    let frame = format!("<iframe src=\"report.html\" width={width} height=640></iframe>");
    let around = folder.path().join("around.html");
    fs::write(&around, format!("{AROUND}{frame}")).unwrap();
    let output = Command::new(browser)
        .args(FLAGS.split_whitespace())
        .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
        .args(flags)
        .arg(format!("file://{}", around.display()))
        .output()
        .unwrap();
    let page = String::from_utf8_lossy(&output.stdout);
    let log = String::from_utf8_lossy(&output.stderr);
    let said: Vec<_> = log.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert!(said.is_empty(), "{said:?}");
    let told =
        page.rsplit_once("<pre id=\"told\">").and_then(|(_, told)| told.split_once("</pre>"));
    told.unwrap_or_else(|| panic!("the page came to no end: {log}")).0.to_owned()
}

#[test]
fn a_reader_can_do_it_all() {
    let Some(browser) = browser() else { return };
    let dark = &["--blink-settings=preferredColorScheme=0"];
    for (width, flags) in [(1_000, &[][..]), (1_000, dark), (360, &[])] {
        let wrong = found_wrong(&browser, width, flags, READER);
        assert_eq!(wrong, "as it should be", "{width} {flags:?}");
    }
}

#[test]
fn what_a_reader_finds_wrong_is_told() {
    let Some(browser) = browser() else { return };
    let breaks = "scenarios[0].querySelector('summary').style.color = '#eee'; shownCount.textContent = ''; \
                  document.body.style.minWidth = '500px';";
    let told = found_wrong(&browser, 360, &[], &format!("{breaks}{READER}"));
    assert!(told.contains("a count of all at first"), "{told}");
    assert!(told.contains("too wide for 360"), "{told}");
    if env::var_os("MQTTSPEC_AXE").as_deref().is_some_and(|path| path != OsStr::new("")) {
        assert!(told.contains("color-contrast"), "{told}");
    }
}
