//! The firewall's programs, taken away or with a script in their place.

use crate::world::World;
use portero_lab::Backend;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// The programs that change the firewall.
pub fn writers(world: &World) -> &'static [&'static str] {
    match world.lab.backend() {
        Backend::Iptables => &["/usr/sbin/iptables-restore", "/usr/sbin/ip6tables-restore"],
        Backend::Nftables => &["/usr/sbin/nft"],
    }
}

/// Where a program is while another one, or none, is in its place. It keeps its name, by which iptables'
/// programs know what they are.
pub fn aside(program: &str) -> String {
    program.replace("/usr/sbin/", "/usr/sbin/aside/")
}

/// Takes a program away.
pub fn put_aside(program: &str) {
    fs::create_dir_all("/usr/sbin/aside").expect("a folder");
    fs::rename(program, aside(program)).expect("the program");
}

/// Puts it back.
pub fn put_back(program: &str) {
    fs::rename(aside(program), program).expect("the program");
}

/// Puts a script in the place of a program.
pub fn replace(program: &str, script: &str) {
    put_aside(program);
    fs::write(program, script).expect("the script");
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).expect("chmod");
}
