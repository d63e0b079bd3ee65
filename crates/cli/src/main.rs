//! The `flambeau` binary.

fn main() -> std::process::ExitCode {
    flambeau_cli::main()
}
