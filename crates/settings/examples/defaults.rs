//! Prints `etc/defaults`: `cargo run -p settings --example defaults >etc/defaults`.

use std::io::Write;

fn main() -> std::io::Result<()> {
    std::io::stdout().write_all(&settings::Values::defaults().to_file())
}
