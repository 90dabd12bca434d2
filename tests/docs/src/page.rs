//! A page: its blocks, code in its text, links and headings.

use crate::block::{Block, Place, Problem, Task};
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};
use std::fs;
use std::path::{Path, PathBuf};

/// A page of the documentation.
#[derive(Debug, Default)]
pub struct Page {
    /// Its blocks of code, in their order, and what is wrong with the others.
    pub blocks: Vec<Result<Block, Problem>>,
    /// Code in its text.
    pub code: Vec<String>,
    /// Its links.
    pub links: Vec<Link>,
    /// Its headings as links name them.
    pub anchors: Vec<String>,
}

/// A link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its line, from 1.
    pub line: usize,
    /// Where it leads.
    pub to: String,
}

/// The project's folder.
///
/// # Panics
/// When it is not there.
#[must_use]
pub fn project() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    folder.canonicalize().expect("the project's folder")
}

/// All Markdown files of the project by their paths below its folder, those of hidden folders, of
/// cargo's and of npm's left out.
///
/// # Panics
/// When a folder cannot be read.
#[must_use]
pub fn pages() -> Vec<String> {
    fn collect(folder: &Path, below: &str, pages: &mut Vec<String>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let entry = entry.expect("an entry");
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{below}{name}");
            if entry.file_type().expect("its type").is_dir() {
                if !name.starts_with('.') && name != "node_modules" && path != "target" {
                    collect(&entry.path(), &format!("{path}/"), pages);
                }
            } else if name.ends_with(".md") {
                pages.push(path);
            }
        }
    }
    let mut pages = Vec::new();
    collect(&project(), "", &mut pages);
    pages.sort();
    pages
}

/// The text of a file by its path below the project's folder; nothing when it is not there.
#[must_use]
pub fn read(path: &str) -> Option<String> {
    fs::read_to_string(project().join(path)).ok()
}

/// A heading as links name it, by GitHub's rule.
#[must_use]
pub fn slug(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept.chars().filter_map(|character| match character {
        ' ' => Some('-'),
        '-' | '_' => Some(character),
        _ => character.is_alphanumeric().then_some(character),
    });
    kept.collect()
}

impl Page {
    /// Reads a page.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut page = Self::default();
        let mut comment = String::new();
        let mut heading: Option<String> = None;
        let mut events = Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter();
        while let Some((event, range)) = events.next() {
            let line = text[..range.start].matches('\n').count() + 1;
            match event {
                Event::Start(Tag::CodeBlock(kind)) => {
                    let mut content = String::new();
                    for (event, _) in events.by_ref() {
                        match event {
                            Event::Text(part) => content += &part,
                            _ => break,
                        }
                    }
                    page.blocks.push(match kind {
                        CodeBlockKind::Indented => Err(Problem::Indented { line }),
                        CodeBlockKind::Fenced(kind) => {
                            Block::new(line + 1, &kind, &comment, &content)
                        }
                    });
                    comment.clear();
                }
                Event::Start(Tag::HtmlBlock) | Event::End(TagEnd::HtmlBlock) => {}
                Event::Html(html) | Event::InlineHtml(html) => {
                    comment.clear();
                    let inside = html.trim().strip_prefix("<!--");
                    if let Some(inside) = inside.and_then(|inside| inside.strip_suffix("-->")) {
                        comment = inside.trim().to_owned();
                    }
                }
                event => {
                    comment.clear();
                    match event {
                        Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                            page.links.push(Link {
                                line,
                                to: dest_url.into_string(),
                            });
                        }
                        Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                        Event::End(TagEnd::Heading(_)) => {
                            page.anchors.extend(heading.take().map(|text| slug(&text)));
                        }
                        Event::Text(part) | Event::Code(part) if heading.is_some() => {
                            heading = heading.map(|text| text + &part);
                        }
                        Event::Code(code) => page.code.push(code.into_string()),
                        _ => {}
                    }
                }
            }
        }
        page.check_places();
        page
    }

    /// The text has to say where each block belongs.
    fn check_places(&mut self) {
        let code = &self.code;
        let says = |place: &Place| {
            let words = place.words();
            code.iter().any(|code| code.contains(&words))
        };
        for block in &mut self.blocks {
            if let Ok(Block {
                line,
                task: Task::Put { place, .. },
            }) = block
            {
                if !says(place) {
                    *block = Err(Problem::Unsaid {
                        line: *line,
                        words: place.words(),
                    });
                }
            }
        }
    }
}
