//! The engines that are compared.

use std::collections::HashMap;
use std::time::Duration;

use profiler_sdk::cpu::Sampler;

use crate::names::name_of;

/// What a profile says.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) nanos: u64,
    pub(crate) samples: u64,
    by_function: HashMap<&'static str, u64>,
}

impl Found {
    /// CPU time under the function `work::name`.
    pub(crate) fn of(&self, name: &str) -> u64 {
        let wanted = format!("::work::{name}");
        let under = self.by_function.iter().filter(|(function, _)| function.ends_with(&wanted));
        under.map(|(_, nanos)| nanos).sum()
    }

    fn add(&mut self, addresses: impl Iterator<Item = u64>, samples: u64, nanos: u64) {
        self.nanos += nanos;
        self.samples += samples;
        let mut functions: Vec<_> = addresses.map(name_of).collect();
        functions.sort_unstable();
        functions.dedup();
        for function in functions {
            *self.by_function.entry(function).or_default() += nanos;
        }
    }
}

/// An engine that is sampling, or can be told to.
pub(crate) trait Sampling {
    fn resume(&mut self);
    fn finish(self: Box<Self>) -> Found;
}

pub(crate) fn start(engine: &str, hz: u32) -> Option<Box<dyn Sampling>> {
    match engine {
        "own" => {
            let sampler = Sampler::start(hz).unwrap();
            assert!(sampler.wait_until_ready(Duration::from_secs(10)), "no unwinder");
            Some(Box::new(sampler))
        }
        _ => peer(hz),
    }
}

impl Sampling for Sampler {
    fn resume(&mut self) {
        Sampler::resume(self);
    }

    fn finish(mut self: Box<Self>) -> Found {
        self.pause();
        let mut found = Found::default();
        let Some(profile) = self.collect().unwrap() else { return found };
        for sample in &profile.sample {
            let address = |id: &u64| profile.location[*id as usize - 1].address;
            let [samples, nanos] = [0, 1].map(|index| sample.value[index] as u64);
            found.add(sample.location_id.iter().map(address), samples, nanos);
        }
        eprintln!("{:?}", self.report());
        found
    }
}

#[cfg(not(feature = "pprof-backend"))]
fn peer(_hz: u32) -> Option<Box<dyn Sampling>> {
    None
}

#[cfg(feature = "pprof-backend")]
fn peer(hz: u32) -> Option<Box<dyn Sampling>> {
    struct Peer(pprof::ProfilerGuard<'static>, u64);

    impl Sampling for Peer {
        fn resume(&mut self) {}

        fn finish(self: Box<Self>) -> Found {
            let mut found = Found::default();
            for (stack, count) in self.0.report().build_unresolved().unwrap().data {
                let addresses = stack.frames.iter().map(|frame| frame.symbol_address() as u64);
                let count = u64::try_from(count).unwrap_or(0);
                found.add(addresses, count, count * self.1);
            }
            found
        }
    }

    let builder = pprof::ProfilerGuardBuilder::default().frequency(hz.cast_signed());
    Some(Box::new(Peer(builder.build().unwrap(), 1_000_000_000 / u64::from(hz))))
}
