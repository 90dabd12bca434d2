//! portero-watch: started, waited for, and how large it is.

use crate::act::status_of;
use crate::world::World;
use portero_lab::Program;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// What starts it on a host, and with which environment.
const UNIT: &str = include_str!("../../../../packaging/systemd/portero-watch.service");

/// How soon portero-watch has to have mended what it hears of.
const TURN: Duration = Duration::from_secs(10);

impl World {
    /// Waits until portero-watch has made the firewall as it has to be.
    pub fn watch_mends(&mut self, after: &str) {
        let begin = Instant::now();
        while !self.difference().is_empty() {
            if begin.elapsed() > TURN {
                return self.is_right(&format!("{after}, mended by portero-watch"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.counts.longest_turn = self.counts.longest_turn.max(begin.elapsed());
    }

    /// Starts portero-watch, and waits until it listens.
    pub fn start_watch(&mut self) {
        let marker = Path::new("/run/portero/compared");
        let _ = fs::remove_file(marker);
        let settings = UNIT
            .lines()
            .filter_map(|line| line.strip_prefix("Environment="));
        let settings = settings.filter_map(|setting| setting.split_once('='));
        let mut watch = Command::new("portero-watch");
        self.watch = Some(Program::spawn(watch.envs(settings)));
        let end = Instant::now() + TURN;
        while !marker.exists() {
            assert!(Instant::now() < end, "portero-watch does not compare");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Memory in KiB and open files of portero-watch while it rests.
    pub fn watch_size(&self) -> (u64, usize) {
        let watch = self.watch.as_ref().expect("portero-watch");
        // A comparison opens files and takes memory, and gives them back; one of its turns may take seconds beside other suites.
        let samples = (0..150).map(|_| {
            std::thread::sleep(Duration::from_millis(20));
            let files = fs::read_dir(format!("/proc/{}/fd", watch.id()));
            let memory = status_of(watch.id(), "RssAnon");
            (memory, files.expect("its open files").count())
        });
        let least = |least: (u64, usize), sample: (u64, usize)| {
            (least.0.min(sample.0), least.1.min(sample.1))
        };
        samples.reduce(least).expect("samples")
    }
}
