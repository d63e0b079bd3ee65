//! One function in the middle: who calls it, and whom it calls.

use crate::merged::{Frame, LocationId, Merged, Sample};
use crate::rebuild::{Rebuild, Source};
use crate::tables::LineEntry;

/// Where in a stack a function stands: which location, and which of its lines.
#[derive(Clone, Copy)]
struct Place {
    location: usize,
    line: usize,
}

impl Merged {
    /// The samples with a function that `is` the one, each cut to its part from
    /// there to the leaf: the function is the root, and what it calls follows.
    /// Of recursive calls the outermost counts, so that each sample counts once.
    #[must_use]
    pub fn callees(&self, is: impl Fn(&Frame<'_>) -> bool) -> Merged {
        self.around(is, |stack, place| {
            let mut part = stack[..=place.location].to_vec();
            if let Some((_, lines)) = part.last_mut() {
                lines.truncate(place.line + 1);
            }
            part
        })
    }

    /// The samples with a function that `is` the one, each cut to its part from
    /// there to the root, and turned around: the function is the root, and who
    /// calls it follows. Of recursive calls the outermost counts.
    #[must_use]
    pub fn callers(&self, is: impl Fn(&Frame<'_>) -> bool) -> Merged {
        self.around(is, |stack, place| {
            let mut part = stack[place.location..].to_vec();
            if let Some((_, lines)) = part.first_mut() {
                lines.drain(..place.line.min(lines.len()));
            }
            part.reverse();
            part.iter_mut().for_each(|(_, lines)| lines.reverse());
            part
        })
    }

    fn around(
        &self,
        is: impl Fn(&Frame<'_>) -> bool,
        cut: impl Fn(&[(LocationId, Vec<LineEntry>)], Place) -> Vec<(LocationId, Vec<LineEntry>)>,
    ) -> Merged {
        let outermost: Vec<Option<usize>> = (0..self.location_count())
            .map(|i| {
                let frames: Vec<_> = self.frames(LocationId(i as u32)).collect();
                frames.iter().rposition(&is)
            })
            .collect();
        let mut to = Rebuild::new(self.tables.types);
        let mut source = Source::new(self, &mut to);
        for sample in self.samples() {
            let Some(place) = place_of(&sample, &outermost) else {
                continue;
            };
            let stack: Vec<_> = sample.locations().map(|id| (id, source.lines(id))).collect();
            let part = cut(&stack, place);
            let located = part.iter().map(|(id, lines)| source.location_with(&mut to, *id, lines));
            let stack: Vec<u32> = located.collect();
            let labels = source.label_set(&mut to, sample.label_set());
            to.add(&stack, labels, sample.values().iter().map(|&v| i128::from(v)));
        }
        to.finish(self.header.clone(), self.truncations)
    }
}

fn place_of(sample: &Sample<'_>, outermost: &[Option<usize>]) -> Option<Place> {
    let locations: Vec<_> = sample.locations().collect();
    let location = locations.iter().rposition(|id| outermost[id.index()].is_some())?;
    let line = outermost[locations[location].index()]?;
    Some(Place { location, line })
}
