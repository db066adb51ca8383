//! `#[derive(Marshal)]`: a value is marshalled by marshalling its fields.

use crate::{Mistakes, at};
use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::visit::{self, Visit};
use syn::{Attribute, Data, DeriveInput, Field, Fields, GenericParam, Type, WherePredicate, parse_quote};

pub(crate) fn expand(input: TokenStream) -> TokenStream {
    let input: DeriveInput = match syn::parse2(input) {
        Ok(input) => input,
        Err(error) => return error.into_compile_error(),
    };
    let mut mistakes = Mistakes::default();
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("marshal")) {
        mistakes.at(attribute, "`#[marshal(skip)]` stands at a field");
    }
    let (mut arms, mut holds) = (TokenStream::new(), TokenStream::new());
    match &input.data {
        Data::Struct(data) => of_fields(&input.ident, None, &data.fields, &mut arms, &mut holds, &mut mistakes),
        Data::Enum(data) => {
            for variant in &data.variants {
                if let Some(attribute) = variant.attrs.iter().find(|attribute| attribute.path().is_ident("marshal")) {
                    mistakes.at(attribute, "`#[marshal(skip)]` stands at a field");
                }
                let name = Some(&variant.ident);
                of_fields(&input.ident, name, &variant.fields, &mut arms, &mut holds, &mut mistakes);
            }
        }
        Data::Union(data) => {
            let text = "`Marshal` cannot be derived for a union: nobody knows which field is there";
            mistakes.at(&data.union_token, text);
        }
    }
    if let Some(mistakes) = mistakes.0 {
        return mistakes.into_compile_error();
    }

    let mut generics = input.generics.clone();
    let parameters: Vec<_> = input.generics.type_params().map(|parameter| parameter.ident.clone()).collect();
    let clause = generics.make_where_clause();
    for parameter in parameters {
        let bound: WherePredicate = parse_quote!(#parameter: ::apartment::Marshal);
        clause.predicates.push(bound);
    }
    for parameter in &mut generics.params {
        if let GenericParam::Type(parameter) = parameter {
            parameter.default = None;
        }
    }
    let name = &input.ident;
    let (parameters, arguments, clause) = generics.split_for_impl();
    quote_spanned! {at(name)=>
        #[automatically_derived]
        #[allow(deprecated, unreachable_code, unused_variables, clippy::all, clippy::pedantic, clippy::nursery)]
        impl #parameters ::apartment::Marshal for #name #arguments #clause {
            const REFERENCES: bool = false #holds;

            fn marshal_with(
                &mut self,
                with: &mut ::apartment::Marshaller,
            ) -> ::core::result::Result<(), ::apartment::CallError> {
                match self {
                    #arms
                    // A type without variants has no values.
                    #[allow(unreachable_patterns)]
                    _ => {}
                }
                ::core::result::Result::Ok(())
            }
        }
    }
}

/// The arm of a `match` that marshals these fields, and whether they can hold references.
fn of_fields(
    name: &Ident,
    variant: Option<&Ident>,
    fields: &Fields,
    arms: &mut TokenStream,
    holds: &mut TokenStream,
    mistakes: &mut Mistakes,
) {
    let (mut bound, mut body) = (TokenStream::new(), TokenStream::new());
    for (n, field) in fields.iter().enumerate() {
        if is_skipped(field, mistakes) {
            continue;
        }
        let ty = &field.ty;
        let (span, local) = (at(ty), format_ident!("field_{n}", span = at(ty)));
        let member = match &field.ident {
            Some(name) => name.to_token_stream(),
            None => syn::Index::from(n).to_token_stream(),
        };
        bound.extend(quote!(#member: #local,));
        body.extend(quote_spanned!(span=> <#ty as ::apartment::Marshal>::marshal_with(#local, with)?;));
        // A type that holds itself would ask for its own answer; it is there because it holds references.
        holds.extend(match mentions(ty, name) {
            true => quote_spanned!(span=> | true),
            false => quote_spanned!(span=> | <#ty as ::apartment::Marshal>::REFERENCES),
        });
    }
    let variant = variant.map(|variant| quote!(::#variant));
    arms.extend(quote!(Self #variant { #bound .. } => { #body }));
}

/// Whether a field says that it holds no references.
fn is_skipped(field: &Field, mistakes: &mut Mistakes) -> bool {
    let mut skipped = false;
    for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("marshal")) {
        match skip(attribute) {
            Ok(()) => skipped = true,
            Err(error) => mistakes.add(error),
        }
    }
    skipped
}

fn skip(attribute: &Attribute) -> syn::Result<()> {
    let mut said = false;
    attribute.parse_nested_meta(|meta| match meta.path.is_ident("skip") {
        true => {
            said = true;
            Ok(())
        }
        false => Err(meta.error("a field's attribute is `#[marshal(skip)]`")),
    })?;
    match said {
        true => Ok(()),
        false => Err(syn::Error::new_spanned(attribute, "a field's attribute is `#[marshal(skip)]`")),
    }
}

/// Whether a field's type names the type that is being derived for.
fn mentions(ty: &Type, name: &Ident) -> bool {
    struct Search<'n>(&'n Ident, bool);

    impl<'t> Visit<'t> for Search<'_> {
        fn visit_ident(&mut self, ident: &'t Ident) {
            self.1 |= ident == self.0 || ident == "Self";
        }

        fn visit_type_macro(&mut self, ty: &'t syn::TypeMacro) {
            visit::visit_type_macro(self, ty);
        }
    }

    let mut search = Search(name, false);
    search.visit_type(ty);
    search.1
}
