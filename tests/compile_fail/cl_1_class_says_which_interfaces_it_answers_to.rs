//! Whoever creates an object of a class may ask for it through an interface: so its type has said which it has.
use apartment::Class;

struct Silent;

fn main() {
    //~ `Silent` does not say which interfaces it answers to
    //~ declare them once, beside the type
    Class::apartment(|| Silent);
}
