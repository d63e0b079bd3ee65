//! Unwind rules of loaded code, in a form that a signal handler can look up.
//!
//! Compilers describe in `.eh_frame`, for every instruction, where the caller's registers are.
//! Those programs are run ahead of time ([`build_cfi`](crate::cpu::build_cfi)), and what
//! remains is a rule per range of instructions: four bytes a row, in buckets of
//! [`BUCKET`] bytes of code, so that a lookup touches two or three cache lines.

use std::ops::Range;

/// Bytes of code per bucket.
pub(crate) const BUCKET: u64 = 512;

/// Where the caller's registers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Rule {
    pub(crate) frame: Frame,
    /// Bytes from the base to the canonical frame address.
    pub(crate) offset: i32,
    /// Words from that address to the saved frame pointer; 0 where it is unchanged.
    pub(crate) fp: i16,
    /// Words to the return address; 0 where it is in the link register.
    pub(crate) ra: i16,
}

/// What the canonical frame address counts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Frame {
    /// The stack pointer.
    Sp,
    /// The frame pointer.
    Fp,
    /// Nothing: nobody called this function.
    Root,
    /// The kernel called a signal handler, which returns to this.
    Signal,
    /// What cannot be said in these words.
    Unknown,
}

impl Rule {
    pub(crate) const UNKNOWN: Self = Self { frame: Frame::Unknown, offset: 0, fp: 0, ra: 0 };
}

/// From `at` bytes into the bucket, rule number `rule` holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    at: u16,
    rule: u16,
}

/// The rules of one module's code.
#[derive(Debug, Default)]
pub(crate) struct Table {
    code: Range<u64>,
    /// The first row of every bucket, and how many rows there are.
    buckets: Box<[u32]>,
    rows: Box<[Row]>,
    rules: Box<[Rule]>,
}

impl Table {
    /// A table that knows where the code is and nothing of it.
    pub(crate) fn without_rules(code: Range<u64>) -> Self {
        Self { code, ..Self::default() }
    }

    pub(crate) fn code(&self) -> Range<u64> {
        self.code.clone()
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Memory that the table takes.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.buckets) + size_of_val(&*self.rows) + size_of_val(&*self.rules)
    }

    /// The rule at an instruction of this code. Async-signal-safe.
    #[inline(always)]
    fn rule(&self, pc: u64) -> Rule {
        let into = pc.wrapping_sub(self.code.start);
        let bucket = (into / BUCKET) as usize;
        let at = (into % BUCKET) as u16;
        let (Some(first), Some(end)) = (self.buckets.get(bucket), self.buckets.get(bucket + 1))
        else {
            return Rule::UNKNOWN;
        };
        let (first, end) = (*first as usize, *end as usize);
        let here = self.rows.get(first..end).unwrap_or_default();
        let ahead = here.iter().take_while(|row| row.at <= at).count();
        // None in this bucket yet: the last one before it goes on.
        let row = (first + ahead).checked_sub(1).and_then(|index| self.rows.get(index));
        row.and_then(|row| self.rules.get(usize::from(row.rule))).copied().unwrap_or(Rule::UNKNOWN)
    }
}

/// Gathers rows in the order of their addresses.
pub(crate) struct TableBuilder {
    code: Range<u64>,
    buckets: Vec<u32>,
    rows: Vec<Row>,
    rules: Vec<Rule>,
    numbers: std::collections::HashMap<Rule, u16>,
    last: Option<u64>,
}

impl TableBuilder {
    pub(crate) fn new(code: Range<u64>, expected_rows: usize) -> Self {
        let buckets = (code.end.saturating_sub(code.start) / BUCKET) as usize + 2;
        Self {
            code,
            buckets: Vec::with_capacity(buckets),
            rows: Vec::with_capacity(expected_rows),
            rules: Vec::new(),
            numbers: std::collections::HashMap::new(),
            last: None,
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows.len()
    }

    /// From `pc` on `rule` holds. What is not in order is left out.
    pub(crate) fn push(&mut self, pc: u64, rule: Rule) {
        if !self.code.contains(&pc) || self.last.is_some_and(|last| pc < last) {
            return;
        }
        let number = self.number(rule);
        if self.last.is_some_and(|last| last == pc) {
            // Nothing ran under the row before.
            self.rows.pop();
        }
        self.last = Some(pc);
        if self.rows.last().is_some_and(|before| before.rule == number) {
            return;
        }
        let into = pc - self.code.start;
        self.begin_buckets((into / BUCKET) as usize);
        self.rows.push(Row { at: (into % BUCKET) as u16, rule: number });
    }

    /// Code from `pc` on has no rule, unless something is pushed there.
    pub(crate) fn end(&mut self, pc: u64) {
        self.push(pc, Rule::UNKNOWN);
    }

    pub(crate) fn finish(mut self) -> Table {
        let last = (self.code.end.saturating_sub(self.code.start) / BUCKET) as usize + 1;
        self.begin_buckets(last);
        Table {
            code: self.code,
            buckets: self.buckets.into(),
            rows: self.rows.into(),
            rules: self.rules.into(),
        }
    }

    /// All buckets up to this one begin with the next row, those that did not begin before.
    fn begin_buckets(&mut self, bucket: usize) {
        let next = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
        while self.buckets.len() <= bucket {
            self.buckets.push(next);
        }
    }

    /// Some hundred different rules describe a program. Too many is none.
    fn number(&mut self, rule: Rule) -> u16 {
        if let Some(number) = self.numbers.get(&rule) {
            return *number;
        }
        match u16::try_from(self.rules.len()).ok().filter(|number| *number < u16::MAX) {
            Some(number) => {
                self.rules.push(rule);
                self.numbers.insert(rule, number);
                number
            }
            // Beyond the last rule: looked up as unknown.
            None => u16::MAX,
        }
    }
}

/// The tables of all loaded code, sorted by address.
#[derive(Debug, Default)]
pub(crate) struct Tables(Box<[&'static Table]>);

impl Tables {
    pub(crate) fn new(mut tables: Vec<&'static Table>) -> Self {
        tables.sort_by_key(|table| table.code.start);
        Self(tables.into())
    }

    pub(crate) fn all(&self) -> &[&'static Table] {
        &self.0
    }

    /// The table for an address. `last` is tried first, for a stack stays in few modules.
    #[inline(always)]
    pub(crate) fn table(
        &self,
        pc: u64,
        last: &mut Option<&'static Table>,
    ) -> Option<&'static Table> {
        if let Some(table) = last.filter(|table| table.code.contains(&pc)) {
            return Some(table);
        }
        let found = self.0.iter().find(|table| table.code.contains(&pc)).copied();
        *last = found.or(*last);
        found
    }
}

/// The rule at `pc`; `None` if that is no loaded code.
#[inline(always)]
pub(crate) fn rule(tables: &Tables, pc: u64, last: &mut Option<&'static Table>) -> Option<Rule> {
    Some(tables.table(pc, last)?.rule(pc))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(offset: i32) -> Rule {
        Rule { frame: Frame::Sp, offset, fp: 0, ra: -1 }
    }

    /// The rules at all addresses, the slow way.
    fn expected(pushed: &[(u64, i32)], pc: u64) -> Rule {
        let at = pushed.iter().rev().find(|(from, _)| *from <= pc);
        at.map_or(Rule::UNKNOWN, |(_, offset)| numbered(*offset))
    }

    #[test]
    fn every_address_finds_the_last_row_before_it() {
        let (start, end) = (0x1_0000, 0x1_0000 + 5 * BUCKET + 7);
        let pushed = [
            (start + 3, 8),
            (start + 4, 16),
            (start + BUCKET - 1, 8),
            (start + BUCKET, 24),
            (start + 3 * BUCKET + 5, 32),
            (start + 3 * BUCKET + 6, 8),
            (end - 1, 40),
        ];
        let mut builder = TableBuilder::new(start..end, 0);
        for (pc, offset) in pushed {
            builder.push(pc, numbered(offset));
        }
        let table = builder.finish();
        assert_eq!(table.rows(), pushed.len());
        for pc in start..end {
            assert_eq!(table.rule(pc), expected(&pushed, pc), "{pc:#x}");
        }
        for outside in [0, start - 1, end + BUCKET, u64::MAX] {
            let tables = Tables::new(vec![Box::leak(Box::new(Table::without_rules(start..end)))]);
            assert_eq!(rule(&tables, outside, &mut None), None);
        }
    }

    #[test]
    fn rows_that_say_nothing_new_cost_nothing() {
        let mut builder = TableBuilder::new(0x1000..0x3000, 0);
        builder.push(0x1000, numbered(8));
        builder.push(0x1010, numbered(8));
        builder.end(0x1020);
        builder.push(0x1020, numbered(16));
        builder.push(0x1010, numbered(99));
        builder.push(0x4000, numbered(99));
        builder.end(0x1200);
        builder.push(0x1200, numbered(24));
        let table = builder.finish();
        assert_eq!(table.rows(), 3);
        let rules =
            [0xfff, 0x1000, 0x101f, 0x1020, 0x11ff, 0x1200, 0x2fff].map(|pc| table.rule(pc));
        assert_eq!(rules.map(|rule| rule.offset), [0, 8, 8, 16, 16, 24, 24]);
    }

    #[test]
    fn more_rules_than_numbers_are_unknown() {
        let end = 0x1000 + 70_000 * 2;
        let mut builder = TableBuilder::new(0x1000..end, 0);
        for index in 0..70_000 {
            builder.push(0x1000 + 2 * index, numbered(index as i32));
        }
        let table = builder.finish();
        assert_eq!(table.rule(0x1000 + 2 * 60_000).offset, 60_000);
        assert_eq!(table.rule(0x1000 + 2 * 69_999), Rule::UNKNOWN);
    }
}
