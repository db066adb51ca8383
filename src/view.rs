//! How a reference sees its object: as its own type, or through one of the interfaces that the type answers to.

use crate::error::CallError;
use std::any::{Any, type_name};

/// What the tables of objects hold: an object, and what goes after it.
pub(crate) struct Held<T> {
    object: T,
    /// Dropped after the object: whoever counts it learns that it is gone.
    _after: Option<After>,
}

/// Dropped once an object's destructor has run.
pub(crate) type After = Box<dyn Any + Send + Sync>;

impl<T> Held<T> {
    pub(crate) fn new(object: T) -> Self {
        Self { object, _after: None }
    }

    pub(crate) fn with(object: T, after: After) -> Self {
        Self { object, _after: Some(after) }
    }
}

/// Finds the `T` in what a table holds: the object itself, or the interface's face of it. It is made where both types are
/// known, and so never fails.
#[doc(hidden)]
pub struct View<T: ?Sized>(fn(&dyn Any) -> &T);

impl<T: ?Sized> Clone for View<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for View<T> {}

impl<T: 'static> View<T> {
    /// The object itself.
    pub const fn own() -> Self {
        Self(object::<T>)
    }
}

impl<I: ?Sized> View<I> {
    /// An object of type `T` through an interface of it.
    pub const fn through<T: 'static>() -> Self
    where
        I: InterfaceOf<T>,
    {
        Self(|held| I::of(object::<T>(held)))
    }

    pub(crate) fn of(self, held: &dyn Any) -> &I {
        (self.0)(held)
    }
}

fn object<T: 'static>(held: &dyn Any) -> &T {
    match held.downcast_ref::<Held<T>>() {
        Some(held) => &held.object,
        None => crate::broken("a reference's object is of the type that it was made with"),
    }
}

/// An interface, `dyn Sheet`, that can be had of a `T`. It is implemented for the interface, by
/// [`interface!`](crate::interface!), for everything that implements its trait: so the interface, its objects and their
/// users may live in crates of their own.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no interface",
    label = "not an interface",
    note = "an interface is a trait that is declared in `apartment::interface!`"
)]
pub trait InterfaceOf<T: ?Sized> {
    /// The object as the interface.
    fn of(object: &T) -> &Self;
}

/// What a type answers to, said once with the type (rule MA-5).
#[doc(hidden)]
pub struct Declaration {
    type_name: fn() -> &'static str,
    /// A `View<dyn I>` for each interface, and the type's own.
    views: &'static [&'static (dyn Any + Send + Sync)],
}

impl Declaration {
    /// Of a type with these views.
    pub const fn of<T: 'static>(views: &'static [&'static (dyn Any + Send + Sync)]) -> Self {
        Self { type_name: type_name::<T>, views }
    }

    pub(crate) fn type_name(&self) -> &'static str {
        (self.type_name)()
    }

    /// How the type is seen as an `I`; `NoInterface` if it does not answer to that.
    pub(crate) fn require<I: ?Sized + 'static>(&self) -> Result<View<I>, CallError> {
        let view = self.views.iter().find_map(|view| view.downcast_ref::<View<I>>()).copied();
        view.ok_or(CallError::NoInterface { interface: type_name::<I>() })
    }
}

/// What can be asked for its other interfaces: a type with a declaration, or an interface. The macros implement it.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say which interfaces it answers to",
    label = "no declaration of its interfaces",
    note = "declare them once, beside the type: `apartment::implements!({Self}: dyn …);`"
)]
pub trait Declares {
    /// A type gives its own declaration; an interface the one that the reference carries, which is its object's.
    fn declaration(carried: Option<&'static Declaration>) -> &'static Declaration;
}

/// The declaration that a reference to an interface carries: it got it where it was cast.
#[doc(hidden)]
pub fn carried(declaration: Option<&'static Declaration>) -> &'static Declaration {
    declaration.unwrap_or_else(|| crate::broken("a reference to an interface was cast from its object's type"))
}

/// Said of a type by [`implements!`](crate::implements!): its objects answer to the interface `I`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not declare that it answers to `{I}`",
    label = "not declared to answer to `{I}`",
    note = "declare it once, beside the type: `apartment::implements!({Self}: {I});`"
)]
pub trait Implements<I: ?Sized>: Declares + Sized {
    #[doc(hidden)]
    const VIEW: View<I>;
}
