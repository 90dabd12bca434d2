//! The shell hook of <https://wiki.libvirt.org/Networking.html#forwarding-incoming-connections> and
//! its like: what rules there would be once a domain has started is found by following the script
//! as libvirt runs it, `HOOK DOMAIN OPERATION`, without running anything.

use super::rule::{self, Action, Effect, IptablesRule};
use super::shell::{self, Comparison, Condition, Joiner, Part, Relation, Statement, Word};
use super::{Ends, Imported, ImportedDomain, ImportedForward, Remark};
use portero_libvirt::ObjectName;
use portero_model::PortRange;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// What libvirt runs the hook for until a domain runs.
const OPERATIONS: [&str; 3] = ["prepare", "start", "started"];

/// Programs that run shell scripts.
const SHELLS: [&str; 6] = ["sh", "bash", "dash", "ash", "ksh", "zsh"];

/// A name that no domain has.
const NOBODY: &str = "/";

/// Reads the text of such a script.
pub(super) fn read(text: &str) -> Result<Imported, Remark> {
    check_interpreter(text)?;
    let script = shell::parse(text)?;
    let mut names = Vec::new();
    let of_all = rules(&script, NOBODY, &mut names)?;
    let is_forward = |(rule, _): &&(IptablesRule, usize)| matches!(rule.effect, Effect::Dnat(_));
    if let Some((_, line)) = of_all.iter().find(is_forward) {
        let text = "forwards for every domain, expected it inside of if [ \"$1\" = \"NAME\" ]";
        return Err(Remark::new(*line, text));
    }
    let mut imported = Imported::default();
    let mut index = 0;
    // Each run can come upon further names.
    while let Some((name, line)) = names.get(index).cloned() {
        index += 1;
        let rules = rules(&script, &name, &mut names)?;
        let name: ObjectName = name
            .parse()
            .map_err(|error| Remark::new(line, format!("{error}")))?;
        imported.add(domain(name, &rules), line);
    }
    if names.is_empty() {
        let text = "no domain is named, expected if [ \"$1\" = \"NAME\" ]";
        return Err(Remark::new(1, text));
    }
    Ok(imported)
}

fn check_interpreter(text: &str) -> Result<(), Remark> {
    let first = text.lines().next().unwrap_or_default();
    let Some(command) = first.strip_prefix("#!") else {
        return Ok(());
    };
    let is_shell = |word: &str| SHELLS.contains(&word.rsplit('/').next().unwrap_or(word));
    if command.split_whitespace().any(is_shell) {
        return Ok(());
    }
    let text = format!(
        "a program of {}, expected a shell script, or hooks.json of saschpe's hook",
        command.trim().escape_debug()
    );
    Err(Remark::new(1, text))
}

/// A domain with the forwards among its rules; of the others it is said that they are left out.
fn domain(name: ObjectName, rules: &[(IptablesRule, usize)]) -> ImportedDomain {
    let mut domain = ImportedDomain::new(name);
    for (rule, line) in rules {
        let left_out = match (&rule.effect, rule.chain.as_str()) {
            (Effect::Dnat(new), "PREROUTING") => {
                for forward in new {
                    if domain.forwards.iter().all(|known| key(known) != key(forward)) {
                        domain.forwards.push(forward.clone());
                    }
                }
                continue;
            }
            (Effect::Dnat(_), _) => continue,
            (Effect::Other(target), "FORWARD") if target == "ACCEPT" => {
                "the rule in FORWARD is not taken over, since portero accepts the connections it forwards"
                    .to_owned()
            }
            (Effect::Other(target), chain) => format!(
                "the rule '-j {}' in {} is not taken over",
                target.escape_debug(),
                chain.escape_debug()
            ),
        };
        domain.warnings.push(Remark::new(*line, left_out));
    }
    for (rule, line) in rules {
        let Effect::Dnat(of_host) = &rule.effect else {
            continue;
        };
        let known = domain.forwards.iter().map(target);
        if !of_host
            .iter()
            .all(|forward| known.clone().any(|one| one == target(forward)))
        {
            let text = "forwards for the host alone, which portero does not: not taken over";
            domain.warnings.push(Remark::new(*line, text));
        }
    }
    // Rules that are added at several moments stand in the same lines.
    domain.warnings.dedup();
    domain
}

/// Which ports lead where, whoever may use them.
fn target(forward: &ImportedForward) -> (PortRange, u16, &str) {
    (forward.ports, forward.to, &forward.ends.guest)
}

/// What a forward does, wherever it is written.
fn key(forward: &ImportedForward) -> (&Ends, PortRange, u16) {
    (&forward.ends, forward.ports, forward.to)
}

/// The rules that are there once a domain has started, with their lines. Names that `$1` is compared
/// with are added to `names`.
fn rules(
    script: &[Statement],
    domain: &str,
    names: &mut Vec<(String, usize)>,
) -> Result<Vec<(IptablesRule, usize)>, Remark> {
    let mut rules = Vec::new();
    for operation in OPERATIONS {
        let mut run = Run {
            domain,
            operation,
            variables: BTreeMap::new(),
            rules: &mut rules,
            names,
        };
        let _ = run.block(script)?;
    }
    Ok(rules)
}

/// One run of the script by libvirt.
struct Run<'a> {
    domain: &'a str,
    operation: &'a str,
    variables: BTreeMap<&'a str, String>,
    rules: &'a mut Vec<(IptablesRule, usize)>,
    names: &'a mut Vec<(String, usize)>,
}

impl<'a> Run<'a> {
    /// Follows statements; breaks where the script ends.
    fn block(&mut self, statements: &'a [Statement]) -> Result<ControlFlow<()>, Remark> {
        for statement in statements {
            match statement {
                Statement::Assignment { name, value } => {
                    let value = self.value(value)?;
                    self.variables.insert(name, value);
                }
                Statement::Command(words) => self.command(words)?,
                Statement::If { arms, otherwise } => {
                    if self.choice(arms, otherwise)?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                Statement::Exit => return Ok(ControlFlow::Break(())),
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn choice(
        &mut self,
        arms: &'a [(Condition, Vec<Statement>)],
        otherwise: &'a [Statement],
    ) -> Result<ControlFlow<()>, Remark> {
        // Each is looked at, for the names in it.
        let mut chosen = None;
        for (condition, body) in arms {
            if self.holds(condition)? && chosen.is_none() {
                chosen = Some(body);
            }
        }
        self.block(chosen.map_or(otherwise, Vec::as_slice))
    }

    fn holds(&mut self, condition: &Condition) -> Result<bool, Remark> {
        let mut holds = false;
        for (joiner, comparison) in condition {
            let next = self.compares(comparison)?;
            holds = match joiner {
                Joiner::Or => holds || next,
                Joiner::And => holds && next,
            };
        }
        Ok(holds)
    }

    fn compares(&mut self, comparison: &Comparison) -> Result<bool, Remark> {
        let Comparison {
            left: a, right: b, ..
        } = comparison;
        let (left, right) = (self.value(a)?, self.value(b)?);
        for (word, other) in [(a, &right), (b, &left)] {
            let is_new = self.names.iter().all(|(known, _)| known != other);
            if is_domain(word) && is_new && other != NOBODY {
                self.names.push((other.clone(), word.line));
            }
        }
        Ok((left == right) == (comparison.expected == Relation::Equal))
    }

    fn command(&mut self, words: &[Word]) -> Result<(), Remark> {
        let line = words.first().map_or(1, |word| word.line);
        let mut complete = Vec::new();
        for word in words {
            let value = self.value(word)?;
            if let [Part::Variable(_)] = word.parts.as_slice() {
                complete.extend(value.split_whitespace().map(str::to_owned));
            } else {
                complete.push(value);
            }
            self.check_given(word)?;
        }
        let rule = rule::read(&complete, line)?;
        match rule.action {
            Action::Add => self.rules.push((rule, line)),
            Action::Delete => {
                let is_it = |(known, _): &(IptablesRule, usize)| {
                    known.chain == rule.chain && is_same_effect(&known.effect, &rule.effect)
                };
                if let Some(index) = self.rules.iter().position(is_it) {
                    self.rules.remove(index);
                }
            }
        }
        Ok(())
    }

    /// Refuses a variable that has nothing in it: the wiki's template is filled in by hand.
    fn check_given(&self, word: &Word) -> Result<(), Remark> {
        for part in &word.parts {
            if let Part::Variable(name) | Part::QuotedVariable(name) = part {
                if self.variable(name, word.line)?.is_empty() {
                    let text = format!("{name} is empty, expected a value for it");
                    return Err(Remark::new(word.line, text));
                }
            }
        }
        Ok(())
    }

    fn value(&self, word: &Word) -> Result<String, Remark> {
        let mut value = String::new();
        for part in &word.parts {
            match part {
                Part::Text(text) => value += text,
                Part::Variable(name) | Part::QuotedVariable(name) => {
                    value += &self.variable(name, word.line)?;
                }
            }
        }
        Ok(value)
    }

    fn variable(&self, name: &str, line: usize) -> Result<String, Remark> {
        match name {
            "1" => Ok(self.domain.to_owned()),
            "2" => Ok(self.operation.to_owned()),
            _ => {
                let unset = || Remark::new(line, format!("{name} is not set before it is used"));
                self.variables.get(name).cloned().ok_or_else(unset)
            }
        }
    }
}

/// Whether a word is `$1`, the name of the domain.
fn is_domain(word: &Word) -> bool {
    matches!(word.parts.as_slice(), [Part::Variable(name) | Part::QuotedVariable(name)] if name == "1")
}

/// Whether two rules do the same, wherever they are written.
fn is_same_effect(one: &Effect, other: &Effect) -> bool {
    match (one, other) {
        (Effect::Dnat(one), Effect::Dnat(other)) => one.iter().map(key).eq(other.iter().map(key)),
        (Effect::Other(one), Effect::Other(other)) => one == other,
        _ => false,
    }
}
