//! The engine of this host.

use portero_engine::Engine;
use portero_system::{Linux, Log, LogSink, Paths};

/// Does work with it; what it has to say goes to `sink`.
pub(crate) fn with_engine<T>(sink: LogSink, work: impl FnOnce(&mut Engine<'_>) -> T) -> T {
    with_engine_for(sink, None, work)
}

/// The same, with the cause that its log tells of what it changes.
pub(crate) fn with_engine_for<T>(
    sink: LogSink,
    cause: Option<&'static str>,
    work: impl FnOnce(&mut Engine<'_>) -> T,
) -> T {
    let (mut host, mut log) = (Linux::default(), Log::new(sink));
    if let Some(cause) = cause {
        log.set_cause(cause);
    }
    let mut engine = Engine::new(Paths::default(), &mut host, &mut log);
    work(&mut engine)
}
