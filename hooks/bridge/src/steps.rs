//! Runs the commands of the program that brings NICs up, none of them for long.

use crate::bridges::Bridges;
use crate::guard_start::SYSTEMD;
use crate::link;
use portero_host_bridge::{Command, Failure, Step};
use portero_system::programs::{find_program, run_starter};
use portero_system::{Deadline, Severity, SystemError};
use std::path::Path;
use std::time::{Duration, Instant};

/// How much time one command may take: one that takes longer hangs.
pub(super) const STEP: Duration = Duration::from_secs(10);

/// Less than this is no time for a command.
pub(super) const NO_TIME: Duration = Duration::from_millis(500);

/// How systemd-run(1) runs a program in a scope of the system's.
const SCOPE: [&str; 5] = [
    "--scope",
    "--quiet",
    "--collect",
    "--slice=system.slice",
    "--",
];

/// The time that several commands have.
#[derive(Debug, Clone, Copy)]
pub(super) struct StepLimits {
    each: Duration,
    end: Instant,
}

impl StepLimits {
    pub(super) fn new(each: Duration, all: Duration) -> Self {
        let end = Instant::now() + all;
        Self { each, end }
    }

    pub(super) fn until(each: Duration, end: Instant) -> Self {
        Self { each, end }
    }

    /// The last command has all that is left, up to what each may have.
    pub(super) fn of_last(self) -> Self {
        Self { each: STEP, ..self }
    }

    pub(super) fn left(&self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }

    pub(super) fn deadline(&self) -> Deadline {
        Deadline::after(self.each.min(self.left()))
    }
}

impl Bridges<'_> {
    /// Does one step after the other, until one fails that must not. One that says that there is
    /// nothing to do may; one that does not end may not.
    pub(super) fn run(
        &mut self,
        steps: &[Step],
        bridge: &str,
        limits: StepLimits,
    ) -> Result<(), SystemError> {
        for step in steps {
            (self.tell)(&step.to_string());
            match (do_one(step, bridge, limits), step) {
                (Ok(()), _) => {}
                (Err(error @ SystemError::Failed { .. }), Step::Run(command))
                    if command.failure == Failure::Expected =>
                {
                    self.log.write(Severity::Info, error);
                }
                (Err(error), _) => return Err(error),
            }
        }
        Ok(())
    }

    /// Does all steps; gives what failed of those that must not.
    pub(super) fn try_each(
        &mut self,
        steps: &[Step],
        bridge: &str,
        limits: StepLimits,
    ) -> Vec<String> {
        let mut failures = Vec::new();
        for (index, step) in steps.iter().enumerate() {
            (self.tell)(&step.to_string());
            let limits = match index + 1 == steps.len() {
                true => limits.of_last(),
                false => limits,
            };
            if *step == Step::DeleteForgottenBridge && !failures.is_empty() {
                continue;
            }
            let Err(error) = do_one(step, bridge, limits) else {
                continue;
            };
            let is_expected = match step {
                Step::Run(command) => command.failure == Failure::Expected,
                Step::DeleteBridge | Step::DeleteForgottenBridge => true,
            };
            self.log.write(Severity::Info, &error);
            if !is_expected || matches!(error, SystemError::Hung { .. }) {
                failures.push(error.to_string());
            }
        }
        failures
    }
}

fn do_one(step: &Step, bridge: &str, limits: StepLimits) -> Result<(), SystemError> {
    match step {
        Step::Run(command) if limits.left() < NO_TIME => Err(SystemError::Failed {
            program: format!("{} {}", command.program, command.arguments.join(" ")),
            message: "no time was left for it".to_owned(),
        }),
        Step::Run(command) => run_outside(command, limits.deadline()),
        Step::DeleteBridge | Step::DeleteForgottenBridge => link::delete(bridge),
    }
}

/// Runs a command. What it leaves behind, as `ifup` leaves a DHCP client, is no part of the caller's session or of the
/// guard's unit then, which systemd would end it with.
fn run_outside(command: &Command, deadline: Deadline) -> Result<(), SystemError> {
    let leaves_behind = command.program == "ifup" && Path::new(SYSTEMD).exists();
    if leaves_behind && find_program("systemd-run").is_ok() {
        let arguments = command.arguments.iter().cloned();
        let scope = SCOPE.map(str::to_owned).into_iter();
        let name = [command.program.to_owned()];
        let words: Vec<String> = scope.chain(name).chain(arguments).collect();
        match run_starter("systemd-run", &words, deadline) {
            // systemd does not answer.
            Err(SystemError::Failed { message, .. }) if message.contains("transient scope") => {}
            ended => return ended,
        }
    }
    run_starter(command.program, &command.arguments, deadline)
}
