//! What the compiler must refuse: each program in `tests/compile_fail` is one that must not compile.
//!
//! A line `//~ text` in it names a part of what the compiler has to say, source lines that it shows aside; there is at
//! least one, and each must occur in an error of that program. A program `passes_*.rs` is a control and must compile: it shows that the
//! others fail for their own reason. They are checked together, as the programs of one package.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::{env, fs};

/// One test for each program, under the program's name.
macro_rules! programs {
    ($(fn $name:ident();)*) => {
        $(#[test] fn $name() { judge(stringify!($name)); })*
        const PROGRAMS: &[&str] = &[$(stringify!($name)),*];
    };
}

programs! {
    fn ap_2_interface_method_needs_an_object_at_home();
    fn ap_2_rc_cannot_be_brought_into_an_apartment();
    fn ap_3_entered_cannot_leave();
    fn ap_3_entered_mta_cannot_leave();
    fn ca_4_interface_error_must_hold_a_call_error();
    fn ca_4_interface_method_must_return_a_result();
    fn ck_1_interface_method_cannot_be_async();
    fn ck_1_rc_cannot_be_lent_to_a_call();
    fn ck_1_rc_cannot_come_back_from_a_call();
    fn ck_2_interface_method_has_no_other_kind();
    fn ck_2_one_way_method_cannot_borrow();
    fn ck_2_one_way_method_returns_nothing();
    fn ck_2_post_cannot_borrow_from_the_stack();
    fn ck_2_post_takes_no_cancel_handle();
    fn ck_2_post_takes_no_retry_policy();
    fn ck_5_borrow_of_the_object_cannot_be_kept();
    fn ck_5_borrow_of_the_object_cannot_leave();
    fn ck_5_interface_argument_must_be_send();
    fn ck_5_interface_result_cannot_borrow_from_the_object();
    fn ck_5_interface_result_must_be_send();
    fn ck_6_derived_field_must_be_marshalled();
    fn cl_1_both_class_must_be_send();
    fn cl_1_class_says_which_interfaces_it_answers_to();
    fn cl_1_free_class_must_be_sync();
    fn cl_4_factory_must_be_callable_from_any_thread();
    fn di_13_borrow_of_a_cell_cannot_leave();
    fn di_13_interface_method_cannot_take_mut_self();
    fn di_4_mta_object_must_be_send();
    fn di_4_mta_object_must_be_sync();
    fn ma_1_local_cannot_leave();
    fn ma_2_packet_cannot_be_unmarshalled_twice();
    fn ma_5_cast_asks_for_what_is_declared();
    fn ma_5_declared_interface_must_be_implemented();
    fn ma_5_interface_is_one_trait_of_methods();
    fn ma_5_interface_keeps_its_attributes();
    fn ma_5_interface_method_cannot_be_generic();
    fn ma_5_type_of_another_crate_is_wrapped();
    fn ma_7_free_threaded_object_cannot_hold_a_local();
    fn passes_classes();
    fn passes_interfaces();
    fn passes_interfaces_with_odd_names();
    fn passes_what_is_allowed();
}

#[test]
fn each_program_has_its_test() {
    let mut named = PROGRAMS.to_vec();
    named.sort_unstable();
    assert_eq!(named, programs().keys().collect::<Vec<_>>());
}

/// Fails unless the compiler said of this program what it had to.
fn judge(name: &str) {
    static ERRORS: OnceLock<BTreeMap<String, Vec<Value>>> = OnceLock::new();
    let errors = &ERRORS.get_or_init(check_all)[name];
    let shown: String = errors.iter().filter_map(|error| error["rendered"].as_str()).collect();
    if name.starts_with("passes_") {
        assert!(errors.is_empty(), "{name} should compile:\n{shown}");
        return;
    }
    assert!(!errors.is_empty(), "{name} compiles");
    let source = fs::read_to_string(&programs()[name]).unwrap();
    let wanted: Vec<_> = source.lines().filter_map(|line| line.trim().strip_prefix("//~ ")).collect();
    assert!(!wanted.is_empty(), "{name} has no line `//~ text`");
    for text in wanted {
        assert!(errors.iter().any(|error| says(error, text)), "no error says `{text}`:\n{shown}");
    }
}

/// Whether the text occurs in a compiler's message, in one of its labels, or in a note or help below it.
fn says(message: &Value, text: &str) -> bool {
    let in_it = |value: &Value| value.as_str().is_some_and(|said| said.contains(text));
    let labels = message["spans"].as_array().into_iter().flatten();
    let below = message["children"].as_array().into_iter().flatten();
    in_it(&message["message"])
        || labels.into_iter().any(|span| in_it(&span["label"]))
        || below.into_iter().any(|child| says(child, text))
}

/// The programs by name.
fn programs() -> BTreeMap<String, PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compile_fail");
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    files.map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), path)).collect()
}

/// Lets cargo check all programs at once, and gives the errors of each.
fn check_all() -> BTreeMap<String, Vec<Value>> {
    let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compile_fail");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::create_dir_all(&package).unwrap();
    let mut manifest = format!(
        "[workspace]\n[package]\nname = 'compile_fail'\nedition = '2024'\n[dependencies]\napartment.path = '{}'\n",
        root.display(),
    );
    for (name, path) in programs() {
        manifest += &format!("[[bin]]\nname = '{name}'\npath = '{}'\n", path.display());
    }
    fs::write(package.join("Cargo.toml"), manifest).unwrap();
    if let Ok(lock) = fs::read(root.join("Cargo.lock")) {
        fs::write(package.join("Cargo.lock"), lock).unwrap();
    }

    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.args("check --bins --offline --keep-going --message-format=json".split(' '));
    cargo.arg("--target-dir").arg(package.join("target")).current_dir(&package);
    let output = cargo.output().unwrap();

    let mut errors = BTreeMap::<_, Vec<Value>>::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let name = line["target"]["name"].as_str().unwrap_or_default().to_owned();
        if line["reason"] == "compiler-artifact" {
            errors.entry(name).or_default();
        } else if line["message"]["level"] == "error" {
            errors.entry(name).or_default().push(line["message"].clone());
        }
    }
    // No program is silent: one that was never looked at would else seem to be fine.
    for name in programs().into_keys() {
        let why = String::from_utf8_lossy(&output.stderr);
        assert!(errors.contains_key(&name), "{name} was not checked:\n{why}");
    }
    errors
}
