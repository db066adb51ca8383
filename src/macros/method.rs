//! A method of an interface: what was written, and how its arguments cross.

use crate::Mistakes;
use crate::types::{Seen, bare, is_named, is_static, optional};
use proc_macro2::{Group, Ident, TokenStream};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::ParseStream;
use syn::{Attribute, FnArg, ReturnType, Signature, Token, Type, TypeReference, token};

pub(crate) struct Method {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) signature: Signature,
    pub(crate) kind: Kind,
    /// A provided method's body, or the semicolon.
    end: TokenStream,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Synchronous,
    OneWay,
    InputSynchronized,
}

impl Kind {
    fn of(word: &Ident) -> Option<Self> {
        match &*word.to_string() {
            "one_way" => Some(Self::OneWay),
            "input_sync" => Some(Self::InputSynchronized),
            _ => None,
        }
    }
}

/// How an argument crosses.
pub(crate) enum Way<'t> {
    /// `X`, moved; what refers to objects in it is marshalled in its place.
    Owned,
    /// A reference of any kind, moved: something else borrows from what it refers to.
    AsItIs,
    /// `&X`: borrowed; a type that can hold references to objects is copied, and the copy marshalled.
    Lent(&'t TypeReference),
    /// `Option<&X>`, likewise.
    LentOrNot(&'t TypeReference),
    /// `&mut X`: marshalled in its place, in and out.
    Changed,
    /// `Option<&mut X>`, likewise.
    ChangedOrNot,
}

impl Method {
    pub(crate) fn parse(input: ParseStream, attributes: Vec<Attribute>, mistakes: &mut Mistakes) -> syn::Result<Self> {
        if input.peek(Token![pub]) {
            return Err(input.error("a method of a trait is as visible as the trait: leave `pub` out"));
        }
        let signature: Signature = input.parse()?;
        let mut kind = Kind::Synchronous;
        if input.parse::<Option<Token![as]>>()?.is_some() {
            let word = input.call(Ident::parse_any)?;
            match Kind::of(&word) {
                Some(known) => kind = known,
                None => {
                    let text = "there is no such kind of method: write `as one_way`, `as input_sync`, or nothing";
                    mistakes.at(&word, text);
                }
            }
        }
        let end = if input.peek(token::Brace) {
            input.parse::<Group>()?.into_token_stream()
        } else if input.peek(Token![;]) {
            input.parse::<Token![;]>()?.into_token_stream()
        } else {
            let text = "after a method of an interface comes `;`, its body, `as one_way` or `as input_sync`";
            return Err(input.error(text));
        };
        Ok(Self { attributes, signature, kind, end })
    }

    /// The method as it was written, without its word.
    pub(crate) fn declared(&self) -> TokenStream {
        let Self { attributes, signature, end, .. } = self;
        quote!(#(#attributes)* #signature #end)
    }

    /// The arguments' types; the receiver is none.
    pub(crate) fn arguments(&self) -> impl Iterator<Item = &Type> {
        self.signature.inputs.iter().filter_map(|input| match input {
            FnArg::Typed(argument) => Some(&*argument.ty),
            FnArg::Receiver(_) => None,
        })
    }

    pub(crate) fn result(&self) -> Option<&Type> {
        match &self.signature.output {
            ReturnType::Type(_, ty) => Some(ty),
            ReturnType::Default => None,
        }
    }

    /// Whether a lifetime that the method names is more than how long an argument is lent: something in an argument, or
    /// the result, has it, or it outlives another. What is lent for such a time cannot be lent as a copy.
    fn keeps_lifetimes(&self) -> bool {
        let bounds = self.signature.generics.lifetimes().any(|parameter| !parameter.bounds.is_empty());
        let inner = self.arguments().map(|ty| match bare(ty) {
            Type::Reference(reference) => &*reference.elem,
            _ => optional(ty).map_or(ty, |reference| &*reference.elem),
        });
        bounds
            || self.signature.generics.where_clause.is_some()
            || inner.chain(self.result()).any(|ty| Seen::of(ty).named.is_some())
    }

    pub(crate) fn way<'t>(&self, ty: &'t Type) -> Way<'t> {
        let is_kept = |reference| is_named(reference) && self.keeps_lifetimes();
        match bare(ty) {
            Type::Reference(reference) if is_static(reference) => Way::Owned,
            Type::Reference(reference) if is_kept(reference) => Way::AsItIs,
            Type::Reference(reference) if reference.mutability.is_some() => Way::Changed,
            Type::Reference(reference) => Way::Lent(reference),
            _ => match optional(ty) {
                Some(reference) if is_static(reference) => Way::Owned,
                Some(reference) if is_kept(reference) => Way::AsItIs,
                Some(reference) if reference.mutability.is_some() => Way::ChangedOrNot,
                Some(reference) => Way::LentOrNot(reference),
                None => Way::Owned,
            },
        }
    }
}
