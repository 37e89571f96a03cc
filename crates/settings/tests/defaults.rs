//! `etc/defaults`, which the package ships, is what the table says.

use settings::{Settings, Values};

#[test]
fn the_packed_defaults_are_the_tables() {
    let packed = concat!(env!("CARGO_MANIFEST_DIR"), "/../../etc/defaults");
    let packed = std::fs::read(packed).expect("etc/defaults is there");
    let table = Values::defaults().to_file();
    assert_eq!(
        String::from_utf8_lossy(&packed),
        String::from_utf8_lossy(&table),
        "make it anew: cargo run -p settings --example defaults >etc/defaults"
    );
}

#[test]
fn a_first_install_starts_disabled() {
    let settings = Settings::parse(&Values::defaults().to_file()).expect("legal");
    assert!(!settings.enabled);
    assert!(settings.warnings().is_empty());
}
