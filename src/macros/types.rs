//! What can be seen of a type without knowing its names: references, lifetimes, `impl Trait`, `Self`.

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{
    BoundLifetimes, GenericArgument, GenericParam, Ident, Lifetime, ParenthesizedGenericArguments, Path, PathArguments,
    TraitBound, Type, TypeFnPtr, TypeImplTrait, TypeReference,
};

/// A type without the parentheses and invisible groups around it.
pub(crate) fn bare(mut ty: &Type) -> &Type {
    loop {
        ty = match ty {
            Type::Group(group) => &group.elem,
            Type::Paren(paren) => &paren.elem,
            _ => return ty,
        }
    }
}

/// The `&X` in an `Option<&X>`, by whatever path `Option` is named.
pub(crate) fn optional(ty: &Type) -> Option<&TypeReference> {
    let Type::Path(path) = bare(ty) else { return None };
    let last = path.path.segments.last().filter(|last| path.qself.is_none() && last.ident == "Option")?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match arguments.args.first() {
        Some(GenericArgument::Type(ty)) if arguments.args.len() == 1 => match bare(ty) {
            Type::Reference(reference) => Some(reference),
            _ => None,
        },
        _ => None,
    }
}

/// Whether a reference says how long it lives, and that it is not for ever.
pub(crate) fn is_named(reference: &TypeReference) -> bool {
    reference.lifetime.as_ref().is_some_and(|lifetime| lifetime.ident != "_" && lifetime.ident != "static")
}

/// Whether a reference lives for ever.
pub(crate) fn is_static(reference: &TypeReference) -> bool {
    reference.lifetime.as_ref().is_some_and(|lifetime| lifetime.ident == "static")
}

/// What occurs anywhere in a type.
#[derive(Default)]
pub(crate) struct Seen<'t> {
    /// The first `'a`; `'static` is none, nor is one that the type binds itself.
    pub(crate) named: Option<&'t Lifetime>,
    /// The first `'_`, or `&` without a lifetime.
    pub(crate) elided: Option<Span>,
    pub(crate) impl_trait: Option<&'t TypeImplTrait>,
    pub(crate) self_type: Option<&'t Ident>,
    /// Inside the signature of a `fn` or `Fn` type, which binds what is elided in it.
    in_signature: bool,
    bound: Vec<&'t Ident>,
}

impl<'t> Seen<'t> {
    pub(crate) fn of(ty: &'t Type) -> Self {
        let mut seen = Self::default();
        seen.visit_type(ty);
        seen
    }

    fn elide(&mut self, span: Span) {
        if !self.in_signature {
            self.elided.get_or_insert(span);
        }
    }

    fn signature(&mut self, look: impl FnOnce(&mut Self)) {
        let before = std::mem::replace(&mut self.in_signature, true);
        look(self);
        self.in_signature = before;
    }

    fn binding(&mut self, bound: Option<&'t BoundLifetimes>, look: impl FnOnce(&mut Self)) {
        let before = self.bound.len();
        for parameter in bound.iter().flat_map(|bound| &bound.lifetimes) {
            if let GenericParam::Lifetime(parameter) = parameter {
                self.bound.push(&parameter.lifetime.ident);
            }
        }
        look(self);
        self.bound.truncate(before);
    }
}

impl<'t> Visit<'t> for Seen<'t> {
    fn visit_lifetime(&mut self, lifetime: &'t Lifetime) {
        if lifetime.ident == "_" {
            self.elide(lifetime.span());
        } else if lifetime.ident != "static" && !self.bound.contains(&&lifetime.ident) {
            self.named.get_or_insert(lifetime);
        }
    }

    fn visit_type_reference(&mut self, reference: &'t TypeReference) {
        if reference.lifetime.is_none() {
            self.elide(reference.and_token.span());
        }
        visit::visit_type_reference(self, reference);
    }

    fn visit_type_fn_ptr(&mut self, function: &'t TypeFnPtr) {
        self.binding(function.lifetimes.as_ref(), |seen| {
            seen.signature(|seen| visit::visit_type_fn_ptr(seen, function));
        });
    }

    fn visit_trait_bound(&mut self, bound: &'t TraitBound) {
        self.binding(bound.lifetimes.as_ref(), |seen| visit::visit_trait_bound(seen, bound));
    }

    fn visit_bound_lifetimes(&mut self, _: &'t BoundLifetimes) {}

    fn visit_parenthesized_generic_arguments(&mut self, arguments: &'t ParenthesizedGenericArguments) {
        self.signature(|seen| visit::visit_parenthesized_generic_arguments(seen, arguments));
    }

    fn visit_type_impl_trait(&mut self, ty: &'t TypeImplTrait) {
        self.impl_trait.get_or_insert(ty);
    }

    fn visit_path(&mut self, path: &'t Path) {
        if let Some(first) = path.segments.first().filter(|first| first.ident == "Self") {
            self.self_type.get_or_insert(&first.ident);
        }
        visit::visit_path(self, path);
    }
}
