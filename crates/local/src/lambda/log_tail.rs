//! The end of a function's output, in bounded memory.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::LOG_TAIL_BYTES;

/// Keeps the last [`LOG_TAIL_BYTES`] written since the last [`LogTail::restart`].
#[derive(Clone, Default)]
pub(super) struct LogTail(Arc<Mutex<VecDeque<u8>>>);

impl LogTail {
    /// Forgets what was written so far.
    pub(super) fn restart(&self) {
        self.lock().clear();
    }

    /// What was written since the last restart, invalid UTF-8 replaced.
    pub(super) fn text(&self) -> String {
        let bytes: Vec<u8> = self.lock().iter().copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Reads `source` to its end on a thread of its own; `echo` repeats it on our stderr.
    pub(super) fn follow(&self, mut source: impl Read + Send + 'static, echo: bool) {
        let tail = self.clone();
        thread::spawn(move || {
            let mut buffer = [0; 8192];
            while let Ok(count @ 1..) = source.read(&mut buffer) {
                tail.push(&buffer[..count]);
                if echo {
                    // Nobody is told when our own stderr is gone.
                    let _ = std::io::stderr().write_all(&buffer[..count]);
                }
            }
        });
    }

    fn push(&self, bytes: &[u8]) {
        let mut kept = self.lock();
        kept.extend(bytes);
        let surplus = kept.len().saturating_sub(LOG_TAIL_BYTES);
        kept.drain(..surplus);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn keeps_the_end_only() {
        let tail = LogTail::default();
        tail.push(&[b'a'; LOG_TAIL_BYTES]);
        assert_eq!(tail.text().len(), LOG_TAIL_BYTES);
        tail.push(b"end");
        assert_eq!(tail.text().len(), LOG_TAIL_BYTES);
        assert!(tail.text().ends_with("aend"));
        tail.restart();
        assert_eq!(tail.text(), "");
    }
}
