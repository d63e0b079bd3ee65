//! Labels on samples, by scope.
//!
//! A scope sets the thread's label set while its closure runs or its future is polled, and
//! puts the one before back, also when it panics. So labels follow a task over await points and
//! from thread to thread, and no other task ever has them.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context as Waker, Poll};

use pin_project_lite::pin_project;

use crate::{context, names};

/// Labels that can be carried to another thread or task: see [`current_tags`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tags(u32);

/// Runs a closure, or makes a future whose polls run, with these labels on every sample.
///
/// Scopes nest: all their labels hold, and of one key the innermost. Threads and tasks started
/// inside do not inherit them, for most outlive the scope; carry them over with
/// [`current_tags`]. The values of a key should be few: an operation or a tenant class, never a
/// request id. A process can have [`MAX_NAMES`](crate::MAX_NAMES) different label sets; scopes
/// beyond run with the labels around them.
///
/// ```
/// # async fn lookup() {}
/// use profiler_sdk::tag_wrapper;
///
/// let sum: u64 = tag_wrapper(&[("operation", "sum")], || (0..100).sum());
/// assert_eq!(sum, 4950);
/// let tagged = tag_wrapper(&[("operation", "lookup")], lookup()); // to be awaited
/// # drop(tagged);
/// ```
pub fn tag_wrapper<How, W: Taggable<How>>(labels: &[(&str, &str)], what: W) -> W::Tagged {
    let pairs = labels.iter().map(|(key, value)| ((*key).into(), (*value).into()));
    what.under(Scope::Pairs(pairs.collect()))
}

/// Runs `body` with the label `key=value`: [`tag_wrapper`] for one label and a closure.
pub fn label_scope<R>(key: &str, value: &str, body: impl FnOnce() -> R) -> R {
    tag_wrapper(&[(key, value)], body)
}

/// Polls `future` with the label `key=value`: [`tag_wrapper`] for one label and a future.
pub async fn label_future<F: Future>(key: &str, value: &str, future: F) -> F::Output {
    tag_wrapper(&[(key, value)], future).await
}

/// The labels in force here, to be carried to another thread or task.
///
/// ```
/// let tags = profiler_sdk::current_tags();
/// std::thread::spawn(move || tags.wrap(|| 1 + 1));
/// ```
pub fn current_tags() -> Tags {
    Tags(context::current().labels)
}

impl Tags {
    /// Runs a closure, or makes a future whose polls run, with exactly these labels.
    pub fn wrap<How, W: Taggable<How>>(self, what: W) -> W::Tagged {
        what.under(Scope::Exactly(self.0))
    }
}

/// What can have labels: closures and futures. Nothing else need implement it.
pub trait Taggable<How> {
    /// A closure's result; a future that has labels.
    type Tagged;

    #[doc(hidden)]
    fn under(self, scope: Scope) -> Self::Tagged;
}

/// Tells the two kinds of [`Taggable`] apart.
#[derive(Debug)]
pub struct AsCall;

/// Tells the two kinds of [`Taggable`] apart.
#[derive(Debug)]
pub struct AsFuture;

#[doc(hidden)]
#[derive(Debug)]
pub enum Scope {
    Pairs(Vec<(Box<str>, Box<str>)>),
    Exactly(u32),
}

impl Scope {
    /// The label set of this scope inside that of `outer`.
    fn inside(&self, outer: u32) -> u32 {
        match self {
            Self::Exactly(id) => *id,
            Self::Pairs(pairs) => {
                let pairs: Vec<_> = pairs.iter().map(|(key, value)| (&**key, &**value)).collect();
                match names::label_set(outer, &pairs) {
                    0 => outer,
                    id => id,
                }
            }
        }
    }
}

impl<R, F: FnOnce() -> R> Taggable<(AsCall, R)> for F {
    type Tagged = R;

    fn under(self, scope: Scope) -> R {
        run(scope.inside(context::current().labels), self)
    }
}

impl<F: Future> Taggable<AsFuture> for F {
    type Tagged = TaggedFuture<F>;

    fn under(self, scope: Scope) -> TaggedFuture<F> {
        TaggedFuture { inner: self, scope, resolved: None }
    }
}

pin_project! {
    /// A future with labels; made by [`tag_wrapper`].
    pub struct TaggedFuture<F> {
        #[pin]
        inner: F,
        scope: Scope,
        // The set outside at the last poll, and what came of it: polls are many, sets few.
        resolved: Option<(u32, u32)>,
    }
}

impl<F: Future> Future for TaggedFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, waker: &mut Waker<'_>) -> Poll<F::Output> {
        let this = self.project();
        let outer = context::current().labels;
        let labels = match *this.resolved {
            Some((known, labels)) if known == outer => labels,
            _ => this.scope.inside(outer),
        };
        *this.resolved = Some((outer, labels));
        run(labels, || this.inner.poll(waker))
    }
}

/// Runs `body` under a label set.
fn run<R>(labels: u32, body: impl FnOnce() -> R) -> R {
    let _back = Back(context::set_labels(labels));
    #[cfg(feature = "pprof-backend")]
    return crate::pprof_backend::marked(labels, body);
    #[cfg(not(feature = "pprof-backend"))]
    body()
}

/// Puts the labels before back, whatever happens.
struct Back(u32);

impl Drop for Back {
    fn drop(&mut self) {
        context::set_labels(self.0);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn here() -> Vec<(String, String)> {
        names::labels_of(context::current().labels)
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn scopes_nest_and_end_with_a_panic_too() {
        tag_wrapper(&[("a", "1"), ("b", "1")], || {
            assert_eq!(here(), pairs(&[("a", "1"), ("b", "1")]));
            label_scope("b", "2", || assert_eq!(here(), pairs(&[("a", "1"), ("b", "2")])));
            let fell = std::panic::catch_unwind(|| label_scope("c", "3", || panic!("on purpose")));
            assert!(fell.is_err());
            assert_eq!(here(), pairs(&[("a", "1"), ("b", "1")]));
        });
        assert!(here().is_empty());
    }

    #[test]
    fn tags_go_where_they_are_carried() {
        let tags = label_scope("carried", "yes", current_tags);
        let plain = std::thread::spawn(here).join().unwrap();
        let carried = std::thread::spawn(move || tags.wrap(here)).join().unwrap();
        assert_eq!((plain, carried), (vec![], pairs(&[("carried", "yes")])));
    }

    /// A thousand tasks on four threads, each with its own labels over its await points.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn a_thousand_interleaved_tasks_keep_their_labels() {
        let tasks = (0..1_000_u32).map(|task| {
            tokio::spawn(async move {
                let task = task.to_string();
                let inner = async {
                    for turn in 0..20 {
                        tokio::task::yield_now().await;
                        let turn = (turn % 3).to_string();
                        let wanted = pairs(&[("task", &task), ("turn", &turn)]);
                        assert_eq!(label_scope("turn", &turn, here), wanted);
                        assert_eq!(here(), wanted[..1]);
                    }
                };
                tag_wrapper(&[("task", &task)], inner).await;
                assert!(here().is_empty());
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
    }
}
