//! What is worth a line in the log: comparisons are frequent, and what is broken stays so from one
//! to the next.

use portero_system::{Log, Message, Severity};

/// What the comparison before has logged.
#[derive(Debug, Default)]
pub(crate) struct News {
    last: Vec<Message>,
}

impl News {
    /// Passes on what a comparison has logged, unless the one before has logged it too. What was
    /// done is passed on always: it was done again.
    pub(crate) fn pass_on(&mut self, messages: &[Message], log: &mut Log) {
        self.write(messages, log);
        self.last = messages.to_vec();
    }

    /// Passes on what was logged of one domain; the next comparison logs it too while it is so.
    pub(crate) fn pass_on_more(&mut self, messages: &[Message], log: &mut Log) {
        self.write(messages, log);
        for message in messages {
            if !self.has(message) {
                self.last.push(message.clone());
            }
        }
    }

    /// Whether the one before has logged it, whatever its cause was.
    fn has(&self, message: &Message) -> bool {
        let mut last = self.last.iter();
        last.any(|one| (one.severity, &one.text) == (message.severity, &message.text))
    }

    fn write(&self, messages: &[Message], log: &mut Log) {
        for message in messages {
            if message.severity == Severity::Info || !self.has(message) {
                log.pass_on(message.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::News;
    use portero_system::{Log, LogSink, Message, Severity};

    fn kept(messages: &[(Severity, &str)]) -> Vec<Message> {
        let mut log = Log::new(LogSink::Memory(Vec::new()));
        for (severity, text) in messages {
            log.write(*severity, text);
        }
        log.messages().to_vec()
    }

    fn passed_on(news: &mut News, messages: &[(Severity, &str)]) -> Vec<Message> {
        let mut log = Log::new(LogSink::Memory(Vec::new()));
        news.pass_on(&kept(messages), &mut log);
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
        assert_eq!(both, kept(&[second]));
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
        let second = (Severity::Error, "db has no such port");
        news.pass_on_more(&kept(&[second]), &mut log);
        assert_eq!(log.messages(), kept(&[second]));
        assert_eq!(passed_on(&mut news, &[first, second]), []);
    }

    #[test]
    fn what_is_done_is_said_each_time() {
        let mut news = News::default();
        let done = (Severity::Info, "web forwards tcp 80");
        assert_eq!(passed_on(&mut news, &[done]).len(), 1);
        assert_eq!(passed_on(&mut news, &[done]).len(), 1);
    }
}
