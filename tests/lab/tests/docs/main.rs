//! What the documentation shows is true: each block of README.md and docs is run on a host, page by
//! page, and compared with what the page says; each example of docs/examples is applied.

mod examples;
mod run;
mod spans;
mod world;

use portero_docs::{pages, project, read, Page};
use portero_lab::{enter, Lab, Options};
use run::Run;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::process::ExitCode;
use std::time::Instant;
use world::World;

/// Whether the program's argument, if there is one, is a part of a path.
fn is_asked_for(path: &str) -> bool {
    let filter = std::env::args()
        .nth(1)
        .filter(|word| !word.starts_with('-'));
    path.contains(filter.as_deref().unwrap_or_default())
}

/// The pages that are run, README.md first.
fn wanted() -> Vec<String> {
    let is_wanted = |path: &String| {
        let is_run =
            path == "README.md" || path.starts_with("docs/") && !path.starts_with("docs/adr/");
        is_run && is_asked_for(path)
    };
    pages().into_iter().filter(is_wanted).collect()
}

fn main() -> ExitCode {
    enter();
    let agent = env!("CARGO_BIN_EXE_portero-lab-agent");
    let pages = wanted();
    let lab = Lab::boot(&Options::from_environment(agent));
    let world = World::new(lab);
    let (mut passed, mut failed) = (0, 0);
    let mut not_run = Vec::new();
    for path in &pages {
        let page = Page::parse(&read(path).expect("a page"));
        let start = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| {
            world.reset();
            let mut run = Run::new(&world, path);
            run.page(&page);
            spans::check(&world.lab, path, &page.code, &mut run.failures);
            run.end()
        }));
        let seconds = start.elapsed().as_secs_f64();
        match result {
            Ok(report) if report.failures.is_empty() => {
                passed += 1;
                not_run.extend(report.not_run);
                println!("ok {path} ({seconds:.1} s): {} blocks", report.blocks);
            }
            result => {
                failed += 1;
                println!("FAILED {path} ({seconds:.1} s)");
                for failure in result.map(|report| report.failures).unwrap_or_default() {
                    println!("{failure}\n");
                }
                world.explain();
            }
        }
    }
    for example in examples::examples() {
        let path = example.strip_prefix(project()).unwrap_or(&example);
        let path = path.display().to_string();
        if !is_asked_for(&path) {
            continue;
        }
        let result = catch_unwind(AssertUnwindSafe(|| {
            world.reset();
            let mut failures = Vec::new();
            examples::check(&world, &example, &mut failures);
            failures
        }));
        match result {
            Ok(failures) if failures.is_empty() => {
                passed += 1;
                println!("ok {path}");
            }
            result => {
                failed += 1;
                println!("FAILED {path}\n{}", result.unwrap_or_default().join("\n"));
                world.explain();
            }
        }
    }
    println!("{} blocks were not run:", not_run.len());
    for line in not_run {
        println!("  {line}");
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 && passed > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
