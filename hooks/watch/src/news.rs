//! What is worth a line in the log: comparisons are frequent, and what is broken stays so from one
//! to the next.

use portero_system::{Log, Severity};

/// What the comparison before has logged.
#[derive(Debug, Default)]
pub(crate) struct News {
    last: Vec<(Severity, String)>,
}

impl News {
    /// Passes on what a comparison has logged, unless the one before has logged it too. What was
    /// done is passed on always: it was done again.
    pub(crate) fn pass_on(&mut self, messages: &[(Severity, String)], log: &mut Log) {
        self.write(messages, log);
        self.last = messages.to_vec();
    }

    /// Passes on what was logged of one domain; the next comparison logs it too while it is so.
    pub(crate) fn pass_on_more(&mut self, messages: &[(Severity, String)], log: &mut Log) {
        self.write(messages, log);
        for message in messages {
            if !self.last.contains(message) {
                self.last.push(message.clone());
            }
        }
    }

    fn write(&self, messages: &[(Severity, String)], log: &mut Log) {
        for message in messages {
            let (severity, text) = message;
            if *severity == Severity::Info || !self.last.contains(message) {
                log.write(*severity, text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::News;
    use portero_system::{Log, LogSink, Severity};

    fn passed_on(news: &mut News, messages: &[(Severity, &str)]) -> Vec<(Severity, String)> {
        let messages: Vec<(Severity, String)> = messages
            .iter()
            .map(|(severity, text)| (*severity, (*text).to_owned()))
            .collect();
        let mut log = Log::new(LogSink::Memory(Vec::new()));
        news.pass_on(&messages, &mut log);
        log.messages().to_vec()
    }

    #[test]
    fn what_is_still_broken_is_not_said_again() {
        let mut news = News::default();
        let broken = (Severity::Error, "web.xml is broken");
        let second = (Severity::Warning, "db.xml is odd");
        assert_eq!(passed_on(&mut news, &[broken]).len(), 1);
        assert_eq!(passed_on(&mut news, &[broken]), []);
        let both = passed_on(&mut news, &[broken, second]);
        assert_eq!(both, [(Severity::Warning, "db.xml is odd".to_owned())]);
    }

    #[test]
    fn what_breaks_again_is_said_again() {
        let mut news = News::default();
        let broken = (Severity::Error, "web.xml is broken");
        assert_eq!(passed_on(&mut news, &[broken]).len(), 1);
        assert_eq!(passed_on(&mut news, &[]), []);
        assert_eq!(passed_on(&mut news, &[broken]).len(), 1);
    }

    #[test]
    fn what_was_said_of_one_domain_is_not_said_by_the_next_comparison() {
        let mut news = News::default();
        let mut log = Log::new(LogSink::Memory(Vec::new()));
        let first = (Severity::Error, "web.xml is broken");
        assert_eq!(passed_on(&mut news, &[first]).len(), 1);
        let second = [(Severity::Error, "db has no such port".to_owned())];
        news.pass_on_more(&second, &mut log);
        assert_eq!(log.messages(), second);
        let [(severity, text)] = &second;
        assert_eq!(passed_on(&mut news, &[first, (*severity, text)]), []);
    }

    #[test]
    fn what_is_done_is_said_each_time() {
        let mut news = News::default();
        let done = (Severity::Info, "web forwards tcp 80");
        assert_eq!(passed_on(&mut news, &[done]).len(), 1);
        assert_eq!(passed_on(&mut news, &[done]).len(), 1);
    }
}
