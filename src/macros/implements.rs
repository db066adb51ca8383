//! `implements!`: what a type answers to.

use crate::at;
use crate::interface::is_cfg;
use crate::types::bare;
use proc_macro2::TokenStream;
use quote::quote_spanned;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Attribute, Token, Type, TypeParamBound};

/// `Workbook: dyn Sheet, dyn Persist`
struct Implements {
    object: Type,
    interfaces: Punctuated<Interface, Token![,]>,
}

/// `#[cfg(unix)] dyn Sheet`
struct Interface {
    cfg: Vec<Attribute>,
    ty: Type,
}

impl Parse for Interface {
    fn parse(input: ParseStream) -> syn::Result<Self> {
        let cfg = input.call(Attribute::parse_outer)?;
        if let Some(other) = cfg.iter().find(|attribute| !is_cfg(attribute)) {
            return Err(syn::Error::new_spanned(other, "the only attribute that an interface has here is `cfg`"));
        }
        let ty = input.parse()?;
        let bounds = match bare(&ty) {
            Type::TraitObject(object) if object.dyn_token.is_some() => &object.bounds,
            _ => return Err(syn::Error::new_spanned(ty, "an interface is written `dyn Sheet`")),
        };
        if bounds.len() != 1 || !matches!(bounds[0], TypeParamBound::Trait(_)) {
            return Err(syn::Error::new_spanned(ty, "an interface is one trait, without more bounds"));
        }
        Ok(Self { cfg, ty })
    }
}

impl Parse for Implements {
    fn parse(input: ParseStream) -> syn::Result<Self> {
        let object: Type = input.parse()?;
        if let Type::TraitObject(_) = bare(&object) {
            return Err(syn::Error::new_spanned(object, "first the type, then its interfaces: `Workbook: dyn Sheet`"));
        }
        let interfaces = match input.parse::<Option<Token![:]>>()? {
            Some(_) => Punctuated::parse_terminated(input)?,
            None if input.is_empty() => Punctuated::new(),
            None => return Err(input.error("expected `:` and the interfaces: `Workbook: dyn Sheet, dyn Persist`")),
        };
        Ok(Self { object, interfaces })
    }
}

pub(crate) fn expand(input: TokenStream) -> TokenStream {
    match syn::parse2::<Implements>(input) {
        Ok(implements) => implements.expand(),
        Err(error) => error.into_compile_error(),
    }
}

impl Implements {
    fn expand(&self) -> TokenStream {
        let Self { object, interfaces } = self;
        let (mut implemented, mut views) = (TokenStream::new(), TokenStream::new());
        for Interface { cfg, ty: interface } in interfaces {
            let span = at(interface);
            implemented.extend(quote_spanned! {span=>
                #(#cfg)*
                #[automatically_derived]
                impl ::apartment::Implements<#interface> for #object {
                    const VIEW: __p::View<#interface> = __p::View::through::<#object>();
                }
            });
            views.extend(quote_spanned!(span=> #(#cfg)* &<#object as ::apartment::Implements<#interface>>::VIEW,));
        }
        quote_spanned! {at(object)=>
            const _: () = {
                use ::apartment::__private as __p;

                static DECLARATION: __p::Declaration =
                    __p::Declaration::of::<#object>(&[&const { __p::View::<#object>::own() }, #views]);

                #[automatically_derived]
                impl __p::Declares for #object {
                    fn declaration(
                        _: ::core::option::Option<&'static __p::Declaration>,
                    ) -> &'static __p::Declaration {
                        &DECLARATION
                    }
                }

                #implemented
            };
        }
    }
}
