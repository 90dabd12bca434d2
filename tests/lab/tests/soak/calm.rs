//! Asks the real guest from outside all the time, and notes when it does not answer although nobody
//! has thrown rules away.

use portero_lab::HOST_V4;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long one answer may take, in milliseconds: the guest is emulated, and the machine busy.
const PATIENCE: &str = "8000";

#[derive(Debug, Default)]
struct Shared {
    /// Even while all rules are there.
    epoch: AtomicU64,
    is_over: AtomicBool,
    answers: AtomicU32,
    failures: Mutex<Vec<String>>,
}

/// Who asks.
#[derive(Debug, Default)]
pub struct Calm {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// While it lives no answer is expected.
pub struct Pause(Arc<Shared>);

impl Drop for Pause {
    fn drop(&mut self) {
        self.0.epoch.fetch_add(1, Ordering::SeqCst);
    }
}

impl Calm {
    /// Begins to ask, with the lab's agent.
    pub fn begin(&mut self, agent: String, port: u16) {
        self.shared = Arc::default();
        let shared = Arc::clone(&self.shared);
        let port = port.to_string();
        let ask = move || {
            let words = [
                "netns", "exec", "outside", &agent, "probe", "tcp", HOST_V4, &port, PATIENCE,
            ];
            let output = Command::new("ip").args(words).stdin(Stdio::null()).output();
            let output = output.expect("the agent");
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            match output.status.success() && said.starts_with("web tcp 80") {
                true => Ok(()),
                false => Err(format!("{said}{}", String::from_utf8_lossy(&output.stderr))),
            }
        };
        self.thread = Some(std::thread::spawn(move || {
            while !shared.is_over.load(Ordering::SeqCst) {
                let epoch = shared.epoch.load(Ordering::SeqCst);
                if epoch % 2 == 0 {
                    let answer = ask();
                    let is_calm = epoch == shared.epoch.load(Ordering::SeqCst);
                    match answer {
                        Ok(()) => drop(shared.answers.fetch_add(1, Ordering::SeqCst)),
                        Err(said) if is_calm => {
                            shared.failures.lock().expect("failures").push(said)
                        }
                        Err(_) => {}
                    }
                }
                std::thread::sleep(Duration::from_millis(400));
            }
        }));
    }

    /// Rules are about to be thrown away.
    pub fn pause(&self) -> Pause {
        self.shared.epoch.fetch_add(1, Ordering::SeqCst);
        Pause(Arc::clone(&self.shared))
    }

    /// How many answers came, and what was said instead of the others.
    pub fn end(&mut self) -> (u32, Vec<String>) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("who asks");
        }
        let failures = std::mem::take(&mut *self.shared.failures.lock().expect("failures"));
        (self.shared.answers.load(Ordering::SeqCst), failures)
    }
}
