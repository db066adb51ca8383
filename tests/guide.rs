//! The guide to model checking shows what is in its example: each block that begins with a file's name is found there.
//! (Its other programs are run, on loom: `.ci/users`.)

use std::fs;
use std::path::Path;

#[test]
fn what_the_guide_shows_is_in_the_example() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let guide = fs::read_to_string(root.join("docs/model-checking.md")).unwrap();
    let mut shown = 0;
    for block in guide.split("```").skip(1).step_by(2) {
        let (language, text) = block.split_once('\n').unwrap();
        // The first two are run, and text is what programs print, and commands.
        if ["rust", "rust,should_panic", "text"].contains(&language) {
            continue;
        }
        let (first, part) = text.split_once('\n').unwrap();
        let file = first.trim_start_matches(['/', '#', ' ']);
        let source = fs::read_to_string(root.join("examples/model-checked").join(file)).expect(file);
        assert!(source.contains(part), "not in {file}:\n{part}");
        shown += 1;
    }
    assert_eq!(shown, 5);
}
