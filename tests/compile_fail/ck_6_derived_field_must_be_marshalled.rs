//! A field of a marshalled type is marshalled, or says that it needs not be.
use apartment::Marshal;

#[derive(Clone)]
struct Theirs;

#[derive(Clone, Marshal)]
struct Ours {
    //~ `Theirs` does not say which references to objects it holds
    //~ a field that holds no references is left out with `#[marshal(skip)]`
    theirs: Theirs,
    #[marshal(skip)]
    skipped: Theirs,
}

#[derive(Clone, Marshal)]
struct Misspelt {
    //~ a field's attribute is `#[marshal(skip)]`
    #[marshal(skipped)]
    theirs: Theirs,
}

#[derive(Clone, Marshal)]
//~ `#[marshal(skip)]` stands at a field
#[marshal(skip)]
struct Whole {
    theirs: Theirs,
}

#[derive(Clone, Copy, Marshal)]
//~ `Marshal` cannot be derived for a union
union Either {
    one: u8,
    other: u16,
}

fn main() {}
