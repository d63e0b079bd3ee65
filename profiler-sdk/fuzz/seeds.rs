//! Writes real logs into the folder given, to begin fuzzing with.

#[allow(unused)]
#[path = "../src/context.rs"]
mod context;
#[allow(unused)]
#[path = "../src/log/mod.rs"]
mod log;
#[allow(unused)]
#[path = "../src/mappings.rs"]
mod mappings;
#[allow(unused)]
#[path = "../src/names.rs"]
mod names;
mod real_logs;

fn main() -> std::io::Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    for (nth, log) in real_logs::real_logs().iter().enumerate() {
        std::fs::write(format!("{folder}/real-{nth}.samples"), log)?;
    }
    Ok(())
}
