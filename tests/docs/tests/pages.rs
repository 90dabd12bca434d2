//! The documentation: links lead somewhere, and it is clear what to do with each block. That the
//! blocks do what they say is seen in the lab (`make lab TEST=docs`).

use portero_docs::{pages, project, read, Block, Page, Problem, Task};
use std::collections::BTreeSet;

/// How many blocks may be left out when all others are run.
const NOT_RUN_LIMIT: usize = 5;

fn page(path: &str) -> Page {
    Page::parse(&read(path).unwrap_or_else(|| panic!("{path} is not there")))
}

/// The pages whose blocks are run.
fn documentation() -> Vec<(String, Page)> {
    let wanted = |path: &String| {
        path == "README.md" || path.starts_with("docs/") && !path.starts_with("docs/adr/")
    };
    let pages = pages().into_iter().filter(wanted);
    pages.map(|path| (path.clone(), page(&path))).collect()
}

/// Where a link of a page leads: a path below the project's folder, and an anchor.
fn target(from: &str, to: &str) -> (String, String) {
    let (path, anchor) = to.split_once('#').unwrap_or((to, ""));
    if path.is_empty() {
        return (from.to_owned(), anchor.to_owned());
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    (parts.join("/"), anchor.to_owned())
}

#[test]
fn links_lead_somewhere() {
    let mut broken = Vec::new();
    let mut checked = 0;
    for from in pages() {
        for link in page(&from).links {
            if link.to.contains("://") || link.to.starts_with("mailto:") {
                continue;
            }
            checked += 1;
            let (path, anchor) = target(&from, &link.to);
            let is_there = match read(&path) {
                // A picture is no text.
                None => anchor.is_empty() && project().join(&path).is_file(),
                Some(_) if anchor.is_empty() => true,
                Some(text) => Page::parse(&text).anchors.contains(&anchor),
            };
            if !is_there {
                broken.push(format!("{from}, line {}: {}", link.line, link.to));
            }
        }
    }
    assert_eq!(broken, [""; 0], "links that lead nowhere");
    assert!(checked > 20, "only {checked} links were found");
}

#[test]
fn it_is_clear_what_to_do_with_each_block() {
    let mut problems = Vec::new();
    let (mut run, mut not_run) = (0, 0);
    for (path, page) in documentation() {
        for block in page.blocks {
            match block {
                Ok(Block {
                    task: Task::NotRun { .. },
                    ..
                }) => not_run += 1,
                Ok(_) => run += 1,
                Err(problem) => problems.push(format!("{path}, {problem}")),
            }
        }
    }
    assert_eq!(problems, [""; 0]);
    assert!(run > 20, "only {run} blocks were found");
    assert!(not_run <= NOT_RUN_LIMIT, "{not_run} blocks are not run");
}

#[test]
fn every_target_of_make_that_is_named_is_there() {
    let makefile = read("Makefile").expect("the Makefile");
    let known: BTreeSet<&str> = makefile
        .lines()
        .filter_map(|line| Some(line.split_once(':')?.0))
        .flat_map(str::split_whitespace)
        .collect();
    let mut named = 0;
    for (path, page) in documentation() {
        let blocks = page.blocks.into_iter().filter_map(|block| match block {
            Ok(Block {
                task: Task::NotRun { text, .. },
                ..
            }) => Some(text),
            _ => None,
        });
        for text in blocks.chain(page.code) {
            for command in text.split(['\n', '&']) {
                let mut words = command
                    .split_whitespace()
                    .skip_while(|word| *word == "sudo");
                if words.next() != Some("make") {
                    continue;
                }
                let target = words.next().unwrap_or_default();
                assert!(
                    known.contains(target),
                    "{path}: there is no 'make {target}'"
                );
                named += 1;
            }
        }
    }
    assert!(named > 2, "only {named} were found");
}

fn problem(text: &str) -> String {
    let mut blocks = Page::parse(text).blocks;
    assert_eq!(blocks.len(), 1, "{text}");
    match blocks.remove(0) {
        Ok(block) => panic!("{text} is taken for {block:?}"),
        Err(problem) => problem.to_string(),
    }
}

#[test]
fn what_nobody_would_run_is_refused() {
    for (text, expected) in [
        ("Run:\n\n    portero sync\n", "line 3: an indented block"),
        ("```\nportero sync\n```\n", "line 2: a block of kind ''"),
        (
            "```bash\nportero sync\n```\n",
            "line 2: a block of kind 'bash'",
        ),
        ("```text\nportero sync\n```\n", "kind 'text'"),
        ("```console\nportero sync\n```\n", "expected a prompt"),
        ("```xml\n<domain/>\n```\n", "comment above the xml is ''"),
        ("```toml\n[limits]\n```\n", "comment above the toml is ''"),
        (
            "<!-- skip -->\n```sh\ntrue\n```\n",
            "comment above the sh is 'skip'",
        ),
        (
            "<!-- not run: x -->\n\ntext\n\n```xml\n<domain/>\n```\n",
            "is ''",
        ),
        (
            "<!-- virsh edit web -->\n```sh\ntrue\n```\n",
            "'virsh edit web'",
        ),
        (
            "In `virsh edit db`:\n\n<!-- virsh edit web -->\n```xml\n<metadata/>\n```\n",
            "the text does not say `virsh edit web`",
        ),
    ] {
        let said = problem(text);
        assert!(said.contains(expected), "{said}, expected {expected}");
    }
}

#[test]
fn blocks_are_known_by_the_comment_above_them() {
    let text = "In `/etc/a.toml`:\n\n<!-- file: /etc/a.toml -->\n```toml\n[limits]\n```\n\n\
                <!-- not run: it takes an hour -->\n```sh\nmake test\n```\n";
    let blocks: Result<Vec<Block>, Problem> = Page::parse(text).blocks.into_iter().collect();
    let blocks = blocks.expect("two blocks");
    assert!(matches!(&blocks[0].task, Task::Put { text, .. } if text == "[limits]\n"));
    assert!(matches!(&blocks[1].task, Task::NotRun { reason, .. } if reason == "it takes an hour"));
}
