//! The macros of the crate `apartment`, which gives them out and documents them: use them from there.
//!
//! What they write names `::apartment` and, in it, the hidden module `__private`; the two are versions of one thing.

mod call;
mod derive;
mod implements;
mod interface;
mod method;
mod mistakes;
mod types;

use proc_macro::TokenStream;
use proc_macro2::Span;
use syn::spanned::Spanned;

/// Makes interfaces of traits; documented in `apartment`.
#[proc_macro]
pub fn interface(input: TokenStream) -> TokenStream {
    interface::expand(input.into()).into()
}

/// Declares what a type answers to; documented in `apartment`.
#[proc_macro]
pub fn implements(input: TokenStream) -> TokenStream {
    implements::expand(input.into()).into()
}

/// Implements the trait `Marshal` for a type whose fields do; documented in `apartment`.
#[proc_macro_derive(Marshal, attributes(marshal))]
pub fn marshal(input: TokenStream) -> TokenStream {
    derive::expand(input.into()).into()
}

/// Where something stands in the program, for what is written about it: an error points there, while names and lints are
/// those of a macro.
fn at(tokens: &impl Spanned) -> Span {
    Span::mixed_site().located_at(tokens.span())
}

/// Several mistakes are told at once.
#[derive(Default)]
struct Mistakes(Option<syn::Error>);

impl Mistakes {
    fn add(&mut self, error: syn::Error) {
        match &mut self.0 {
            Some(all) => all.combine(error),
            None => self.0 = Some(error),
        }
    }

    /// Notes a mistake in these tokens.
    fn at(&mut self, tokens: &impl Spanned, text: impl std::fmt::Display) {
        self.add(syn::Error::new(tokens.span(), text));
    }
}
