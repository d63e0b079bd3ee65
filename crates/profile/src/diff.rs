//! Profiles against profiles: scaled, subtracted, compared.

use crate::error::MergeError;
use crate::header::{Header, Headers, Rank};
use crate::limits::Limits;
use crate::merged::{Merged, Truncations};
use crate::rebuild::{Rebuild, Source};
use crate::tables::LabelEntry;

/// The label, with the text `true`, that marks samples of a diff's base.
pub const BASE_LABEL: &str = "pprof::base";

impl Merged {
    /// This profile with each column multiplied, rounded half away from zero.
    /// A sample that becomes all 0 falls away.
    ///
    /// # Errors
    /// [`MergeError::NoColumn`] if there are not as many ratios as columns.
    pub fn scaled(&self, ratios: &[f64]) -> Result<Merged, MergeError> {
        let types = self.tables.types;
        if ratios.len() != types {
            return Err(MergeError::NoColumn { column: ratios.len(), types });
        }
        // A float holds 53 bits: what stays the same must not pass through it.
        let scale = |value: i64, ratio: f64| match ratio {
            1.0 => i128::from(value),
            -1.0 => -i128::from(value),
            _ => (value as f64 * ratio).round() as i128,
        };
        let mut to = Rebuild::new(types);
        let mut source = Source::new(self, &mut to);
        let mut stack = Vec::new();
        for sample in self.samples() {
            stack.clear();
            source.stack(&mut to, sample.stack(), &mut stack);
            let labels = source.label_set(&mut to, sample.label_set());
            let values = sample.values().iter().zip(ratios);
            to.add(&stack, labels, values.map(|(&v, &r)| scale(v, r)));
        }
        Ok(to.finish(self.header.clone(), self.truncations))
    }

    /// This profile minus `base`, as `go tool pprof -base` has it: what is in
    /// both becomes one sample of the difference, or none.
    ///
    /// # Errors
    /// [`MergeError::Incompatible`] if they measure different things.
    pub fn subtract(&self, base: &Merged) -> Result<Merged, MergeError> {
        self.minus(base, false)
    }

    /// This profile and the negated samples of `base`, the latter labelled
    /// [`BASE_LABEL`], as `go tool pprof -diff_base` has it: viewers take
    /// percentages of the base's total.
    ///
    /// # Errors
    /// [`MergeError::Incompatible`] if they measure different things.
    pub fn diff(&self, base: &Merged) -> Result<Merged, MergeError> {
        self.minus(base, true)
    }

    /// The ratios that give each column of this profile the base's total, as
    /// `-normalize` has it; 0 for a column whose total is 0.
    ///
    /// # Errors
    /// [`MergeError::Incompatible`] if they measure different things.
    pub fn normalizing(&self, base: &Merged) -> Result<Vec<f64>, MergeError> {
        Headers::new(&self.header).check(&base.header)?;
        let totals = base.totals.iter().zip(&self.totals);
        let ratio = |(&base, &own): (&i128, &i128)| match own {
            0 => 0.0,
            own => base as f64 / own as f64,
        };
        Ok(totals.map(ratio).collect())
    }

    fn minus(&self, base: &Merged, marked: bool) -> Result<Merged, MergeError> {
        let header = united(&self.header, &base.header)?;
        let mut to = Rebuild::new(self.tables.types);
        self.pour(&mut to, &[], 1);
        let mark = marked.then(|| LabelEntry {
            key: to.tables.strings.intern(BASE_LABEL),
            text: to.tables.strings.intern("true"),
            number: 0,
            unit: 0,
        });
        base.pour(&mut to, mark.as_slice(), -1);
        Ok(to.finish(header, self.truncations.plus(base.truncations)))
    }

    /// Adds all samples, times `sign`, with `labels` in place of the text
    /// labels of the same keys.
    fn pour(&self, to: &mut Rebuild, labels: &[LabelEntry], sign: i128) {
        let mut source = Source::new(self, to);
        let mut stack = Vec::new();
        for sample in self.samples() {
            stack.clear();
            source.stack(to, sample.stack(), &mut stack);
            let mut entries = source.label_entries(to, sample.label_set(), |_| true);
            entries.retain(|l| l.text == 0 || labels.iter().all(|new| new.key != l.key));
            entries.extend(labels);
            to.tables.sort_labels(&mut entries);
            let label_set = to.tables.label_set(&entries);
            let values = sample.values().iter().map(|&v| sign * i128::from(v));
            to.add(&stack, label_set, values);
        }
    }
}

/// The header of two profiles merged, the first one's given precedence.
fn united(first: &Header, second: &Header) -> Result<Header, MergeError> {
    let mut headers = Headers::new(first);
    headers.check(second)?;
    headers.add(first, Rank::given(0), &Limits::default());
    headers.add(second, Rank::given(1), &Limits::default());
    Ok(headers.finish(None))
}

impl Truncations {
    pub(crate) fn plus(self, other: Truncations) -> Truncations {
        Truncations {
            stacks: self.stacks + other.stacks,
            labels: self.labels + other.labels,
            label_values: self.label_values + other.label_values,
            names: self.names + other.names,
            comments: self.comments + other.comments,
        }
    }
}
