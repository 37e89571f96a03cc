//! What fuzzing has found, and mutations of it, through the checks of the fuzz targets.

#[path = "../fuzz/checks/file.rs"]
mod file;
#[path = "../fuzz/checks/form.rs"]
mod form;
#[path = "../../replay.rs"]
mod replay;

use replay::replay;

#[test]
fn files() {
    replay(include_str!("../fuzz/corpus/file.txt"), 64, file::check);
}

#[test]
fn forms() {
    replay(include_str!("../fuzz/corpus/form.txt"), 64, form::check);
}
