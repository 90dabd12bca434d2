//! Runs a program with input, for no longer than until a deadline.

use crate::{Deadline, Result, SystemError};
use nix::poll::{poll, PollFd, PollFlags};
use nix::sys::memfd::{memfd_create, MFdFlags};
use nix::sys::signal::{killpg, Signal};
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::thread::Builder;
use std::time::Duration;

/// Where programs are looked for; the caller's PATH is never asked.
pub const PROGRAM_FOLDERS: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];

/// What a new pipe takes without a reader, in bytes, pipe(7).
const PIPE_CAPACITY: usize = 64 * 1024;

/// Most of a program's message that is kept, in bytes.
const MESSAGE_LIMIT: usize = 4096;

/// How often a program that has closed its stderr is looked at, and one that may still work.
const ABOUT_TO_END: Duration = Duration::from_micros(20);
const AT_WORK: Duration = Duration::from_millis(5);

/// How long a program may take to end when it is killed.
const UNTIL_KILLED: Duration = Duration::from_secs(1);

/// Finds a program in the fixed folders.
///
/// # Errors
/// [`SystemError::NoProgram`].
pub fn find_program(name: &str) -> Result<PathBuf> {
    PROGRAM_FOLDERS
        .iter()
        .map(|folder| PathBuf::from(folder).join(name))
        .find(|path| path.exists())
        .ok_or_else(|| SystemError::NoProgram {
            program: name.to_owned(),
            looked_in: PROGRAM_FOLDERS.join(", "),
        })
}

/// Runs a program with `input` on stdin and nothing of our environment.
///
/// # Errors
/// [`SystemError`] when it cannot be run, fails, or is killed because the deadline has passed.
pub fn run(name: &str, arguments: &[&str], input: &str, deadline: Deadline) -> Result<()> {
    Started::new(name, arguments, Stdio::null())?
        .finish(input, deadline)
        .map(drop)
}

/// Runs a program without input; gives what it writes on stdout.
///
/// # Errors
/// As [`run`].
pub fn read(name: &str, arguments: &[&str], deadline: Deadline) -> Result<Vec<u8>> {
    Started::new(name, arguments, Stdio::piped())?.finish("", deadline)
}

/// Runs a program for a person to read what it writes on stdout and stderr, however it ends: no more than so many bytes, and
/// no longer than until a deadline, when it is killed.
///
/// # Errors
/// [`SystemError`] when it cannot be run, or has not ended by the deadline.
pub fn tell(
    program: &Path,
    arguments: &[&str],
    size: usize,
    deadline: Deadline,
) -> Result<Vec<u8>> {
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let (mut ours, theirs) = UnixStream::pair().map_err(spawn_error(&name))?;
    let stderr = theirs.try_clone().map_err(spawn_error(&name))?;
    let mut child = bare(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(OwnedFd::from(theirs))
        .stderr(OwnedFd::from(stderr))
        .process_group(0)
        .spawn()
        .map_err(spawn_error(&name))?;
    let mut output = Vec::new();
    let mut buffer = [0; 16 * 1024];
    let is_told = loop {
        let left = deadline.left();
        if left.is_zero() || ours.set_read_timeout(Some(left)).is_err() {
            break false;
        }
        match ours.read(&mut buffer) {
            Ok(0) => break true,
            Ok(length) => output.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => break false,
        }
        if output.len() >= size {
            output.truncate(size);
            break true;
        }
    };
    let group = i32::try_from(child.id()).map(nix::unistd::Pid::from_raw);
    let _ = group.map(|group| killpg(group, Signal::SIGKILL));
    let _ = wait_until(&mut child, Deadline::after(UNTIL_KILLED), AT_WORK);
    match is_told {
        true => Ok(output),
        false => Err(hung(&name, deadline)),
    }
}

/// A program that waits for its input; it is killed when none comes.
#[derive(Debug)]
pub struct Started {
    name: String,
    child: Child,
}

impl Started {
    /// Starts a program with nothing of our environment.
    ///
    /// # Errors
    /// [`SystemError`] when it cannot be run.
    pub fn new(name: &str, arguments: &[&str], stdout: Stdio) -> Result<Self> {
        let child = command(name)?
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()
            .map_err(spawn_error(name))?;
        let name = name.to_owned();
        Ok(Self { name, child })
    }

    /// Gives it its input and waits for its end; gives what it wrote on stdout.
    ///
    /// # Errors
    /// [`SystemError`] when it fails, or is killed because the deadline has passed.
    pub fn finish(mut self, input: &str, deadline: Deadline) -> Result<Vec<u8>> {
        finish(&self.name, &mut self.child, input, deadline)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // Of a child that has been waited for both do nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn finish(name: &str, child: &mut Child, input: &str, deadline: Deadline) -> Result<Vec<u8>> {
    // A program that fails early closes its stdin; its exit status then says why.
    let mut written = Ok(());
    let mut writer = None;
    if let Some(mut stdin) = child.stdin.take() {
        if input.len() <= PIPE_CAPACITY {
            written = stdin.write_all(input.as_bytes());
        } else {
            let input = input.to_owned();
            let write = move || stdin.write_all(input.as_bytes());
            writer = Some(Builder::new().spawn(write).map_err(spawn_error(name))?);
        }
    }
    let mut reader = None;
    if let Some(mut stdout) = child.stdout.take() {
        let read = move || {
            let mut output = Vec::new();
            stdout.read_to_end(&mut output).map(|_| output)
        };
        reader = Some(Builder::new().spawn(read).map_err(spawn_error(name))?);
    }
    let message = child
        .stderr
        .take()
        .map_or(Some(String::new()), |stderr| read_until(stderr, deadline));
    let status = match message {
        Some(_) => wait_until(child, deadline, ABOUT_TO_END).map_err(spawn_error(name))?,
        None => None,
    };
    let Some(status) = status else {
        let _ = child.kill();
        let _ = child.wait();
        return Err(hung(name, deadline));
    };
    if let Some(writer) = writer {
        written = writer.join().unwrap_or(Ok(()));
    }
    let output = reader.map_or(Ok(Vec::new()), |reader| {
        reader.join().unwrap_or_else(|_| Ok(Vec::new()))
    });
    if status.success() {
        // Whoever has not been told everything has not done everything.
        return written.and(output).map_err(spawn_error(name));
    }
    let message = message.unwrap_or_default();
    Err(failed(name.to_owned(), &message, status))
}

/// A program of the fixed folders with nothing of our environment.
fn command(name: &str) -> Result<Command> {
    Ok(bare(&find_program(name)?))
}

/// A program with nothing of our environment.
fn bare(path: &Path) -> Command {
    let mut command = Command::new(path);
    command
        .env_clear()
        .env("PATH", PROGRAM_FOLDERS.join(":"))
        .env("LC_ALL", "C")
        .current_dir("/");
    command
}

fn spawn_error(name: &str) -> impl FnOnce(std::io::Error) -> SystemError + '_ {
    |source| SystemError::Spawn {
        program: name.to_owned(),
        source,
    }
}

fn hung(name: &str, deadline: Deadline) -> SystemError {
    SystemError::Hung {
        program: name.to_owned(),
        seconds: deadline.length().as_secs(),
    }
}

/// What a program said when it failed, in one line; its status when it said nothing.
fn failed(program: String, message: &str, status: ExitStatus) -> SystemError {
    let message = message.split('\n').map(str::trim).collect::<Vec<_>>();
    let message = message.join(" ").trim().to_owned();
    SystemError::Failed {
        program,
        message: if message.is_empty() {
            status.to_string()
        } else {
            message
        },
    }
}

/// Reads until the program closes its stderr; nothing when the deadline comes first.
fn read_until(mut stderr: ChildStderr, deadline: Deadline) -> Option<String> {
    let mut message = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        let ready = {
            let mut descriptors = [PollFd::new(stderr.as_fd(), PollFlags::POLLIN)];
            poll(&mut descriptors, deadline.poll_timeout())
        };
        match ready {
            Ok(0) => return None,
            Err(nix::errno::Errno::EINTR) => continue,
            Err(_) => return None,
            Ok(_) => {}
        }
        match stderr.read(&mut buffer) {
            Ok(0) => return Some(String::from_utf8_lossy(&message).into_owned()),
            Ok(length) if message.len() < MESSAGE_LIMIT => {
                message.extend_from_slice(&buffer[..length]);
            }
            Ok(_) => {}
            Err(_) => return None,
        }
    }
}

/// Waits for a program to end, and looks after each `pause`; nothing when the deadline comes first.
/// Whoever lets portero ignore `SIGCHLD` keeps it from knowing how a program has ended: an error.
fn wait_until(
    child: &mut Child,
    deadline: Deadline,
    pause: Duration,
) -> std::io::Result<Option<ExitStatus>> {
    loop {
        match child.try_wait()? {
            Some(status) => return Ok(Some(status)),
            None if deadline.left().is_zero() => return Ok(None),
            None => std::thread::sleep(pause),
        }
    }
}

/// Runs a program without input that may leave others running behind it, as `ifup` leaves a DHCP
/// client: they keep its stderr, so that goes to a file that nobody waits for.
///
/// # Errors
/// As [`run`]; all that the program has started is then killed with it.
pub fn run_starter(name: &str, arguments: &[String], deadline: Deadline) -> Result<()> {
    let message = memfd_create(c"message", MFdFlags::MFD_CLOEXEC);
    let message = message.map_err(|errno| spawn_error(name)(errno.into()))?;
    let mut message = std::fs::File::from(message);
    let stderr = message.try_clone().map_err(spawn_error(name))?;
    let mut child = command(name)?
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr)
        .process_group(0)
        .spawn()
        .map_err(spawn_error(name))?;
    let ended = wait_until(&mut child, deadline, AT_WORK).map_err(spawn_error(name))?;
    let Some(status) = ended else {
        let group = i32::try_from(child.id()).map(nix::unistd::Pid::from_raw);
        let _ = group.map(|group| killpg(group, Signal::SIGKILL));
        // One that the kernel does not let end is not waited for.
        let _ = wait_until(&mut child, Deadline::after(UNTIL_KILLED), AT_WORK);
        return Err(hung(name, deadline));
    };
    if status.success() {
        return Ok(());
    }
    let mut text = Vec::new();
    let _ = message.rewind();
    let _ = message.take(MESSAGE_LIMIT as u64).read_to_end(&mut text);
    let program = format!("{name} {}", arguments.join(" "));
    Err(failed(program, &String::from_utf8_lossy(&text), status))
}

/// Leaves nothing of the caller's environment but a fixed PATH.
pub fn clean_environment() {
    for (name, _) in std::env::vars_os() {
        std::env::remove_var(name);
    }
    std::env::set_var("PATH", PROGRAM_FOLDERS.join(":"));
    std::env::set_var("LC_ALL", "C");
}

#[cfg(test)]
#[allow(clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]
mod tests {
    use super::{run, Started, PIPE_CAPACITY};
    use crate::{Deadline, SystemError};
    use std::fmt::Debug;
    use std::io::ErrorKind;
    use std::process::Stdio;
    use std::time::Duration;

    fn deadline() -> Deadline {
        Deadline::after(Duration::from_secs(20))
    }

    fn is_not_told_everything<T: Debug>(result: crate::Result<T>) {
        match result {
            Err(SystemError::Spawn { program, source }) => {
                assert_eq!(program, "true");
                assert_eq!(source.kind(), ErrorKind::BrokenPipe);
            }
            other => panic!("{other:?}"),
        }
    }

    /// `true` succeeds without a look at its stdin; `cat` reads all.
    #[test]
    fn who_does_not_read_its_input_has_failed() {
        let large = "x".repeat(4 * PIPE_CAPACITY);
        is_not_told_everything(run("true", &[], &large, deadline()));
        run("cat", &[], &large, deadline()).expect("all was read");

        // What fits into a pipe is refused by one that has ended.
        let mut started = Started::new("true", &[], Stdio::null()).expect("started");
        while started.child.try_wait().expect("a status").is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        is_not_told_everything(started.finish("x", deadline()));
        run("cat", &[], "x", deadline()).expect("all was read");
    }
}
