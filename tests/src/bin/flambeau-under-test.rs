//! The `flambeau` command, built beside the tests that kill it.

fn main() -> std::process::ExitCode {
    flambeau_cli::main()
}
