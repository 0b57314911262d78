//! The pages of the documentation as Markdown has them: headings, links, code.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// Where the book is, and what it is made of.
pub(crate) const BOOK: &str = "docs/src";

/// Folders that are looked through, all the way down; of the top, only the files.
const FOLDERS: &[&str] =
    &["docs", "conformance", "fixtures", "fuzz", "reference-broker", ".github"];

/// Folders that are made, not kept.
const MADE: &[&str] = &["target", "artifacts", "coverage", "corpus", "node_modules"];

/// A page.
pub(crate) struct Page {
    /// Its path from the top, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// What stands in a page, and where.
pub(crate) struct Piece {
    pub(crate) line: usize,
    pub(crate) text: String,
}

/// A block of code.
pub(crate) struct Block {
    /// The first of its lines.
    pub(crate) line: usize,
    /// What it says of its language; of one that is indented, nothing.
    pub(crate) language: String,
    pub(crate) text: String,
}

/// The top of the checkout.
pub(crate) fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// All pages, by their paths.
pub(crate) fn pages() -> Vec<Page> {
    let mut pages = Vec::new();
    gather(&top(), "", false, &mut pages);
    for folder in FOLDERS {
        gather(&top().join(folder), folder, true, &mut pages);
    }
    pages.sort_by(|a, b| a.path.cmp(&b.path));
    pages
}

fn gather(folder: &Path, path: &str, goes_down: bool, pages: &mut Vec<Page>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{path}: {error}")) {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
        if entry.file_type().unwrap().is_dir() {
            if goes_down && !MADE.contains(&name.as_str()) {
                gather(&entry.path(), &path, true, pages);
            }
        } else if name.ends_with(".md") {
            let text = fs::read_to_string(entry.path()).unwrap();
            pages.push(Page { path, text });
        }
    }
}

impl Page {
    /// Whether it is one of the book.
    pub(crate) fn is_of_the_book(&self) -> bool {
        self.path.starts_with(BOOK)
    }

    fn events(&self) -> impl Iterator<Item = (Event<'_>, Range<usize>)> {
        let options = Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES;
        Parser::new_ext(&self.text, options).into_offset_iter()
    }

    fn line(&self, at: usize) -> usize {
        1 + self.text[..at].matches('\n').count()
    }

    fn piece(&self, text: &str, at: usize) -> Piece {
        Piece { line: self.line(at), text: text.to_owned() }
    }

    /// Where its links and pictures lead.
    pub(crate) fn links(&self) -> Vec<Piece> {
        let links = self.events().filter_map(|(event, range)| match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                Some(self.piece(&dest_url, range.start))
            }
            _ => None,
        });
        links.collect()
    }

    /// What stands in backticks.
    pub(crate) fn spans(&self) -> Vec<Piece> {
        let spans = self.events().filter_map(|(event, range)| match event {
            Event::Code(text) => Some(self.piece(&text, range.start)),
            _ => None,
        });
        spans.collect()
    }

    /// Its blocks of code.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<Block> = None;
        for (event, range) in self.events() {
            match event {
                Event::Start(Tag::CodeBlock(kind)) => {
                    let (language, before) = match kind {
                        CodeBlockKind::Fenced(language) => (language.to_string(), 1),
                        CodeBlockKind::Indented => (String::new(), 0),
                    };
                    let line = self.line(range.start) + before;
                    open = Some(Block { line, language, text: String::new() });
                }
                Event::Text(text) => {
                    if let Some(block) = &mut open {
                        block.text.push_str(&text);
                    }
                }
                Event::End(TagEnd::CodeBlock) => blocks.extend(open.take()),
                _ => {}
            }
        }
        blocks
    }

    /// The anchors of its headings, as GitHub and mdBook make them.
    pub(crate) fn anchors(&self) -> Vec<String> {
        let mut anchors: Vec<String> = Vec::new();
        let mut heading: Option<String> = None;
        for (event, _) in self.events() {
            match event {
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::Text(text) | Event::Code(text) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&text);
                    }
                }
                Event::End(TagEnd::Heading(_)) => {
                    let anchor = anchor(&heading.take().unwrap_or_default());
                    let again = anchors.iter().filter(|it| **it == anchor).count();
                    anchors.push(if again == 0 { anchor } else { format!("{anchor}-{again}") });
                }
                _ => {}
            }
        }
        anchors
    }

    /// What mdBook puts into it: the paths as written, with the anchors behind them.
    pub(crate) fn includes(&self) -> Vec<Piece> {
        let mut includes = Vec::new();
        for (at, _) in self.text.match_indices("{{#include ") {
            let rest = &self.text[at + "{{#include ".len()..];
            let end =
                rest.find("}}").unwrap_or_else(|| panic!("{}: an include has no end", self.path));
            includes.push(self.piece(rest[..end].trim(), at));
        }
        includes
    }

    /// Whether it shows in Rust how what has this id is made, so that there need be none.
    pub(crate) fn makes(&self, id: &str) -> bool {
        let quoted = format!("\"{id}\"");
        self.blocks().iter().any(|block| block.language == "rust" && block.text.contains(&quoted))
    }

    /// A place in it, for messages.
    pub(crate) fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.path)
    }
}

fn anchor(heading: &str) -> String {
    let of = |c: char| match c {
        ' ' => Some('-'),
        '-' | '_' => Some(c),
        _ if c.is_alphanumeric() => Some(c),
        _ => None,
    };
    heading.trim().chars().filter_map(of).flat_map(char::to_lowercase).collect()
}
