//! A reader-writer lock that tells who waited for it.

use std::sync::{LockResult, RwLockReadGuard, RwLockWriteGuard, TryLockError, TryLockResult};

use crate::locks::contention;

/// A [`std::sync::RwLock`] whose contention is recorded, as the profile type `mutex`: readers
/// that wait for a writer, and writers that wait for anybody.
#[derive(Debug, Default)]
pub struct RwLock<T: ?Sized>(std::sync::RwLock<T>);

impl<T> RwLock<T> {
    /// See [`std::sync::RwLock::new`].
    #[inline]
    pub const fn new(value: T) -> Self {
        Self(std::sync::RwLock::new(value))
    }

    /// See [`std::sync::RwLock::into_inner`].
    ///
    /// # Errors
    /// If it is poisoned; the error holds the value.
    pub fn into_inner(self) -> LockResult<T> {
        self.0.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// See [`std::sync::RwLock::read`]. If it has to wait and a recorder is there, the wait is
    /// timed.
    ///
    /// # Errors
    /// If it is poisoned; the error holds the guard.
    #[inline]
    pub fn read(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        if !contention::is_recorded() {
            return self.0.read();
        }
        match self.0.try_read() {
            Ok(guard) => Ok(guard),
            Err(TryLockError::Poisoned(poisoned)) => Err(poisoned),
            Err(TryLockError::WouldBlock) => contention::waiting(|| self.0.read()),
        }
    }

    /// See [`std::sync::RwLock::write`]. If it has to wait and a recorder is there, the wait is
    /// timed.
    ///
    /// # Errors
    /// If it is poisoned; the error holds the guard.
    #[inline]
    pub fn write(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
        if !contention::is_recorded() {
            return self.0.write();
        }
        match self.0.try_write() {
            Ok(guard) => Ok(guard),
            Err(TryLockError::Poisoned(poisoned)) => Err(poisoned),
            Err(TryLockError::WouldBlock) => contention::waiting(|| self.0.write()),
        }
    }

    /// See [`std::sync::RwLock::try_read`]: who does not wait is not recorded.
    ///
    /// # Errors
    /// If it is held by a writer, or poisoned.
    #[inline]
    pub fn try_read(&self) -> TryLockResult<RwLockReadGuard<'_, T>> {
        self.0.try_read()
    }

    /// See [`std::sync::RwLock::try_write`]: who does not wait is not recorded.
    ///
    /// # Errors
    /// If it is held, or poisoned.
    #[inline]
    pub fn try_write(&self) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        self.0.try_write()
    }

    /// See [`std::sync::RwLock::is_poisoned`].
    #[inline]
    pub fn is_poisoned(&self) -> bool {
        self.0.is_poisoned()
    }

    /// See [`std::sync::RwLock::clear_poison`].
    #[inline]
    pub fn clear_poison(&self) {
        self.0.clear_poison();
    }

    /// See [`std::sync::RwLock::get_mut`].
    ///
    /// # Errors
    /// If it is poisoned; the error holds the reference.
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        self.0.get_mut()
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}
