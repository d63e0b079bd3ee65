//! How often the kernel looks at CPU timers.

use std::mem::MaybeUninit;

/// The most signals per CPU second that the kernel can deliver: it looks at CPU timers on its
/// tick only, whose length the coarse clock's resolution tells. `None` if it does not.
pub(crate) fn tick_hz() -> Option<u32> {
    let mut resolution = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the kernel fills the structure or says that it did not.
    let resolution = unsafe {
        if libc::clock_getres(libc::CLOCK_MONOTONIC_COARSE, resolution.as_mut_ptr()) != 0 {
            return None;
        }
        resolution.assume_init()
    };
    let nanos = u32::try_from(resolution.tv_nsec).ok().filter(|nanos| *nanos > 0)?;
    Some(1_000_000_000 / nanos)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_tick_is_a_known_one() {
        assert!([100, 250, 300, 1000].contains(&tick_hz().unwrap()));
    }
}
