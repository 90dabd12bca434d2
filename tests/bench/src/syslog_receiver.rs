//! A /dev/log of the benchmark's own, so that logging costs what it costs where syslog runs.

use crate::process::Process;
use crate::world::FOLDER;
use std::fs::File;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

/// The devices that the measured programs may open.
const DEVICES: [&str; 4] = ["null", "zero", "random", "urandom"];

/// The longest message that is read whole, in bytes; of longer ones the rest is lost.
const MESSAGE_SIZE: usize = 4096;

/// Puts a small /dev in the place of the machine's, with a log that reads every message and
/// forgets it.
///
/// # Errors
/// Those of `mount` and of the socket.
pub fn install() -> io::Result<()> {
    let folder = Path::new(FOLDER).join("dev");
    let path = folder.display().to_string();
    std::fs::create_dir(&folder)?;
    Process::new("mount", ["-t", "tmpfs", "portero-bench", &path]).run()?;
    for device in DEVICES {
        let place = folder.join(device);
        File::create(&place)?;
        let device = Path::new("/dev").join(device);
        let arguments = ["--bind".as_ref(), device.as_os_str(), place.as_os_str()];
        Process::new("mount", arguments).run()?;
    }
    let log = UnixDatagram::bind(folder.join("log"))?;
    Process::new("mount", ["--rbind", &path, "/dev"]).run()?;
    std::thread::spawn(move || {
        let mut message = [0; MESSAGE_SIZE];
        while log.recv(&mut message).is_ok() {}
    });
    Ok(())
}
