//! What can be said to `portero-watch`: nothing but to ask what it is.

use clap::Parser;

/// Puts port forwards back whenever the firewall or a DHCP lease has changed.
///
/// A service that systemd starts (portero-watch.service); it takes no arguments and runs until it
/// is stopped.
#[derive(Debug, Parser)]
#[command(name = "portero-watch", version)]
pub(crate) struct Args {}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::Args;
    use clap::error::ErrorKind;
    use clap::Parser;

    fn refusal(argument: &str) -> (ErrorKind, i32) {
        let error = Args::try_parse_from(["portero-watch", argument]).expect_err("not started");
        (error.kind(), error.exit_code())
    }

    #[test]
    fn any_argument_keeps_it_from_starting() {
        assert_eq!(refusal("--help"), (ErrorKind::DisplayHelp, 0));
        assert_eq!(refusal("--version"), (ErrorKind::DisplayVersion, 0));
        for argument in ["--bogus", "-x", "sync", ""] {
            assert_eq!(refusal(argument), (ErrorKind::UnknownArgument, 2));
        }
        assert!(Args::try_parse_from(["portero-watch"]).is_ok());
    }
}
