//! The words of pages and manual pages: none of those for which docs/style.md has better ones.

use portero_docs::{pages, read};
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

const STYLE: &str = "docs/style.md";

/// The settings as they are shipped, explained by comments.
const SETTINGS: &str = "packaging/portero.toml";

/// The manual pages that are written by hand.
const MANUAL: [&str; 4] = [
    "packaging/man/portero-hooks.7",
    "packaging/man/portero-watch.8",
    "packaging/man/portero-xml.5",
    "packaging/man/portero.toml.5",
];

fn text_of(path: &str) -> String {
    read(path).unwrap_or_else(|| panic!("{path} is not there"))
}

/// What the table of docs/style.md has in its first column.
fn avoided() -> Vec<String> {
    let style = text_of(STYLE);
    let rows = style.lines().filter_map(|line| line.strip_prefix("| "));
    let words = rows.filter_map(|row| Some(row.split_once('|')?.0.trim().to_owned()));
    words.skip(1).collect()
}

/// The words of a page in Markdown, without code.
fn words_of_markdown(text: &str) -> String {
    let mut words = String::new();
    let mut is_code = false;
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::CodeBlock(_)) => is_code = true,
            Event::End(TagEnd::CodeBlock) => is_code = false,
            Event::Text(part) if !is_code => words += &part,
            // What ends here is no part of the next sentence, and code is a word of its own.
            Event::Code(_) | Event::End(_) | Event::SoftBreak => words += " ",
            _ => {}
        }
    }
    words
}

/// The words of a manual page, without roff's requests.
fn words_of_roff(text: &str) -> String {
    let lines = text.lines().map(|line| match line.strip_prefix('.') {
        Some(request) => request.split_once(' ').map_or("", |(_, words)| words),
        None => line,
    });
    lines.collect::<Vec<_>>().join(" ")
}

/// The words of the comments of a TOML file, without the settings among them.
fn words_of_comments(text: &str) -> String {
    let comments = text.lines().filter_map(|line| line.strip_prefix("# "));
    comments.collect::<Vec<_>>().join(" ")
}

/// How often a phrase is in a text, as whole words.
fn count(text: &str, phrase: &str) -> usize {
    let is_letter =
        |letter: Option<char>| letter.is_some_and(|it| it.is_alphanumeric() || it == '-');
    let places = text.match_indices(phrase).filter(|(start, _)| {
        !is_letter(text[..*start].chars().next_back())
            && !is_letter(text[start + phrase.len()..].chars().next())
    });
    places.count()
}

fn normal(words: &str) -> String {
    let words: Vec<&str> = words.split_whitespace().collect();
    words.join(" ").to_lowercase()
}

#[test]
fn pages_use_the_words_of_the_style() {
    let avoided = avoided();
    assert!(avoided.len() > 15, "{avoided:?}");
    let is_page = |path: &String| {
        (path == "README.md" || path == "CONTRIBUTING.md" || path.starts_with("docs/"))
            && !path.starts_with("docs/adr/")
            && path != STYLE
    };
    let mut found = Vec::new();
    let markdown = pages().into_iter().filter(is_page);
    let mut texts: Vec<(String, String)> = markdown
        .map(|path| (path.clone(), words_of_markdown(&text_of(&path))))
        .collect();
    texts.extend(MANUAL.map(|path| (path.to_owned(), words_of_roff(&text_of(path)))));
    let comments = words_of_comments(&text_of(SETTINGS));
    assert!(comments.len() > 1000, "comments are missing: {comments}");
    texts.push((SETTINGS.to_owned(), comments));
    let is_read = |path: &str| texts.iter().any(|(read, _)| read == path);
    assert!(is_read("CONTRIBUTING.md") && is_read("docs/guide/clones.md"));
    assert!(texts.len() > 20, "only {} pages were read", texts.len());
    for (path, words) in &texts {
        let words = normal(words);
        for phrase in &avoided {
            if count(&words, phrase) > 0 {
                found.push(format!("{path}: '{phrase}'"));
            }
        }
    }
    assert_eq!(found, [""; 0], "{STYLE} has other words for these");
}

#[test]
fn a_phrase_is_found_across_lines_and_not_within_words() {
    let page =
        "# Rules go on\n\nThe guest *goes\non*, and `mend` is code.\n\n```sh\nmend it\n```\n";
    let words = normal(&words_of_markdown(page));
    assert_eq!(count(&words, "go on"), 1);
    assert_eq!(count(&words, "goes on"), 1);
    assert_eq!(count(&words, "mend"), 0);
    assert_eq!(count("recommend what is mended", "mend"), 0);
    let manual = normal(&words_of_roff(".TH x 7\nIt\n.B goes\non.\n"));
    assert_eq!(count(&manual, "goes on"), 1);
    let settings = normal(&words_of_comments(
        "# It goes\n# on.\n#mend = 1\nmend = 2\n",
    ));
    assert_eq!(count(&settings, "goes on"), 1);
    assert_eq!(count(&settings, "mend"), 0);
}
