//! Interfaces: one trait for both ends, declared by macros, and what their methods do with references.

pub(crate) mod expand;
mod marshal;

/// Makes interfaces of traits.
#[doc(inline)]
pub use apartment_macros::interface;

/// Declares what a type answers to.
#[doc(inline)]
pub use apartment_macros::implements;

/// Implements [`trait@Marshal`] for a type whose fields do.
#[doc(inline)]
pub use apartment_macros::Marshal;
pub use marshal::{Marshal, Marshaller};
