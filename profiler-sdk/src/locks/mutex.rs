//! A mutex that tells who waited for it.

use std::sync::{LockResult, MutexGuard, TryLockError, TryLockResult};

use crate::locks::contention;

/// A [`std::sync::Mutex`] whose contention is recorded, as the profile type `mutex`.
///
/// ```
/// use profiler_sdk::profiled::Mutex;
///
/// static COUNT: Mutex<u64> = Mutex::new(0);
/// *COUNT.lock().unwrap() += 1;
/// ```
#[derive(Debug, Default)]
pub struct Mutex<T: ?Sized>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    /// See [`std::sync::Mutex::new`].
    #[inline]
    pub const fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    /// See [`std::sync::Mutex::into_inner`].
    ///
    /// # Errors
    /// If it is poisoned; the error holds the value.
    pub fn into_inner(self) -> LockResult<T> {
        self.0.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// See [`std::sync::Mutex::lock`]. If another thread holds the lock and a recorder is
    /// there, the wait is timed.
    ///
    /// # Errors
    /// If it is poisoned; the error holds the guard.
    #[inline]
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        if !contention::is_recorded() {
            return self.0.lock();
        }
        match self.0.try_lock() {
            Ok(guard) => Ok(guard),
            Err(TryLockError::Poisoned(poisoned)) => Err(poisoned),
            Err(TryLockError::WouldBlock) => contention::waiting(|| self.0.lock()),
        }
    }

    /// See [`std::sync::Mutex::try_lock`]: who does not wait is not recorded.
    ///
    /// # Errors
    /// If it is held, or poisoned.
    #[inline]
    pub fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
        self.0.try_lock()
    }

    /// See [`std::sync::Mutex::is_poisoned`].
    #[inline]
    pub fn is_poisoned(&self) -> bool {
        self.0.is_poisoned()
    }

    /// See [`std::sync::Mutex::clear_poison`].
    #[inline]
    pub fn clear_poison(&self) {
        self.0.clear_poison();
    }

    /// See [`std::sync::Mutex::get_mut`].
    ///
    /// # Errors
    /// If it is poisoned; the error holds the reference.
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        self.0.get_mut()
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}
