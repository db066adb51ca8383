//! `interface!`: the trait as it was written, and its proxy's side.

use crate::method::Method;
use crate::{Mistakes, at};
use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Generics, Ident, Token, TraitItem, Visibility, braced, token};

/// What stands between the braces of `interface!`.
struct Interfaces(Vec<Interface>);

impl Parse for Interfaces {
    fn parse(input: ParseStream) -> syn::Result<Self> {
        let mut interfaces = Vec::new();
        while !input.is_empty() {
            interfaces.push(input.parse()?);
        }
        Ok(Self(interfaces))
    }
}

/// A trait, with what is wrong with it as an interface.
struct Interface {
    attributes: Vec<Attribute>,
    visibility: Visibility,
    /// `unsafe`, if it is written; the trait is given out with it all the same.
    safety: Option<Token![unsafe]>,
    trait_token: Token![trait],
    name: Ident,
    generics: Generics,
    colon: Option<Token![:]>,
    bounds: TokenStream,
    brace: token::Brace,
    methods: Vec<Method>,
    /// What an interface cannot have.
    others: TokenStream,
    mistakes: Mistakes,
}

impl Parse for Interface {
    fn parse(input: ParseStream) -> syn::Result<Self> {
        let mut mistakes = Mistakes::default();
        let attributes = input.call(Attribute::parse_outer)?;
        let visibility = input.parse()?;
        let safety: Option<Token![unsafe]> = input.parse()?;
        if let Some(safety) = &safety {
            mistakes.at(safety, "an interface is a safe trait");
        }
        if !input.peek(Token![trait]) {
            return Err(input.error("`interface!` takes traits: `pub trait Sheet { … }`"));
        }
        let trait_token = input.parse()?;
        let name: Ident = input.parse()?;
        let mut generics: Generics = input.parse()?;
        let colon: Option<Token![:]> = input.parse()?;
        let mut bounds = TokenStream::new();
        while !input.is_empty() && !input.peek(token::Brace) && !input.peek(Token![where]) {
            bounds.extend(input.parse::<proc_macro2::TokenTree>());
        }
        generics.where_clause = input.parse()?;
        if !generics.params.is_empty() {
            let text =
                "an interface cannot be generic: objects are asked for `dyn` of one trait; write one for each type";
            mistakes.at(&generics, text);
        }
        if let Some(clause) = &generics.where_clause {
            mistakes.at(clause, "an interface has no `where`: any type may implement it");
        }
        if colon.is_some() && !bounds.is_empty() {
            let text = "an interface has no super-traits: an object answers to several interfaces, which its type \
                        declares with `implements!`, and each reference is asked for the others with `query`";
            mistakes.at(&bounds, text);
        }
        let content;
        let brace = braced!(content in input);
        let (mut methods, mut others) = (Vec::new(), TokenStream::new());
        while !content.is_empty() {
            let attributes = content.call(Attribute::parse_outer)?;
            let constant = content.peek(Token![const]) && (content.peek2(Ident) || content.peek2(Token![_]));
            let invocation = content.peek(Ident::peek_any) && content.peek2(Token![!]);
            if constant || invocation || content.peek(Token![type]) {
                let item: TraitItem = content.parse()?;
                let what = match &item {
                    TraitItem::Const(_) => "constants",
                    TraitItem::Type(_) => "types",
                    _ => "macros",
                };
                mistakes.at(&item, format_args!("an interface has methods only, no {what}"));
                others.extend(quote!(#(#attributes)* #item));
            } else {
                methods.push(Method::parse(&content, attributes, &mut mistakes)?);
            }
        }
        Ok(Self {
            attributes,
            visibility,
            safety,
            trait_token,
            name,
            generics,
            colon,
            bounds,
            brace,
            methods,
            others,
            mistakes,
        })
    }
}

pub(crate) fn expand(input: TokenStream) -> TokenStream {
    match syn::parse2::<Interfaces>(input) {
        Ok(Interfaces(interfaces)) => interfaces.into_iter().map(Interface::expand).collect(),
        Err(error) => error.into_compile_error(),
    }
}

impl Interface {
    /// The trait; then, unless there is a mistake in it, what makes it an interface. With a mistake the trait is there
    /// all the same, so that whoever names it does not make a second one.
    fn expand(mut self) -> TokenStream {
        for method in &self.methods {
            method.check(&self.name, &mut self.mistakes);
        }
        let declared = self.declared();
        match self.mistakes.0.take() {
            Some(mistakes) => {
                let mistakes = mistakes.into_compile_error();
                quote!(#declared #mistakes)
            }
            None => {
                let proxy = self.proxy();
                quote!(#declared #proxy)
            }
        }
    }

    /// The trait as it was written, but for the words after `as`; with a word of its own for types that lack it.
    fn declared(&self) -> TokenStream {
        let Self { attributes, visibility, safety, trait_token, name, generics, colon, bounds, .. } = self;
        let clause = &generics.where_clause;
        let own = attributes.iter().any(|attribute| {
            let segments: Vec<_> = attribute.path().segments.iter().map(|segment| segment.ident.to_string()).collect();
            segments == ["diagnostic", "on_unimplemented"]
        });
        let missing = (!own).then(|| {
            let message = format!("`{{Self}}` does not implement the interface `{name}`");
            let label = format!("no `impl {name} for {{Self}}`");
            let note = format!(
                "an object's type implements it; a reference to such an object is one after `cast::<dyn {name}>()`"
            );
            quote!(#[diagnostic::on_unimplemented(message = #message, label = #label, note = #note)])
        });
        let mut items = TokenStream::new();
        self.brace.surround(&mut items, |items| {
            items.extend(self.methods.iter().map(Method::declared));
            self.others.to_tokens(items);
        });
        quote! {
            #(#attributes)*
            #missing
            #visibility #safety #trait_token #name #generics #colon #bounds #clause #items
        }
    }

    /// What makes it an interface: a proxy implements it, and every type that does can be seen through it.
    fn proxy(&self) -> TokenStream {
        let name = &self.name;
        let label = name.unraw().to_string();
        let cfg = self.attributes.iter().filter(is_cfg);
        let (mut bodies, mut forwards) = (TokenStream::new(), TokenStream::new());
        for (index, method) in (0u16..).zip(&self.methods) {
            bodies.extend(method.body(name, &label, index));
            forwards.extend(method.forward());
        }
        let (i, span) = (quote_spanned!(at(name)=> dyn #name + 'static), at(name));
        quote_spanned! {span=>
            #(#cfg)*
            #[allow(
                deprecated, unused_mut, unused_variables, unreachable_code, clippy::all, clippy::pedantic,
                clippy::nursery
            )]
            const _: () = {
                use ::apartment::__private as __p;

                #bodies

                #[automatically_derived]
                impl #name for ::apartment::Proxy<#i> { #forwards }

                #[automatically_derived]
                impl<'__a, __O> #name for ::apartment::With<'__a, #i, __O>
                where
                    ::apartment::With<'__a, #i, __O>: __p::Calls<#i>,
                { #forwards }

                #[automatically_derived]
                impl<__T: #name + 'static> ::apartment::InterfaceOf<__T> for #i {
                    fn of(object: &__T) -> &Self {
                        object
                    }
                }

                #[automatically_derived]
                impl __p::Declares for #i {
                    fn declaration(
                        carried: ::core::option::Option<&'static __p::Declaration>,
                    ) -> &'static __p::Declaration {
                        __p::carried(carried)
                    }
                }
            };
        }
    }
}

/// Whether an attribute says whether what it stands at is there.
pub(crate) fn is_cfg(attribute: &&Attribute) -> bool {
    attribute.path().is_ident("cfg")
}
