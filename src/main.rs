//! The `forewarn` program: hands over to the command line.

fn main() -> std::process::ExitCode {
    forewarn::cli::main()
}
