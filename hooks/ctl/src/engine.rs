//! The engine of this host.

use portero_engine::Engine;
use portero_system::{Linux, Log, LogSink, Paths};

/// Does work with it; what it has to say goes to `sink`.
pub(crate) fn with_engine<T>(sink: LogSink, work: impl FnOnce(&mut Engine<'_>) -> T) -> T {
    let (mut host, mut log) = (Linux::default(), Log::new(sink));
    let mut engine = Engine::new(Paths::default(), &mut host, &mut log);
    work(&mut engine)
}
