//! The demo, as a newcomer runs it.

use flambeau_tests::command;

#[tokio::test]
async fn the_demo_agrees_with_the_truth() -> anyhow::Result<()> {
    let program = env!("CARGO_BIN_EXE_flambeau-under-test");
    let demo = command::run(program, &["demo", "--exit", "--listen", "127.0.0.1:0"]).await?;
    let said = String::from_utf8_lossy(&demo.stdout).into_owned();
    let errors = String::from_utf8_lossy(&demo.stderr).into_owned();
    assert!(demo.status.success(), "{said}{errors}");
    assert!(said.contains("totals agree with the raw snapshots"), "{said}");
    assert!(share(&said, "slow").is_some_and(|slow| (75.0..85.0).contains(&slow)), "{said}");
    Ok(())
}

/// The share that the profile shows for a function.
fn share(said: &str, name: &str) -> Option<f64> {
    let line = said.lines().find(|line| line.trim_start().starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
