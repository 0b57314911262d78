//! Every link leads somewhere, in the checkout and in the book.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use super::page::{BOOK, Page, pages, top};

/// How the book links to what is no part of it. `OWNER` is to be replaced by whoever publishes.
const REPOSITORY: &str = "https://github.com/OWNER/mqttspec/";

#[test]
fn every_link_leads_somewhere() {
    let pages = pages();
    let by_path: BTreeMap<&str, &Page> = pages.iter().map(|page| (&*page.path, page)).collect();
    let mut wrong = Vec::new();
    let mut count = 0;
    for page in &pages {
        for link in page.links() {
            count += 1;
            if let Err(why) = follow(page, &link.text, &by_path) {
                wrong.push(format!("{}: {}: {why}", page.at(link.line), link.text));
            }
        }
    }
    assert!(count > 50, "only {count} links: are they read?");
    assert!(wrong.is_empty(), "links that lead nowhere:\n{}", wrong.join("\n"));
}

#[test]
fn what_the_book_takes_in_is_there() {
    let mut count = 0;
    for page in pages() {
        for include in page.includes() {
            count += 1;
            let place = page.at(include.line);
            let (path, anchor) = include.text.split_once(':').unwrap_or((&include.text, ""));
            let file = resolve(&page.path, path).unwrap_or_else(|why| panic!("{place}: {why}"));
            let text = std::fs::read_to_string(top().join(&file));
            let text = text.unwrap_or_else(|error| panic!("{place}: {file}: {error}"));
            let has = |mark: &str| text.contains(&format!("{mark}: {anchor}"));
            assert!(
                anchor.is_empty() || (has("ANCHOR") && has("ANCHOR_END")),
                "{place}: no {anchor}"
            );
        }
    }
    assert!(count > 0, "nothing is taken in: is it read?");
}

#[test]
fn every_page_of_the_book_is_in_its_contents() {
    let pages = pages();
    let summary = pages.iter().find(|page| page.path == format!("{BOOK}/SUMMARY.md")).unwrap();
    let listed: Vec<_> =
        summary.links().into_iter().map(|link| format!("{BOOK}/{}", link.text)).collect();
    for page in pages.iter().filter(|page| page.is_of_the_book()) {
        let is_listed = page.path == summary.path || listed.contains(&page.path);
        assert!(is_listed, "{} is not in SUMMARY.md", page.path);
    }
}

fn follow(page: &Page, link: &str, pages: &BTreeMap<&str, &Page>) -> Result<(), String> {
    let (link, anchor) = link.split_once('#').unwrap_or((link, ""));
    let path = if let Some(rest) = link.strip_prefix(REPOSITORY) {
        match rest.split_once("/main/") {
            Some(("blob" | "tree", path)) => path.to_owned(),
            _ => return form_of(rest),
        }
    } else if link.contains("://") || link.starts_with("mailto:") {
        return Ok(());
    } else if link.is_empty() {
        page.path.clone()
    } else {
        let path = resolve(&page.path, link)?;
        if page.is_of_the_book() && !path.starts_with(BOOK) {
            return Err(format!("leaves the book: link to {REPOSITORY}blob/main/{path}"));
        }
        path
    };
    if !top().join(&path).exists() {
        return Err(format!("there is no {path}"));
    }
    if anchor.is_empty() {
        return Ok(());
    }
    let target = pages.get(path.as_str()).ok_or("an anchor of what is no page")?;
    match anchors(target, pages).iter().any(|it| it == anchor) {
        true => Ok(()),
        false => Err(format!("{path} has no heading of that name")),
    }
}

/// Whether a page of the service that is no file is one that there is.
fn form_of(rest: &str) -> Result<(), String> {
    let form = rest.strip_prefix("issues/new?template=");
    match form.map(|form| top().join(".github/ISSUE_TEMPLATE").join(form).exists()) {
        Some(true) => Ok(()),
        Some(false) => Err("there is no such form".to_owned()),
        None if ["issues/new/choose", "security/advisories/new"].contains(&rest) => Ok(()),
        None => Err("is no file of the main branch".to_owned()),
    }
}

/// The anchors of a page with those of the pages that it takes in.
fn anchors(page: &Page, pages: &BTreeMap<&str, &Page>) -> Vec<String> {
    let mut anchors = page.anchors();
    for include in page.includes() {
        let path = include.text.split(':').next().unwrap_or_default();
        let taken = resolve(&page.path, path).ok().and_then(|path| pages.get(path.as_str()));
        anchors.extend(taken.into_iter().flat_map(|page| page.anchors()));
    }
    anchors
}

/// A path from the top, of one that is relative to a page.
fn resolve(from: &str, link: &str) -> Result<String, String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in Path::new(link).components() {
        match part {
            Component::ParentDir => {
                parts.pop().ok_or("leaves the checkout")?;
            }
            Component::Normal(name) => parts.push(name.to_str().ok_or("is no UTF-8")?),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => {
                return Err("is no relative path".to_owned());
            }
        }
    }
    Ok(parts.join("/"))
}
