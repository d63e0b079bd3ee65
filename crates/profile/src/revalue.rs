//! A profile with other values on its stacks.

use crate::header::ValueType;
use crate::merged::{Merged, Sample};
use crate::rebuild::{Rebuild, Source};

impl Merged {
    /// The same stacks and labels with one value each, that `value` makes of a
    /// sample. One that becomes 0 falls away.
    #[must_use]
    pub fn revalued(&self, typ: ValueType, value: impl Fn(&Sample<'_>) -> i128) -> Merged {
        let mut to = Rebuild::new(1);
        let mut source = Source::new(self, &mut to);
        let mut stack = Vec::new();
        for sample in self.samples() {
            stack.clear();
            source.stack(&mut to, sample.stack(), &mut stack);
            let labels = source.label_set(&mut to, sample.label_set());
            to.add(&stack, labels, std::iter::once(value(&sample)));
        }
        let mut header = self.header.clone();
        header.default_sample_type.clone_from(&typ.typ);
        header.sample_types = vec![typ];
        to.finish(header, self.truncations)
    }

    /// The samples whose moment (see [`Merged::time_of`]) lies in `[from, until)`
    /// nanoseconds after the profile's first.
    #[must_use]
    pub fn between(&self, from: i64, until: i64) -> Merged {
        let Some(timed) = self.timed() else { return self.keeping(|_| false) };
        let within = |sample: &Sample<'_>| {
            let since = self.time_of(sample.label_set()).map(|time| time - timed.first);
            since.is_some_and(|since| since >= from && since < until)
        };
        self.keeping(within)
    }
}
