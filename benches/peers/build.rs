//! Writes down the compiler's version and the peers', for the report.

fn main() {
    built::write_built_file().expect("what this is built of can be written down");
}
