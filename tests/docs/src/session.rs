//! Sessions: commands with what they say.

use crate::Problem;

/// A machine that commands are run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machine {
    /// The host, as root.
    Host,
    /// A machine on the host's LAN.
    Laptop,
    /// A machine in the office, a network behind the LAN's router.
    Office,
}

/// A command with what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its line in the page.
    pub line: usize,
    /// Where it is run.
    pub machine: Machine,
    /// The command, for a shell.
    pub command: String,
    /// What is shown of what it says; nothing is compared when empty.
    pub shown: Vec<String>,
    /// Its exit status, where it is shown.
    pub status: Option<i32>,
}

/// What stands for anything.
const ANYTHING: &str = "...";

const PROMPTS: [(&str, Machine); 3] = [
    ("host# ", Machine::Host),
    ("laptop$ ", Machine::Laptop),
    ("office$ ", Machine::Office),
];

/// What a machine that is not known would be called.
fn is_prompt(word: &str) -> bool {
    let name = word.strip_suffix(['#', '$']);
    name.is_some_and(|name| name.chars().all(|character| character.is_ascii_lowercase()))
}

/// Reads a session that begins at a line.
pub(crate) fn steps(first: usize, text: &str) -> Result<Vec<Step>, Problem> {
    let mut steps: Vec<Step> = Vec::new();
    let mut is_continued = false;
    for (line, content) in (first..).zip(text.lines()) {
        let problem = |reason: &str| Problem::Session {
            line,
            reason: reason.to_owned(),
        };
        let prompt = PROMPTS
            .iter()
            .find_map(|(prompt, machine)| Some((*machine, content.strip_prefix(prompt)?)));
        match (prompt, steps.last_mut()) {
            (None, Some(step)) if is_continued => {
                step.command += "\n";
                step.command += content;
            }
            (Some((machine, command)), _) => steps.push(Step {
                line,
                machine,
                command: command.to_owned(),
                shown: Vec::new(),
                status: None,
            }),
            (None, _) if is_prompt(content.split(' ').next().unwrap_or_default()) => {
                return Err(problem(
                    "no machine with this prompt, expected 'host# ', 'laptop$ ' or 'office$ '",
                ))
            }
            (None, Some(step)) => step.shown.push(content.trim_end().to_owned()),
            (None, None) => return Err(problem("expected a prompt, as 'host# '")),
        }
        is_continued = content.ends_with('\\');
    }
    let mut merged: Vec<Step> = Vec::new();
    for mut step in steps {
        step.shown.retain(|line| !line.is_empty());
        if step.command != "echo $?" {
            merged.push(step);
            continue;
        }
        let status = step.shown.first().and_then(|line| line.parse().ok());
        match (merged.last_mut(), status) {
            (Some(before), Some(status)) => before.status = Some(status),
            _ => {
                return Err(Problem::Session {
                    line: step.line,
                    reason: "expected a command before 'echo $?', and its status after it"
                        .to_owned(),
                })
            }
        }
    }
    Ok(merged)
}

impl Step {
    /// Whether a status is as it should be.
    #[must_use]
    pub fn fits_status(&self, status: i32) -> bool {
        let starts = ["error:", "ERROR ", "curl: ("];
        let tells_error = |line: &String| starts.iter().any(|start| line.starts_with(start));
        match self.status {
            Some(expected) => status == expected,
            None => (status != 0) == self.shown.iter().any(tells_error),
        }
    }

    /// Whether it said what is shown; blank lines do not count.
    #[must_use]
    pub fn fits_output(&self, said: &str) -> bool {
        let said: Vec<&str> = said
            .lines()
            .map(str::trim_end)
            .filter(|line| !line.is_empty())
            .collect();
        let shown: Vec<&str> = self.shown.iter().map(String::as_str).collect();
        shown.is_empty()
            || fit(&shown, &said, &|shown, said| match *shown {
                ANYTHING => Fit::AnyNumber,
                shown => Fit::One(fits_line(shown, said)),
            })
    }
}

/// How a part of a pattern fits.
enum Fit {
    /// It takes any number of parts.
    AnyNumber,
    /// It takes one, or none fits.
    One(bool),
}

fn fit<P, T>(pattern: &[P], text: &[T], judge: &dyn Fn(&P, &T) -> Fit) -> bool
where
    T: Default,
{
    let Some((first, rest)) = pattern.split_first() else {
        return text.is_empty();
    };
    let nothing = T::default();
    match (judge(first, text.first().unwrap_or(&nothing)), text) {
        (Fit::AnyNumber, []) => fit(rest, text, judge),
        (Fit::AnyNumber, [_, more @ ..]) => fit(rest, text, judge) || fit(pattern, more, judge),
        (Fit::One(fits), [_, more @ ..]) => fits && fit(rest, more, judge),
        (Fit::One(_), []) => false,
    }
}

/// Whether a line is as shown, where `...` is any text.
fn fits_line(shown: &str, said: &str) -> bool {
    let Some((start, rest)) = shown.split_once(ANYTHING) else {
        return shown == said;
    };
    let Some(mut said) = said.strip_prefix(start) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split(ANYTHING).collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        match said.split_once(part) {
            Some((_, after)) => said = after,
            None => return false,
        }
    }
    said.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::{steps, Machine};

    const SESSION: &str = "host# portero status\nOWNER  HOST\ndomain web  tcp ...\n\n\
                           laptop$ curl -m 3 \\\n  http://192.0.2.10/\ncurl: (7) ...\n\
                           host# portero plan\n...\nhost# echo $?\n2\noffice$ true\n";

    #[test]
    fn a_session_is_read() {
        let steps = steps(7, SESSION).expect("a session");
        assert_eq!(steps.len(), 4);
        assert_eq!(steps[0].shown, ["OWNER  HOST", "domain web  tcp ..."]);
        assert_eq!((steps[1].machine, steps[1].line), (Machine::Laptop, 11));
        assert_eq!(steps[1].command, "curl -m 3 \\\n  http://192.0.2.10/");
        assert_eq!(steps[2].status, Some(2));
        assert_eq!(steps[3].machine, Machine::Office);
    }

    #[test]
    fn what_is_no_session_is_refused() {
        for text in [
            "portero status\n",
            "printer$ true\n",
            "host# true\nprinter# false\n",
            "host# echo $?\n2\n",
            "host# true\nhost# echo $?\n",
        ] {
            assert!(steps(1, text).is_err(), "{text}");
        }
    }

    #[test]
    fn statuses_have_to_be_as_shown() {
        let steps = steps(1, SESSION).expect("a session");
        let fits = |step: usize| [0, 1, 2, 28].map(|status| steps[step].fits_status(status));
        assert_eq!(fits(0), [true, false, false, false]);
        assert_eq!(fits(1), [false, true, true, true]);
        assert_eq!(fits(2), [false, false, true, false]);
    }

    #[test]
    fn outputs_have_to_be_as_shown() {
        let fits = |shown: &str, said: &str| {
            let text = format!("host# x\n{shown}\n");
            steps(1, &text).expect("a session")[0].fits_output(said)
        };
        assert!(fits("", "anything"));
        assert!(fits("a\nb", "a\n\nb  \n\n"));
        assert!(!fits("a\nb", "a\nb\nc\n"));
        assert!(!fits("a\nb", "a\n"));
        assert!(fits("a\n...", "a\nb\nc\n"));
        assert!(fits("a\n...", "a\n"));
        assert!(fits("...\nb\n...\nd", "a\nb\nb\nc\nd\n"));
        assert!(!fits("...\nb\n...\nd", "a\nc\nd\n"));
        assert!(fits(
            "tcp ... port ...0",
            "tcp 80 from 192.0.2.20 port 4000"
        ));
        assert!(!fits(
            "tcp ... port ...0",
            "tcp 80 from 192.0.2.20 port 4001"
        ));
        assert!(!fits("tcp 80", "tcp 8080"));
    }
}
