//! Where invocations pass: around a handler, or around a whole runtime.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant, SystemTime};

use lambda_runtime::{LambdaEvent, LambdaInvocation};
use pin_project_lite::pin_project;
use tokio::runtime::Handle;
use tower::{Layer, Service};

use crate::session::{Invocation, Session};

/// Most time a flush between the answer and the next invocation may take.
pub const FLUSH_LIMIT: Duration = Duration::from_secs(2);

/// Time left untouched before an invocation's deadline.
pub const DEADLINE_MARGIN: Duration = Duration::from_millis(250);

/// A handler whose invocations are profiled; made by [`Profiler::wrap`](crate::Profiler::wrap).
#[derive(Clone)]
pub struct Profiled<S> {
    inner: S,
    session: Option<Arc<Session>>,
}

impl<S> Profiled<S> {
    pub(crate) fn new(inner: S, session: Option<Arc<Session>>) -> Self {
        Self { inner, session }
    }
}

impl<S, E> Service<LambdaEvent<E>> for Profiled<S>
where
    S: Service<LambdaEvent<E>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ProfiledFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, event: LambdaEvent<E>) -> Self::Future {
        let deadline = event.context.deadline();
        let invocation = self.session.as_ref().map(|session| session.begin(Some(deadline)));
        ProfiledFuture { inner: self.inner.call(event), invocation }
    }
}

pin_project! {
    /// One profiled call of a [`Profiled`] handler.
    pub struct ProfiledFuture<F> {
        #[pin]
        inner: F,
        invocation: Option<Invocation>,
    }
}

impl<F: Future> Future for ProfiledFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let scope = this.invocation.as_ref().map(Invocation::scope);
        let output = ready!(this.inner.poll(context));
        drop(scope);
        let due = this.invocation.take().and_then(Invocation::finish);
        // The answer is still to be sent, so nobody waits here.
        if let (Some(session), Ok(runtime)) = (due, Handle::try_current()) {
            runtime.spawn(async move { drop(session.flush(None).await) });
        }
        Poll::Ready(output)
    }
}

/// Profiles a [`Runtime`](lambda_runtime::Runtime)'s invocations; made by
/// [`Profiler::layer`](crate::Profiler::layer).
#[derive(Clone)]
pub struct ProfilerLayer {
    session: Option<Arc<Session>>,
}

impl ProfilerLayer {
    pub(crate) fn new(session: Option<Arc<Session>>) -> Self {
        Self { session }
    }
}

impl<S> Layer<S> for ProfilerLayer {
    type Service = AfterAnswer<S>;

    fn layer(&self, inner: S) -> AfterAnswer<S> {
        AfterAnswer { inner, session: self.session.clone() }
    }
}

/// A runtime's invocation, answer included, with a flush behind it when one is due.
#[derive(Clone)]
pub struct AfterAnswer<S> {
    inner: S,
    session: Option<Arc<Session>>,
}

impl<S> Service<LambdaInvocation> for AfterAnswer<S>
where
    S: Service<LambdaInvocation>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = AfterAnswerFuture<S::Future, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, invocation: LambdaInvocation) -> Self::Future {
        let deadline = invocation.context.deadline();
        let running = self.session.as_ref().map(|session| session.begin(Some(deadline)));
        AfterAnswerFuture {
            inner: self.inner.call(invocation),
            running,
            deadline,
            flush: None,
            output: None,
        }
    }
}

type Flush = Pin<Box<dyn Future<Output = ()> + Send>>;

pin_project! {
    /// One invocation under [`AfterAnswer`].
    pub struct AfterAnswerFuture<F, O> {
        #[pin]
        inner: F,
        running: Option<Invocation>,
        deadline: SystemTime,
        flush: Option<Flush>,
        output: Option<O>,
    }
}

impl<F, O> Future for AfterAnswerFuture<F, O>
where
    F: Future<Output = O>,
{
    type Output = O;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<O> {
        let this = self.project();
        if this.output.is_none() {
            let scope = this.running.as_ref().map(Invocation::scope);
            *this.output = Some(ready!(this.inner.poll(context)));
            drop(scope);
            let due = this.running.take().and_then(Invocation::finish);
            let until = flush_deadline(*this.deadline);
            *this.flush = due.zip(until).map(|(session, until)| {
                let flush: Flush = Box::pin(async move { drop(session.flush(Some(until)).await) });
                flush
            });
        }
        if let Some(flush) = this.flush.as_mut() {
            ready!(flush.as_mut().poll(context));
            *this.flush = None;
        }
        match this.output.take() {
            Some(output) => Poll::Ready(output),
            None => Poll::Pending,
        }
    }
}

/// When a flush must be over; `None` if it should not begin.
fn flush_deadline(deadline: SystemTime) -> Option<Instant> {
    let left = deadline.duration_since(SystemTime::now()).ok()?;
    let usable = left.checked_sub(DEADLINE_MARGIN)?.min(FLUSH_LIMIT);
    (!usable.is_zero()).then(|| Instant::now() + usable)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_flush_stays_away_from_the_deadline() {
        let now = SystemTime::now();
        assert_eq!(flush_deadline(now - Duration::from_secs(1)), None);
        assert_eq!(flush_deadline(now + DEADLINE_MARGIN), None);
        let far = flush_deadline(now + Duration::from_secs(60)).unwrap();
        assert!(far <= Instant::now() + FLUSH_LIMIT);
        let near = flush_deadline(now + DEADLINE_MARGIN + Duration::from_secs(1)).unwrap();
        assert!(near <= Instant::now() + Duration::from_secs(1));
    }
}
