//! Runs the blocks of a page.

use crate::world::World;
use portero_docs::{Block, Machine, Object, Page, Place, Step, Task};
use portero_lab::Ran;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long the output that is shown may take where a guest has to boot first.
const EXPECTED: Duration = Duration::from_secs(90);

/// What libvirt's editor is: it puts a text where `<metadata>` belongs.
const EDITOR: &str = "#!/bin/sh
exec sed -i -e '/<metadata\\/>/d' -e '/<metadata>/,/<\\/metadata>/d' -e '/<\\/name>/r /run/lab/files/metadata' \"$1\"
";

/// A page that is run.
pub struct Run<'a> {
    world: &'a World,
    path: &'a str,
    /// Objects that were edited and have to start as they are.
    edited: Vec<Object>,
    /// What is not as the page says.
    pub failures: Vec<String>,
    not_run: Vec<String>,
    blocks: usize,
}

/// What came of a page.
pub struct Report {
    /// How many blocks were run.
    pub blocks: usize,
    /// Those that were not, with their reasons.
    pub not_run: Vec<String>,
    /// What is not as the page says.
    pub failures: Vec<String>,
}

impl<'a> Run<'a> {
    /// Nothing is run yet.
    pub fn new(world: &'a World, path: &'a str) -> Self {
        Self {
            world,
            path,
            edited: Vec::new(),
            failures: Vec::new(),
            not_run: Vec::new(),
            blocks: 0,
        }
    }

    /// Runs all blocks.
    pub fn page(&mut self, page: &Page) {
        for block in &page.blocks {
            match block {
                Ok(block) => self.block(block),
                Err(problem) => self.failures.push(format!("{}, {problem}", self.path)),
            }
        }
    }

    /// What was edited has to start.
    pub fn end(mut self) -> Report {
        for object in std::mem::take(&mut self.edited) {
            self.restart(0, &object);
        }
        Report {
            blocks: self.blocks,
            not_run: self.not_run,
            failures: self.failures,
        }
    }

    fn block(&mut self, Block { line, task }: &Block) {
        match task {
            Task::NotRun { reason, text } => {
                let first = text.lines().next().unwrap_or_default();
                let path = self.path;
                self.not_run
                    .push(format!("{path}, line {line}: {first}: {reason}"));
                return;
            }
            Task::Session(steps) => steps.iter().for_each(|step| self.step(step)),
            Task::Script(script) => {
                let ran = self.world.lab.run("sh", &["-e", "-c", script]);
                self.expect(*line, script, &ran);
            }
            Task::Put { place, text } => self.put(*line, place, text),
            // cargo does.
            Task::Rust => {}
        }
        self.blocks += 1;
    }

    fn fail(&mut self, line: usize, what: impl std::fmt::Display) {
        self.failures
            .push(format!("{}, line {line}: {what}", self.path));
    }

    fn expect(&mut self, line: usize, what: &str, ran: &Ran) {
        if !ran.ok {
            let text = format!("{what}\nfailed:\n{}{}", ran.stdout, ran.stderr);
            self.fail(line, text);
        }
    }

    /// A command; what asks a guest is tried until the answer is the one that is shown.
    fn step(&mut self, step: &Step) {
        let script = format!("( exec 2>&1; {}\n)\necho \" $?\"", step.command);
        let asks = |program: &&str| step.command.starts_with(*program);
        let is_question = ["curl ", "ping "].iter().any(asks);
        let end = Instant::now() + EXPECTED;
        loop {
            let words = ["-c", script.as_str()];
            let lab = &self.world.lab;
            let ran = match step.machine {
                Machine::Host => lab.run("sh", &words),
                Machine::Laptop => lab.inside("laptop", "sh", &words),
                Machine::Office => lab.inside("office", "sh", &words),
            };
            let (said, status) = ran.stdout.rsplit_once(' ').unwrap_or_default();
            let status = status.trim().parse().unwrap_or(-1);
            let (fits_status, fits_output) = (step.fits_status(status), step.fits_output(said));
            if fits_status && fits_output {
                return self.note_start(&step.command);
            }
            if is_question && !fits_status && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(200));
                continue;
            }
            let shown = step.shown.join("\n");
            let what = format!(
                "{}\n--- exit status {status}, said\n{said}--- expected\n{shown}",
                step.command
            );
            return self.fail(step.line, what);
        }
    }

    /// The page itself starts what was edited.
    fn note_start(&mut self, command: &str) {
        let words: Vec<&str> = command.split_whitespace().collect();
        let started = match words[..] {
            ["virsh", "start", name] => Object::Domain(name.to_owned()),
            ["virsh", "net-start", name] => Object::Network(name.to_owned()),
            _ => return,
        };
        self.edited.retain(|edited| *edited != started);
    }

    fn put(&mut self, line: usize, place: &Place, text: &str) {
        match place {
            Place::File { path } => self.write(line, path, text),
            Place::Metadata(object) => {
                // What stood there before has to have been fit too.
                if let Some(index) = self.edited.iter().position(|edited| edited == object) {
                    self.edited.remove(index);
                    self.restart(line, object);
                }
                self.edit(line, object, text);
                self.edited.push(object.clone());
            }
            Place::Network => {
                let path = self.world.lab.file("network.xml", text);
                let ran = self.world.lab.try_virsh(&["net-define", &path]);
                self.expect(line, "virsh net-define", &ran);
                let ran = self.world.lab.run("portero", &["validate", &path]);
                self.expect(line, "portero validate", &ran);
            }
        }
    }

    /// Writes a file; portero has to take what belongs to it.
    fn write(&mut self, line: usize, path: &str, text: &str) {
        let folder = Path::new(path).parent().expect("a folder");
        fs::create_dir_all(folder).expect("a folder");
        fs::write(path, text).expect("a file");
        let mode = if text.starts_with("#!") { 0o755 } else { 0o644 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("its mode");
        if path.starts_with("/etc/portero/") {
            let ran = self.world.lab.run("portero", &["validate", path]);
            self.expect(line, "portero validate", &ran);
            let mut ran = self.world.lab.run("portero", &["sync"]);
            ran.ok &= !ran.stderr.contains("error:") && !ran.stderr.contains("warning:");
            self.expect(line, "portero sync", &ran);
        }
    }

    /// Edits an object as its page says, and looks that portero finds something in it.
    fn edit(&mut self, line: usize, object: &Object, text: &str) {
        let lab = &self.world.lab;
        let (edit, dump, name) = match object {
            Object::Domain(name) => ("edit", "dumpxml", name),
            Object::Network(name) => ("net-edit", "net-dumpxml", name),
        };
        let _ = lab.file("metadata", text);
        let editor = lab.file("editor", EDITOR);
        fs::set_permissions(&editor, fs::Permissions::from_mode(0o755)).expect("its mode");
        let ran = lab.run("env", &[&format!("EDITOR={editor}"), "virsh", edit, name]);
        let xml = lab.try_virsh(&[dump, name, "--inactive"]);
        let path = lab.file("edited.xml", &xml.stdout);
        let mut valid = lab.run("portero", &["validate", &path]);
        valid.ok &= valid.stdout == format!("{path}: valid\n");
        self.expect(line, &format!("virsh {edit} {name}"), &ran);
        self.expect(line, &format!("portero validate, of {name}"), &valid);
    }

    /// Starts an object with what was edited.
    fn restart(&mut self, line: usize, object: &Object) {
        let (destroy, start, name) = match object {
            Object::Domain(name) => ("destroy", "start", name),
            Object::Network(name) => ("net-destroy", "net-start", name),
        };
        let _ = self.world.lab.try_virsh(&[destroy, name]);
        let ran = self.world.lab.try_virsh(&[start, name]);
        self.expect(
            line,
            &format!("virsh {start} {name}, as it was edited"),
            &ran,
        );
    }
}
